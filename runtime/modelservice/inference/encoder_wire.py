"""The connection to the service of a shared encoder: kept, timed as a whole, and read up to a length."""

import json
import select
import socket
import ssl
import time
from collections.abc import Callable, Sequence
from enum import Enum
from typing import Final
from urllib.parse import quote, urlsplit

import httptools

CONNECT_SECONDS: Final = 1.0
ANSWER_SECONDS: Final = 10.0
"""For an answer, where nobody says how long it is waited for."""
REST_SECONDS: Final = 1.0
"""After an encoder was found away nobody is kept waiting to find that out again."""
LONGEST_REST_SECONDS: Final = 60.0
"""An answer that says to ask again later than that is asked again then all the same."""
_CONNECTION_SECONDS: Final = 30.0
"""A connection leads to one pod: with another now and then, those that were added get their share."""
_MAX_ANSWER: Final = 2**25
"""Bytes of an answer that are read; 64 rows of the widest encoder have half of it."""
_MAX_BESIDE: Final = 2**21
"""Bytes of its headers, and of what stands between its parts."""
_PIECE: Final = 2**16
"""Bytes that are read at once, at most."""
_OK: Final = 200
_HEADER_LENGTH: Final = "Inference-Header-Content-Length"
_MAX_ERROR: Final = 2**16
"""Of an answer that says why it is none, what is read as JSON."""
NO_DOCUMENT: Final = (ValueError, LookupError, TypeError, AttributeError, RecursionError)
"""What reading a document raises that is another one."""


class Trouble(Enum):
    """Why there is no answer: it is away, has too much to do, took too long, is another one, or refuses."""

    AWAY = "Away"
    BUSY = "Busy"
    LATE = "Late"
    CHANGED = "Changed"
    REFUSED = "Refused"


_TROUBLES: Final = {429: Trouble.BUSY, 503: Trouble.AWAY, 504: Trouble.LATE, 412: Trouble.CHANGED}
"""By the status of an answer; all others are refusals."""


class NotAnsweredError(Exception):
    """The encoder gave no numbers; the message is a sentence, ``retry_after`` are seconds.

    ``is_unreachable``: nothing took the connection in the time in which anything would.
    """

    def __init__(
        self, trouble: Trouble, message: str, *, retry_after: float = REST_SECONDS, is_unreachable: bool = False
    ) -> None:
        super().__init__(message)
        self.trouble = trouble
        self.retry_after = retry_after
        self.is_unreachable = is_unreachable


class _UnreachableError(ConnectionError):
    """See ``NotAnsweredError.is_unreachable``."""


