"""Where artifacts are stored: one module for each kind of store, one line for each in ``STORES``."""

from modelservice.contract.artifacts import Artifacts, VolumeClaim
from modelservice.contract.resource import ModelServiceSpec
from modelservice_operator.config import Settings
from modelservice_operator.domain.records import StageRecord
from modelservice_operator.domain.stores.base import Access, Location, Portability, Store
from modelservice_operator.domain.stores.image_registry import ImageRegistry
from modelservice_operator.domain.stores.object_storage import ObjectStorage
from modelservice_operator.domain.stores.volume_claim import VolumeClaimStore

__all__ = [
    "STORES",
    "Access",
    "Location",
    "Portability",
    "Store",
    "location_of",
    "settled_artifacts",
    "store_at",
    "store_of",
]

STORES: tuple[Store, ...] = (VolumeClaimStore(), ObjectStorage(), ImageRegistry())

_DEFAULT = Artifacts(volume_claim=VolumeClaim())


def settled_artifacts(spec: ModelServiceSpec, settings: Settings) -> Artifacts:
    """Where artifacts go: the ModelService's own word, else the chart's, else a ReadWriteOnce claim."""
    return spec.artifacts or settings.default_artifacts or _DEFAULT


def store_of(artifacts: Artifacts) -> Store:
    """The store that ``spec.artifacts`` asks for."""
    return next(store for store in STORES if store.choice == artifacts.choice)


def store_at(uri: str) -> Store | None:
    """The store of a recorded artifact; None where this release knows none for its scheme."""
    scheme = uri.partition("://")[0]
    return next((store for store in STORES if scheme in store.schemes), None)


def location_of(record: StageRecord, artifacts: Artifacts) -> tuple[Store, Location]:
    """The store of a recorded artifact, and where it lies in it; ``artifacts`` are those of the spec now."""
    store = store_at(record.artifact.uri)
    assert store is not None  # noqa: S101 - records of unknown stores are not read
    return store, store.recall(record.artifact, artifacts)
