"""How much rows count: ``spec.data.sampleWeight``."""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from modelservice.cells import is_number_text, quoted
from modelservice.contract.data import Data
from modelservice.contract.failure import DataError
from modelservice.modalities.base import Source
from modelservice.tasks.base import TargetCells

WEIGHT_FIELD = "spec.data.sampleWeight"
MAX_WEIGHT = 1e30
"""So that sums and squares of many weights stay numbers."""


class Counting(NamedTuple):
    """What is predicted, of the rows that count.

    Attributes:
        target: its cells; those of rows of weight 0 are missing.
        column: the cells of the weights; None where all rows count alike.
        weights: what they say, float64 [rows], NaN where a cell is no weight.
    """

    target: TargetCells
    column: TargetCells | None = None
    weights: NDArray[np.float64] | None = None

    @property
    def left_out(self) -> int:
        """How many rows have a weight of 0."""
        return 0 if self.weights is None else int((self.weights == 0).sum())


def read_counting(source: Source, name: str, data: Data) -> Counting:
    """Read a target as if rows of weight 0 were not there: what they hold decides nothing, and may be anything.

    Args:
        source: the data.
        name: of the target.
        data: ``spec.data``.

    Raises:
        DataError: there is no such column, it has another length, or every row has a weight of 0.
    """
    if data.sample_weight is None:
        return Counting(source.target(name, data.missing))
    column = source.aside(data.sample_weight, data.missing, field=WEIGHT_FIELD)
    weights = np.array([*map(_weight, column.as_numbers().texts), math.nan])[column.codes]
    unread = weights == 0
    if unread.all():
        raise _no_weight(column)
    target = source.target(name, data.missing, unread=unread)
    check_length(column, target, field=WEIGHT_FIELD)
    return Counting(target, column, weights)


def check_length(cells: TargetCells, target: TargetCells, *, field: str) -> None:
    """Refuse an array that has no value for each of the target's.

    Raises:
        DataError: it has more or fewer.
    """
    if len(cells.codes) != len(target.codes):
        lengths = f"has {len(cells.codes)} values, and {target.name} has {len(target.codes)}"
        message = f"{cells.noun} {cells.name} {lengths}: give one value for each image"
        raise DataError("LengthsDiffer", message, field=field)


def read_weights(counting: Counting, present: NDArray[np.bool_]) -> NDArray[np.float64] | None:
    """The weights of all rows, float64 [rows], 1 on the mean of those above 0; None where all count alike.

    Args:
        counting: what was read of them.
        present: which rows have a target; the cells of others are not looked at, and NaN stands for their weights.

    Raises:
        DataError: names the first row whose cell is no weight, or says that no row counts.
    """
    cells = counting.column
    if cells is None or counting.weights is None:
        return None
    values = np.where(present, counting.weights, math.nan)
    wrong = present & np.isnan(values)
    if wrong.any():
        row = int(wrong.argmax())
        code = int(cells.codes[row])
        found = "the cell is empty" if code < 0 else f"{quoted(cells.texts[code])} is no weight"
        message = f"{found}: write a number from 0 to {MAX_WEIGHT:g}, 0 to leave the row out"
        raise DataError("NotAWeight", f"{cells.place(row)}, {cells.noun} {cells.name}: {message}", field=WEIGHT_FIELD)
    heavy = values[values > 0]
    if not len(heavy):
        raise _no_weight(cells)
    return np.asarray(values / heavy.mean())


def _no_weight(cells: TargetCells) -> DataError:
    message = f"{cells.noun} {cells.name} is 0 in every row with a target, so none counts: give some rows a weight"
    return DataError("NoWeight", message, field=WEIGHT_FIELD)


def _weight(text: str) -> float:
    """The number of a text, NaN where it is no weight."""
    number = float(text) if is_number_text(text) else math.nan
    return number if 0 <= number <= MAX_WEIGHT else math.nan
