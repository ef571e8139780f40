"""A bounded sample of what was answered, taken where it is computed: at the cost of a count for most batches."""

from typing import Final, NamedTuple

from modelservice.modalities.base import Rows
from modelservice.tasks.base import Array

MOST_BATCHES: Final = 128
"""Batches of one sample."""
MOST_CELLS: Final = 200_000
"""Cells of all rows of one sample, about 10 MB of Python's numbers."""
MOST_ROWS: Final = 16
"""Rows of one batch: those of one request are often alike."""


class Sampled(NamedTuple):
    """Some rows of a batch, and the model's raw outputs for them."""

    rows: Rows
    raw: Array


class Sample:
    """Every nth batch since it was taken last, for the smallest n that fits; systematic, so that nothing is drawn.

    One thread adds, and another may take.
    """

    def __init__(self, columns: int) -> None:
        self._rows = max(1, min(MOST_ROWS, MOST_CELLS // (MOST_BATCHES * max(columns, 1))))
        self._held: list[Sampled] = []
        self._every, self._skipped = 1, 0

    def add(self, rows: Rows, raw: Array) -> None:
        """Keep some rows of a batch, or not."""
        self._skipped += 1
        if self._skipped < self._every:
            return
        self._skipped = 0
        if len(self._held) >= MOST_BATCHES:
            self._held = self._held[::2]
            self._every *= 2
        some = slice(self._rows)
        self._held.append(Sampled(rows[some], raw[some].copy()))

    def take(self) -> list[Sampled]:
        """What was kept; it begins anew."""
        held, self._held = self._held, []
        self._every = 1
        return held
