"""A work queue of keys, after client-go's ``util/workqueue``: one key at a time, nothing twice, nothing dropped."""

import asyncio
import heapq
import random
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

from modelservice_operator.machinery.clock import Clock
from modelservice_operator.machinery.doubling import doubled
from modelservice_operator.metrics import Metrics

K = TypeVar("K", bound=Hashable)


_TURNS = 4
"""Of so many keys one is of those that wait for their turn, however much changes meanwhile."""


class ShutDown(Exception):  # noqa: N818 - the end of the work, not an error
    """The queue was stopped; a worker that gets this returns."""


@dataclass(frozen=True, kw_only=True)
class Backoff:
    """Exponential back-off in seconds; ``jitter`` maps a delay to the one that is taken."""

    base: float = 0.5
    cap: float = 120.0
    jitter: Callable[[float], float] = lambda delay: delay * random.uniform(0.8, 1.2)  # noqa: S311 - spreads load

    def delay(self, failures: int) -> float:
        """Delay after that many failures in a row."""
        return self.jitter(doubled(self.base, failures - 1, most=self.cap))


class WorkQueue(Generic[K]):
    """Keys to be worked on now, and keys with a due time.

    A key that is added while a worker has it comes back when the worker is done with it. Not thread-safe: all calls
    come from one event loop.
    """

    def __init__(self, *, clock: Clock, metrics: Metrics, backoff: Backoff) -> None:
        self._clock = clock
        self._metrics = metrics
        self._backoff = backoff
        self._ready: dict[K, float] = {}
        self._in_turn: dict[K, float] = {}
        self._taken = 0
        self._working: set[K] = set()
        self._again: set[K] = set()
        self._failures: dict[K, int] = {}
        self._due: dict[K, float] = {}
        self._heap: list[tuple[float, int, K]] = []
        self._sequence = 0
        self._changed = asyncio.Event()
        self._shut_down = False

    def __len__(self) -> int:
        return len(self._ready) + len(self._in_turn)

    def add(self, key: K) -> None:
        """Work on this key as soon as a worker is free."""
        if key in self._working:
            self._again.add(key)
        elif key not in self._ready:
            self._ready[key] = self._in_turn.pop(key, self._clock.monotonic())
            self._announce()

    def add_in_turn(self, key: K) -> None:
        """Work on this key too, after those that something happened to: one of all there are when work begins."""
        if key not in self._working and key not in self._ready and key not in self._in_turn:
            self._in_turn[key] = self._clock.monotonic()
            self._announce()

    def clear(self) -> None:
        """Forget what waits, and what is due later; what is worked on meanwhile stays as it is."""
        for waiting in (self._ready, self._in_turn, self._due, self._heap):
            waiting.clear()
        self._announce()

    def add_after(self, key: K, seconds: float) -> None:
        """Work on this key in that many seconds, or earlier if something else asks for it; the earliest time wins."""
        if seconds <= 0:
            self.add(key)
            return
        due = self._clock.monotonic() + seconds
        if due < self._due.get(key, float("inf")):
            self._due[key] = due
            self._sequence += 1
            heapq.heappush(self._heap, (due, self._sequence, key))
            self._announce()

    def add_rate_limited(self, key: K, *, least: float = 0.0) -> float:
        """Work on this key again after a back-off that grows with its failures in a row; answers with the delay.

        Args:
            key: What failed.
            least: Seconds that it waits at least, and a little more; what is beyond the longest back-off is not heeded.
        """
        self._failures[key] = failures = self._failures.get(key, 0) + 1
        least = min(least, self._backoff.cap)
        spread = abs(self._backoff.jitter(least) - least)  # or all that were refused together come back together
        delay = max(least + spread, self._backoff.delay(failures))
        self.add_after(key, delay)
        return delay

    def forget(self, key: K) -> None:
        """Start the back-off of this key anew: it went well."""
        self._failures.pop(key, None)

    async def get(self) -> K:
        """The next key; whoever gets one owes a ``done``.

        Raises:
            ShutDown: The queue was stopped; keys that still wait are left.
        """
        while True:
            if self._shut_down:
                raise ShutDown
            self._promote()
            if self._ready or self._in_turn:
                return self._take()
            self._changed.clear()
            seconds = self._heap[0][0] - self._clock.monotonic() if self._heap else None
            await self._clock.wait(self._changed, seconds)

    def done(self, key: K) -> None:
        """The worker is finished with this key."""
        self._working.discard(key)
        if key in self._again:
            self._again.discard(key)
            self.add(key)

    def shut_down(self) -> None:
        """Give out no more keys; what is being worked on is finished by its worker."""
        self._shut_down = True
        self._announce()

    def _take(self) -> K:
        self._taken += 1
        its_turn = self._in_turn and self._taken % _TURNS == 0
        lane = self._in_turn if its_turn or not self._ready else self._ready
        key = next(iter(lane))
        now = self._clock.monotonic()
        self._metrics.queue_seconds.observe(now - lane.pop(key))
        self._metrics.queue_depth.set(len(self))
        self._working.add(key)
        self._due.pop(key, None)  # the worker says anew when to look again
        return key

    def _promote(self) -> None:
        now = self._clock.monotonic()
        while self._heap and self._heap[0][0] <= now:
            due, _, key = heapq.heappop(self._heap)
            if self._due.get(key) == due:  # else it was worked on, or got an earlier time, meanwhile
                del self._due[key]
                self.add(key)

    def _announce(self) -> None:
        self._metrics.queue_depth.set(len(self))
        self._changed.set()
