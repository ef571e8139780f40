"""A row of a table in its columns: a column that is hidden has the value of a row of medians and modes."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modelservice.modalities.parts import Contributions, Masks

_CELL = 64
"""Bytes of a Python object and its place in a list."""


class TableParts:
    """One row; see ``Parts``."""

    noun = "columns"
    remedy = "fewer evaluations"
    additive = True

    def __init__(self, names: Sequence[str], cells: Sequence[Any], reference: Sequence[Any]) -> None:
        self.count = len(names)
        self.size = _CELL * self.count
        self._names = names
        self._cells, self._reference = _array(cells), _array(reference)

    def shown(self, masks: Masks) -> list[Any]:
        """Cells of the row, and else of the reference."""
        return list(np.where(masks, self._cells, self._reference).tolist())

    def told(self, contributions: Contributions) -> dict[str, Any]:
        """Contributions by column."""
        return {"contributions": dict(zip(self._names, contributions.tolist(), strict=True))}


def _array(cells: Sequence[Any]) -> NDArray[Any]:
    """As they are: left to itself numpy would make one type of all."""
    array = np.empty(len(cells), dtype=object)
    array[:] = cells
    return array
