"""Writing an artifact: every file first, the manifest last, then one rename."""

import contextlib
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel

from modelservice.artifact.errors import ArtifactError
from modelservice.artifact.files import sha256
from modelservice.contract.manifest import MANIFEST_FILE, FileEntry, Manifest

_FILE_MODE = 0o444
_FOLDER_MODE = 0o755


def document_bytes(document: BaseModel) -> bytes:
    """A document as it is stored: the same value gives the same bytes."""
    return document.model_dump_json(indent=1).encode() + b"\n"


def file_entries(files: Mapping[str, bytes]) -> dict[str, FileEntry]:
    """What a manifest says of some files."""
    return {name: FileEntry(sha256=sha256(files[name]), size=len(files[name])) for name in sorted(files)}


def write(folder: Path, manifest: Manifest, files: Mapping[str, bytes]) -> str:
    """Write an artifact into a new folder, readable by everybody and writable by nobody, and flush it to the disk.

    Args:
        folder: is created; must not exist.
        manifest: lists exactly ``files``; written last, so that a folder with a manifest is complete.
        files: contents by name.

    Returns:
        The artifact's digest.

    Raises:
        OSError: as the file system says, a full disk included.
    """
    folder.mkdir(parents=True)
    for name, content in files.items():
        _write_file(folder / name, content)
    raw = document_bytes(manifest)
    _write_file(folder / MANIFEST_FILE, raw)
    folder.chmod(_FOLDER_MODE)
    sync_folder(folder)
    return sha256(raw)


def publish(written: Path, final: Path) -> None:
    """Give a written folder its final name, in place of the artifact that may have it.

    A folder cannot be replaced in one step everywhere: the old one steps aside and comes back if the new one cannot
    take its place, so that at no time there is none on the disk.

    Raises:
        ArtifactError: what stands there is no artifact, and is not ours to replace.
    """
    if not final.exists() and not final.is_symlink():
        written.rename(final)
    else:
        check_replaceable(final)
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


def check_writable(scratch: Path) -> None:
    """Find out before the work whether its result can be stored there.

    Raises:
        OSError: as the file system says.
    """
    discard(scratch)
    scratch.mkdir(parents=True)
    scratch.rmdir()


def check_replaceable(folder: Path) -> None:
    """Refuse to put an artifact where something else is.

    Raises:
        ArtifactError: the folder holds anything that an artifact does not.
    """
    if not folder.exists() and not folder.is_symlink():
        return
    if folder.is_symlink() or not folder.is_dir():
        raise ArtifactError(f"{folder} exists and is no folder: name another one with --output")
    names = {entry.name for entry in folder.iterdir()}
    if not names:
        return
    try:
        listed = set(Manifest.model_validate_json((folder / MANIFEST_FILE).read_bytes()).files) | {MANIFEST_FILE}
    except (OSError, ValueError):
        raise ArtifactError(f"{folder} exists and is no artifact: name another folder with --output") from None
    if foreign := sorted(names - listed):
        raise ArtifactError(f"{folder} also holds {foreign[0]!r}, which is no part of an artifact: move it first")


def discard(folder: Path) -> None:
    """Remove a folder of ours, if it is there."""
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(folder)


def sync_folder(folder: Path) -> None:
    """Flush the names in a folder to the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_file(path: Path, content: bytes) -> None:
    with path.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    path.chmod(_FILE_MODE)
