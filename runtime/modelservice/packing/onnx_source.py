"""An ONNX file as its author wrote it: read, checked, and asked what goes in and what comes out."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, checker

from modelservice.artifact.errors import ArtifactError
from modelservice.artifact.files import MAX_MODEL_BYTES, read_file
from modelservice.inference.onnx_engine import open_session
from modelservice.inference.onnx_file import check_onnx
from modelservice.modalities.tensor.preprocessing import MAX_TENSORS, MAX_VALUES
from modelservice.packing.errors import PackError, short
from modelservice.packing.self_contained import OLDEST_OPSET, self_contained
from modelservice.packing.settings import PackSettings

DATATYPES: Final[Mapping[int, tuple[str, type[Any]]]] = {
    TensorProto.FLOAT: ("FP32", np.float32),
    TensorProto.DOUBLE: ("FP64", np.float64),
    TensorProto.FLOAT16: ("FP16", np.float16),
    TensorProto.INT8: ("INT8", np.int8),
    TensorProto.INT16: ("INT16", np.int16),
    TensorProto.INT32: ("INT32", np.int32),
    TensorProto.INT64: ("INT64", np.int64),
    TensorProto.UINT8: ("UINT8", np.uint8),
    TensorProto.UINT16: ("UINT16", np.uint16),
    TensorProto.UINT32: ("UINT32", np.uint32),
    TensorProto.UINT64: ("UINT64", np.uint64),
    TensorProto.BOOL: ("BOOL", np.bool_),
}
"""Of inputs: the datatype of the Open Inference Protocol, and numpy's."""
_FLOATS: Final = {"tensor(float)", "tensor(double)", "tensor(float16)"}
_ROWS: Final = 3
_SHOWN: Final = 300


@dataclass(frozen=True, kw_only=True, eq=False)
class SourceInput:
    """An input of the file; ``rank`` is its own, rows included, and ``shape`` that of one row, at least of one side."""

    name: str
    kind: int
    rank: int
    shape: tuple[int, ...]
    example: NDArray[Any]

    @property
    def datatype(self) -> str:
        """Of the Open Inference Protocol."""
        return DATATYPES[self.kind][0]

    @property
    def is_float(self) -> bool:
        """Whether it takes fractions."""
        return self.datatype.startswith("FP")

    @property
    def size(self) -> int:
        """Values of one row."""
        return prod(self.shape)

    def batch(self, rows: int) -> NDArray[Any]:
        """The example so many times, as the file takes it."""
        shape = (rows,) if self.rank == 1 else (rows, *self.shape)
        with np.errstate(over="ignore"):  # refused later, by who knows which values the datatype has
            return np.broadcast_to(self.example, (rows, *self.shape)).reshape(shape).astype(DATATYPES[self.kind][1])


@dataclass(frozen=True, kw_only=True, eq=False)
class SourceOutput:
    """An output of floats, and what it gave for the example; ``shape`` is that of one row, [] a single value."""

    name: str
    shape: tuple[int, ...]
    values: NDArray[np.float64]

    @property
    def size(self) -> int:
        """Values of one row."""
        return prod(self.shape)


@dataclass(frozen=True, kw_only=True, eq=False)
class OnnxSource:
    """A file whose model ran on its example; ``others`` are outputs that cannot be served, with their type."""

    model: Any
    inputs: tuple[SourceInput, ...]
    outputs: tuple[SourceOutput, ...]
    others: Mapping[str, str]

    @property
    def opset(self) -> int:
        """The version of ai.onnx that it needs."""
        return next((int(one.version) for one in self.model.opset_import if not one.domain), OLDEST_OPSET)

    @property
    def parameters(self) -> int:
        """Numbers that are stored in it."""
        return sum(prod(tensor.dims) for tensor in self.model.graph.initializer if tensor.data_type in DATATYPES)


def read_onnx(path: Path, settings: PackSettings) -> OnnxSource:
    """Read a file, and run its model on the example.

    Raises:
        PackError: it is no ONNX file, wants more than itself, or does not answer rows one by one.
    """
    try:
        content = read_file(path.resolve(), limit=MAX_MODEL_BYTES)
        model = onnx.load_from_string(content)
    except ArtifactError as error:
        raise PackError(str(error)) from None
    except Exception as error:  # protobuf's own classes derive from nothing narrower
        raise PackError(f"{path} is not an ONNX file: {short(error)}") from None
    if not model.graph.node or not model.opset_import:
        raise PackError(f"{path} is not an ONNX file: it has no nodes")
    model = self_contained(path, model)
    content = model.SerializeToString(deterministic=True)
    try:
        check_onnx(content)
        checker.check_model(model)
        session = open_session(content)
    except (ArtifactError, checker.ValidationError) as error:
        raise PackError(f"{path} cannot be served: {short(error)}") from None
    stored = {tensor.name for tensor in model.graph.initializer}
    asked = [given for given in model.graph.input if given.name not in stored]
    _check_names(asked, settings)
    inputs = _with_columns(tuple(_input(given, settings) for given in asked), settings)
    one, many = (_run(path, session, inputs, rows) for rows in (1, _ROWS))
    outputs, others = [], {}
    for node in session.get_outputs():
        if node.type in _FLOATS:
            outputs.append(_output(path, node.name, one[node.name], many[node.name]))
        else:
            others[node.name] = node.type
    return OnnxSource(model=model, inputs=inputs, outputs=tuple(outputs), others=others)


