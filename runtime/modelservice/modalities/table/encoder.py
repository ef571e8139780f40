"""The serving side of tables."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from modelservice.contract.signature import ColumnContent, InputColumn
from modelservice.modalities.base import STRICT, Features, Measure, Opener, Rows, Tolerance
from modelservice.modalities.parts import WHOLE_PARTS, PartOptions
from modelservice.modalities.table.encoding import RowEncoder, blanked
from modelservice.modalities.table.parts import TableParts
from modelservice.modalities.table.preprocessing import TablePreprocessing
from modelservice.modalities.table.requests import RequestReader
from modelservice.modalities.tensors import Tensor

NAME: Final = "Table"


class TableEncoder:
    """Reads requests for a table and encodes their rows; immutable and safe to share between threads."""

    def __init__(self, preprocessing: TablePreprocessing) -> None:
        self.inputs: tuple[InputColumn, ...] = tuple(column.input for column in preprocessing.columns)
        self.shape = (preprocessing.width,)
        self.rows = RowEncoder(preprocessing)
        self._columns = preprocessing.columns
        self._missing = preprocessing.rule
        self._requests = RequestReader(
            {column.name: column.type for column in self.inputs},
            either=[column.name for column in preprocessing.columns if column.takes_both],
            booleans=[column.name for column in self.inputs if column.content is ColumnContent.BOOLEAN],
        )

    def encode(self, rows: Rows) -> Features:
        """Rows as arrays in the order of the columns or as objects by name, or a matrix, to float32 [rows, width]."""
        return self.rows.encode_rows(blanked(rows, self._missing))

    def encode_counted(self, rows: Rows) -> tuple[Features, dict[str, int]]:
        """The same, and how many values of each column are unlike those of training."""
        return self.rows.encode_counted(blanked(rows, self._missing))

    def example(self) -> dict[str, bool | float | str]:
        """A row of medians and modes."""
        return {column.name: column.example for column in self.inputs}

    def from_instances(self, instances: list[Any], tolerance: Tolerance = STRICT) -> Rows:
        """Rows as arrays in the order of the columns, or as objects by column name."""
        return self._requests.from_instances(instances, tolerance)

    def from_inputs(self, inputs: Any, tolerance: Tolerance = STRICT) -> Rows:
        """Rows as an object of columns."""
        return self._requests.from_inputs(inputs, tolerance)

    def from_tensors(self, tensors: Sequence[Tensor], tolerance: Tolerance = STRICT) -> Rows:
        """One tensor for each column, or, if all columns are numeric, one matrix [rows, columns]."""
        return self._requests.from_tensors(tensors, tolerance)

    @property
    def measures(self) -> dict[str, Measure]:
        """What the cells of each column say, by the column's name."""
        return self.rows.measures

    def cells(self, rows: Rows) -> list[list[Any]]:
        """Rows as lists in the order of the columns."""
        return self.rows.listed(blanked(rows, self._missing))

    def parts(self, rows: Rows, options: PartOptions = WHOLE_PARTS) -> list[TableParts]:  # noqa: ARG002
        """Rows in their columns; there is one way to divide them."""
        names = [column.name for column in self.inputs]
        return [TableParts(names, cells, self._reference) for cells in self.cells(rows)]

    @cached_property
    def columns(self) -> NDArray[np.int64]:
        """See ``Conditions``."""
        return np.repeat(np.arange(len(self._columns)), [column.width for column in self._columns])

    def told(self, place: int, threshold: float, *, value: float, cells: Sequence[Any]) -> dict[str, Any]:
        """See ``Conditions``."""
        at = int(self.columns[place])
        column, cell = self._columns[at], cells[at]
        (said,) = self.measures[column.name]([cell])
        own = place - int(np.searchsorted(self.columns, at))
        told = {"column": column.name, "condition": column.condition(own, threshold, value=value, said=said)}
        missing = said is None or said != said  # noqa: PLR0124 - NaN
        return {**told, "cell": None if missing else getattr(cell, "item", lambda: cell)()}

    @cached_property
    def _reference(self) -> list[Any]:
        """What stands for a hidden column, in the order of the columns."""
        (row,) = self.cells([self.example()])
        return row

    def tensors(self) -> list[dict[str, Any]]:
        """The matrix, where there can be one, or else a tensor for each column."""
        return self._requests.tensors()

    def from_frame(self, frame: Any) -> Rows:
        """Rows of a frame, which may have further columns, or of a list of rows, or a matrix."""
        return self._requests.from_frame(frame)


TABLE: Final = Opener(name=NAME, document=TablePreprocessing, build=TableEncoder)
