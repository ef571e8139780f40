"""What was downloaded, kept in a folder under its own digest, so that it is not downloaded again.

Several processes may share the folder, on one node or on many, and whoever writes to it is not trusted: what is read
is hashed by the reader, as what a store gives is. A cache that fails costs a download, and never an error. Nobody
waits for another: what another process is fetching at the moment is fetched once more, and not kept.
"""

import contextlib
import fcntl
import logging
import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

from modelservice.artifact.download import Piece

_READ_BYTES: Final = 1 << 20
_NAME = re.compile(r"([0-9a-f]{64})(?:\.([0-9]{1,15})\.part)?")
"""Of a complete file, or of one under way with the bytes that it is to have: room is reserved by the name."""
_PLAIN: Final = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_FILE_MODE: Final = 0o660
"""Whatever the umask: pods that share a claim may share no more than its group."""

_LOG = logging.getLogger(__name__)


class Cache:
    """Files of a folder by names that stand for their content; the least recently used ones go when room is needed.

    A file that is being read or written is locked (``flock``), which ends with its process, and is never removed. A
    part of a file stays when its process ends, and the next one goes on after it.
    """

    def __init__(self, folder: Path, *, limit: int) -> None:
        """Args: the folder, made where there is none, and most bytes of all files in it."""
        self._folder = folder
        self._limit = limit
        self._said = False

    @contextmanager
    def entry(self, name: str, size: int) -> Iterator["Entry | None"]:
        """What is kept of a file, and where the rest of it goes; None where it cannot be kept.

        Args:
            name: 64 hexadecimal digits that stand for its content, see ``Form.identify``.
            size: in bytes.
        """
        found = None
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            found = self._complete(name, size) or self._begun(name, size)
        except OSError as error:
            self._complain(error)
        if found is None:
            yield None
            return
        try:
            yield found
        finally:
            found.close()

    def find(self, name: str, *, limit: int) -> bytes | None:
        """A small file of unknown size, whole; None where none is kept."""
        path = self._folder / name
        try:
            with _open_locked(path, os.O_RDONLY, fcntl.LOCK_SH) as file:
                _used(file)
                return file.read(limit)
        except (FileNotFoundError, BlockingIOError):
            return None
        except OSError as error:
            self._complain(error)
            return None

    def put(self, name: str, content: bytes) -> None:
        """Keep a small file, in place of what was kept under its name."""
        if self.find(name, limit=len(content) + 1) not in {None, content}:
            self._remove(self._folder / name)
        with self.entry(name, len(content)) as entry:
            if entry is None:
                return
            if b"".join(entry.pieces(lambda at: [content[at:]])) == content:
                entry.keep()
            else:
                entry.drop()

    def _complete(self, name: str, size: int) -> "Entry | None":
        """A file that was kept, if it has the right size; one of another size is removed."""
        path = self._folder / name
        with contextlib.suppress(FileNotFoundError, BlockingIOError):
            file = _open_locked(path, os.O_RDONLY, fcntl.LOCK_SH)
            if os.fstat(file.fileno()).st_size == size:
                _used(file)
                return Entry(path, file, size=size, complain=self._complain)
            file.close()
            self._remove(path)
        return None

    def _begun(self, name: str, size: int) -> "Entry | None":
        """A part of a file, perhaps an empty one, with room for all of it; None where another process is at it."""
        if size > self._limit:
            self._complain(f"a file of {size} bytes is larger than all that it may hold, {self._limit} bytes")
            return None
        path = self._folder / f"{name}.{size}.part"
        try:
            file = _open_locked(path, os.O_RDWR | os.O_CREAT, fcntl.LOCK_EX)
        except (BlockingIOError, FileNotFoundError):
            return None
        with contextlib.suppress(OSError):  # another user's
            os.fchmod(file.fileno(), _FILE_MODE)
        if not self._make_room(besides=path.name):
            path.unlink(missing_ok=True)
            file.close()
            self._complain(f"there is no room for {size} bytes: all else is in use, or may not be removed")
            return None
        if os.fstat(file.fileno()).st_size > size:
            file.truncate(0)
        return Entry(path, file, size=size, final=self._folder / name, complain=self._complain)

    def _make_room(self, *, besides: str) -> bool:
        """Remove what was not used for longest until all fits; whether it does.

        Room is reserved before it is asked for. So of two that come at the same time the later one counts both.
        """
        kept = list(self._kept())
        total = sum(one.size for one in kept)
        for one in sorted(kept, key=lambda one: one.used):
            if total <= self._limit:
                break
            if one.path.name != besides and self._remove(one.path):
                total -= one.size
        return total <= self._limit

    def _kept(self) -> Iterator["_Kept"]:
        with os.scandir(self._folder) as entries:
            for entry in entries:
                match = _NAME.fullmatch(entry.name)
                with contextlib.suppress(FileNotFoundError):  # another process removes, too
                    if match is not None and entry.is_file(follow_symlinks=False):
                        status = entry.stat(follow_symlinks=False)
                        size = max(status.st_size, int(match[2] or 0))
                        yield _Kept(Path(entry.path), size=size, used=status.st_mtime)

    def _remove(self, path: Path) -> bool:
        """Whether a file is gone: not if anybody has it locked."""
        try:
            # NFS gives an exclusive lock only to who may write.
            with _open_locked(path, os.O_RDWR, fcntl.LOCK_EX):
                path.unlink()
        except FileNotFoundError:
            return True
        except OSError:
            return False
        return True

    def _complain(self, error: OSError | str) -> None:
        if not self._said:
            _LOG.warning("the cache %s cannot be used, which costs a download: %s", self._folder, error)
        self._said = True


