"""Whether another artifact may stand at an address by now, found out without reading one."""

from collections.abc import Callable
from pathlib import Path

from modelservice.artifact.stores.folder import folder_of

Mark = tuple[tuple[str, int, int, int], ...]


class Changes:
    """A folder that is looked at from time to time."""

    def __init__(self, folder: Path) -> None:
        """Take what is there now for known."""
        self._folder = folder
        self._known = self._seen = self._mark()

    def changed(self) -> bool:
        """Whether it holds other files than those that were told of last, and has for a whole look.

        Files that are copied one by one are so waited for; one that is missing for a moment, as while a folder takes
        the place of another, changes nothing.
        """
        mark, before = self._mark(), self._seen
        self._seen = mark
        if not mark or mark != before or mark == self._known:
            return False
        self._known = mark
        return True

    def _mark(self) -> Mark:
        """What tells the files from others; empty where they cannot be looked at."""
        try:
            files = sorted(self._folder.iterdir())
            return tuple((file.name, (at := file.stat()).st_ino, at.st_mtime_ns, at.st_size) for file in files)
        except OSError:
            return ()


def changes_at(address: str) -> Callable[[], bool]:
    """``Changes.changed`` of the folder at an address; in object storage nobody looks, and none is told of.

    Raises:
        ArtifactError: no folder can have that path.
    """
    return _unknown if "://" in address else Changes(folder_of(address)).changed


def _unknown() -> bool:
    return False
