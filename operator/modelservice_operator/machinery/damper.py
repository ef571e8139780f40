"""Holds back what is written again and again: somebody else undoes it each time, and both would go on for ever."""

from collections import OrderedDict, deque
from collections.abc import Hashable

from modelservice_operator.machinery.clock import Clock

LIMIT, WINDOW_SECONDS = 5, 60.0
"""The same content of one object may be written so often in this time."""

_REMEMBERED = 20_000


class Damper:
    """Counts writes of the same thing in a window that slides; one that failed is none: nobody can have undone it.

    Where ``content`` is told, another content begins anew: what changes to and fro by itself is no fight.
    """

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock
        self._written: OrderedDict[Hashable, tuple[str, deque[float]]] = OrderedDict()

    def wait(self, what: Hashable, content: str = "") -> float:
        """Seconds until this may be written once more; at 0 it may be now."""
        times = self._in_window(what, content)
        return times[0] + WINDOW_SECONDS - self._clock.monotonic() if len(times) >= LIMIT else 0.0

    def count(self, what: Hashable, content: str = "") -> None:
        """This was written."""
        times = self._in_window(what, content)
        times.append(self._clock.monotonic())
        self._written[what] = content, times
        self._written.move_to_end(what)
        if len(self._written) > _REMEMBERED:
            self._written.popitem(last=False)

    def _in_window(self, what: Hashable, content: str) -> deque[float]:
        last, times = self._written.get(what, (content, deque[float]()))
        if last != content:
            return deque()
        while times and self._clock.monotonic() - times[0] >= WINDOW_SECONDS:
            times.popleft()
        return times
