"""Tensors of the Open Inference Protocol: datatypes, JSON data and the binary tensor extension."""

from collections.abc import Iterable
from itertools import chain
from math import prod
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from modelservice.serving.parsing import describe

NUMERIC: Final[dict[str, np.dtype[Any]]] = {
    "INT8": np.dtype("<i1"),
    "INT16": np.dtype("<i2"),
    "INT32": np.dtype("<i4"),
    "INT64": np.dtype("<i8"),
    "UINT8": np.dtype("<u1"),
    "UINT16": np.dtype("<u2"),
    "UINT32": np.dtype("<u4"),
    "UINT64": np.dtype("<u8"),
    "FP16": np.dtype("<f2"),
    "FP32": np.dtype("<f4"),
    "FP64": np.dtype("<f8"),
}
BYTES: Final = "BYTES"
_LENGTH_PREFIX = 4  # each element of a BYTES tensor starts with its length, little endian
_NUMBERS = {int, float, type(None)}
_TEXTS = {str, type(None)}

Values = list[Any] | NDArray[Any]


class TensorError(ValueError):
    """A tensor that does not hold what it declares; ``place`` is relative to it, such as ``.data[3]``."""

    def __init__(self, place: str, message: str) -> None:
        super().__init__(f"{place}: {message}")
        self.place = place
        self.message = message


class Tensor(NamedTuple):
    """An input tensor: flat values, a list from JSON, an array from binary numbers; None and NaN are missing values."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    values: Values


def from_json(datatype: str, shape: tuple[int, ...], data: Any) -> list[Any]:
    """Values of a tensor's ``data``, flat or nested in the order of rows.

    Raises:
        TensorError: names the first element that is wrong.
    """
    if not isinstance(data, list):
        raise TensorError(".data", f"must be an array, not {describe(data)}")
    flat = list(chain.from_iterable(_nested(shape, data))) if data and type(data[0]) is list else data
    if len(flat) != prod(shape):
        raise TensorError(".data", f"has {len(flat)} values, but shape {list(shape)} needs {prod(shape)}")
    allowed, expected = (_TEXTS, "a text") if datatype == BYTES else (_NUMBERS, "a number")
    if not allowed.issuperset(map(type, flat)):
        index, value = next((index, value) for index, value in enumerate(flat) if type(value) not in allowed)
        raise TensorError(f".data[{index}]", f"{describe(value)} is not {expected}, as datatype {datatype} wants")
    return flat


def from_binary(datatype: str, shape: tuple[int, ...], data: memoryview) -> Values:
    """Values of a binary tensor: little-endian numbers, or texts that each start with their length.

    Raises:
        TensorError: the size does not fit the shape, or a text is no UTF-8.
    """
    if datatype == BYTES:
        return _texts(prod(shape), data)
    dtype = NUMERIC[datatype]
    if len(data) != prod(shape) * dtype.itemsize:
        needed = prod(shape) * dtype.itemsize
        raise TensorError("", f"has {len(data)} bytes, but {datatype} of shape {list(shape)} needs {needed}")
    return np.frombuffer(data, dtype=dtype)


def texts_to_binary(texts: Iterable[str]) -> bytes:
    """A BYTES tensor in binary form."""
    encoded = [text.encode() for text in texts]
    return b"".join(chain.from_iterable((len(text).to_bytes(_LENGTH_PREFIX, "little"), text) for text in encoded))


def _nested(shape: tuple[int, ...], data: list[Any]) -> Iterable[list[Any]]:
    width = shape[-1] if len(shape) > 1 else 1
    for index, row in enumerate(data):
        if type(row) is not list or len(row) != width:
            raise TensorError(f".data[{index}]", f"{describe(row)}, but shape {list(shape)} needs {width} values")
        yield row


def _texts(count: int, data: memoryview) -> list[str]:
    # Each text takes at least its length prefix, so a shape cannot ask for more texts than there are bytes.
    if count * _LENGTH_PREFIX > len(data):
        raise TensorError("", f"has {len(data)} bytes, too few for {count} texts")
    texts = []
    at = 0
    for index in range(count):
        start = at + _LENGTH_PREFIX
        at = start + int.from_bytes(data[start - _LENGTH_PREFIX : start], "little")
        if at > len(data):
            raise TensorError("", f"text {index} reaches beyond the tensor's {len(data)} bytes")
        try:
            texts.append(str(data[start:at], "utf-8"))
        except UnicodeDecodeError:
            raise TensorError("", f"text {index} is not UTF-8") from None
    if at != len(data):
        raise TensorError("", f"has {len(data) - at} bytes after its {count} texts")
    return texts
