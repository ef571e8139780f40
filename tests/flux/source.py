"""What Flux applies: files of a bucket in the cluster's object store, and Kustomizations of their folders."""

import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import obstore
from tests.cluster.network import BRIDGE_IP
from tests.cluster.object_store import BUCKETS, PORT, REGION
from tests.flux.installed import BUCKET, KUSTOMIZATION
from tests.support.e2e import PATIENCE_SECONDS, Space, condition
from tests.support.helm import ROOT
from tests.support.how_to import shown_objects
from tests.support.object_store import make_bucket, object_store_credentials, open_bucket

from modelservice_operator.objects import Kind

Object = dict[str, Any]
Holds = Callable[[Object], bool]

PAGE = ROOT / "docs" / "how-to" / "flux.md"
NAME = "models"
LABEL = "kustomize.toolkit.fluxcd.io/name"
"""On all that a Kustomization applied: its name."""
HEALTH_CHECK_FAILED = "HealthCheckFailed"


@dataclass(frozen=True)
class Source:
    """A bucket, of the namespace's name, as Git would be: Flux is told of a commit when it is all there."""

    space: Space

    def commit(self, files: Mapping[str, str], *, without: Sequence[str] = ()) -> str:
        """Write files, delete others, and answer with the revision that Flux has of it."""
        before = _revision(self.space.api.get(BUCKET, self.space.name, NAME) or {})
        _put(self.space, files)
        for path in without:
            obstore.delete(open_bucket(self.space.name), path)
        asked = is_done(ask(self.space, BUCKET, NAME))

        def is_fetched(bucket: Object) -> bool:
            return asked(bucket) and _revision(bucket) != before

        return _revision(wait(self.space, BUCKET, NAME, is_fetched, what="the commit is fetched"))

    def follow(self, folder: str) -> None:
        """Make the Kustomization of the how-to page for a folder of this source and the namespace, named as it is."""
        (shown,) = (one for one in shown_objects(PAGE) if one["kind"] == KUSTOMIZATION.kind)
        spec = {name: value for name, value in shown["spec"].items() if name != "dependsOn"}
        ours = {
            "path": f"./{folder}",
            "sourceRef": {"kind": "Bucket", "name": NAME},
            "targetNamespace": self.space.name,
        }
        metadata = {"name": folder, "namespace": self.space.name}
        self.space.administer({**shown, "metadata": metadata, "spec": {**spec, **ours}})


@contextmanager
def bucket_of(space: Space, files: Mapping[str, str]) -> Iterator[Source]:
    """Make a bucket with files that Flux has fetched, and looks at again when it is told to; it is gone afterwards."""
    make_bucket(space.name)
    _put(space, files)
    metadata = {"name": NAME, "namespace": space.name}
    user = object_store_credentials()
    keys = {"accesskey": user.access_key_id, "secretkey": user.secret_access_key}
    space.administer({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": keys})
    spec = {
        "interval": "1h",
        "bucketName": space.name,
        "endpoint": f"{BRIDGE_IP}:{PORT}",
        "region": REGION,
        "insecure": True,
        "secretRef": {"name": NAME},
    }
    space.administer({"apiVersion": BUCKET.api_version, "kind": BUCKET.kind, "metadata": metadata, "spec": spec})
    try:
        # A look that is asked for before the first one is over would count as done with that one.
        wait(space, BUCKET, NAME, lambda bucket: _revision(bucket) != "", what="the first files are fetched")
        yield Source(space)
    finally:
        shutil.rmtree(BUCKETS / space.name)


def ask(space: Space, kind: Kind, name: str) -> str:
    """Ask for a reconciliation now, as ``flux reconcile`` does; answer with the mark that it has when it is done."""
    mark = secrets.token_hex(4)
    space.as_admin("annotate", "--overwrite", kind.plural, name, f"reconcile.fluxcd.io/requestedAt={mark}")
    return mark


def is_done(mark: str) -> Holds:
    """Whether what was asked for is done, and well."""

    def holds(obj: Object) -> bool:
        ready = condition(obj, "Ready").get("status") == "True"
        return bool(ready and obj["status"].get("lastHandledReconcileAt") == mark)

    return holds


def has_applied(revision: str) -> Holds:
    """Whether a Kustomization is Ready with this revision."""

    def holds(obj: Object) -> bool:
        ready = condition(obj, "Ready").get("status") == "True"
        return bool(ready and obj["status"].get("lastAppliedRevision") == revision)

    return holds


def is_checking(obj: Object) -> bool:
    """Whether Flux says that what it applied is in progress."""
    words = condition(obj, "Healthy").get("message", "")
    said = [condition(obj, kind).get("status") for kind in ("Ready", "Healthy", "Reconciling")]
    return said == ["Unknown", "Unknown", "True"] and words.startswith("Running health checks")


def has_failed(obj: Object) -> bool:
    """Whether Flux says that what it applied failed."""
    ready = condition(obj, "Ready")
    return (ready.get("status"), ready.get("reason")) == ("False", HEALTH_CHECK_FAILED)


def wait(space: Space, kind: Kind, name: str, holds: Holds, *, what: str) -> Object:
    """Wait until an object of Flux is in a state, and answer with it."""
    for obj in space.api.states(kind, space.name, name, seconds=PATIENCE_SECONDS):
        if holds(obj):
            return obj
    last = space.api.get(kind, space.name, name)
    raise AssertionError(f"{kind.kind} {name}, {what}: not within {PATIENCE_SECONDS:.0f} s; it is {last}")


def _put(space: Space, files: Mapping[str, str]) -> None:
    store = open_bucket(space.name)
    for path, content in files.items():
        obstore.put(store, path, content.encode())


def _revision(bucket: Object) -> str:
    """What Flux has fetched of a bucket; nothing where it is not Ready."""
    ready = condition(bucket, "Ready").get("status") == "True"
    revision: str = bucket.get("status", {}).get("artifact", {}).get("revision", "")
    return revision if ready else ""
