"""The files of a Secret or ConfigMap that is mounted, which kubelet exchanges while the server runs."""

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

    def changed(self) -> bool:
        """Whether the files are others than when this was asked last; the first time they are.

        Raises:
            OSError: they cannot be looked at.
        """
        mark = tuple((file.name, (at := file.stat()).st_ino, at.st_mtime_ns, at.st_size) for file in self._files())
        changed, self._seen = mark != self._seen, mark
        return changed

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
