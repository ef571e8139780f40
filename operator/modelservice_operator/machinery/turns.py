"""Who may begin something that too many at once would be too much of: so many at a time, the others in turn."""

from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from modelservice_operator.machinery.clock import Clock

TURN_SECONDS = 600.0
"""After so long others need not wait any more, whatever the one that has a turn says of its own time."""

K = TypeVar("K", bound=Hashable)


class Turns(Generic[K]):
    """Turns, as many as ``limit`` at a time, in the order in which they were asked for.

    Whoever waits is called when a turn becomes free, and has it then: nobody has to ask again and again, and one that
    needs it no longer gives it back. They are in memory alone: after a new start those who had one are not counted.
    """

    def __init__(self, *, limit: int, on_turn: Callable[[K], None], clock: Clock) -> None:
        self._limit = limit
        self._on_turn = on_turn
        self._clock = clock
        self._having: dict[K, float] = {}
        self._waiting: dict[K, None] = {}

    def __contains__(self, key: K) -> bool:
        return key in self._having

    def ask(self, key: K) -> bool:
        """Whether this one has a turn; it waits for one from now on where all are taken."""
        if key not in self._having and len(self._having) < self._limit:
            self._having[key] = self._clock.monotonic()
        if key in self._having:
            self._waiting.pop(key, None)
            return True
        self._waiting.setdefault(key)
        return False

    def is_over(self, key: K) -> bool:
        """Whether this one has had its turn for so long that it is to leave."""
        since = self._having.get(key)
        return since is not None and self._clock.monotonic() - since >= TURN_SECONDS

    def leave(self, key: K) -> None:
        """This one needs no turn, or is done with its own, which the next one gets."""
        self._waiting.pop(key, None)
        if key not in self._having:
            return
        del self._having[key]
        if self._waiting:
            following = next(iter(self._waiting))
            del self._waiting[following]
            self._having[following] = self._clock.monotonic()
            self._on_turn(following)
