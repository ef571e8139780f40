"""Tensors of the Open Inference Protocol: datatypes, JSON data and the binary tensor extension."""

import json
from collections.abc import Iterable, Sequence
from itertools import chain
from math import prod
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from modelservice.modalities.errors import InputError

UINT8: Final = "UINT8"
NUMERIC: Final[dict[str, np.dtype[Any]]] = {
    "INT8": np.dtype("<i1"),
    "INT16": np.dtype("<i2"),
    "INT32": np.dtype("<i4"),
    "INT64": np.dtype("<i8"),
    UINT8: np.dtype("<u1"),
    "UINT16": np.dtype("<u2"),
    "UINT32": np.dtype("<u4"),
    "UINT64": np.dtype("<u8"),
    "FP16": np.dtype("<f2"),
    "FP32": np.dtype("<f4"),
    "FP64": np.dtype("<f8"),
}
BOOL: Final = "BOOL"
BYTES: Final = "BYTES"
DATATYPES: Final = (*NUMERIC, BOOL, BYTES)

_LENGTH_PREFIX = 4  # each element of a BYTES tensor starts with its length, little endian
_SHOWN = 32
_LARGEST_SHOWN = 10**15

Values = list[Any] | NDArray[Any]


class _Elements(NamedTuple):
    """What JSON data of a datatype may hold."""

    types: frozenset[type]
    expected: str


_NUMBERS = _Elements(frozenset({int, float, type(None)}), "a number")
_ELEMENTS = {
    BOOL: _Elements(frozenset({bool, type(None)}), "true or false"),
    BYTES: _Elements(frozenset({str, type(None)}), "a text"),
}


class _Limits(NamedTuple):
    """What numbers a datatype has, of those that JSON or a wider field may give it."""

    lowest: int
    highest: int
    whole: bool

    def hold(self, value: float) -> bool:
        """Whether it is one of them, or NaN, which is a missing value."""
        return value != value or (self.lowest <= value <= self.highest and not (self.whole and value % 1))  # noqa: PLR0124

    def __str__(self) -> str:
        return f"a {'whole ' if self.whole else ''}number from {self.lowest} to {self.highest}"


_LIMITS: Final = {
    **{
        datatype: _Limits(int(np.iinfo(dtype).min), int(np.iinfo(dtype).max), whole=True)
        for datatype, dtype in NUMERIC.items()
        if dtype.kind in "iu"
    },
    "FP16": _Limits(int(np.finfo(np.float16).min), int(np.finfo(np.float16).max), whole=False),
}
"""Of datatypes of which JSON, or a wider field of gRPC, may hold numbers that they do not have."""


class TensorError(ValueError):
    """A tensor that does not hold what it declares; ``place`` is relative to it, such as ``.data[3]``."""

    def __init__(self, place: str, message: str) -> None:
        super().__init__(f"{place}: {message}")
        self.place = place
        self.message = message


class Tensor(NamedTuple):
    """An input tensor with its values flat, in the order of rows; None and NaN are missing values.

    ``values`` are a list from JSON (numbers, bools or texts), an array from binary numbers and bools, or a list of
    bytes from a binary BYTES tensor: whether those are texts (see ``texts``) or images only the modality knows.
    """

    name: str
    datatype: str
    shape: tuple[int, ...]
    values: Values


def from_json(datatype: str, shape: tuple[int, ...], data: Any) -> list[Any]:
    """Values of a tensor's ``data``, flat or nested as its shape is.

    Raises:
        TensorError: names the first element that is wrong.
    """
    if not isinstance(data, list):
        raise TensorError(".data", f"must be an array, not {describe(data)}")
    flat = _flattened(shape, data) if data and type(data[0]) is list else data
    if len(flat) != prod(shape):
        raise TensorError(".data", f"has {len(flat)} values, but shape {list(shape)} needs {prod(shape)}")
    elements = _ELEMENTS.get(datatype, _NUMBERS)
    if not elements.types.issuperset(map(type, flat)):
        index, value = next((index, value) for index, value in enumerate(flat) if type(value) not in elements.types)
        raise TensorError(f".data[{index}]", f"{describe(value)} is not {elements.expected}, as {datatype} wants")
    check_held(datatype, flat, ".data")
    return flat


