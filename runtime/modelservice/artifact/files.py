"""Single files of an artifact: how they are hashed, written down, and read without following links."""

import errno
import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

from pydantic import BaseModel

from modelservice.artifact.errors import ArtifactError
from modelservice.contract.digests import sha256
from modelservice.contract.manifest import MODEL_FILE, WEIGHTS_FILE, FileEntry

MAX_MANIFEST_BYTES = 2**20
MAX_DOCUMENT_BYTES = 64 * 2**20
MAX_MODEL_BYTES = 2**31
"""A message of protobuf, which an ONNX file is, cannot be larger."""
MAX_WEIGHTS_BYTES = 16 * 2**30
_PIECE_BYTES = 1 << 20
_PASSING = frozenset({errno.ESTALE, errno.EIO, errno.ETIMEDOUT, errno.ENOMEM, errno.EMFILE, errno.ENFILE})
"""Faults of a file system, not of a file."""


def document_bytes(document: BaseModel) -> bytes:
    """A document as it is stored: the same value gives the same bytes."""
    return document.model_dump_json(indent=1).encode() + b"\n"


def file_entries(files: Mapping[str, bytes]) -> dict[str, FileEntry]:
    """What a manifest says of some files."""
    return {name: FileEntry(sha256=sha256(files[name]), size=len(files[name])) for name in sorted(files)}


def size_limit(name: str) -> int:
    """Most bytes that a listed file may have."""
    return {WEIGHTS_FILE: MAX_WEIGHTS_BYTES, MODEL_FILE: MAX_MODEL_BYTES}.get(name, MAX_DOCUMENT_BYTES)


def check_size(name: str, size: int, *, expected: int | None = None, limit: int | None = None) -> None:
    """Refuse a file by its size, before it is read.

    Args:
        name: of the file; decides how large it may be.
        size: in bytes, as its store says.
        expected: in bytes, as the manifest says; None for the manifest itself.
        limit: most bytes, where the name does not decide.

    Raises:
        ArtifactError: it is larger than its limit, or not of the expected size.
    """
    if expected is not None and size != expected:
        raise ArtifactError(f"{name} has {size} bytes, the manifest says {expected}")
    if limit is None:
        limit = MAX_MANIFEST_BYTES if expected is None else size_limit(name)
    if size > limit:
        raise ArtifactError(f"{name} has {size} bytes, at most {limit} are read")


def read_file(path: Path, *, expected_size: int | None = None, limit: int | None = None) -> bytes:
    """The content of a regular file, whose size is checked before it is read.

    Args:
        path: of the file.
        expected_size: in bytes, as the manifest says; None for the manifest itself.
        limit: see ``check_size``.

    Raises:
        ArtifactError: it is no regular file, is larger than its limit, or not of the expected size.
        OSError: the file system fails.
    """
    with _open_plain(path, expected_size=expected_size, limit=limit) as file:
        size = os.fstat(file.fileno()).st_size
        content = file.read(size + 1)
    if len(content) != size:
        raise ArtifactError(f"{path.name} changed while it was read")
    return content


def file_pieces(path: Path, *, expected_size: int) -> Iterator[bytes]:
    """The content of a regular file in pieces; see ``read_file``."""
    with _open_plain(path, expected_size=expected_size) as file:
        left = expected_size
        while piece := file.read(min(_PIECE_BYTES, left)):
            left -= len(piece)
            yield piece
    if left:
        raise ArtifactError(f"{path.name} changed while it was read")


def _open_plain(path: Path, *, expected_size: int | None = None, limit: int | None = None) -> BinaryIO:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise ArtifactError(f"{path.name} is missing in {path.parent}") from None
    except OSError as error:
        if error.errno in _PASSING:
            raise
        raise ArtifactError(f"{path.name} cannot be read as a plain file: {error.strerror}") from None
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        os.close(descriptor)
        raise ArtifactError(f"{path.name} is not a plain file; an artifact holds neither links nor folders")
    file = os.fdopen(descriptor, "rb")
    try:
        check_size(path.name, status.st_size, expected=expected_size, limit=limit)
    except ArtifactError:
        file.close()
        raise
    return file
