"""Measuring columns on training rows."""

from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray

from modelservice.modalities.table.kinds.base import Column, ColumnPreprocessing
from modelservice.modalities.table.kinds.unused import UnusedPreprocessing
from modelservice.modalities.table.preprocessing import TablePreprocessing


def measure(column: Column, *, unused: Collection[str]) -> ColumnPreprocessing:
    """What encodes a column, by its rows; for ``unused`` see ``fit``."""
    if column.name in unused:
        return UnusedPreprocessing(name=column.name, type=column.type, example=_plain(column.example()))
    return column.fit()


def _plain(example: bool | float | str) -> float | str:
    """An example of a column that is listed as one of texts or numbers."""
    return str(example).lower() if isinstance(example, bool) else example


def fit(
    columns: Sequence[Column],
    rows: NDArray[np.int64],
    *,
    unused: Collection[str] = frozenset(),
    missing: Sequence[str] | None = None,
) -> TablePreprocessing:
    """Measure all columns on the rows given, which are those of training and no others.

    Args:
        columns: the columns.
        rows: the training rows.
        unused: names of the columns that clients give and that have no effect.
        missing: ``spec.data.missing``.
    """
    measured = tuple(measure(column.take(rows), unused=unused) for column in columns)
    return TablePreprocessing(columns=measured, missing=None if missing is None else tuple(missing))
