"""Reading an NPZ file: a ZIP archive of numpy arrays, of which none is unpickled.

What an array says of itself is looked at before a byte of it is inflated or allocated.
"""

import io
import lzma
import math
import struct
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from modelservice.contract.failure import DataError

MAX_BYTES = 2**31
"""Of the file, and of an array when inflated."""
_SUFFIX = ".npy"
_MAX_RANK, _MAX_LENGTH = 8, 2**63
"""Axes of an array that may be of use, and what numpy can count: one axis of 0 makes any other take no bytes."""
FAULTS = (
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error),
    *(EOFError, OSError, ValueError, RuntimeError, NotImplementedError),
)
"""What zipfile raises for damaged, encrypted or unknown archives, and numpy for their arrays."""


@dataclass(frozen=True, kw_only=True)
class Arrays:
    """Named arrays; ``load`` gives one of ``names``, and raises DataError where it cannot.

    ``scaled`` says that the images among them were brought to one size.
    """

    names: tuple[str, ...]
    load: Callable[[str], NDArray[Any]]
    scaled: bool = False


def open_npz(content: bytes, *, field: str) -> Arrays:
    """The arrays of an NPZ file.

    Args:
        content: the file.
        field: what errors name as the field to change.

    Raises:
        DataError: it is no ZIP archive, or holds no arrays.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            entries = [name for name in archive.namelist() if name.endswith(_SUFFIX)]
            names = tuple(dict.fromkeys(name.removesuffix(_SUFFIX) for name in entries))
    except FAULTS as error:
        raise DataError("NotNPZ", f"the file is no NPZ archive: {error}: save it by numpy.savez", field=field) from None
    if not names:
        raise DataError("NotNPZ", "the archive holds no arrays (.npy): save it by numpy.savez", field=field)
    return Arrays(names=names, load=lambda name: _load(content, name, field))


def _load(content: bytes, name: str, field: str) -> NDArray[Any]:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive, archive.open(name + _SUFFIX) as file:
            size = archive.getinfo(name + _SUFFIX).file_size
            if size > MAX_BYTES:
                message = f"array {name} has more than {MAX_BYTES} bytes: give fewer or smaller images"
                raise DataError("DataTooLarge", message, field=field)
            shape, dtype = _header(file)
            _check_header(name, size - file.tell(), shape, dtype, field)
            # The very member whose header was looked at: numpy.load would prefer one that is named without the ending.
            file.seek(0)
            return npy.read_array(file, allow_pickle=False)
    except FAULTS as error:
        message = f"array {name} cannot be read: {str(error)[:200]}: save it again by numpy.savez"
        raise DataError("DamagedNPZ", message, field=field) from None


def _header(file: Any) -> tuple[tuple[int, ...], np.dtype[Any]]:
    version = npy.read_magic(file)
    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    try:
        shape, _, dtype = read(file)
    except Exception as error:  # it is parsed as Python: tokenizer, parser (MemoryError for its depth) and dtypes raise
        raise ValueError(f"its header is damaged ({type(error).__name__}: {error})") from None
    return shape, dtype


def _check_header(name: str, size: int, shape: tuple[int, ...], dtype: np.dtype[Any], field: str) -> None:
    if dtype.hasobject:
        message = f"array {name} holds Python objects, which are not read: save it as numbers or texts"
        raise DataError("NotAnArray", message, field=field)
    if len(shape) > _MAX_RANK or not all(type(length) is int and 0 <= length < _MAX_LENGTH for length in shape):
        raise ValueError(f"its shape is {str(shape)[:100]}")
    if dtype.itemsize == 0:  # so many of them as it likes take no bytes
        raise ValueError(f"its values, {dtype}, have no bytes")
    needed = math.prod(shape) * dtype.itemsize
    if needed > size:
        raise ValueError(f"its shape {list(shape)} needs {needed} bytes, and it has {size}")
