"""A work queue of keys, after client-go's ``util/workqueue``: one key at a time, nothing twice, nothing dropped."""

import asyncio
import heapq
import random
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Generic, TypeVar

from modelservice_operator.machinery.clock import Clock
from modelservice_operator.machinery.doubling import doubled
from modelservice_operator.metrics import Metrics

K = TypeVar("K", bound=Hashable)


_TURNS = 4
"""Of so many keys one is of the lane whose first has waited for longest, however much is asked for meanwhile."""


class Lane(IntEnum):
    """Why a key waits, those that go first first."""

    ASKED = 0
    """Something happened that people wait for, or what the key waited for has come."""
    DUE = 1
    """Its time has come, as that of a burst of events."""
    IN_TURN = 2
    """It is one of all there are."""


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
        self._lanes: tuple[dict[K, float], ...] = tuple({} for _ in Lane)
        self._taken = 0
        self._working: set[K] = set()
        self._again: dict[K, Lane] = {}
        self._failures: dict[K, int] = {}
        self._due: dict[K, float] = {}
        self._heap: list[tuple[float, int, K]] = []
        self._sequence = 0
        self._waiting: tuple[list[asyncio.Event], list[asyncio.Event]] = ([], [])
        self._watchman: asyncio.Event | None = None
        self._shut_down = False
        metrics.queue_depth.set_function(self.__len__)

    def __len__(self) -> int:
        return sum(map(len, self._lanes))

    def add(self, key: K) -> None:
        """Work on this key as soon as a worker is free."""
        self._add(key, Lane.ASKED)

    def add_in_turn(self, key: K) -> None:
        """Work on this key too, after those that something happened to: one of all there are when work begins."""
        if key not in self._working:
            self._add(key, Lane.IN_TURN)

    def clear(self) -> None:
        """Forget what waits, and what is due later; what is worked on meanwhile stays as it is."""
        for lane in (*self._lanes, self._due):
            lane.clear()
        self._heap.clear()

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
            if self._heap[0][2] == key and self._watchman is not None:
                self._watchman.set()

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

    async def get(self, *, asked: bool = False) -> K:
        """The next key; whoever gets one owes a ``done``.

        Args:
            asked: Only one that was asked for.

        Raises:
            ShutDown: The queue was stopped; keys that still wait are left.
        """
        while True:
            if self._shut_down:
                raise ShutDown
            self._promote()
            if any(lanes := self._lanes[: Lane.ASKED + 1] if asked else self._lanes):
                return self._take(lanes)
            if asked and (any(self._lanes) or self._watchman is None):
                self._wake()  # who took what was asked for may have been woken for something else
            await self._wait(asked=asked)

    def done(self, key: K) -> None:
        """The worker is finished with this key."""
        self._working.discard(key)
        if (lane := self._again.pop(key, None)) is not None:
            self._add(key, lane)

    def shut_down(self) -> None:
        """Give out no more keys; what is being worked on is finished by its worker."""
        self._shut_down = True
        for one in (*self._waiting[False], *self._waiting[True]):
            one.set()

    def _add(self, key: K, lane: Lane) -> None:
        """Have a key wait in this lane, if it does not in an earlier one."""
        if key in self._working:
            self._again[key] = min(lane, self._again.get(key, lane))
            return
        since = self._clock.monotonic()
        for other in Lane:
            if key in self._lanes[other]:
                if other <= lane:
                    return
                since = self._lanes[other].pop(key)
        self._lanes[lane][key] = since
        self._wake(asked=lane is Lane.ASKED)

    def _take(self, lanes: Sequence[dict[K, float]]) -> K:
        self._taken += len(lanes) > 1  # who takes only what was asked for takes nobody's turn
        waiting = [lane for lane in lanes if lane]
        lane = min(reversed(waiting), key=_longest) if self._taken % _TURNS == 0 else waiting[0]
        key = next(iter(lane))
        now = self._clock.monotonic()
        self._metrics.queue_seconds.observe(now - lane.pop(key))
        self._working.add(key)
        self._due.pop(key, None)  # the worker says anew when to look again
        return key

    def _promote(self) -> None:
        now = self._clock.monotonic()
        while self._heap and self._heap[0][0] <= now:
            due, _, key = heapq.heappop(self._heap)
            if self._due.get(key) == due:  # else it was worked on, or got an earlier time, meanwhile
                del self._due[key]
                self._add(key, Lane.DUE)

    async def _wait(self, *, asked: bool) -> None:
        """Wait for what may be taken. One of all who wait looks at the time for the others: they sleep on."""
        woken, waiting, seconds = asyncio.Event(), self._waiting[asked], None
        if asked or self._watchman is not None:
            waiting.append(woken)
        else:
            waiting.insert(0, woken)  # who is woken last
            self._watchman = woken
            seconds = self._heap[0][0] - self._clock.monotonic() if self._heap else None
        try:
            await self._clock.wait(woken, seconds)
        finally:
            if woken in waiting:
                waiting.remove(woken)
            if self._watchman is woken:
                self._watchman = None  # who is woken for what has become due looks at the time now

    def _wake(self, *, asked: bool = False) -> None:
        """Have one who waits look for a key; what was asked for is for who takes nothing else, if that one waits.

        As many are woken as there are keys, so each may take any of them that it takes at all.
        """
        if waiting := self._waiting[asked] or self._waiting[False]:
            waiting.pop().set()


def _longest(lane: Mapping[K, float]) -> float:
    """Since when the first of a lane waits."""
    return next(iter(lane.values()))
