"""Holds back what is written again and again: somebody else undoes it each time, and both would go on for ever."""

from collections import OrderedDict
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
        self._written: OrderedDict[Hashable, tuple[str, tuple[float, ...]]] = OrderedDict()

    def wait(self, what: Hashable, content: str = "") -> float:
        """Seconds until this may be written once more; at 0 it may be now."""
        times = self._in_window(what, content)
        return times[0] + WINDOW_SECONDS - self._clock.monotonic() if len(times) >= LIMIT else 0.0

    def count(self, what: Hashable, content: str = "") -> None:
        """This was written."""
        self._written[what] = content, (*self._in_window(what, content), self._clock.monotonic())
        self._written.move_to_end(what)
        self._forget()

    def _forget(self) -> None:
        """Of what was written before the window nothing is remembered, and of no more than a limit."""
        while True:
            what, (_, times) = next(iter(self._written.items()))
            if len(self._written) <= _REMEMBERED and self._is_in_window(times[-1]):
                return
            del self._written[what]

    def _in_window(self, what: Hashable, content: str) -> tuple[float, ...]:
        last, times = self._written.get(what, (content, ()))
        return tuple(filter(self._is_in_window, times)) if last == content else ()

    def _is_in_window(self, moment: float) -> bool:
        return self._clock.monotonic() - moment < WINDOW_SECONDS
