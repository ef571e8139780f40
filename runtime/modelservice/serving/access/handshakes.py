"""TLS handshakes of connections over HTTP, counted by how they ended."""

import ssl
import time
from collections import deque
from collections.abc import Callable, Iterator
from enum import StrEnum
from typing import Final

from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

HANDSHAKE_SECONDS: Final = 5.0
"""From a connection to the end of its TLS handshake; until then it is not counted among the connections, but it is a
file, of which ``listening.raise_file_limit`` allows more."""
_SURELY: Final = HANDSHAKE_SECONDS + 1
"""Seconds after which one that did not end was cut off."""
MAX_UNDER_WAY: Final = 10_000
"""Handshakes that are watched; of more, the oldest counts as unfinished before its time."""


class Outcome(StrEnum):
    """How a handshake ended: unfinished ones were left by their client, or took too long."""

    COMPLETED = "completed"
    FAILED = "failed"
    UNFINISHED = "unfinished"


class Handshake:
    """One that began at ``since``; ``outcome`` is None while it is under way."""

    __slots__ = ("outcome", "since")

    def __init__(self, since: float) -> None:
        self.since = since
        self.outcome: Outcome | None = None


class Handshakes(Collector):
    """Counts them; nobody tells of those that are unfinished, so what is too old is one."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._under_way: deque[Handshake] = deque()
        self._counts = dict.fromkeys(Outcome, 0)

    def begin(self) -> Handshake:
        """Note that one begins."""
        self._look()
        handshake = Handshake(self._clock())
        self._under_way.append(handshake)
        return handshake

    def end(self, handshake: Handshake, outcome: Outcome) -> None:
        """Count one, once."""
        if handshake.outcome is None:
            handshake.outcome = outcome
            self._counts[outcome] += 1

    def collect(self) -> Iterator[Metric]:
        """The counts, for Prometheus."""
        self._look()
        handshakes = CounterMetricFamily(
            "modelservice_tls_handshakes", "TLS handshakes over HTTP by how they ended.", labels=["outcome"]
        )
        for outcome, count in self._counts.items():
            handshakes.add_metric([outcome.value], count)
        yield handshakes

    def _look(self) -> None:
        now, waiting = self._clock(), self._under_way
        while waiting:
            oldest = waiting[0]
            if oldest.outcome is None and now - oldest.since <= _SURELY and len(waiting) <= MAX_UNDER_WAY:
                return
            self.end(waiting.popleft(), Outcome.UNFINISHED)


class CountedObject(ssl.SSLObject):
    """A connection's TLS that tells how its handshake ended."""

    handshakes: Handshakes
    handshake: Handshake

    def watch(self, handshakes: Handshakes) -> None:
        """Begin to tell."""
        self.handshakes, self.handshake = handshakes, handshakes.begin()

    def do_handshake(self) -> None:
        """Go on as far as what arrived allows; see ``ssl.SSLObject``."""
        try:
            super().do_handshake()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except ssl.SSLError:
            self.handshakes.end(self.handshake, Outcome.FAILED)
            raise
        self.handshakes.end(self.handshake, Outcome.COMPLETED)
