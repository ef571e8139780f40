"""Reading an NPZ file: a ZIP archive of numpy arrays, of which none is unpickled.

What an array says of itself is looked at before a byte of it is inflated or allocated.
"""

import io
import math
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
_FAULTS = (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, RuntimeError, NotImplementedError)
"""What zipfile and numpy raise for damaged, encrypted or unknown archives."""


@dataclass(frozen=True, kw_only=True)
class Arrays:
    """Named arrays; ``load`` gives one of ``names``, and raises DataError where it cannot."""

    names: tuple[str, ...]
    load: Callable[[str], NDArray[Any]]


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
    except _FAULTS as error:
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
            _check_size(name, size - file.tell(), shape, dtype, field)
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            return np.asarray(arrays[name])
    except _FAULTS as error:
        message = f"array {name} cannot be read: {str(error)[:200]}: save it again by numpy.savez"
        raise DataError("DamagedNPZ", message, field=field) from None


def _header(file: Any) -> tuple[tuple[int, ...], np.dtype[Any]]:
    version = npy.read_magic(file)
    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, _, dtype = read(file)
    return shape, dtype


def _check_size(name: str, size: int, shape: tuple[int, ...], dtype: np.dtype[Any], field: str) -> None:
    if dtype.hasobject:
        message = f"array {name} holds Python objects, which are not read: save it as numbers or texts"
        raise DataError("NotAnArray", message, field=field)
    needed = math.prod(shape) * dtype.itemsize
    if needed > size:
        raise ValueError(f"its shape {list(shape)} needs {needed} bytes, and it has {size}")
