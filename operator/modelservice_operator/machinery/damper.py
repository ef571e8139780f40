"""Holds back what is written again and again: somebody else undoes it each time, and both would go on for ever."""

from collections import OrderedDict, deque
from collections.abc import Hashable

from modelservice_operator.machinery.clock import Clock

LIMIT, WINDOW_SECONDS = 5, 60.0
"""The same content of one object may be written so often in this time."""

_REMEMBERED = 20_000


class Damper:
    """Counts writes of the same thing in a window that slides; one that failed is none: nobody can have undone it."""

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock
        self._written: OrderedDict[Hashable, deque[float]] = OrderedDict()

    def wait(self, what: Hashable) -> float:
        """Seconds until this may be written once more; at 0 it may be now."""
        times = self._in_window(what)
        return times[0] + WINDOW_SECONDS - self._clock.monotonic() if len(times) >= LIMIT else 0.0

    def count(self, what: Hashable) -> None:
        """This was written."""
        times = self._in_window(what)
        times.append(self._clock.monotonic())
        self._written[what] = times
        self._written.move_to_end(what)
        if len(self._written) > _REMEMBERED:
            self._written.popitem(last=False)

    def _in_window(self, what: Hashable) -> deque[float]:
        times = self._written.get(what, deque())
        while times and self._clock.monotonic() - times[0] >= WINDOW_SECONDS:
            times.popleft()
        return times
