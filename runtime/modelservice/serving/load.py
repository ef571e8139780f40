"""How much there is to do for a model: means over the last seconds, as an autoscaler can go by.

What waits at the moment of a scrape says little: batches come and go between two of them, and a page is rendered when
the event loop has just emptied the queue. So what was in between counts, the less the longer ago it is.
"""

import math
from collections.abc import Sequence
from typing import Final

from modelservice.serving.costs import Clock

WINDOW: Final = 15.0
"""Seconds after which something counts for a third (1/e) of what it counted."""
_STEP: Final = 1.0
"""Seconds that count alike: an exponential function for each request would cost more than all else here."""


class Load:
    """Requests that wait or are computed, and how long they waited; lives on the event loop."""

    __slots__ = ("_area", "_clock", "_folded", "_in_flight", "_now", "_requests", "_taken", "_waited")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._requests = 0
        self._now = self._folded = clock()
        self._area = 0.0
        self._in_flight = 0.0
        self._waited = 0.0
        self._taken = 0.0

    def begin(self) -> float:
        """A request is queued.

        Returns:
            When.
        """
        now = self._clock()
        self._pass(now)
        self._requests += 1
        return now

    def take(self, begun: Sequence[float], now: float) -> None:
        """The first row of each of these requests is to be computed now."""
        self._pass(now)
        self._waited += len(begun) * now - sum(begun)
        self._taken += len(begun)

    def end(self) -> None:
        """A request was told its answer, or that it gets none."""
        self._pass(self._clock())
        self._requests -= 1

    @property
    def requests_in_flight(self) -> float:
        """How many there were at a time."""
        self._pass(self._clock(), step=0)
        return self._in_flight

    @property
    def wait_seconds(self) -> float:
        """What each of them waited; where less than one came, as much less, so that it ends at 0."""
        self._pass(self._clock(), step=0)
        return self._waited / max(self._taken, 1.0)

    def _pass(self, now: float, *, step: float = _STEP) -> None:
        """Time went by; what was before it counts less, once at least ``step`` seconds did."""
        self._area += self._requests * (now - self._now)
        self._now = now
        span = now - self._folded
        if span <= 0 or span < step:
            return
        kept = math.exp(-span / WINDOW)
        self._in_flight = kept * self._in_flight + (1 - kept) * self._area / span
        self._waited *= kept
        self._taken *= kept
        self._area, self._folded = 0.0, now
