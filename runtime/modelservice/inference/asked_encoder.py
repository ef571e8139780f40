"""Asks the service of a shared encoder for the numbers of texts, by the Open Inference Protocol with binary tensors.

Each answer says which artifact it came from, and one of another artifact than was asked for is none: a head would make
something of any numbers.
"""

import io
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from enum import Enum
from functools import partial
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from typing import Any, Final
from urllib.parse import quote, urlsplit

import numpy as np

from modelservice.contract.manifest import SharedEncoder
from modelservice.modalities.base import Features, Rows
from modelservice.modalities.shared import Embed
from modelservice.modalities.tensors import BYTES, to_binary

OUTPUT: Final = "embedding"
"""Of a pretrained model that is served as it is."""
DIGEST: Final = "digest"
"""The parameter of a request, and of its answer, that names the artifact."""
MAX_TEXTS: Final = 64
"""Of one request."""
MAX_BYTES: Final = 2**20
"""Of the texts of one request, but for a longer one alone."""
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
"""Bytes of an answer that are read; 64 texts of the widest encoder have half of it."""
_MAX_READ: Final = _MAX_ANSWER + 2**21
"""Besides an answer its headers, and what stands between its parts."""
_OK: Final = 200
_HEADER_LENGTH: Final = "Inference-Header-Content-Length"
_NO_DOCUMENT: Final = (ValueError, LookupError, TypeError, AttributeError, RecursionError)
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


class AskedEncoder:
    """Asks one encoder, for one thread at a time."""

    def __init__(self, address: str, encoder: SharedEncoder, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Args: where its service answers, such as http://minilm, and which encoder it has to be.

        Raises:
            ValueError: the address is none.
        """
        self._wire = _Wire(address, encoder.name, clock=clock)
        self._encoder = encoder
        self._clock = clock
        self._lock = threading.Lock()

    def __call__(self, texts: Rows, within: float | None = None) -> Features:
        """The numbers of texts, float32 [texts, width].

        Args:
            texts: any number.
            within: seconds in which they are wanted; the encoder computes nothing that comes too late.

        Raises:
            NotAnsweredError: it gave none, or those of another encoder.
        """
        found = np.zeros((len(texts), self._encoder.width), np.float32)
        end = None if within is None else self._clock() + within  # who waits for the lock waits for the answer, too
        with self._lock:
            for some in _slices(texts):
                found[some] = self._ask(texts[some], None if end is None else end - self._clock())
        return found

    def _ask(self, texts: Rows, within: float | None) -> Features:
        if within is not None and within <= 0:
            message = f"the encoder {self._encoder.name} was not asked: there is no time left"
            raise NotAnsweredError(Trouble.LATE, message)
        data = to_binary(BYTES, texts)
        parameters: dict[str, Any] = {"binary_data_output": True, DIGEST: self._encoder.digest}
        if within is not None:
            parameters["timeout"] = max(1, round(within * 1e6))
        tensor = {"name": "text", "datatype": BYTES, "shape": [len(texts)]}
        document = {
            "inputs": [{**tensor, "parameters": {"binary_data_size": len(data)}}],
            "outputs": [{"name": OUTPUT}],
            "parameters": parameters,
        }
        head = json.dumps(document).encode()
        answer, content = self._wire.send("/infer", head + data, header=len(head), within=within)
        return self._numbers(answer, content, len(texts))

    def _numbers(self, length: str | None, content: bytes, rows: int) -> Features:
        """What an answer holds, if it is one of this encoder."""
        try:
            at = int(length or "")
            document = json.loads(content[:at])
            digest = document.get("parameters", {}).get(DIGEST)
            (output,) = document["outputs"]
            shape = tuple(output["shape"])
        except _NO_DOCUMENT:
            raise self._changed(
                "does not answer as an encoder does: name a ModelService with model.pretrained"
            ) from None
        if digest != self._encoder.digest:
            raise self._changed(f"answers as {digest}, and {self._encoder.digest} is asked for")
        size = 4 * rows * self._encoder.width
        if shape != (rows, self._encoder.width) or at < 0 or len(content) - at != size:
            raise self._changed(f"answers with {list(shape)}, and [{rows}, {self._encoder.width}] is expected")
        numbers = np.frombuffer(content, dtype="<f4", offset=at).reshape(shape)
        if not np.isfinite(numbers).all():
            raise NotAnsweredError(Trouble.REFUSED, f"the encoder {self._encoder.name} answers with what is no number")
        return numbers

    def _changed(self, said: str) -> NotAnsweredError:
        return NotAnsweredError(Trouble.CHANGED, f"the encoder {self._encoder.name} {said}")


def unnamed(encoder: SharedEncoder) -> str:
    """What to say where nobody said where an encoder answers."""
    asks = f"this head asks the encoder {encoder.name} ({encoder.digest}) for the numbers of texts"
    return f"{asks}: say where that answers with --encoder (encoder in Python), such as http://localhost:8080"


def asks_nobody(encoder: SharedEncoder) -> Embed:
    """In place of what asks, where nobody said where the encoder answers."""

    def refuse(_texts: Rows, _within: float | None) -> Features:
        raise NotAnsweredError(Trouble.REFUSED, unnamed(encoder))

    return refuse


def look_at(address: str, name: str) -> SharedEncoder:
    """What the service of an encoder says of itself.

    Raises:
        ValueError: the address is none.
        NotAnsweredError: nobody answers there, or no encoder of this name does.
    """
    _, content = _Wire(address, name).send("", None)
    try:
        document = json.loads(content)
        (width,) = (one["shape"][1] for one in document["outputs"] if one["name"] == OUTPUT)
        (datatype,) = (one["datatype"] for one in document["inputs"])
        encoder = SharedEncoder(name=name, digest=document["parameters"][DIGEST], width=width)
    except _NO_DOCUMENT:
        message = f"{name} at {address} is no encoder, since it has no output {OUTPUT}: name one with model.pretrained"
        raise NotAnsweredError(Trouble.REFUSED, message) from None
    if datatype != BYTES:
        message = f"{name} at {address} reads images, and heads ask for texts: name its folder with model.encoder.uri"
        raise NotAnsweredError(Trouble.REFUSED, message)
    return encoder


class _Wire:
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
        return " ".join(str(json.loads(content)["error"])[:300].split())
    except _NO_DOCUMENT:
        return " ".join(content[:200].decode(errors="replace").split()) or "nothing"


def _slices(texts: Rows) -> Iterator[slice]:
    """Places of texts that go together."""
    start = size = 0
    for place, text in enumerate(texts):
        length = 4 * len(text)
        if place > start and (place - start == MAX_TEXTS or size + length > MAX_BYTES):
            yield slice(start, place)
            start, size = place, 0
        size += length
    if start < len(texts):
        yield slice(start, len(texts))
