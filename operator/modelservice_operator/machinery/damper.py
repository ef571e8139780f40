"""Holds back what is written again and again: somebody else undoes it each time, and both would go on for ever."""

from collections import OrderedDict, deque
from collections.abc import Hashable

from modelservice_operator.machinery.clock import Clock

LIMIT, WINDOW_SECONDS = 5, 60.0
"""The same content of one object may be written so often in this time."""

_REMEMBERED = 20_000


class Damper:
    """Counts writes of the same thing in a window that slides."""

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock
        self._written: OrderedDict[Hashable, deque[float]] = OrderedDict()

    def wait(self, what: Hashable) -> float:
        """Seconds until this may be written once more; at 0 it may be now, and counts as written."""
        now = self._clock.monotonic()
        times = self._written.pop(what, None) or deque()
        while times and now - times[0] >= WINDOW_SECONDS:
            times.popleft()
        held_up = len(times) >= LIMIT
        if not held_up:
            times.append(now)
        self._written[what] = times
        if len(self._written) > _REMEMBERED:
            self._written.popitem(last=False)
        return times[0] + WINDOW_SECONDS - now if held_up else 0.0
