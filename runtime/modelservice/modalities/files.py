"""Bytes of a file, plain or gzip, never more than a limit."""

import errno
import io
import os
import re
import stat
import zlib
from gzip import GzipFile
from pathlib import Path

from modelservice.contract.failure import DataError
from modelservice.contract.keys import GZIP_MAGIC

_NOT_FOUND = {
    *(errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.ENXIO),
    *(errno.EACCES, errno.EPERM),
}
"""What waits for another path or another mode; any other error of a file system may pass."""


MAX_FILES = 10_000


def matching(path: Path, *, field: str = "spec.data") -> list[Path]:
    """The files that a path with ``*`` in its last part stands for, in the order of their names.

    Hidden files and folders are left out, unless the pattern begins with a point.

    Raises:
        DataError: there is none, or there are too many.
        OSError: the file system fails, as that of a network may for a while.
    """
    try:
        found = sorted(one for one in path.parent.iterdir() if fits(path.name, one.name) and not one.is_dir())
    except OSError as error:
        if error.errno not in _NOT_FOUND:
            raise
        raise DataError("DataNotFound", f"{path.parent} cannot be read: {error.strerror}", field=field) from None
    if not found:
        raise DataError("DataNotFound", f"no file is named {path}: name files of data", field=field)
    if len(found) > MAX_FILES:
        message = f"{len(found)} files are named {path}, at most {MAX_FILES} are read: put their rows into fewer"
        raise DataError("DataTooLarge", message, field=field)
    return found


def fits(pattern: str, name: str) -> bool:
    """Whether a name is one that a pattern stands for, in which ``*`` is any text; hidden names only by their point."""
    wanted = ".*".join(map(re.escape, pattern.split("*")))
    hidden = name.startswith(".") and not pattern.startswith(".")
    return not hidden and re.fullmatch(wanted, name, re.DOTALL) is not None


def read_bytes(path: Path, *, limit: int, field: str = "spec.data") -> bytes:
    """The inflated content of a plain or gzip file.

    Raises:
        DataError: there is no such file, it is not a plain one, too large, or damaged.
        OSError: the file system fails, as that of a network may for a while.
    """
    try:
        # Without O_NONBLOCK a named pipe would be waited for.
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise DataError("DataNotFound", f"{path} is not a plain file: name a file of data", field=field)
            return inflate(file.read(limit + 1), limit=limit, field=field)
    except OSError as error:
        if error.errno not in _NOT_FOUND:
            raise OSError(error.errno, error.strerror, str(path)) from None
        raise DataError("DataNotFound", f"{path} cannot be read: {error.strerror}", field=field) from None


def inflate(content: bytes, *, limit: int, field: str = "spec.data") -> bytes:
    """The content itself, or what it inflates to if it is gzip, never more than ``limit`` bytes.

    Raises:
        DataError: it is larger, or the gzip data is damaged.
    """
    if content.startswith(GZIP_MAGIC):
        try:
            with GzipFile(fileobj=io.BytesIO(content)) as file:
                content = file.read(limit + 1)
        except (OSError, EOFError, zlib.error) as error:
            raise DataError("DamagedGzip", f"the gzip data cannot be inflated: {error}", field=field) from None
    if len(content) > limit:
        raise DataError("DataTooLarge", f"the data has more than {limit} bytes: give fewer rows", field=field)
    return content
