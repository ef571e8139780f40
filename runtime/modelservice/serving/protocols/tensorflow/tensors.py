"""``TensorProto``: TensorFlow's tensors, read and written."""

from math import prod
from typing import Any, Final

import numpy as np

from modelservice.modalities.tensors import BOOL, BYTES, Tensor, TensorError, from_binary
from modelservice.serving.calls import check_rows
from modelservice.serving.errors import RequestError
from modelservice.serving.protocols.tensorflow.messages import DTYPES
from modelservice.serving.protocols.tensorflow.metadata import DTYPES as NAMES

_DATATYPES: Final = {DTYPES[name]: datatype for datatype, name in NAMES.items()}
_FIELDS: Final = {
    "INT8": "int_val",
    "INT16": "int_val",
    "INT32": "int_val",
    "INT64": "int64_val",
    "UINT8": "int_val",
    "UINT16": "int_val",
    "UINT32": "uint32_val",
    "UINT64": "uint64_val",
    "FP16": "half_val",
    "FP32": "float_val",
    "FP64": "double_val",
    BOOL: "bool_val",
    BYTES: "string_val",
}
"""The typed field of each datatype; ``half_val`` holds the bits of each number."""
_MAX_RANK: Final = 8
_MOST_REPEATED: Final = 2**20
"""Elements that one value may stand for."""


def read_tensor(name: str, given: Any) -> Tensor:
    """Read a ``TensorProto``.

    Args:
        name: of the input.
        given: the message.

    Raises:
        RequestError: it does not hold what it declares, with the place, such as ``inputs[age].float_val: ...``.
    """
    place = f"inputs[{name[:64]}]"
    datatype = _DATATYPES.get(given.dtype)
    if datatype is None:
        raise RequestError(f"{place}.dtype: {given.dtype}; expected that of one of {', '.join(DTYPES)}")
    shape = _shape(place, given.tensor_shape)
    check_rows(shape[0], place)
    try:
        values = _content(datatype, shape, given) if given.tensor_content else _typed(datatype, shape, given)
    except TensorError as error:
        raise RequestError(f"{place}{error.place}: {error.message}") from None
    return Tensor(name, datatype, shape, values)


def write_tensor(into: Any, datatype: str, shape: tuple[int, ...], values: Any) -> None:
    """Fill a ``TensorProto`` with an output, typed, as TensorFlow Serving does.

    Args:
        into: the empty message.
        datatype: of the output.
        shape: rows first.
        values: a list of texts, or numbers of that shape.
    """
    into.dtype = DTYPES[NAMES[datatype]]
    for size in shape:
        into.tensor_shape.dim.add(size=size)
    field = getattr(into, _FIELDS[datatype])
    if datatype == BYTES:
        field.extend(text.encode() for text in values)
    else:
        field.extend(np.asarray(values).reshape(-1).tolist())


def _shape(place: str, given: Any) -> tuple[int, ...]:
    shape = tuple(dim.size for dim in given.dim)
    if given.unknown_rank or not 1 <= len(shape) <= _MAX_RANK or min(shape) < 0:
        shown = "of unknown rank" if given.unknown_rank else str(list(shape))[:64]
        raise RequestError(f"{place}.tensor_shape: {shown}; expected sizes such as [rows] or [rows, columns]")
    return shape


def _content(datatype: str, shape: tuple[int, ...], given: Any) -> Any:
    if datatype == BYTES:
        raise TensorError(".tensor_content", "is not taken of DT_STRING; send string_val")
    return from_binary(datatype, shape, given.tensor_content)


def _typed(datatype: str, shape: tuple[int, ...], given: Any) -> Any:
    name, size = _FIELDS[datatype], prod(shape)
    given_values = getattr(given, name)
    repeated = len(given_values) == 1 < size <= _MOST_REPEATED
    if len(given_values) != size and not repeated:
        raise TensorError(f".{name}", f"has {len(given_values)} values, but shape {list(shape)} needs {size}")
    if datatype == BYTES:
        return list(given_values) * (size if repeated else 1)
    values = np.array(given_values)
    if datatype == "FP16":
        values = values.astype(np.uint16).view(np.float16)
    return np.repeat(values, size) if repeated else values
