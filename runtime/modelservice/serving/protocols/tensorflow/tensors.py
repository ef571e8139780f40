"""``TensorProto``: TensorFlow's tensors, read and written."""

from math import prod
from typing import Any, Final

import numpy as np

from modelservice.modalities.tensors import BOOL, BYTES, NUMERIC, Tensor, TensorError, from_binary
from modelservice.serving.calls import check_rows
from modelservice.serving.errors import RequestError, TooLargeError
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
_LIMITS: Final = {
    datatype: np.iinfo(np.uint16 if field == "half_val" else NUMERIC[datatype])
    for datatype, field in _FIELDS.items()
    if field in {"int_val", "half_val"}
}
"""What a value may be of datatypes whose field holds wider ones."""
_MAX_RANK: Final = 8
MOST_REPEATED: Final = 2**20
"""Elements of one request, of all its tensors together, that stand there as one value; a text counts once for each
eight bytes that it has."""
_COUNTED_BYTES: Final = 8


class Repeats:
    """How many elements of a request may still be given by one value of a tensor that stands for all."""

    def __init__(self) -> None:
        self._left = MOST_REPEATED

    def take(self, place: str, value: Any, elements: int) -> None:
        """Count those of one tensor, before there are as many.

        Raises:
            TooLargeError: there are too many of them together.
        """
        length = len(value) if isinstance(value, bytes) else 1
        self._left -= elements * max(1, -(-length // _COUNTED_BYTES))
        if self._left < 0:
            raise TooLargeError(
                f"{place}: one value for {elements} elements; at most {MOST_REPEATED} of one request (a text counts"
                f" once for each {_COUNTED_BYTES} bytes), all tensors together: send every value, or fewer rows"
            )


def read_tensor(name: str, given: Any, repeats: Repeats) -> Tensor:
    """Read a ``TensorProto``.

    Args:
        name: of the input.
        given: the message.
        repeats: what the request's tensors may still repeat.

    Raises:
        RequestError: it does not hold what it declares, with the place, such as ``inputs[age].float_val: ...``.
        TooLargeError: it has more rows, or repeats more, than a request may.
    """
    place = f"inputs[{name[:64]}]"
    datatype = _DATATYPES.get(given.dtype)
    if datatype is None:
        raise RequestError(f"{place}.dtype: {given.dtype}; expected that of one of {', '.join(DTYPES)}")
    shape = _shape(place, given.tensor_shape)
    check_rows(shape[0], place)
    try:
        if given.tensor_content:
            values = _content(datatype, shape, given)
        else:
            values, size = _typed(datatype, shape, given), prod(shape)
            if len(values) < size:
                repeats.take(f"{place}.{_FIELDS[datatype]}", values[0], size)
                values = values * size if datatype == BYTES else np.repeat(values, size)
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
    """The values of the typed field: as many as the shape has elements, or one that stands for all."""
    name, size = _FIELDS[datatype], prod(shape)
    given_values = getattr(given, name)
    if len(given_values) != size and not len(given_values) == 1 < size:
        raise TensorError(f".{name}", f"has {len(given_values)} values, but shape {list(shape)} needs {size}")
    if datatype == BYTES:
        return list(given_values)
    values = np.array(given_values)
    if (limits := _LIMITS.get(datatype)) is not None:
        beyond = (values < limits.min) | (values > limits.max)
        if beyond.any():
            at = int(beyond.argmax())
            message = f"{values[at]} is no value of {NAMES[datatype]}; expected {limits.min} to {limits.max}"
            if datatype == "FP16":
                message += ", the bits of a number"
            raise TensorError(f".{name}[{at}]", message)
    return values.astype(np.uint16).view(np.float16) if datatype == "FP16" else values
