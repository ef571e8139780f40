"""Where a serving pod keeps what it downloads: a folder of its own, or a claim that many share."""

from typing import NamedTuple

from modelservice.contract.artifacts import Artifacts
from modelservice.contract.places import CACHE_PATH
from modelservice.contract.quantities import canonical_quantity
from modelservice_operator.domain.records import StageRecord
from modelservice_operator.domain.stores import Store
from modelservice_operator.objects import Object

_VOLUME = "cache"
_BESIDES = 16
"""MiB of an empty folder beside the files of its artifact: the manifest, and what a file system adds to each."""
_MOST = 2**20
"""MiB that a report is believed: no artifact is as large."""


class BuiltCache(NamedTuple):
    """Volumes and mounts of a cache, and what the server is told of it; nothing where nothing is downloaded."""

    volumes: tuple[Object, ...] = ()
    mounts: tuple[Object, ...] = ()
    path: str | None = None
    size: str | None = None


def build_cache(artifacts: Artifacts, record: StageRecord, store: Store) -> BuiltCache:
    """The cache of a pod that serves a recorded artifact.

    A container that starts again finds what the one before it downloaded, or began to; of an empty folder of the
    pod's own that ends with the pod. It is just large enough: the kubelet evicts a pod whose folder outgrows its limit.
    """
    if not store.downloads:
        return BuiltCache()
    if artifacts.cache is not None:
        source: Object = {"persistentVolumeClaim": {"claimName": artifacts.cache.claim_name}}
        size = canonical_quantity(artifacts.cache.size)
    else:
        needed = min(max(0, record.artifact_bytes) >> 20, _MOST) + _BESIDES
        source = {"emptyDir": {"sizeLimit": canonical_quantity(f"{needed + _BESIDES}Mi")}}
        size = canonical_quantity(f"{needed}Mi")
    volume, mount = {"name": _VOLUME, **source}, {"name": _VOLUME, "mountPath": CACHE_PATH}
    return BuiltCache(volumes=(volume,), mounts=(mount,), path=CACHE_PATH, size=size)
