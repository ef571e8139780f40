"""The archive of an artifact, as a server sends it, into a folder: each file is hashed as it is written.

Nothing is believed of a pod, whose certificate is not of this machine's name: the digest that the status has decides.
"""

import hashlib
import io
import os
import tarfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import IO, Final, Self

from modelservice.artifact.errors import ArtifactError
from modelservice.artifact.files import check_size
from modelservice.artifact.load import Artifact, Hashed, verify
from modelservice.artifact.stores.folder import FolderStore, discard, put_in_place, sync_folder, temporary_name
from modelservice.contract.digests import written
from modelservice.contract.manifest import MANIFEST_FILE, FileEntry, Manifest

_PIECE: Final = 2**20
_FILE_MODE: Final = 0o444
_PLAIN: Final = frozenset({tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.DIRTYPE, tarfile.LNKTYPE, tarfile.SYMTYPE})
"""Kinds of members that have nothing to be read with their header."""
_MAX_EXTENSION: Final = 1024
"""Bytes of an extension of tar: servers write one for a file of more than 8 GiB, which is its size."""


def unpack(pieces: Iterable[bytes], folder: Path, *, digest: str, now: Callable[[], float] = time.time) -> Manifest:
    """Write a verified artifact into a folder that appears when it is whole, and in the place of one that is there.

    Args:
        pieces: the bytes of a tar of the manifest, then the files that it lists.
        folder: its name.
        digest: what the artifact's digest must be.
        now: the time as file systems have it.

    Returns:
        The manifest.

    Raises:
        ArtifactError: it is none, another one, or damaged; or the folder is none of an artifact.
        OSError: as the file system says, a full disk included.
    """
    scratch = folder.with_name(temporary_name(folder, str(os.getpid())))
    FolderStore(folder, scratch=str(os.getpid()), now=now).prepare()
    scratch.mkdir()
    try:
        with closing(_Bytes(pieces)) as stream, tarfile.open(fileobj=stream, mode="r|", tarinfo=_Member) as tar:
            artifact = _written(tar, scratch, digest=digest)
        sync_folder(scratch)
        put_in_place(scratch, folder)
    except (tarfile.TarError, RecursionError, ValueError) as error:  # also what extensions of tar hold
        raise ArtifactError(f"the archive cannot be read: {error}") from None
    finally:
        discard(scratch)
    return artifact.manifest


def _written(tar: tarfile.TarFile, folder: Path, *, digest: str) -> Artifact:
    """Write what the archive holds, the manifest first, which says what else it has to hold."""
    members = iter(tar)
    manifest = _first(members)
    check_size(MANIFEST_FILE, manifest.size)
    raw = _content(tar, manifest).read()
    (folder / MANIFEST_FILE).write_bytes(raw)
    (folder / MANIFEST_FILE).chmod(_FILE_MODE)

    def files(listed: Mapping[str, FileEntry]) -> Iterator[Hashed]:
        hashes: dict[str, str] = {}
        for member in members:
            if not member.isreg() or member.name not in listed or member.name in hashes:
                raise ArtifactError(f"the archive holds {member.name[:64]!r} beside what its manifest lists")
            check_size(member.name, member.size, expected=listed[member.name].size)
            hashes[member.name] = _copied(_content(tar, member), folder / member.name)
        for name in listed:
            if name not in hashes:
                raise ArtifactError(f"the archive has no {name}, which its manifest lists")
            yield Hashed(b"", hashes[name])

    return verify(raw, files, where="the archive", digest=digest)


def _first(members: Iterator[tarfile.TarInfo]) -> tarfile.TarInfo:
    member = next(members, None)
    if member is None or member.name != MANIFEST_FILE or not member.isreg():
        found = "is empty" if member is None else f"begins with {member.name[:64]!r}"
        raise ArtifactError(f"the archive {found}, and {MANIFEST_FILE} is expected first")
    return member


def _content(tar: tarfile.TarFile, member: tarfile.TarInfo) -> IO[bytes]:
    content = tar.extractfile(member)
    assert content is not None  # noqa: S101 - only of what is no regular file
    return content


def _copied(content: IO[bytes], path: Path) -> str:
    """Write a file, and give the sha256 of what was written."""
    state = hashlib.sha256()
    with path.open("xb") as file:
        while piece := content.read(_PIECE):
            state.update(piece)
            file.write(piece)
        file.flush()
        os.fsync(file.fileno())
    path.chmod(_FILE_MODE)
    return written(state)


class _Member(tarfile.TarInfo):
    """A header of an archive, or a small extension of one: those are read into memory, whatever their size."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        """See ``tarfile``."""
        member = super().frombuf(buf, encoding, errors)
        if member.type not in _PLAIN and member.size > _MAX_EXTENSION:
            raise ArtifactError(f"the archive holds {member.name[:64]!r}, which is no plain file")
        return member


class _Bytes(io.RawIOBase):
    """Pieces as a file that can be read once."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces, self._left = iter(pieces), b""

    def read(self, size: int = -1, /) -> bytes:
        """As many bytes as are asked for, fewer at the end."""
        parts, wanted = [self._left], size - len(self._left)
        while wanted > 0 and (piece := next(self._pieces, b"")):
            parts.append(piece)
            wanted -= len(piece)
        whole = b"".join(parts)
        found, self._left = whole[:size], whole[size:]
        return found
