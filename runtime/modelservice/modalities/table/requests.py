"""Rows of a table as protocols and callers give them, with a sentence for each way they can be wrong."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

import numpy as np

from modelservice.contract.signature import ColumnKind
from modelservice.modalities.base import STRICT, Rows, Tolerance
from modelservice.modalities.errors import InputError
from modelservice.modalities.frames import columns_of, unmasked
from modelservice.modalities.table.names import Names
from modelservice.modalities.tensors import BOOL, BYTES, Tensor, describe, listed, texts

MATRIX_NAME: Final = "features"
_NUMBERS: Final = "FP64"
"""What numbers are asked for in: training reads them so, and float32 does not hold a time in seconds."""
_MATRIX_RANK = 2
_OF_A_COLUMN: Final = ((), (1,))
"""Shapes of a row of a tensor that is one column."""
_ROW_TYPES = {list, dict}


class RequestReader:
    """Reads rows for a table with these columns, in this order; immutable.

    Args:
        kinds: what each column holds.
        either: columns that may be given as texts and as numbers.
        booleans: columns that are best given as bools.
    """

    def __init__(
        self,
        kinds: Mapping[str, ColumnKind],
        *,
        either: Collection[str] = frozenset(),
        booleans: Collection[str] = frozenset(),
    ) -> None:
        self._either, self._booleans = frozenset(either), frozenset(booleans)
        self._kinds = dict(kinds)
        self._names = tuple(kinds)
        self._spelled = Names(kinds)
        self._known = self._spelled.known
        self._numeric = all(kind is ColumnKind.NUMBER for kind in kinds.values())

    def from_instances(self, instances: list[Any], tolerance: Tolerance = STRICT) -> Rows:
        """Rows as arrays in the order of the columns, or as objects by column name."""
        if not _ROW_TYPES.issuperset(map(type, instances)):
            index, row = next((index, row) for index, row in enumerate(instances) if type(row) not in _ROW_TYPES)
            expected = f"an array or an object of {listed(self._names)}"
            raise InputError(f"{describe(row)} is not a row; expected {expected}", row=index)
        if tolerance.strict:
            return instances
        tolerated: Counter[str | None] = Counter()
        rows: list[Any] = []
        for index, row in enumerate(instances):
            if not isinstance(row, dict):
                rows.append(row)
                continue
            given = self._spelled.keyed(row, row=index)
            if given and tolerance.unknown and self._known.isdisjoint(given):
                raise InputError(f"has none of the model's columns; expected {listed(self._names)}", row=index)
            rows.append(self._tolerated(given, tolerance, None, tolerated))
        tolerance.record(tolerated)
        return rows

    def from_inputs(self, inputs: Any, tolerance: Tolerance = STRICT) -> Rows:
        """Rows as an object of columns."""
        if not isinstance(inputs, dict):
            raise InputError(f"must be an object of columns, not {describe(inputs)}")
        for name, values in inputs.items():
            if not isinstance(values, list):
                raise InputError(f"must be an array of values, not {describe(values)}", column=name)
        return self._rows_of(self._spelled.keyed(inputs), tolerance)

    def from_tensors(self, tensors: Sequence[Tensor], tolerance: Tolerance = STRICT) -> Rows:
        """One tensor for each column, or, if all columns are numeric, one matrix [rows, columns]."""
        if self._numeric and len(tensors) == 1 and not self._is_column(tensors[0]):
            return self._matrix(tensors[0])
        columns: dict[str, list[Any]] = {}
        unknown = 0
        for index, tensor in enumerate(tensors):
            name = self._spelled.known_as(tensor.name)
            if tolerance.unknown and name not in self._known:
                unknown += 1
                continue
            if name in columns:
                raise InputError("is given twice", tensor=index)
            self._check_column(index, name, tensor)
            columns[name] = _values(index, tensor)
        return self._rows_of(columns, tolerance, unknown=unknown)

    def tensors(self) -> list[dict[str, Any]]:
        """The matrix, where there can be one, or else a tensor for each column."""
        if self._numeric:
            columns = {"columns": list(self._names)}
            shape = [-1, len(self._names)]
            return [{"name": MATRIX_NAME, "datatype": _NUMBERS, "shape": shape, "parameters": columns}]
        return [
            {"name": name, "datatype": self._datatype(name, kind), "shape": [-1]} for name, kind in self._kinds.items()
        ]

    def _datatype(self, name: str, kind: ColumnKind) -> str:
        if name in self._booleans:
            return BOOL
        return _NUMBERS if kind is ColumnKind.NUMBER else BYTES

    def from_frame(self, frame: Any) -> Rows:
        """Rows of a frame, which may have further columns (the target for one), or of a list of rows, or a matrix."""
        given = columns_of(frame)
        if given is None:
            if isinstance(frame, np.ndarray):
                return unmasked(frame)
            if isinstance(frame, list):
                return frame
            if isinstance(frame, tuple):
                return list(frame)
            raise InputError(f"a {type(frame).__name__} is neither a table nor a list of rows")
        columns = self._spelled.keyed(given)
        for name in self._names:
            if name not in columns:
                raise InputError("is missing; null stands for an unknown value", column=name)
        picked = [columns[name] for name in self._names]
        for name, values in zip(self._names, picked, strict=True):
            if len(values) != len(picked[0]):
                raise InputError(f"has {len(values)} values, but {self._names[0]} has {len(picked[0])}", column=name)
        if self._numeric and all(isinstance(values, np.ndarray) and values.ndim == 1 for values in picked):
            return np.column_stack(picked)
        lists = (values.tolist() if isinstance(values, np.ndarray) else values for values in picked)
        return list(zip(*lists, strict=True))

    def _is_column(self, tensor: Tensor) -> bool:
        return self._spelled.known_as(tensor.name) in self._known and tensor.shape[1:] in _OF_A_COLUMN

    def _matrix(self, tensor: Tensor) -> Rows:
        width = len(self._names)
        if tensor.datatype == BYTES:
            message = f"BYTES; all columns are numeric: expected a number type such as {_NUMBERS}"
            raise InputError(message, tensor=0, part="datatype")
        if len(tensor.shape) != _MATRIX_RANK or tensor.shape[1] != width:
            expected = f"[rows, {width}] for {listed(self._names)}"
            raise InputError(f"{list(tensor.shape)}; expected {expected}", tensor=0, part="shape")
        values = tensor.values
        if isinstance(values, list):
            return [values[start : start + width] for start in range(0, len(values), width)]
        return values.reshape(tensor.shape)

    def _check_column(self, index: int, name: str, tensor: Tensor) -> None:
        kind = self._kinds.get(name)
        if kind is None:
            matrix = f", or one matrix [rows, {len(self._names)}]" if self._numeric else ""
            expected = f"one tensor for each of {listed(self._names)}{matrix}"
            raise InputError(f"is no column of this model; expected {expected}", tensor=index)
        if (
            tensor.datatype != BOOL
            and name not in self._either
            and (tensor.datatype == BYTES) != (kind is ColumnKind.CATEGORY)
        ):
            expected = f"a number type such as {_NUMBERS}" if kind is ColumnKind.NUMBER else BYTES
            message = f"{tensor.datatype}; the column is a {kind}: expected {expected}"
            raise InputError(message, tensor=index, part="datatype")
        if tensor.shape[1:] not in _OF_A_COLUMN:
            raise InputError(f"{list(tensor.shape)}; expected [rows] or [rows, 1]", tensor=index, part="shape")

    def _tolerated(
        self, given: Mapping[str, Any], tolerance: Tolerance, gap: Any, tolerated: Counter[str | None]
    ) -> Mapping[str, Any]:
        """An object of columns without those that may be unknown, and with ``gap`` for those that may be missing."""
        if tolerance.unknown and not self._known.issuperset(given):
            tolerated[None] += sum(name not in self._known for name in given)
            given = {name: value for name, value in given.items() if name in self._known}
        if tolerance.missing and len(given) < len(self._names):
            missing = [name for name in self._names if name not in given]
            tolerated.update(missing)
            return {**dict.fromkeys(missing, gap), **given}
        return given

    def _rows_of(self, columns: Mapping[str, Sequence[Any]], tolerance: Tolerance, *, unknown: int = 0) -> Rows:
        """Rows from values by column name; what is wrong is no single column's matter, so the message names it.

        ``unknown`` columns were left out already.
        """
        if not tolerance.strict:
            known = next((values for name, values in columns.items() if name in self._known), None)
            if known is None:
                raise InputError(f"none of the model's columns is given; expected {listed(self._names)}")
            tolerated: Counter[str | None] = Counter({None: unknown})
            columns = self._tolerated(columns, tolerance, [None] * len(known), tolerated)
            tolerance.record({name: count * len(known) for name, count in tolerated.items()})
        for name in columns:
            if name not in self._known:
                raise InputError(f"{name[:64]} is not a column of this model, which has {listed(self._names)}")
        for name in self._names:
            if name not in columns:
                raise InputError(f"{name} is missing; expected {listed(self._names)}")
        first = len(columns[self._names[0]])
        for name in self._names:
            if len(columns[name]) != first:
                raise InputError(f"{name} has {len(columns[name])} values, but {self._names[0]} has {first}")
        return list(zip(*(columns[name] for name in self._names), strict=True))


def _values(index: int, tensor: Tensor) -> list[Any]:
    if tensor.datatype == BYTES:
        return texts(tensor.values, tensor=index)
    return tensor.values if isinstance(tensor.values, list) else tensor.values.tolist()
