"""An artifact that was made elsewhere, read from a folder, a store or a web server."""

import os
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from itertools import starmap
from pathlib import Path
from typing import NamedTuple

from modelservice.artifact.errors import ArtifactError, StorageUnavailableError
from modelservice.artifact.files import MAX_MANIFEST_BYTES, check_size, read_file
from modelservice.artifact.keys import read_keys
from modelservice.artifact.load import Artifact, Hashed, collected, verify
from modelservice.artifact.sealing import PLAIN, Form
from modelservice.artifact.stores.objects import object_name
from modelservice.contract.digests import sha256
from modelservice.contract.failure import DataError, StorageError
from modelservice.contract.locations import FILE_SCHEME
from modelservice.contract.manifest import MANIFEST_FILE, FileEntry
from modelservice.modalities.objects import SECRET_FIELD, DataUnavailableError, open_objects

Read = Callable[[str, int], bytes | None]
"""A file below the artifact's address and how many bytes it may have, to its content; None where it is not there."""
_FILE = f"{FILE_SCHEME}://"


class Named(NamedTuple):
    """Which artifact is meant: its address, its digest, the field that says so, and what says keys to its store.

    ``place`` is the option that names its address, where the field does not.
    """

    uri: str
    digest: str
    field: str
    keys: str
    place: str | None = None


def read_folder(folder: Path, named: Named) -> Artifact:
    """An artifact in a folder, which may be a copy of object storage; for errors see ``read_elsewhere``."""
    return _verified(named, partial(_read_file, folder))


def read_elsewhere(named: Named, *, opened: Callable[[], AbstractContextManager[object]] = nullcontext) -> Artifact:
    """What lies under a URI, encrypted or not; the environment names the keys, as it does for artifacts of one's own.

    Args:
        named: which one.
        opened: while it holds, the environment has the variables that open the store.

    Raises:
        StorageError: it may not be read, is not there, is another one, none that can be trusted, or encrypted with a
            key that is not given.
        StorageUnavailableError: its store fails, as it may for a while.
    """
    if named.uri.startswith(_FILE):
        return read_folder(Path(named.uri.removeprefix(_FILE)), named)

    def read(name: str, limit: int) -> bytes | None:
        return _read_object(named, opened, name, limit)

    return _verified(named, read)


def _read_file(folder: Path, name: str, limit: int) -> bytes | None:
    path = folder / name
    return read_file(path, limit=limit) if path.exists() or path.is_symlink() else None


def _read_object(
    named: Named, opened: Callable[[], AbstractContextManager[object]], name: str, limit: int
) -> bytes | None:
    try:
        with opened():
            objects = open_objects(f"{named.uri}/{name}", field=named.field)
        return objects.read(objects.path, limit=limit)
    except DataUnavailableError as error:
        raise StorageUnavailableError("StorageUnavailable", _said(error.message, named), field=named.field) from None
    except DataError as error:
        if error.reason == "DataNotFound":
            return None
        if error.reason == "DataTooLarge":
            raise ArtifactError(f"{name} in {named.uri} has more than the {limit} bytes that are read") from None
        raise StorageError("ArtifactNotRead", _said(error.message, named), field=named.field) from None


def _said(message: str, named: Named) -> str:
    return message.replace(SECRET_FIELD, named.keys)


def _verified(named: Named, read: Read) -> Artifact:
    try:
        stored = read(MANIFEST_FILE, MAX_MANIFEST_BYTES)
        if stored is None:
            place = named.place or f"{named.field}.uri"
            message = f"{named.uri} has no {MANIFEST_FILE}: correct {place}, or put an artifact there"
            raise StorageError("ArtifactNotFound", message)
        raw, form = read_keys(os.environ).opened(MANIFEST_FILE, stored, where=named.uri, pinned=True)
        if (found := sha256(raw)) != named.digest:
            message = f"{named.uri} has the digest {found}, and {named.digest} is asked for: name the one that you mean"
            raise StorageError("ArtifactChanged", message, field=f"{named.field}.digest")
        return verify(raw, lambda files: starmap(_Files(named, read, form).content, files.items()), where=named.uri)
    except ArtifactError as error:
        message = f"{error}: put the whole artifact there, or name another one in {named.place or named.field}"
        raise StorageError("ArtifactInvalid", message) from None


class _Files:
    """The listed files, under the names of object storage, or of a folder that was copied there.

    Under a name that is not there a store may say that it may not be read, and a web server give a page of its own. So
    each file is looked for in both places, first where the one before it was.
    """

    def __init__(self, named: Named, read: Read, form: Form) -> None:
        self._named, self._read, self._form = named, read, form
        self._copied = False

    def content(self, name: str, entry: FileEntry) -> Hashed:
        check_size(name, entry.size, expected=entry.size)
        error: ArtifactError | StorageError | None = None
        for copied in (self._copied, not self._copied):
            try:
                found = self._content(name if copied else object_name(name, entry, self._form), name, entry)
            except StorageUnavailableError:
                raise
            except (ArtifactError, StorageError) as caught:
                error = error or caught
                continue
            if found is not None:
                self._copied = copied
                return found
        raise error or ArtifactError(f"{name} is missing in {self._named.uri}")

    def _content(self, path: str, name: str, entry: FileEntry) -> Hashed | None:
        stored = self._read(path, self._form.size(entry.size))
        if stored is None:
            return None
        found = Hashed.of(stored) if self._form is PLAIN else collected(self._form.restore(name, [stored]))
        if found.sha256 != entry.sha256:
            raise ArtifactError(f"{name} in {self._named.uri} is not what the manifest lists: its sha256 differs")
        return found
