"""The files of a Secret or ConfigMap that is mounted, which kubelet exchanges while the server runs."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

MAX_BYTES: Final = 2 * 2**20
"""Of all files: a Secret holds 1 MiB."""
_KUBELETS: Final = ".."
"""Kubelet's own entries start so: it writes a new folder, and exchanges one link that all files lead through."""

Mark = tuple[tuple[str, int, int, int], ...]


class Folder:
    """A folder that is looked at from time to time."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._seen: Mark | None = None

    @contextmanager
    def changed(self) -> Iterator[bool]:
        """Whether the files are others than those that were taken over last; the first time they are.

        They count as taken over once the block ends well: where it raises, they are changed the next time too.

        Raises:
            OSError: they cannot be looked at.
        """
        mark = tuple((file.name, (at := file.stat()).st_ino, at.st_mtime_ns, at.st_size) for file in self._files())
        yield mark != self._seen
        self._seen = mark

    def read(self) -> dict[str, bytes]:
        """Contents by name, in the order of the names.

        Raises:
            OSError: they cannot be read, or are more than a Secret can hold.
        """
        files = self._files()
        if sum(file.stat().st_size for file in files) > MAX_BYTES:
            raise OSError(f"{self.path} holds more than {MAX_BYTES} bytes")
        return {file.name: file.read_bytes() for file in files}

    def _files(self) -> list[Path]:
        return sorted(file for file in self.path.iterdir() if not file.name.startswith(_KUBELETS) and file.is_file())
