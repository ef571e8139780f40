"""Files of which any part can be read, wherever they lie: what is too large to be held is read from them."""

import hashlib
import io
from collections.abc import Hashable
from pathlib import Path
from typing import Protocol

import pyarrow as pa

from modelservice.contract.digests import written


class RandomAccess(Protocol):
    """A file that stays what it is while its ``version`` does."""

    ahead: int
    """Bytes that are worth reading at once, of all columns of a table together; each request of a store takes time."""

    def open(self) -> pa.NativeFile | io.RawIOBase:
        """The content from its begin, for pyarrow.

        Raises:
            DataError, StageError, OSError: as their names say; so does what reads from it.
        """

    def version(self) -> Hashable:
        """Another one where the content was changed.

        Raises:
            OSError: the file system fails.
        """

    def sha256(self) -> str:
        """Digest of the content; for errors see ``open``."""


class FileOnDisk:
    """A file of a file system."""

    ahead = 0

    def __init__(self, path: Path) -> None:
        self._path = path

    def open(self) -> pa.NativeFile:
        """See ``RandomAccess``."""
        return pa.OSFile(str(self._path))

    def version(self) -> Hashable:
        """Size and time."""
        found = self._path.stat()
        return found.st_size, found.st_mtime_ns

    def sha256(self) -> str:
        """See ``RandomAccess``."""
        with self._path.open("rb") as file:
            return written(hashlib.file_digest(file, "sha256"))
