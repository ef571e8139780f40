"""Checkpoints below the address of an artifact in object storage."""

import contextlib
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Final

from modelservice.artifact.answers import is_missing_object, told_apart
from modelservice.artifact.errors import ArtifactError
from modelservice.artifact.keys import NO_KEYS, Keys
from modelservice.artifact.stores.base import StoreOptions, checkpoint_name, sealed_name
from modelservice.artifact.stores.objects import CHECKPOINTS, objects_at, put_pieces, storage_error

if TYPE_CHECKING:
    from obstore.store import ObjectStore

_RETRY_SECONDS: Final = 5.0
"""Work stands still meanwhile, and a process that was asked to end has no more time: the next one may go better."""


class ObjectCheckpoints:
    """Objects in the folder ``checkpoints`` below the artifact; see ``Checkpoints``."""

    def __init__(self, objects: "ObjectStore", *, address: str, keys: Keys = NO_KEYS) -> None:
        """Args: the artifact's prefix as obstore knows it, its address for messages, and keys."""
        self._objects = objects
        self._keys = keys
        self._address = address

    def read(self, name: str, *, limit: int) -> bytes | None:
        """Download an object, whose size is checked before; see ``Checkpoints``."""
        with self._said():
            try:
                result = self._objects.get(_path(name))
            except FileNotFoundError as error:
                if not is_missing_object(error):
                    raise  # no bucket, for one
                return None
            if (size := result.meta["size"]) > self._keys.form.size(limit):
                raise ArtifactError(f"{_path(name)} in {self._address} has {size} bytes, at most {limit} are read")
            stored = bytes(result.bytes())
        return self._keys.opened(self._sealed_name(name), stored, where=self._address)[0]

    def write(self, name: str, *content: bytes | memoryview) -> None:
        """Upload an object, which takes the place of the one before when it is complete; see ``Checkpoints``."""
        form = self._keys.form
        with self._said():
            stored = form.store(self._sealed_name(name), content)
            put_pieces(self._objects, _path(name), stored, size=form.size(sum(map(len, content))))

    def discard(self) -> None:
        """Remove all objects of the folder; see ``Checkpoints``."""
        with self._said():
            paths = [str(found["path"]) for batch in self._objects.list(f"{CHECKPOINTS}/") for found in batch]
        for path in paths:
            with self._said(), contextlib.suppress(FileNotFoundError):
                self._objects.delete(path)

    def _sealed_name(self, name: str) -> str:
        return sealed_name(self._address.rpartition("/")[2], name)

    def _said(self) -> AbstractContextManager[None]:
        return told_apart(lambda answer: storage_error(self._address, answer))


def open_object_checkpoints(address: str, options: StoreOptions) -> ObjectCheckpoints:
    """Those below a URI.

    Raises:
        StorageError: what the environment says of the store cannot be.
    """
    return ObjectCheckpoints(objects_at(address, seconds=_RETRY_SECONDS), address=address, keys=options.keys)


def _path(name: str) -> str:
    return f"{CHECKPOINTS}/{checkpoint_name(name)}"
