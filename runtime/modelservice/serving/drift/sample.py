"""A bounded sample of what was answered, taken where it is computed: at the cost of a count for most batches."""

from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

import numpy as np

from modelservice.modalities.base import Rows
from modelservice.tasks.base import Array

MOST_BATCHES: Final = 128
"""Batches of one sample."""
MOST_CELLS: Final = 200_000
"""Cells of all rows of one sample, about 10 MB of Python's numbers."""
MOST_ROWS: Final = 16
"""Rows of one batch: those of one request are often alike."""
MOST_CHARACTERS: Final = 2**15
"""Characters of the texts in all rows of one batch: 4 MB of a sample in Latin letters, at most 16 MB in others."""


class Sampled(NamedTuple):
    """Some rows of a batch, and the model's raw outputs for them; nothing else of the batch is held with them.

    ``rows`` are empty where no column is watched.
    """

    rows: Rows
    raw: Array


class Sample:
    """Every nth batch since it was taken last, for the smallest n that fits; systematic, so that nothing is drawn.

    One thread adds, and another may take.

    Args:
        columns: cells of a row; 0 where only answers are watched.
    """

    def __init__(self, columns: int) -> None:
        self._keeps_rows = columns > 0
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
        kept: Rows = _compact(rows[: self._rows]) if self._keeps_rows else []
        self._held.append(Sampled(kept, raw[: len(kept) if self._keeps_rows else self._rows].copy()))

    def take(self) -> list[Sampled]:
        """What was kept; it begins anew."""
        held, self._held = self._held, []
        self._every = 1
        return held


def _compact(rows: Rows) -> Rows:
    """The first of some rows, as many as have few characters; a first one that has more by itself is cut."""
    if isinstance(rows, np.ndarray):
        return rows.copy()
    kept: list[Any] = []
    left = MOST_CHARACTERS
    for row in rows:
        left -= _characters(row)
        if left < 0:
            return kept or [_cut(row)]
        kept.append(row)
    return kept


def _characters(row: Any) -> int:
    return sum(len(cell) for cell in _cells(row) if isinstance(cell, str))


def _cut(row: Any) -> Any:
    """A row with shorter texts, each with a mark at its end: what is left of one must not be a category."""
    most = MOST_CHARACTERS // sum(isinstance(cell, str) for cell in _cells(row))

    def cut(cell: Any) -> Any:
        return f"{cell[: most - 1]}…" if isinstance(cell, str) and len(cell) > most else cell

    return {name: cut(cell) for name, cell in row.items()} if isinstance(row, Mapping) else [cut(cell) for cell in row]


def _cells(row: Any) -> Iterator[Any]:
    return iter(row.values() if isinstance(row, Mapping) else row)
