"""The time that ``auto`` may take: which model is fitted next, and which would not end in time."""

from collections.abc import Callable, Sequence

from modelservice.families.candidates import Candidate
from modelservice.families.costs import Size

Clock = Callable[[], float]
"""Monotonic seconds."""


class Budget:
    """Seconds for fitting; begins when it is made.

    What a model takes is estimated by what it computes, times how much longer the models before it took than estimated.
    """

    def __init__(self, *, size: Size, seconds: int | None, clock: Clock) -> None:
        """Args: what is learned, the seconds that there are (None: no end), and the clock."""
        self._size, self._seconds, self._clock = size, seconds, clock
        self._begun = clock()
        self._estimated = self._measured = 0.0

    def ordered(self, candidates: Sequence[Candidate]) -> list[Candidate]:
        """The order of fits: the cheapest first if there is an end, for each is a model more for the least time."""
        if self._seconds is None:
            return list(candidates)
        return sorted(candidates, key=lambda one: one.seconds(self._size))

    def too_late(self, candidate: Candidate) -> str | None:
        """A sentence if the candidate would not end in time, else None."""
        if self._seconds is None:
            return None
        pace = self._measured / self._estimated if self._estimated else 1.0
        expected, left = pace * candidate.seconds(self._size), self._begun + self._seconds - self._clock()
        if expected <= left:
            return None
        return (
            f"auto left {candidate.name} out: it would take about {expected:.0f} s, and {max(0.0, left):.0f} s are left"
            " of spec.model.auto.timeBudgetSeconds"
        )

    def spent(self, candidate: Candidate, seconds: float) -> None:
        """Tell what a candidate took."""
        self._estimated += candidate.seconds(self._size)
        self._measured += seconds

    @property
    def notes(self) -> tuple[str, ...]:
        """What must be said of a result that depends on the clock."""
        if self._seconds is None:
            return ()
        return (
            f"which models were blended depends on how fast this machine was, for timeBudgetSeconds is {self._seconds}:"
            " another run may blend others",
        )
