"""A tar of files that stand in memory, written piece by piece."""

import tarfile
from collections.abc import Iterator, Mapping
from typing import Final

PIECE: Final = 64 * 1024
"""Bytes that are given at once."""
_END: Final = bytes(2 * tarfile.BLOCKSIZE)
_MODE: Final = 0o444


class Archive:
    """A tar whose bytes follow from the files alone: all are of 1970, of nobody, and read-only."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self._files = files
        self._heads = {name: _head(name, len(content)) for name, content in files.items()}
        parts = (len(self._heads[name]) + len(content) + _padding(content) for name, content in files.items())
        self.size = sum(parts) + len(_END)
        """Bytes of all pieces."""

    def pieces(self, start: int = 0) -> Iterator[bytes]:
        """The tar from a byte of it to its end."""
        for part in self._parts():
            yield from (part[at : at + PIECE] for at in range(start, len(part), PIECE))
            start = max(0, start - len(part))

    def _parts(self) -> Iterator[bytes]:
        for name, content in self._files.items():
            yield self._heads[name]
            yield content
            yield bytes(_padding(content))
        yield _END


def _head(name: str, size: int) -> bytes:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = size, _MODE
    return entry.tobuf()


def _padding(content: bytes) -> int:
    return -len(content) % tarfile.BLOCKSIZE
