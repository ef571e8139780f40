"""Measuring columns on training rows."""

from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray

from modelservice.modalities.scaling import USUAL, NumberRules
from modelservice.modalities.table.kinds.base import Column, ColumnPreprocessing
from modelservice.modalities.table.kinds.numbers import Numbers, Standardised
from modelservice.modalities.table.kinds.unused import UnusedPreprocessing
from modelservice.modalities.table.preprocessing import TablePreprocessing


def measure(column: Column, *, unused: Collection[str], rules: NumberRules = USUAL) -> ColumnPreprocessing:
    """What encodes a column, by its rows; for ``unused`` and ``rules`` see ``fit``."""
    if column.name in unused:
        return UnusedPreprocessing(name=column.name, type=column.type, example=_plain(column.example()))
    measured = column.fit()
    if rules.changed is None or not (isinstance(column, Numbers) and isinstance(measured, Standardised)):
        return measured
    if not len(present := column.values[~np.isnan(column.values)]):
        return measured
    centre, spread = rules.centre_and_spread(present)
    return measured.model_copy(update={"mean": centre, "std": spread, "fill": rules.fill(present)})


def _plain(example: bool | float | str) -> float | str:
    """An example of a column that is listed as one of texts or numbers."""
    return str(example).lower() if isinstance(example, bool) else example


def fit(
    columns: Sequence[Column],
    rows: NDArray[np.int64],
    *,
    unused: Collection[str] = frozenset(),
    missing: Sequence[str] | None = None,
    rules: NumberRules = USUAL,
) -> TablePreprocessing:
    """Measure all columns on the rows given, which are those of training and no others.

    Args:
        columns: the columns.
        rows: the training rows.
        unused: names of the columns that clients give and that have no effect.
        missing: ``spec.data.missing``.
        rules: how columns of numbers are scaled, and what stands in for missing numbers.
    """
    measured = tuple(measure(column.take(rows), unused=unused, rules=rules) for column in columns)
    return TablePreprocessing(columns=measured, missing=None if missing is None else tuple(missing))
