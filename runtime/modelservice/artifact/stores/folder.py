"""An artifact in a folder: every file first, the manifest last, then one rename."""

import contextlib
import os
import shutil
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path

from modelservice.artifact.download import Piece
from modelservice.artifact.errors import ArtifactError
from modelservice.artifact.files import document_bytes, file_pieces, read_file
from modelservice.artifact.keys import NO_KEYS, Keys
from modelservice.artifact.load import Artifact, Hashed, collected, parse, verify
from modelservice.artifact.sealing import PLAIN, Form
from modelservice.artifact.stores.base import StoreOptions
from modelservice.contract.digests import sha256
from modelservice.contract.manifest import KNOWN_FILES, MANIFEST_FILE, FileEntry, Manifest

STALE_SECONDS = 300.0
"""A temporary folder that nobody wrote to for so long belongs to a process that is gone: writing takes seconds."""

_FILE_MODE = 0o444
_FOLDER_MODE = 0o755


class FolderStore:
    """The artifact that is a folder; an artifact that stands there is replaced by the next one."""

    stored_as: str | None = None

    def __init__(self, folder: Path, *, scratch: str, now: Callable[[], float], keys: Keys = NO_KEYS) -> None:
        """Args: the folder, what makes the temporary folder beside it unique, the file system's time, and keys."""
        self._folder = folder
        self._keys = keys
        self._temporary = temporary_name(folder)
        self._scratch = folder.with_name(temporary_name(folder, scratch))
        self._now = now

    def prepare(self) -> None:
        """Remove temporary folders that were left, and find out whether one can be made; see ``Store``."""
        check_replaceable(self._folder, keys=self._keys)
        self._remove_stale()
        self._scratch.mkdir(parents=True)
        self._scratch.rmdir()

    def load(self, *, digest: str | None = None) -> Artifact | None:
        """Read and verify the folder; see ``Store``."""
        folder = self._folder
        if folder.is_symlink():
            raise ArtifactError(f"{folder} is a link, not a folder")
        if not folder.exists():
            return None
        if not folder.is_dir():
            raise ArtifactError(f"{folder} is not a folder")
        return load_folder(folder, digest=digest, keys=self._keys)

    def publish(self, manifest: Manifest, files: Mapping[str, bytes], *, raw: bytes | None = None) -> str:
        """Write a temporary folder and give it the final name; see ``Store``."""
        discard(self._scratch)
        try:
            digest = write(self._scratch, manifest, files, form=self._keys.form, raw=raw)
            put_in_place(self._scratch, self._folder, keys=self._keys)
        except BaseException:  # a signal raises, too
            discard(self._scratch)
            raise
        return digest

    def discard(self) -> None:
        """Remove the folder, if it holds nothing but files of an artifact; see ``Store``."""
        if self._folder.exists() or self._folder.is_symlink():
            check_files(self._folder, KNOWN_FILES)
            discard(self._folder)

    def _remove_stale(self) -> None:
        """Remove this process's own temporary folder, and those of processes that are gone."""
        for folder in sorted(self._folder.parent.glob(f"{self._temporary}*")):
            with contextlib.suppress(FileNotFoundError):  # its process may be about to give it the final name
                if folder == self._scratch or self._now() - folder.lstat().st_mtime > STALE_SECONDS:
                    discard(folder)


def open_folder(address: str, options: StoreOptions) -> FolderStore:
    """The store of a path.

    Raises:
        ArtifactError: no folder can have that path.
    """
    return FolderStore(folder_of(address), scratch=options.scratch, now=options.now, keys=options.keys)


def folder_of(address: str) -> Path:
    """The folder of an address.

    Raises:
        ArtifactError: no folder can have that path.
    """
    folder = Path(address)
    try:
        os.fsencode(address)
        if folder.name in {"", ".."} and address:
            folder = folder.resolve()  # as in `modelservice inspect .`
    except ValueError as error:  # a null byte, half a character
        raise ArtifactError(f"{address!r} is no path of a folder: {error}") from None
    if not folder.name or "\0" in address:
        raise ArtifactError(f"{address!r} is no path of a folder: name the folder of an artifact")
    return folder


def temporary_name(folder: Path, scratch: str = "") -> str:
    """Name beside an artifact's folder, or how such names begin; what nobody writes to goes with the next training."""
    return f".{folder.name}.tmp-{scratch}"