class Wire:
    """One connection to a server, which is kept."""

    def __init__(self, address: str, name: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._connection: socket.socket | None = None
        parts = urlsplit(address)
        beside = (parts.path.strip("/"), parts.query, parts.fragment, parts.username)
        if parts.scheme not in {"http", "https"} or not parts.hostname or any(beside):
            raise ValueError(f"{address!r} is no address of an encoder: expected http://HOST:PORT")
        self._address, self._name, self._clock = address, name, clock
        self._context = ssl.create_default_context() if parts.scheme == "https" else None
        self._host, self._port = parts.hostname, parts.port or (443 if self._context else 80)
        self._path = f"/v2/models/{quote(name, safe='')}"
        self._host_line = f"Host: {parts.netloc}\r\n"
        self._until = self._rests = float("-inf")

    def send(
        self, path: str, body: Sequence[bytes | memoryview] = (), *, header: int = 0, within: float | None = None
    ) -> tuple[str | None, bytes]:
        """The length of the header of an answer, and the answer.

        Args:
            path: below that of the model.
            body: its parts; without any it is a GET.
            header: bytes of its JSON.
            within: seconds.

        Raises:
            NotAnsweredError: there is none.
        """
        now = self._clock()
        if now < self._rests:
            raise self._away("was not reached a moment ago")
        if now >= self._until:
            self.close()
        seconds = ANSWER_SECONDS if within is None else within
        request = self._request(path, body, header)
        try:
            return self._try(request, seconds, now + seconds)
        except NotAnsweredError as error:
            if error.trouble is not Trouble.AWAY:
                raise
            away = error
        # It was closed at the other end as idle ones are, or its pod leaves: another one may answer.
        try:
            return self._try(request, seconds, now + seconds)
        except NotAnsweredError as again:
            if again.trouble is Trouble.AWAY:
                self._rests = self._clock() + REST_SECONDS
            elif again.trouble is Trouble.LATE and away.is_unreachable:  # the first try took most of the time
                self._rests = self._clock() + REST_SECONDS
                raise away from None
            raise

    def _request(self, path: str, body: Sequence[bytes | memoryview], header: int) -> bytes:
        lines = f"{self._path}{path} HTTP/1.1\r\n{self._host_line}"
        if not body:
            return f"GET {lines}\r\n".encode()
        size = sum(map(len, body))
        lines += f"Content-Type: application/octet-stream\r\n{_HEADER_LENGTH}: {header}\r\nContent-Length: {size}\r\n"
        return b"".join((f"POST {lines}\r\n".encode(), *body))

    def _try(self, request: bytes, seconds: float, end: float) -> tuple[str | None, bytes]:
        try:
            return self._checked(self._exchange(request, end))
        except (OSError, UnicodeError, httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self.close()
            raise self._failed(error, seconds) from None

    def __del__(self) -> None:
        """A model that was replaced leaves no connection behind."""
        self.close()

    def close(self) -> None:
        """End the connection, if there is one."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _exchange(self, request: bytes, end: float) -> "_Answer":
        """What it answers: that has to be there in time as a whole, and not each part of it."""
        if self._connection is not None and _says_something(self._connection):
            self.close()
        if self._connection is None:
            self._connection = self._connected(min(CONNECT_SECONDS, self._left(end)))
            self._until = self._clock() + _CONNECTION_SECONDS
        connection, answer = self._connection, _Answer()
        try:
            connection.settimeout(self._left(end))
            connection.sendall(request)
            while not answer.is_whole:
                connection.settimeout(self._left(end))
                answer.take(connection.recv(_PIECE))
        finally:
            answer.end()
        return answer

    def _connected(self, seconds: float) -> socket.socket:
        try:
            connection = socket.create_connection((self._host, self._port), timeout=seconds)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return connection if self._context is None else self._secured(connection, self._context)
        except TimeoutError:
            if seconds < CONNECT_SECONDS:  # who asks had no more time: that says nothing of the encoder
                raise
            raise _UnreachableError("no connection within a second") from None

    def _secured(self, connection: socket.socket, context: ssl.SSLContext) -> socket.socket:
        try:
            return context.wrap_socket(connection, server_hostname=self._host)
        except OSError:
            connection.close()
            raise

    def _left(self, end: float) -> float:
        """Seconds, of which there is always a little: an answer may be there."""
        return max(0.001, end - self._clock())

    def _checked(self, answer: "_Answer") -> tuple[str | None, bytes]:
        if not answer.is_kept:
            self.close()
        if answer.status == _OK:
            return answer.header(_HEADER_LENGTH), answer.content
        trouble = _TROUBLES.get(answer.status, Trouble.REFUSED)
        said = answer.header("Retry-After") or ""
        again = float(said) if said.isdecimal() else REST_SECONDS
        if trouble is Trouble.AWAY:
            self.close()
        message = f"the encoder {self._name} answers with {answer.status}: {_sentence(answer.content)}"
        again = min(max(again, REST_SECONDS), LONGEST_REST_SECONDS)
        raise NotAnsweredError(trouble, message, retry_after=again)

    def _failed(self, error: Exception, seconds: float) -> NotAnsweredError:
        if isinstance(error, TimeoutError):
            message = f"the encoder {self._name} did not answer within {seconds * 1000:.0f} ms"
            return NotAnsweredError(Trouble.LATE, message)
        said = f"does not answer ({getattr(error, 'strerror', None) or error or type(error).__name__})"
        return self._away(said, is_unreachable=isinstance(error, _UnreachableError))

    def _away(self, said: str, *, is_unreachable: bool = False) -> NotAnsweredError:
        message = f"the encoder {self._name} at {self._address} {said}: try again soon"
        return NotAnsweredError(Trouble.AWAY, message, is_unreachable=is_unreachable)


class _Answer:
    """An answer as it comes, read up to a length; its parser calls what begins with ``on_``.

    Attributes:
        status: of the answer, 0 before it is whole.
        is_whole: whether all of it came.
        is_kept: whether another request may follow it on its connection.
    """

    def __init__(self) -> None:
        self.status = 0
        self.is_whole = self.is_kept = False
        self._parser = httptools.HttpResponseParser(self)
        self._headers: dict[bytes, bytes] = {}
        self._parts: list[bytes] = []
        self._size = self._come = 0

    def take(self, data: bytes) -> None:
        """Take what came; nothing is the end of the connection.

        Raises:
            ConnectionError: the answer is not whole, and will not be, or is longer than any.
            HttpParserError: it is none.
        """
        if not data:
            raise ConnectionError("it closed the connection before its answer was whole")
        self._come += len(data)
        self._parser.feed_data(data)
        if self._size > _MAX_ANSWER or self._come - self._size > _MAX_BESIDE:
            raise ConnectionError(f"more than {_MAX_ANSWER} bytes")

    def end(self) -> None:
        """Let go of the parser, which leads back here: what was read is freed with its last user."""
        del self._parser

    def header(self, name: str) -> str | None:
        """The value of a header."""
        value = self._headers.get(name.lower().encode())
        return None if value is None else value.decode("latin-1").strip()

    @property
    def content(self) -> bytes:
        """Its body."""
        return b"".join(self._parts)

    def on_message_begin(self) -> None:
        """Another one after it that was not asked for is none of this request."""
        self.is_kept = False

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header is here."""
        if not self.is_whole:
            self._headers[name.lower()] = value

    def on_body(self, part: bytes) -> None:
        """A part of the body is here."""
        self._size += len(part)
        if not self.is_whole:
            self._parts.append(part)

    def on_message_complete(self) -> None:
        """It is whole, unless it only says that one comes (100 Continue)."""
        status = self._parser.get_status_code()
        if self.is_whole:
            return
        if status < _OK:
            self._headers.clear()
        else:
            self.status, self.is_whole, self.is_kept = status, True, bool(self._parser.should_keep_alive())


def _says_something(connection: socket.socket) -> bool:
    """Whether an idle connection is at its end, or has an answer to nothing, which would be taken for the next one."""
    looked = select.poll()
    looked.register(connection, select.POLLIN)
    return bool(looked.poll(0))


def _sentence(content: bytes) -> str:
    try:
        return " ".join(str(json.loads(content[:_MAX_ERROR])["error"])[:300].split())
    except NO_DOCUMENT:
        return " ".join(content[:200].decode(errors="replace").split()) or "nothing"
