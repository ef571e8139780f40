"""The connection to the service of a shared encoder: kept, timed as a whole, and read up to a length."""

import io
import json
import socket
import time
from collections.abc import Callable
from enum import Enum
from functools import partial
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from typing import Any, Final
from urllib.parse import quote, urlsplit

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
_MAX_READ: Final = _MAX_ANSWER + 2**21
"""Besides an answer its headers, and what stands between its parts."""
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
    """The encoder gave no numbers; the message is a sentence, ``retry_after`` are seconds."""

    def __init__(self, trouble: Trouble, message: str, *, retry_after: float = REST_SECONDS) -> None:
        super().__init__(message)
        self.trouble = trouble
        self.retry_after = retry_after


class Wire:
    """One connection to a server, which is kept."""

    def __init__(self, address: str, name: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._connection: HTTPConnection | None = None
        parts = urlsplit(address)
        beside = (parts.path.strip("/"), parts.query, parts.fragment, parts.username)
        if parts.scheme not in {"http", "https"} or not parts.hostname or any(beside):
            raise ValueError(f"{address!r} is no address of an encoder: expected http://HOST:PORT")
        self._address, self._name, self._clock = address, name, clock
        self._kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
        self._host, self._port = parts.hostname, parts.port
        self._path = f"/v2/models/{quote(name, safe='')}"
        self._until = self._rests = float("-inf")

    def send(
        self, path: str, body: bytes | None, *, header: int = 0, within: float | None = None
    ) -> tuple[str | None, bytes]:
        """The length of the header of an answer, and the answer.

        Raises:
            NotAnsweredError: there is none.
        """
        now = self._clock()
        if now < self._rests:
            raise self._away("was not reached a moment ago")
        if now >= self._until:
            self.close()
        seconds = ANSWER_SECONDS if within is None else within
        try:
            return self._try(path, body, header, seconds, now + seconds)
        except NotAnsweredError as error:
            if error.trouble is not Trouble.AWAY:
                raise
        # It was closed at the other end as idle ones are, or its pod leaves: another one may answer.
        try:
            return self._try(path, body, header, seconds, now + seconds)
        except NotAnsweredError as error:
            if error.trouble is Trouble.AWAY:
                self._rests = self._clock() + REST_SECONDS
            raise

    def _try(self, path: str, body: bytes | None, header: int, seconds: float, end: float) -> tuple[str | None, bytes]:
        try:
            return self._answer(self._exchange(path, body, header, end))
        except (OSError, HTTPException, ValueError) as error:  # the last of a length that is none
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

    def _exchange(self, path: str, body: bytes | None, header: int, end: float) -> HTTPResponse:
        if self._connection is None:
            self._connection = self._kind(self._host, self._port, timeout=min(CONNECT_SECONDS, self._left(end)))
            try:
                self._connection.connect()
            except TimeoutError:
                raise ConnectionError("no connection within a second") from None
            self._until = self._clock() + _CONNECTION_SECONDS
        connection = self._connection
        assert isinstance(connection.sock, socket.socket)  # noqa: S101 - it is connected
        connection.sock.settimeout(self._left(end))
        connection.response_class = partial(_Response, left=partial(self._left, end))  # type: ignore[assignment]
        headers = {"Content-Type": "application/octet-stream", _HEADER_LENGTH: str(header)} if body else {}
        connection.request("GET" if body is None else "POST", f"{self._path}{path}", body, headers)
        return connection.getresponse()

    def _left(self, end: float) -> float:
        """Seconds, of which there is always a little: an answer may be there."""
        return max(0.001, end - self._clock())

    def _answer(self, response: HTTPResponse) -> tuple[str | None, bytes]:
        content = response.read(_MAX_ANSWER)
        if response.read(1) or response.will_close:
            self.close()
        if response.status == _OK:
            return response.getheader(_HEADER_LENGTH), content
        trouble = _TROUBLES.get(response.status, Trouble.REFUSED)
        said = response.getheader("Retry-After", "")
        again = float(said) if said.isdecimal() else REST_SECONDS
        if trouble is Trouble.AWAY:
            self.close()
        message = f"the encoder {self._name} answers with {response.status}: {_sentence(content)}"
        again = min(max(again, REST_SECONDS), LONGEST_REST_SECONDS)
        raise NotAnsweredError(trouble, message, retry_after=again)

    def _failed(self, error: Exception, seconds: float) -> NotAnsweredError:
        if isinstance(error, TimeoutError):
            message = f"the encoder {self._name} did not answer within {seconds * 1000:.0f} ms"
            return NotAnsweredError(Trouble.LATE, message)
        return self._away(f"does not answer ({getattr(error, 'strerror', None) or error or type(error).__name__})")

    def _away(self, said: str) -> NotAnsweredError:
        return NotAnsweredError(Trouble.AWAY, f"the encoder {self._name} at {self._address} {said}: try again soon")


class _Response(HTTPResponse):
    """An answer that has to be there in time as a whole, and not each part of it, and is read up to a length."""

    def __init__(self, sock: socket.socket, *args: Any, left: Callable[[], float], **options: Any) -> None:
        super().__init__(sock, *args, **options)
        self.fp = io.BufferedReader(_Timed(self.fp.detach(), sock, left))


class _Timed(io.RawIOBase):
    """What comes through a socket, until there are no seconds left."""

    def __init__(self, raw: io.RawIOBase, sock: socket.socket, left: Callable[[], float]) -> None:
        self._raw, self._sock, self._left = raw, sock, left
        self._come = 0

    def readable(self) -> bool:
        """See ``io``."""
        return True

    def readinto(self, buffer: Any, /) -> int | None:
        """See ``io``."""
        self._sock.settimeout(self._left())
        come = self._raw.readinto(buffer)
        self._come += come or 0
        if self._come > _MAX_READ:
            raise ConnectionError(f"more than {_MAX_READ} bytes")
        return come

    def close(self) -> None:
        """See ``io``."""
        self._raw.close()
        super().close()


def _sentence(content: bytes) -> str:
    try:
        return " ".join(str(json.loads(content[:_MAX_ERROR])["error"])[:300].split())
    except NO_DOCUMENT:
        return " ".join(content[:200].decode(errors="replace").split()) or "nothing"
