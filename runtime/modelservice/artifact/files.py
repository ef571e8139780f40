"""Reading and hashing single files of an artifact, without following links."""

import hashlib
import os
import stat
from pathlib import Path

from modelservice.artifact.errors import ArtifactError
from modelservice.contract.manifest import WEIGHTS_FILE

MAX_MANIFEST_BYTES = 2**20
MAX_DOCUMENT_BYTES = 64 * 2**20
MAX_WEIGHTS_BYTES = 16 * 2**30


def sha256(content: bytes) -> str:
    """``sha256:...`` of some bytes."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def size_limit(name: str) -> int:
    """Most bytes that a listed file may have."""
    return MAX_WEIGHTS_BYTES if name == WEIGHTS_FILE else MAX_DOCUMENT_BYTES


def read_file(path: Path, *, limit: int, expected_size: int | None = None) -> bytes:
    """The content of a regular file, whose size is checked before it is read.

    Raises:
        ArtifactError: it is no regular file, is larger than the limit, or not of the expected size.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise ArtifactError(f"{path.name} is missing in {path.parent}") from None
    except OSError as error:
        raise ArtifactError(f"{path.name} cannot be read as a plain file: {error.strerror}") from None
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        os.close(descriptor)
        raise ArtifactError(f"{path.name} is not a plain file; an artifact holds neither links nor folders")
    with os.fdopen(descriptor, "rb") as file:
        if expected_size is not None and status.st_size != expected_size:
            raise ArtifactError(f"{path.name} has {status.st_size} bytes, the manifest says {expected_size}")
        if status.st_size > limit:
            raise ArtifactError(f"{path.name} has {status.st_size} bytes, at most {limit} are read")
        content = file.read(limit + 1)
    if len(content) != status.st_size:
        raise ArtifactError(f"{path.name} changed while it was read")
    return content
