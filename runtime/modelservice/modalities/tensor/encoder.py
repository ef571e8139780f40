"""The serving side of tensors: their values, checked and put one after the other."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from modelservice.contract.signature import Input
from modelservice.modalities.base import STRICT, Features, Measure, Opener, Rows, Tolerance
from modelservice.modalities.errors import InputError
from modelservice.modalities.parts import WHOLE_PARTS, PartOptions, Parts
from modelservice.modalities.tensor.preprocessing import MAX_VALUES, TensorInput, TensorPreprocessing
from modelservice.modalities.tensors import BOOL, BYTES, NUMERIC, Tensor, Values, describe, listed

NAME: Final = "Tensor"
_WHOLE: Final = "iub"
"""Kinds of numpy's datatypes that hold whole numbers."""


class TensorEncoder:
    """Reads rows of tensors for a model; immutable and safe to share between threads. Rows are float64 [rows, width].

    Numbers reach the model as float32, which rounds those of a tensor of fractions; of a tensor of whole numbers what
    it cannot hold, and of any tensor what its own datatype cannot, are refused.
    """

    def __init__(self, preprocessing: TensorPreprocessing) -> None:
        self.inputs: tuple[Input, ...] = tuple(one.input for one in preprocessing.tensors)
        self.shape = (preprocessing.width,)
        self._tensors = preprocessing.tensors
        self._names = tuple(one.name for one in preprocessing.tensors)
        self._alone = len(self._tensors) == 1

    def encode(self, rows: Rows) -> Features:
        """Rows as ``from_*`` give them to float32 [rows, width].

        Raises:
            InputError: names the first row and tensor with a value that the model does not take.
        """
        given = rows if isinstance(rows, np.ndarray) else self._stacked(rows)
        at = 0
        for one in self._tensors:
            self._check(one, given[:, at : at + one.size])
            at += one.size
        return np.asarray(given, dtype=np.float32)

    def encode_counted(self, rows: Rows) -> tuple[Features, dict[str, int]]:
        """The same; nothing counts as unseen, since nobody knows what was seen."""
        return self.encode(rows), {}

    def example(self) -> Any:
        """The example of the model's author, or zeros."""
        values = {one.name: _nested(one) for one in self._tensors}
        return values[self._names[0]] if self._alone else values

    def from_instances(self, instances: list[Any], tolerance: Tolerance = STRICT) -> Rows:  # noqa: ARG002
        """Each row as an object of nested arrays by name, or as the array of the only tensor."""
        return self._stacked(instances)

    def from_inputs(self, inputs: Any, tolerance: Tolerance = STRICT) -> Rows:  # noqa: ARG002
        """An object of tensors by name, each with all rows, or the only tensor."""
        if not isinstance(inputs, Mapping):
            if not self._alone:
                raise InputError(f"must be an object of {listed(self._names)}, not {describe(inputs)}")
            inputs = {self._names[0]: inputs}
        self._check_names(inputs, row=None)
        for name, values in inputs.items():
            if not isinstance(values, list | np.ndarray):
                raise InputError(f"must be an array of rows, not {describe(values)}", column=name)
        counts = {name: len(inputs[name]) for name in self._names}
        rows = counts[self._names[0]]
        for name, count in counts.items():
            if count != rows:
                raise InputError(f"has {count} rows, but {self._names[0]} has {rows}", column=name)
        return self._joined(
            [
                np.stack([self._values(one, value, row) for row, value in enumerate(inputs[one.name])])
                if rows
                else np.zeros((0, one.size))
                for one in self._tensors
            ]
        )

    def from_tensors(self, tensors: Sequence[Tensor], tolerance: Tolerance = STRICT) -> Rows:  # noqa: ARG002
        """Each tensor [rows, *shape] by its name."""
        given = {tensor.name: (place, tensor) for place, tensor in enumerate(tensors)}
        known = listed(self._names)
        for place, tensor in enumerate(tensors):
            if tensor.name not in self._names or given[tensor.name][0] != place:
                raise InputError(f"is none of this model's, or comes twice; expected {known}", tensor=place)
        if missing := [name for name in self._names if name not in given]:
            raise InputError(f"{missing[0]} is missing; expected {known}")
        parts, rows = [], given[self._names[0]][1].shape[:1]
        for one in self._tensors:
            place, tensor = given[one.name]
            if tensor.datatype == BYTES:
                raise InputError(f"{BYTES}; the model takes {one.datatype}", tensor=place, part="datatype")
            if tensor.shape[1:] not in _shapes(one) or not rows or tensor.shape[:1] != rows:
                expected = f"[{', '.join(map(str, (rows[0] if rows else 1, *one.shape)))}]"
                raise InputError(f"{list(tensor.shape)}; expected {expected}", tensor=place, part="shape")
            parts.append(_floats(tensor.values).reshape(*rows, one.size))
        return self._joined(parts)

    @property
    def measures(self) -> dict[str, Measure]:
        """None: there are no columns."""
        return {}

    def cells(self, rows: Rows) -> list[list[Any]]:  # noqa: ARG002 - the seam's signature
        """Refused: a tensor has no columns."""
        raise InputError("a tensor has no columns")

    def parts(self, rows: Rows, options: PartOptions = WHOLE_PARTS) -> list[Parts]:  # noqa: ARG002
        """Refused: what belongs together in a tensor is not known."""
        raise InputError("a tensor has no parts that could be hidden")

    def tensors(self) -> list[dict[str, Any]]:
        """The tensors of numbers."""
        return [{"name": one.name, "datatype": one.datatype, "shape": [-1, *one.shape]} for one in self._tensors]

    def from_frame(self, frame: Any) -> Rows:
        """An object of arrays by name, or an array or a list of rows of the only tensor."""
        if any(map(np.ma.is_masked, frame.values() if isinstance(frame, Mapping) else (frame,))):
            raise InputError("values are hidden behind a mask, and a tensor has all of them: fill them")
        if isinstance(frame, Mapping):
            return self.from_inputs({name: np.asarray(values) for name, values in frame.items()})
        if not isinstance(frame, list | tuple | np.ndarray):
            raise InputError(f"a {type(frame).__name__} is neither an object of tensors nor an array of rows")
        return self._stacked(list(frame))

    def _stacked(self, rows: Sequence[Any]) -> NDArray[np.float64]:
        return self._joined(
            [
                np.stack([self._values(one, self._of_row(one, value, row), row) for row, value in enumerate(rows)])
                if len(rows)
                else np.zeros((0, one.size))
                for one in self._tensors
            ]
        )

    def _of_row(self, one: TensorInput, value: Any, row: int) -> Any:
        if isinstance(value, Mapping):
            self._check_names(value, row=row)
            return value[one.name]
        if not self._alone:
            raise InputError(f"{describe(value)} is not an object of {listed(self._names)}", row=row)
        return value

    def _check_names(self, given: Mapping[str, Any], *, row: int | None) -> None:
        for name in given:
            if name not in self._names:
                raise InputError(
                    f"is no input of this model, which has {listed(self._names)}", row=row, column=str(name)[:128]
                )
        for name in self._names:
            if name not in given:
                raise InputError("is missing", row=row, column=name)

    def _joined(self, parts: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
        return parts[0] if self._alone else np.concatenate(parts, axis=1)

    def _values(self, one: TensorInput, value: Any, row: int) -> NDArray[np.float64]:
        try:
            array = np.asarray(value)
        except ValueError:
            raise InputError(
                f"its arrays differ in length; expected shape {list(one.shape)}", row=row, column=one.name
            ) from None
        if array.dtype.kind not in "iufb":
            raise InputError("holds a value that is not a number", row=row, column=one.name)
        if array.shape not in _shapes(one):
            raise InputError(f"has shape {list(array.shape)}; expected {list(one.shape)}", row=row, column=one.name)
        return array.astype(np.float64).reshape(-1)

    def _check(self, one: TensorInput, values: NDArray[np.float64]) -> None:
        with np.errstate(over="ignore"):
            wrong = ~np.isfinite(values.astype(np.float32))
        expected = "a finite number of float32"
        if (bounds := _bounds(one.datatype)) is not None:
            wrong |= (values != np.rint(values)) | (values < bounds[0]) | (values > bounds[1])
            expected = f"a whole number from {bounds[0]} to {bounds[1]}"
        elif one.datatype == "FP16":
            limit = float(np.finfo(np.float16).max)
            wrong |= np.abs(values) > limit
            expected = f"a number from {-limit:g} to {limit:g}"
        if wrong.any():
            row = int(wrong.any(axis=1).argmax())
            found = float(values[row][wrong[row].argmax()])
            raise InputError(f"{found:.9g} is not {expected}, as {one.datatype} wants", row=row, column=one.name)


def _bounds(datatype: str) -> tuple[int, int] | None:
    """Whole numbers that a datatype has and that float32 carries exactly; None of datatypes of fractions."""
    if datatype == BOOL:
        return 0, 1
    dtype = NUMERIC[datatype]
    if dtype.kind not in _WHOLE:
        return None
    known = np.iinfo(dtype)
    return max(int(known.min), -MAX_VALUES), min(int(known.max), MAX_VALUES)


def _shapes(one: TensorInput) -> tuple[tuple[int, ...], ...]:
    """Shapes of one row in a request: that of the tensor; a single value may stand alone."""
    return (one.shape, ()) if one.shape == (1,) else (one.shape,)


def _floats(values: Values) -> NDArray[np.float64]:
    """Flat values of a tensor of numbers; what is missing is none of them, and refused as such later."""
    if isinstance(values, np.ndarray):
        return values.astype(np.float64)
    return np.array([np.nan if value is None else _float(value) for value in values], dtype=np.float64)


def _float(value: Any) -> float:
    try:
        return float(value)
    except OverflowError:  # a whole number beyond any float; refused as what is not finite is
        return np.inf


def _nested(one: TensorInput) -> Any:
    whole = _bounds(one.datatype) is not None
    values = np.zeros(one.shape) if one.example is None else np.reshape(one.example, one.shape)
    if one.datatype == BOOL:
        return (values != 0).tolist()
    return (values.astype(np.int64) if whole else values).tolist()


TENSOR: Final = Opener(name=NAME, document=TensorPreprocessing, build=TensorEncoder)