def load_folder(folder: Path, *, digest: str | None = None, keys: Keys = NO_KEYS) -> Artifact:
    """Read and verify the artifact in a folder that is there.

    Raises:
        ArtifactError: it is not one, or not the wanted one.
        StorageError: it is encrypted with a key that is not given.
    """
    if not os.path.lexists(folder / MANIFEST_FILE):
        raise ArtifactError(f"{MANIFEST_FILE} is missing in {folder}: name the folder that train or pack wrote")
    stored = read_file(folder / MANIFEST_FILE)
    raw, form = keys.opened(MANIFEST_FILE, stored, where=str(folder), pinned=digest is not None)
    artifact = verify(raw, partial(_read, folder, form), where=str(folder), digest=digest)
    unlisted = sorted({entry.name for entry in folder.iterdir()} - {MANIFEST_FILE} - artifact.manifest.files.keys())
    if unlisted:
        raise ArtifactError(f"{unlisted[0]!r} in {folder} is not listed in the manifest")
    return artifact


def _read(folder: Path, form: Form, files: Mapping[str, FileEntry]) -> Iterator[Hashed]:
    for name, entry in files.items():
        pieces = file_pieces(folder / name, expected_size=form.size(entry.size))
        yield collected(form.restore(name, pieces))


def write(
    folder: Path, manifest: Manifest, files: Mapping[str, bytes], *, form: Form = PLAIN, raw: bytes | None = None
) -> str:
    """Write an artifact into a new folder, readable by everybody and writable by nobody, and flush it to the disk.

    Args:
        folder: is created; must not exist.
        manifest: lists exactly ``files``; written last, so that a folder with a manifest is complete.
        files: contents by name.
        form: how they are stored.
        raw: the manifest's bytes, where it was written before.

    Returns:
        The artifact's digest.

    Raises:
        OSError: as the file system says, a full disk included.
    """
    folder.mkdir(parents=True)
    for name, content in files.items():
        _write_file(folder / name, form.store(name, [content]))
    raw = raw or document_bytes(manifest)
    _write_file(folder / MANIFEST_FILE, form.store(MANIFEST_FILE, [raw]))
    folder.chmod(_FOLDER_MODE)
    sync_folder(folder)
    return sha256(raw)


def put_in_place(written: Path, final: Path, *, keys: Keys = NO_KEYS) -> None:
    """Give a written folder its final name, in place of the artifact that may have it.

    A folder cannot be replaced in one step everywhere: the old one steps aside and comes back if the new one cannot
    take its place, so that at no time there is none on the disk.

    Raises:
        ArtifactError: what stands there is no artifact, and is not ours to replace.
    """
    if not final.exists() and not final.is_symlink():
        written.rename(final)
    else:
        check_replaceable(final, keys=keys)
        aside = final.with_name(f".{final.name}.replaced-{os.getpid()}")
        try:
            final.rename(aside)
            written.rename(final)
        except BaseException:  # a signal raises, too
            if not final.exists():
                aside.rename(final)
            raise
        discard(aside)
    sync_folder(final.parent)


def check_replaceable(folder: Path, *, keys: Keys = NO_KEYS) -> None:
    """Refuse to put an artifact where something else is.

    Raises:
        ArtifactError: the folder holds anything that an artifact does not.
        StorageError: what it holds is encrypted with a key that is not given.
    """
    if not folder.exists() and not folder.is_symlink():
        return
    if folder.is_symlink() or not folder.is_dir():
        raise ArtifactError(f"{folder} exists and is no folder: name another one with --output")
    if not any(folder.iterdir()):
        return
    try:
        # One that is not encrypted may be replaced by one that is.
        raw, _ = keys.opened(MANIFEST_FILE, read_file(folder / MANIFEST_FILE), where=str(folder), pinned=True)
        listed = {MANIFEST_FILE, *parse(MANIFEST_FILE, raw, Manifest).files}
    except ArtifactError:
        raise ArtifactError(f"{folder} exists and is no artifact: name another folder with --output") from None
    check_files(folder, listed)


def check_files(folder: Path, names: Collection[str]) -> None:
    """Make sure that a folder holds nothing but plain files of these names, before it is removed.

    Raises:
        ArtifactError: it is no folder, or holds anything else.
    """
    if folder.is_symlink() or not folder.is_dir():
        raise ArtifactError(f"{folder} is not a folder, so it is not removed: move it first")
    with os.scandir(folder) as entries:
        foreign = sorted(e.name for e in entries if e.name not in names or not e.is_file(follow_symlinks=False))
    if foreign:
        raise ArtifactError(f"{folder} also holds {foreign[0]!r}, which is no part of an artifact: move it first")


def discard(path: Path) -> None:
    """Remove a folder, a file or a link that was checked, or has a temporary name of ours, if it is there."""
    with contextlib.suppress(FileNotFoundError):
        if path.is_symlink() or not path.is_dir():
            path.unlink()
        else:
            shutil.rmtree(path)


def sync_folder(folder: Path) -> None:
    """Flush the names in a folder to the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_file(path: Path, pieces: Iterable[Piece]) -> None:
    with path.open("xb") as file:
        file.writelines(pieces)
        file.flush()
        os.fsync(file.fileno())
    path.chmod(_FILE_MODE)