def _check_names(asked: list[Any], settings: PackSettings) -> None:
    names = [given.name for given in asked]
    if not 1 <= len(names) <= MAX_TENSORS:
        raise PackError(f"the model has {len(names)} inputs; 1 to {MAX_TENSORS} can be served")
    for one in settings.inputs:
        if one.name not in names:
            raise PackError(f"inputs: the model has no input {one.name!r}, but {', '.join(names)[:_SHOWN]}")


def _input(given: Any, settings: PackSettings) -> SourceInput:
    """An input with the sizes of one row, of the file or as they are said."""
    name, told = given.name, given.type.tensor_type
    if not given.type.HasField("tensor_type") or told.elem_type not in DATATYPES:
        raise PackError(f"input {name} is {_type_of(given)}, and numbers can be served: put what makes them in front")
    sides = [side.dim_value if side.HasField("dim_value") else None for side in told.shape.dim]
    if not sides:
        raise PackError(f"input {name} has no axis of rows: export the model with one in front, of any length")
    if sides[0] is not None:
        raise PackError(
            f"input {name} takes {sides[0]} rows, no more and no less: export the model with a dynamic first axis"
        )
    said = settings.of_input(name)
    shape = tuple(sides[1:]) or (1,)
    if said.shape is not None:
        fits = len(said.shape) == len(shape) and all(
            side in (None, asked) for side, asked in zip(shape, said.shape, strict=True)
        )
        if not fits:
            raise PackError(f"inputs: {name} is {_shown(shape)} in the file, and cannot be {list(said.shape)}")
        shape = said.shape
    if any(side is None for side in shape):
        raise PackError(f"input {name} is {_shown(shape)}: say its sizes with inputs: [{{name: {name}, shape: [...]}}]")
    whole = tuple(int(side) for side in shape if side is not None)
    if prod(whole) > MAX_VALUES:
        raise PackError(f"input {name} has {prod(whole)} values in a row, at most {MAX_VALUES} can be served")
    return SourceInput(
        name=name, kind=told.elem_type, rank=len(sides), shape=whole, example=_example(name, whole, said.example)
    )


def _with_columns(inputs: tuple[SourceInput, ...], settings: PackSettings) -> tuple[SourceInput, ...]:
    """The inputs with the examples of the columns that they are."""
    if settings.columns is None:
        return inputs
    wanted = sum(one.size for one in inputs)
    if len(settings.columns) != wanted:
        raise PackError(f"columns names {len(settings.columns)}, and the model takes {wanted} numbers: name each one")
    if whole := next((one for one in inputs if not one.is_float), None):
        raise PackError(
            f"input {whole.name} is {whole.datatype}, and columns are numbers with fractions: leave columns out"
        )
    examples, found = iter(settings.columns), []
    for one in inputs:
        values = np.array([next(examples).example for _ in range(one.size)])
        found.append(replace(one, example=values.reshape(one.shape)))
    return tuple(found)


def _example(name: str, shape: tuple[int, ...], said: Any) -> NDArray[Any]:
    try:
        example = np.zeros(shape) if said is None else np.asarray(said, dtype=np.float64).reshape(shape)
    except (TypeError, ValueError):
        raise PackError(f"inputs: the example of {name} does not have the shape {list(shape)}") from None
    if not np.isfinite(example).all():
        raise PackError(f"inputs: the example of {name} holds a value that is not finite")
    return example


def _run(path: Path, session: Any, inputs: tuple[SourceInput, ...], rows: int) -> dict[str, Any]:
    names = [node.name for node in session.get_outputs()]
    try:
        given = session.run(names, {one.name: one.batch(rows) for one in inputs})
    except Exception as error:  # onnxruntime's own classes derive from nothing narrower
        what = "its example" if rows == 1 else f"{rows} rows at once"
        raise PackError(
            f"{path} does not take {what}: {short(error)}: give an example with inputs, or export it anew"
        ) from None
    return dict(zip(names, given, strict=True))


def _output(path: Path, name: str, one: NDArray[Any], many: NDArray[Any]) -> SourceOutput:
    if one.ndim == 0 or one.shape[0] != 1 or many.shape != (_ROWS, *one.shape[1:]):
        raise PackError(
            f"{path}: output {name} is {list(one.shape)} for one row and {list(many.shape)} for {_ROWS}, expected one"
            " line for each: export the model with a dynamic first axis, or leave the output out with outputs"
        )
    return SourceOutput(name=name, shape=tuple(one.shape[1:]), values=one[0].astype(np.float64).reshape(-1))


def _type_of(given: Any) -> str:
    kind = given.type.WhichOneof("value") or "of no type"
    if kind != "tensor_type":
        return str(kind).removesuffix("_type")
    return f"a tensor of {TensorProto.DataType.Name(given.type.tensor_type.elem_type).lower()}"


def _shown(shape: tuple[int | None, ...]) -> str:
    return f"[{', '.join('?' if side is None else str(side) for side in shape)}]"