def check_held(datatype: str, values: Sequence[Any], place: str) -> None:
    """Refuse numbers that a datatype does not have; None is a missing value.

    Raises:
        TensorError: names the first.
    """
    limits = _LIMITS.get(datatype)
    if limits is None or not len(values):
        return
    if set(map(type, values)) == {int} and limits.hold(min(values)) and limits.hold(max(values)):
        return  # nearly all
    for index, value in enumerate(values):
        if value is not None and not limits.hold(value):
            raise TensorError(f"{place}[{index}]", f"{describe(value)} is not {limits}, as {datatype} wants")


def from_binary(datatype: str, shape: tuple[int, ...], data: memoryview | bytes) -> Values:
    """Values of a binary tensor: little-endian numbers, bools of a byte, or bytes that each start with their length.

    Raises:
        TensorError: the size does not fit the shape.
    """
    if datatype == BYTES:
        return _elements(prod(shape), memoryview(data))
    dtype = NUMERIC.get(datatype, NUMERIC[UINT8])
    if len(data) != prod(shape) * dtype.itemsize:
        needed = prod(shape) * dtype.itemsize
        raise TensorError("", f"has {len(data)} bytes, but {datatype} of shape {list(shape)} needs {needed}")
    values = np.frombuffer(data, dtype=dtype)
    return values != 0 if datatype == BOOL else values


def to_binary(datatype: str, values: Any) -> bytes:
    """Output values, flat or not, as a binary tensor; those of BYTES are texts."""
    if datatype == BYTES:
        encoded = [text.encode() for text in values]
        return b"".join(chain.from_iterable((len(text).to_bytes(_LENGTH_PREFIX, "little"), text) for text in encoded))
    return np.asarray(values, dtype=NUMERIC[datatype]).tobytes()


def texts(values: Iterable[Any], *, tensor: int, column: str | None = None) -> list[str | None]:
    """Values of a BYTES tensor as texts; ``tensor`` is its index, for messages.

    Raises:
        InputError: one of them is not UTF-8.
    """
    found: list[str | None] = []
    for row, value in enumerate(values):
        try:
            found.append(value.decode() if isinstance(value, bytes) else value)
        except UnicodeDecodeError:
            raise InputError("is not UTF-8 text", row=row, column=column, tensor=tensor) from None
    return found


def describe(value: Any) -> str:
    """A JSON value as a message names it: its kind, and the value itself where it is short."""
    match value:
        case None | bool():
            return json.dumps(value)
        case str():
            return f"the text {value[:_SHOWN]!r}" + ("..." if len(value) > _SHOWN else "")
        case list():
            return f"an array of {len(value)}"
        case dict():
            return "an object"
        case int() if abs(value) > _LARGEST_SHOWN:
            return "a very large number"
        case _:
            return f"the number {value}"


def listed(names: Sequence[str], *, most: int = 16) -> str:
    """Names as a message gives them, cut where there are many."""
    return ", ".join(names[:most]) + (", ..." if len(names) > most else "")


def _flattened(shape: tuple[int, ...], data: list[Any]) -> list[Any]:
    """Nested lists, one level at a time; a tensor of rank 1 may have each value in a list of its own."""
    level: list[Any] = data
    at: tuple[int, ...] = (len(data),)
    for size in shape[1:] or (1,):
        for index, row in enumerate(level):
            if type(row) is not list or len(row) != size:
                place = "".join(f"[{part}]" for part in np.unravel_index(index, at))
                raise TensorError(
                    f".data{place}", f"{describe(row)}, but shape {list(shape)} needs an array of {size} values"
                )
        level = list(chain.from_iterable(level))
        at = (*at, size)
    return level


def _elements(count: int, data: memoryview) -> list[bytes]:
    # Each element takes at least its length prefix, so a shape cannot ask for more of them than there are bytes.
    if count * _LENGTH_PREFIX > len(data):
        raise TensorError("", f"has {len(data)} bytes, too few for {count} elements of {BYTES}")
    elements = []
    at = 0
    for index in range(count):
        start = at + _LENGTH_PREFIX
        at = start + int.from_bytes(data[start - _LENGTH_PREFIX : start], "little")
        if at > len(data):
            raise TensorError("", f"element {index} reaches beyond the tensor's {len(data)} bytes")
        elements.append(bytes(data[start:at]))
    if at != len(data):
        raise TensorError("", f"has {len(data) - at} bytes after its {count} elements")
    return elements
