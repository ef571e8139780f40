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
    """Requests that wait or are computed, and how long they waited; lives on the event loop.

    The requests that there were over a time are what they lasted together, by that time (Little's law), so each adds
    when it ends and takes off when it began; no more is done for most of them.
    """

    __slots__ = ("_clock", "_folded", "_in_flight", "_lasted", "_requests", "_taken", "_waited")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._requests = 0
        self._folded = clock()
        self._lasted = 0.0
        """Seconds since ``_folded``, less the present time for each request that is still there."""
        self._in_flight = 0.0
        self._waited = 0.0
        self._taken = 0.0

    def begin(self) -> float:
        """A request is queued.

        Returns:
            When.
        """
        now = self._clock()
        if now - self._folded >= _STEP:
            self._fold(now)
        self._requests += 1
        self._lasted -= now
        return now

    def take(self, begun: Sequence[float], now: float) -> None:
        """The first row of each of these requests is to be computed now."""
        if now - self._folded >= _STEP:
            self._fold(now)
        self._waited += len(begun) * now - sum(begun)
        self._taken += len(begun)

    def wait(self, seconds: float, *, is_over: bool) -> None:
        """A request waited so long for a thread that parses or decodes; ``is_over``: it will not be queued."""
        self._waited += seconds
        self._taken += is_over

    def end(self) -> None:
        """A request was told its answer, or that it gets none."""
        self._requests -= 1
        self._lasted += self._clock()

    @property
    def requests_in_flight(self) -> float:
        """How many there were at a time."""
        self._fold(self._clock())
        return self._in_flight

    @property
    def wait_seconds(self) -> float:
        """What each of them waited; where less than one came, as much less, so that it ends at 0."""
        self._fold(self._clock())
        return self._waited / max(self._taken, 1.0)

    def _fold(self, now: float) -> None:
        """What was since the last time becomes part of the means, and what was before it counts less."""
        span = now - self._folded
        if span <= 0:
            return
        kept = math.exp(-span / WINDOW)
        self._in_flight = kept * self._in_flight + (1 - kept) * (self._lasted + self._requests * now) / span
        self._waited *= kept
        self._taken *= kept
        self._lasted, self._folded = -self._requests * now, now
