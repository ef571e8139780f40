"""An artifact that was made elsewhere, read from a folder, a store or a web server."""

import os
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from pathlib import Path

from modelservice.artifact.errors import ArtifactError, StorageUnavailableError
from modelservice.artifact.files import MAX_MANIFEST_BYTES, read_file, size_limit
from modelservice.artifact.load import Artifact, Hashed, verify
from modelservice.artifact.stores.objects import object_name
from modelservice.contract.digests import sha256
from modelservice.contract.failure import DataError, StorageError
from modelservice.contract.manifest import MANIFEST_FILE, FileEntry
from modelservice.contract.work_order import FetchWork
from modelservice.modalities.objects import SECRET_FIELD, DataUnavailableError, open_objects
from modelservice.stages.data_variables import data_variables

Read = Callable[[str, int], bytes | None]
"""A file below the artifact's address and how many bytes it may have, to its content; None where it is not there."""


def read_fetched(mounted: Path, work: FetchWork) -> Artifact:
    """What the order of a pod names, below ``mounted`` where it lies on a claim; for errors see ``read_elsewhere``."""
    if work.file is not None:
        return read_folder(mounted / work.file, work)
    return read_elsewhere(work, prefixed=True)


def read_folder(folder: Path, work: FetchWork) -> Artifact:
    """An artifact in a folder, which may be a copy of object storage; for errors see ``read_elsewhere``."""
    return _verified(work, partial(_read_file, folder))


def read_elsewhere(work: FetchWork, *, prefixed: bool = False) -> Artifact:
    """What lies under a URI.

    Args:
        work: names it.
        prefixed: whether the variables that open it have the prefix of data, beside those of the store that is written.

    Raises:
        StorageError: it may not be read, is not there, is another one, or none that can be trusted.
        StorageUnavailableError: its store fails, as it may for a while.
    """
    return _verified(work, partial(_read_object, work, prefixed))


def _read_file(folder: Path, name: str, limit: int) -> bytes | None:
    path = folder / name
    return read_file(path, limit=limit) if path.exists() or path.is_symlink() else None


def _read_object(work: FetchWork, prefixed: bool, name: str, limit: int) -> bytes | None:
    try:
        with data_variables(os.environ) if prefixed else nullcontext():
            objects = open_objects(f"{work.source.uri}/{name}", field=work.field)
        return objects.read(objects.path, limit=limit)
    except DataUnavailableError as error:
        raise StorageUnavailableError("StorageUnavailable", _said(error.message, work), field=work.field) from None
    except DataError as error:
        if error.reason == "DataNotFound":
            return None
        if error.reason == "DataTooLarge":
            raise ArtifactError(f"{name} in {work.source.uri} has more than the {limit} bytes that are read") from None
        raise StorageError("ArtifactNotRead", _said(error.message, work), field=work.field) from None


def _said(message: str, work: FetchWork) -> str:
    return message.replace(SECRET_FIELD, f"{work.field}.secretRef")


def _verified(work: FetchWork, read: Read) -> Artifact:
    """All files, under the names of object storage, or of a folder that was copied there."""

    def content(name: str, entry: FileEntry) -> Hashed:
        for place in (object_name(name, entry), name):
            if (found := read(place, size_limit(name))) is not None:
                return Hashed.of(found)
        raise ArtifactError(f"{name} is missing in {work.source.uri}")

    wanted = work.source.digest
    try:
        raw = read(MANIFEST_FILE, MAX_MANIFEST_BYTES)
        if raw is None:
            message = f"{work.source.uri} has no {MANIFEST_FILE}: correct {work.field}.uri, or put an artifact there"
            raise StorageError("ArtifactNotFound", message)
        if (found := sha256(raw)) != wanted:
            message = f"{work.source.uri} has the digest {found}, and {wanted} is asked for: name the one that you mean"
            raise StorageError("ArtifactChanged", message, field=f"{work.field}.digest")
        return verify(raw, content, where=work.source.uri)
    except ArtifactError as error:
        message = f"{error}: put the whole artifact there, or name another one in {work.field}"
        raise StorageError("ArtifactInvalid", message) from None
