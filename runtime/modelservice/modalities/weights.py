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
        left_out: how many rows have a weight of 0.
    """

    target: TargetCells
    column: TargetCells | None = None
    left_out: int = 0


def read_counting(source: Source, name: str, data: Data) -> Counting:
    """Read a target as if rows of weight 0 were not there: what they hold decides nothing, and may be anything.

    Args:
        source: the data.
        name: of the target.
        data: ``spec.data``.

    Raises:
        DataError: there is no such column, or every row has a weight of 0.
    """
    if data.sample_weight is None:
        return Counting(source.target(name, data.missing))
    column = source.aside(data.sample_weight, data.missing, field=WEIGHT_FIELD)
    unread = _numbers(column) == 0
    if unread.all():
        raise _no_weight(column)
    return Counting(source.target(name, data.missing, unread=unread), column, int(unread.sum()))


def read_weights(cells: TargetCells, present: NDArray[np.bool_]) -> NDArray[np.float64]:
    """The weights of all rows, float64 [rows], 1 on the mean of those above 0; NaN where a row has no target.

    Args:
        cells: the column.
        present: which rows have a target; the cells of others are not looked at.

    Raises:
        DataError: names the first row whose cell is no weight, or says that no row counts.
    """
    values = _numbers(cells)
    values[~present] = math.nan
    wrong = present & np.isnan(values)
    if wrong.any():
        row = int(wrong.argmax())
        code = int(cells.codes[row])
        found = "the cell is empty" if code < 0 else f"{quoted(cells.texts[code])} is no weight"
        message = f"{found}: write a number from 0 to {MAX_WEIGHT:g}, 0 to leave the row out"
        raise DataError("NotAWeight", f"{cells.place(row)}, {cells.noun} {cells.name}: {message}", field=WEIGHT_FIELD)
    counting = values[values > 0]
    if not len(counting):
        raise _no_weight(cells)
    return np.asarray(values / counting.mean())


def _no_weight(cells: TargetCells) -> DataError:
    message = f"{cells.noun} {cells.name} is 0 in every row with a target, so none counts: give some rows a weight"
    return DataError("NoWeight", message, field=WEIGHT_FIELD)


def _numbers(cells: TargetCells) -> NDArray[np.float64]:
    """float64 [rows], NaN where a cell is no weight."""
    return np.array([*map(_weight, cells.as_numbers().texts), math.nan])[cells.codes]


def _weight(text: str) -> float:
    """The number of a text, NaN where it is no weight."""
    number = float(text) if is_number_text(text) else math.nan
    return number if 0 <= number <= MAX_WEIGHT else math.nan