class _Kept(NamedTuple):
    """A file of the cache: where it is, how many bytes it has or is to have, and when it was used last."""

    path: Path
    size: int
    used: float


class Entry:
    """One file of a cache, locked; whole, or as much of it as there is so far."""

    def __init__(
        self,
        path: Path,
        file: BinaryIO,
        *,
        size: int,
        complain: Callable[[OSError], None],
        final: Path | None = None,
    ) -> None:
        """Args: the file, its size, who hears of errors, and its name once it is whole; None where it is."""
        self._path, self._file, self._size, self._final = path, file, size, final
        self._complain = complain
        self._intact = True
        self._kept = 0  # bytes that came from the cache, and not from ``fetch``

    def pieces(self, fetch: Callable[[int], Iterable[Piece]]) -> Iterator[Piece]:
        """All bytes in order: those that are kept, then those that ``fetch`` gives from a place on."""
        with self._forgiving():
            while kept := self._file.read(min(_READ_BYTES, self._size - self._kept)):
                self._kept += len(kept)
                yield kept
        for fetched in fetch(self._kept):
            if self._intact:
                with self._forgiving():
                    self._file.write(fetched)
            yield fetched

    def keep(self) -> None:
        """The bytes are those of the digest: keep them."""
        if self._final is None:
            return
        with self._forgiving():
            self._file.flush()
        if not self._intact:
            self.drop()
            return
        with self._forgiving():
            self._path.replace(self._final)

    def drop(self) -> None:
        """The bytes are others: remove what is kept of them."""
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)

    def close(self) -> None:
        """Let go of the file."""
        with self._forgiving():
            self._file.close()

    @contextmanager
    def _forgiving(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self._intact = False
            self._complain(error)


def _used(file: BinaryIO) -> None:
    """Note that a file is used now."""
    with contextlib.suppress(OSError):  # another user's
        os.utime(file.fileno())


def _open_locked(path: Path, flags: int, lock: int) -> BinaryIO:
    """Open a plain file that nobody else holds.

    Raises:
        BlockingIOError: somebody does.
        FileNotFoundError: it is not there, or was removed or renamed meanwhile.
        OSError: it is no plain file, or the file system cannot lock.
    """
    descriptor = os.open(path, flags | _PLAIN, _FILE_MODE)
    try:
        _lock(descriptor, path, lock | fcntl.LOCK_NB)
        return os.fdopen(descriptor, "r+b" if flags & os.O_RDWR else "rb")
    except BaseException:
        os.close(descriptor)
        raise


def _lock(descriptor: int, path: Path, lock: int) -> None:
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        raise OSError(f"{path.name} is no plain file")
    fcntl.flock(descriptor, lock)
    if not os.path.samestat(status, path.lstat()):
        raise FileNotFoundError(path.name)
