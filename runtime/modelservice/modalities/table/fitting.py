"""Measuring columns on training rows: preprocessing, and the signature's inputs with their examples."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from modelservice.contract.manifest import ColumnKind, InputColumn
from modelservice.data.columns import Column, NumericColumn, TextColumn
from modelservice.data.preprocessing import CategoricalPreprocessing, NumericPreprocessing, Preprocessing

_EXAMPLE_DIGITS = 4
_NOISE = 1e-12


def fit(columns: Sequence[Column], rows: NDArray[np.int64]) -> Preprocessing:
    """Measure all columns on the rows given, which are those of training and no others."""
    return Preprocessing(
        columns=tuple(
            _numeric(column.take(rows)) if isinstance(column, NumericColumn) else _categorical(column.take(rows))
            for column in columns
        )
    )


def input_columns(columns: Sequence[Column], rows: NDArray[np.int64]) -> tuple[InputColumn, ...]:
    """The signature's inputs, with the median or the mode of the training rows as example."""
    return tuple(
        InputColumn(name=column.name, kind=ColumnKind.NUMERIC, example=_median(column.take(rows)))
        if isinstance(column, NumericColumn)
        else InputColumn(
            name=column.name,
            kind=ColumnKind.CATEGORICAL,
            categories=_categorical(column.take(rows)).categories,
            example=_mode(column.take(rows)),
        )
        for column in columns
    )


def _numeric(column: NumericColumn) -> NumericPreprocessing:
    present = column.values[~np.isnan(column.values)]
    if present.size == 0:
        return NumericPreprocessing(name=column.name, mean=0.0, std=1.0, fill=0.0)
    mean = float(present.mean())
    std = float(present.std())
    # A column that does not vary in the training rows says nothing, and dividing by rounding noise would make it shout.
    varies = std > _NOISE * abs(mean)
    return NumericPreprocessing(name=column.name, mean=mean, std=std if varies else 1.0, fill=mean)


def _categorical(column: TextColumn) -> CategoricalPreprocessing:
    seen = np.unique(column.codes[column.codes >= 0])
    return CategoricalPreprocessing(name=column.name, categories=tuple(sorted(column.texts[code] for code in seen)))


def _median(column: NumericColumn) -> float:
    present = column.values[~np.isnan(column.values)]
    return float(f"{np.median(present):.{_EXAMPLE_DIGITS}g}") if present.size else 0.0


def _mode(column: TextColumn) -> str:
    present = column.codes[column.codes >= 0]
    if present.size == 0:
        return ""
    codes, counts = np.unique(present, return_counts=True)
    return min(column.texts[int(code)] for code in codes[counts == counts.max()])
