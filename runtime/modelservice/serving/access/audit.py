"""A line of JSON for each request, written by a thread of its own; never what was asked or answered, nor a key."""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Final, Protocol

import orjson
from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

from modelservice.serving.callers import PUBLIC
from modelservice.serving.chain import Arrival, Observer

MAX_WAITING: Final = 10_000
"""Lines that wait to be written; where whoever reads them does not keep up, more are dropped, and counted."""
WRITE_SECONDS: Final = 0.2
"""Between two writings."""
_DENIED: Final = frozenset({"401", "403", "UNAUTHENTICATED", "PERMISSION_DENIED"})

MAX_KINDS: Final = 4096
"""Kinds of requests whose part of the line is kept."""
Kind = tuple[str | None, str | None, str | None, str, str, str, bool]
"""Which model and artifact answered, who asked, from where, what, the answer's code, and whether who asked may not."""


class Stream(Protocol):
    """Where lines go, without a buffer: while a thread waits in one, a process does not end in order."""

    def write(self, data: memoryview, /) -> int | None:
        """Write some bytes, and tell how many; None where none can be written without waiting."""


class AuditLog(Collector):
    """Makes observers of the chain; ``dropped`` counts lines that were lost."""

    def __init__(self, stream: Stream, *, clock: Callable[[], float] = time.time) -> None:
        self._stream = stream
        self._kinds: dict[Kind, bytes] = {}
        self._clock = clock
        self._waiting: deque[tuple[float, Kind, float]] = deque()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="audit", daemon=True)
        self._second, self._said = -1.0, b""
        self.dropped = 0

    def recorder(self, model: str | None, digest: str | None) -> Observer:
        """What notes requests that a model answered by the artifact of a digest; None: those that have no model."""
        waiting, clock = self._waiting, self._clock

        def record(arrival: Arrival, code: str, seconds: float) -> None:
            if arrival.path in PUBLIC:
                return
            if len(waiting) >= MAX_WAITING:
                self.dropped += 1
                return
            who = None if arrival.caller is None else arrival.caller.subject
            denied = arrival.beyond or code in _DENIED
            waiting.append((clock(), (model, digest, who, arrival.peer.address, arrival.route, code, denied), seconds))

        return record

    def collect(self) -> Iterator[Metric]:
        """The lines that were lost, for Prometheus."""
        yield CounterMetricFamily(
            "modelservice_audit_dropped", "Audit lines that nobody took in time.", value=self.dropped
        )

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    def close(self) -> None:
        """Write what waits, and end; a stream that nobody reads is waited for no longer than a second."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout=1)

    def write(self) -> None:
        """Write what waits; where the stream is gone, the lines are lost and counted, and the requests are not."""
        lines: list[bytes] = []
        while self._waiting:
            lines.append(self._line(*self._waiting.popleft()))
        if not lines:
            return
        try:
            _write_whole(self._stream, b"".join(lines))
        except (OSError, ValueError):
            self.dropped += len(lines)

    def _line(self, at: float, kind: Kind, seconds: float) -> bytes:
        second, part = divmod(at, 1)
        if second != self._second:
            self._second = second
            self._said = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second)).encode()
        said = self._kinds.get(kind)
        if said is None:
            if len(self._kinds) >= MAX_KINDS:
                self._kinds.clear()
            said = self._kinds[kind] = self._described(kind)
        return b'{"audit":"request","time":"%b.%03dZ",%b,"seconds":%.6f}\n' % (self._said, part * 1000, said, seconds)

    def _described(self, kind: Kind) -> bytes:
        """The members of a line that most lines share, without the braces around them."""
        model, digest, caller, peer, route, code, denied = kind
        # Names of certificates and Secrets are no concern of this line's: what no JSON can hold is shown as "?".
        who = None if caller is None else caller.encode("utf-8", "replace").decode()
        members = {"caller": who, "peer": peer, "route": route, "model": model, "digest": digest}
        members |= {"decision": "denied" if denied else "allowed", "code": code}
        return orjson.dumps(members)[1:-1]

    def _run(self) -> None:
        while not self._stop.wait(WRITE_SECONDS):
            self.write()
        self.write()


def _write_whole(stream: Stream, data: bytes) -> None:
    left = memoryview(data)
    while left:  # a signal may come between
        written = stream.write(left)
        if written is None:
            raise BlockingIOError("nobody takes it now")
        left = left[written:]
