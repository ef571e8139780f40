"""Measuring columns on training rows."""

from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray

from modelservice.contract.signature import ColumnKind
from modelservice.modalities.table.columns import Column, NumericColumn, TextColumn
from modelservice.modalities.table.preprocessing import (
    CategoricalPreprocessing,
    ColumnPreprocessing,
    NumericPreprocessing,
    TablePreprocessing,
    UnusedPreprocessing,
    WrittenPreprocessing,
)

_EXAMPLE_DIGITS = 4
_NOISE = 1e-12


def fit(
    columns: Sequence[Column], rows: NDArray[np.int64], *, unused: Collection[str] = frozenset()
) -> TablePreprocessing:
    """Measure all columns on the rows given, which are those of training and no others.

    Args:
        columns: the columns.
        rows: the training rows.
        unused: names of the columns that clients give and that have no effect.
    """
    return TablePreprocessing(columns=tuple(_measure(column.take(rows), column.name in unused) for column in columns))


def _measure(column: Column, unused: bool) -> ColumnPreprocessing:
    if unused:
        return _unused(column)
    return _numeric(column) if isinstance(column, NumericColumn) else _categorical(column)


def _unused(column: Column) -> UnusedPreprocessing:
    """An empty column counts as one of numbers: where those are all that a model takes, a matrix still is one."""
    if isinstance(column, TextColumn) and column.texts:
        return UnusedPreprocessing(name=column.name, type=ColumnKind.CATEGORY, example=_mode(column))
    present = column.values[~np.isnan(column.values)] if isinstance(column, NumericColumn) else np.empty(0)
    example = _median(present) if present.size else 0.0
    return UnusedPreprocessing(name=column.name, type=ColumnKind.NUMBER, example=example)


def _numeric(column: NumericColumn) -> NumericPreprocessing | WrittenPreprocessing:
    present = column.values[~np.isnan(column.values)]
    if present.size == 0:
        return _standardised(column, mean=0.0, std=1.0, example=0.0)
    mean = float(present.mean())
    std = float(present.std())
    # A column that does not vary in the training rows says nothing, and dividing by rounding noise would make it shout.
    varies = std > _NOISE * abs(mean)
    return _standardised(column, mean=mean, std=std if varies else 1.0, example=_median(present))


def _standardised(
    column: NumericColumn, *, mean: float, std: float, example: float
) -> NumericPreprocessing | WrittenPreprocessing:
    measured = {"name": column.name, "mean": mean, "std": std, "fill": mean, "example": example}
    if column.notation is None:
        return NumericPreprocessing.model_validate(measured)
    return WrittenPreprocessing.model_validate({**measured, "notation": column.notation})


def _categorical(column: TextColumn) -> CategoricalPreprocessing:
    seen = np.unique(column.codes[column.codes >= 0])
    return CategoricalPreprocessing(
        name=column.name, categories=tuple(sorted(column.texts[code] for code in seen)), example=_mode(column)
    )


def _median(present: NDArray[np.float64]) -> float:
    return float(f"{np.median(present):.{_EXAMPLE_DIGITS}g}")


def _mode(column: TextColumn) -> str:
    present = column.codes[column.codes >= 0]
    if present.size == 0:
        return ""
    codes, counts = np.unique(present, return_counts=True)
    return min(column.texts[int(code)] for code in codes[counts == counts.max()])
