"""The one way in: what every request passes, whatever transport carried it and whatever answers it.

A guard is asked before the body is read and refuses by raising; an observer is told how it ended. Both are plain
callables in an ordered tuple, so that what is added there stands before inference, metadata and documentation alike.
"""

from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from modelservice.serving.callers import UNKNOWN_PEER, Caller, Credential, Peer
from modelservice.serving.errors import HeadersTooLargeError, ShuttingDownError, TooLargeError
from modelservice.serving.lifecycle import Lifecycle

MAX_BODY: Final = 16 * 2**20
"""Bytes of a body, as sent and after decoding."""
MAX_HEADERS: Final = 128
MAX_HEADER_BYTES: Final = 64 * 1024
UNMATCHED: Final = "unmatched"
_MAX_DIGITS: Final = 16

Headers = Iterable[tuple[bytes, bytes]]


class Arrival:
    """A request of which the headers are here, and the body is not read yet.

    Attributes:
        route: the template by which metrics know it; ``unmatched`` until something answers it.
        infers: whether it asks for an inference.
        headers: as they came, names in lower case.
        length: bytes of its body as it says them, or None where it does not; beyond any limit, just a large number.
        encoding: its Content-Encoding, or None.
        header_length: its Inference-Header-Content-Length, or None.
        path: path, or full name of a method, as it was asked for; empty where it is none of this transport's, or nobody
            needs it.
        peer: the other end of the connection.
        model: the name of the model that is asked, where only the message says it; empty before and elsewhere.
        credential: the key or token in its headers; None until a guard has looked for it.
        caller: who proved to send it; None until a guard found out.
        beyond: whether its caller asks more often than it may.
    """

    __slots__ = (
        *("beyond", "caller", "count", "credential", "encoding", "header_length", "headers", "infers", "length"),
        *("model", "path", "peer", "route", "size"),
    )

    def __init__(
        self, route: str, headers: Headers, *, infers: bool, path: str = "", peer: Peer = UNKNOWN_PEER
    ) -> None:
        self.route = route
        self.infers = infers
        self.headers = headers
        self.path = path
        self.peer = peer
        self.model = ""
        self.credential: Credential | None = None
        self.caller: Caller | None = None
        self.beyond = False
        self.length: int | None = None
        self.encoding: bytes | None = None
        self.header_length: bytes | None = None
        count = size = 0
        for name, value in headers:
            count += 1
            size += len(name) + len(value)
            if name == b"content-length":
                self.length = _length(value)
            elif name == b"content-encoding":
                self.encoding = value
            elif name == b"inference-header-content-length":
                self.header_length = value
        self.count = count
        self.size = size

    def resized(self, length: bytes) -> "Arrival":
        """The same headers before a body of another length."""
        headers = [(name, length if name == b"content-length" else value) for name, value in self.headers]
        return Arrival(self.route, headers, infers=self.infers, path=self.path, peer=self.peer)


Guard = Callable[[Arrival], None]
"""Raises a RequestError to refuse."""
Observer = Callable[[Arrival, str, float], None]
"""Is told the code of the answer, as its transport spells it, and the seconds that it took."""


class Chain(NamedTuple):
    """Guards and observers in their order."""

    guards: tuple[Guard, ...]
    observers: tuple[Observer, ...]

    def admit(self, arrival: Arrival) -> None:
        """Ask the guards.

        Raises:
            RequestError: the first refusal.
        """
        for guard in self.guards:
            guard(arrival)

    def record(self, arrival: Arrival, code: str, seconds: float) -> None:
        """Tell the observers."""
        for observe in self.observers:
            observe(arrival, code, seconds)


def limit_headers(arrival: Arrival) -> None:
    """Refuse more headers than a client has use for."""
    if arrival.count > MAX_HEADERS or arrival.size > MAX_HEADER_BYTES:
        raise HeadersTooLargeError(
            f"{arrival.count} headers of {arrival.size} bytes; at most {MAX_HEADERS} of {MAX_HEADER_BYTES}"
        )


def limit_body(arrival: Arrival) -> None:
    """Refuse a body by the length that it announces, before it is read."""
    if arrival.length is not None and arrival.length > MAX_BODY:
        raise body_too_large()


def refuse_when_leaving(lifecycle: Lifecycle) -> Guard:
    """Refuse inference once the server takes nothing new; whether it lives may still be asked."""

    def guard(arrival: Arrival) -> None:
        if lifecycle.leaving and arrival.infers:
            raise ShuttingDownError("the server is shutting down; try again")

    return guard


def _length(value: bytes) -> int | None:
    if not value.isdigit():
        return None
    return int(value) if len(value) <= _MAX_DIGITS else MAX_BODY + 1


def body_too_large(limit: int = MAX_BODY) -> TooLargeError:
    """The refusal of a body of more than so many bytes."""
    remedy = "; send the rows in several requests" if limit == MAX_BODY else ""
    return TooLargeError(f"the body is larger than {limit} bytes{remedy}")
