"""Measuring columns on training rows."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from modelservice.modalities.table.columns import Column, NumericColumn, TextColumn
from modelservice.modalities.table.preprocessing import (
    CategoricalPreprocessing,
    NumericPreprocessing,
    TablePreprocessing,
)

_EXAMPLE_DIGITS = 4
_NOISE = 1e-12


def fit(columns: Sequence[Column], rows: NDArray[np.int64]) -> TablePreprocessing:
    """Measure all columns on the rows given, which are those of training and no others."""
    return TablePreprocessing(
        columns=tuple(
            _numeric(column.take(rows)) if isinstance(column, NumericColumn) else _categorical(column.take(rows))
            for column in columns
        )
    )


def _numeric(column: NumericColumn) -> NumericPreprocessing:
    present = column.values[~np.isnan(column.values)]
    if present.size == 0:
        return NumericPreprocessing(name=column.name, mean=0.0, std=1.0, fill=0.0, example=0.0)
    mean = float(present.mean())
    std = float(present.std())
    # A column that does not vary in the training rows says nothing, and dividing by rounding noise would make it shout.
    varies = std > _NOISE * abs(mean)
    return NumericPreprocessing(
        name=column.name, mean=mean, std=std if varies else 1.0, fill=mean, example=_median(present)
    )


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
