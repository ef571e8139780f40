"""How much rows count: ``spec.data.sampleWeight``."""

import math

import numpy as np
from numpy.typing import NDArray

from modelservice.cells import is_number_text, quoted
from modelservice.contract.failure import DataError
from modelservice.tasks.base import TargetCells

WEIGHT_FIELD = "spec.data.sampleWeight"
MAX_WEIGHT = 1e30
"""So that sums and squares of many weights stay numbers."""


def read_weights(cells: TargetCells, present: NDArray[np.bool_]) -> NDArray[np.float64]:
    """The weights of all rows, float64 [rows], 1 on the mean of those above 0; NaN where a row has no target.

    Args:
        cells: the column.
        present: which rows have a target; the cells of others are not looked at.

    Raises:
        DataError: names the first row whose cell is no weight, or says that no row counts.
    """
    numbers = cells.as_numbers()
    values = np.array([*map(_weight, numbers.texts), math.nan])[cells.codes]
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
        message = f"{cells.noun} {cells.name} is 0 in every row with a target, so none counts: give some rows a weight"
        raise DataError("NoWeight", message, field=WEIGHT_FIELD)
    return np.asarray(values / counting.mean())


def _weight(text: str) -> float:
    """The number of a text, NaN where it is no weight."""
    number = float(text) if is_number_text(text) else math.nan
    return number if 0 <= number <= MAX_WEIGHT else math.nan
