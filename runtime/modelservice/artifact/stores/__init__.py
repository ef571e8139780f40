"""Where artifacts are kept; the scheme of an address says where: object storage, a registry, or a folder."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from modelservice.artifact.errors import ArtifactError
from modelservice.artifact.keys import read_keys
from modelservice.artifact.load import Artifact
from modelservice.artifact.stores.base import Checkpoints, Store, StoreOptions
from modelservice.artifact.stores.folder import open_folder
from modelservice.artifact.stores.folder_checkpoints import open_folder_checkpoints
from modelservice.artifact.stores.forgiving import ForgivingCheckpoints, NoCheckpoints
from modelservice.artifact.stores.images import SCHEMES as IMAGE_SCHEMES
from modelservice.artifact.stores.images import open_image_checkpoints, open_images
from modelservice.artifact.stores.object_checkpoints import open_object_checkpoints
from modelservice.artifact.stores.objects import SCHEMES as OBJECT_SCHEMES
from modelservice.artifact.stores.objects import open_objects

if TYPE_CHECKING:
    from modelservice.artifact.cache import Cache

__all__ = [
    "STORES",
    "Checkpoints",
    "ForgivingCheckpoints",
    "NoCheckpoints",
    "Store",
    "StoreKind",
    "StoreOptions",
    "load_artifact",
    "open_checkpoints",
    "open_store",
]

Clock = Callable[[], float]


class StoreKind(NamedTuple):
    """One kind of store: the schemes of its addresses, and how one is opened."""

    schemes: tuple[str, ...]
    open: Callable[[str, StoreOptions], Store]
    open_checkpoints: Callable[[str, StoreOptions], Checkpoints]


STORES: tuple[StoreKind, ...] = (
    StoreKind(OBJECT_SCHEMES, open_objects, open_object_checkpoints),
    StoreKind(IMAGE_SCHEMES, open_images, open_image_checkpoints),
    StoreKind(("",), open_folder, open_folder_checkpoints),
)


def open_store(
    address: str | Path, *, scratch: str = "local", now: Clock = time.time, cache: "Cache | None" = None
) -> Store:
    """The store of an address: ``s3://``, ``gs://``, ``az://``, ``oci://``, or the path of a folder.

    What it is opened with, credentials and the keys of encrypted artifacts, the environment says.

    Args:
        address: ends with the artifact's own folder or key.
        scratch: makes temporary names unique between pods.
        now: the time as file systems have it, for what is stale.
        cache: where what is downloaded is kept; a folder needs none.

    Raises:
        ArtifactError: there is no store for such addresses.
        StorageError: what the environment says of the store, or of keys, cannot be.
    """
    options = StoreOptions(scratch=scratch, now=now, cache=cache, keys=read_keys(os.environ))
    return _kind_of(str(address)).open(str(address), options)


def open_checkpoints(address: str | Path, *, scratch: str = "local") -> Checkpoints:
    """Where work on the artifact of an address keeps what it has come to; see ``open_store``.

    Raises:
        ArtifactError: there is no store for such addresses.
        StorageError: what the environment says of the store, or of keys, cannot be.
    """
    options = StoreOptions(scratch=scratch, keys=read_keys(os.environ))
    return _kind_of(str(address)).open_checkpoints(str(address), options)


def load_artifact(address: str | Path, *, digest: str | None = None, cache: "Cache | None" = None) -> Artifact:
    """Read and verify the artifact at an address; see ``open_store``.

    Raises:
        ArtifactError: there is none, or not the wanted one, or it is damaged.
        StorageError, OSError: the store refuses, or fails.
    """
    artifact = open_store(address, cache=cache).load(digest=digest)
    if artifact is None:
        raise ArtifactError(f"there is no artifact in {address}: train a model first, or name the folder of one")
    return artifact


def _kind_of(address: str) -> StoreKind:
    scheme = address.partition("://")[0] if "://" in address else ""
    for kind in STORES:
        if scheme in kind.schemes:
            return kind
    known = ", ".join(f"{scheme}://" for kind in STORES for scheme in kind.schemes if scheme)
    raise ArtifactError(f"{address}: artifacts are kept in a folder or under {known}, not under {scheme}://")
