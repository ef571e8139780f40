"""Labels, ownership and the stamp that every child carries."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from modelservice.contract.keys import hash_of, short_hash
from modelservice.contract.resource import API_VERSION, KIND
from modelservice_operator.constants import (
    ANNOTATION_APPLIED,
    LABEL_KEY,
    LABEL_NAME,
    LABEL_STAGE,
    MANAGED_BY,
    MANAGED_BY_LABEL,
    STAGE_KEEP,
)
from modelservice_operator.domain.drift import item_key
from modelservice_operator.domain.names import is_encoder_name, parse_job_name, parse_key
from modelservice_operator.kinds import (
    CONFIG_MAP,
    CONTROLLER_REVISION,
    DEPLOYMENT,
    JOB,
    METADATA_KINDS,
    NETWORK_POLICY,
    PERSISTENT_VOLUME_CLAIM,
    SERVICE,
)
from modelservice_operator.objects import Kind, Object

PARTNER_KINDS = (PERSISTENT_VOLUME_CLAIM, CONTROLLER_REVISION)
"""What may outlive its ModelService: a claim and what is recorded of it, each held by the other."""

_PARTNERS = frozenset(kind.kind for kind in PARTNER_KINDS)
_METADATA_ONLY = frozenset((kind.api_version, kind.kind) for kind in METADATA_KINDS)

Children = Mapping[Kind, Sequence[Object]]
"""What a ModelService owns, by kind."""

Partner = tuple[Kind, Object]
"""What holds a child besides its ModelService, so that it outlives that."""


@dataclass(frozen=True, kw_only=True)
class Owner:
    """The ModelService that children belong to, by UID: another one of the same name has its own."""

    name: str
    namespace: str
    uid: str

    def labels(self, *, stage: str | None = None, key: str | None = None) -> dict[str, str]:
        """Standard labels, and the ones by which children are found and selected."""
        labels = {
            "app.kubernetes.io/name": "modelservice",
            "app.kubernetes.io/instance": self.name,
            MANAGED_BY_LABEL: MANAGED_BY,
            LABEL_NAME: self.name,
        }
        if stage is not None:
            labels[LABEL_STAGE] = stage
            labels["app.kubernetes.io/component"] = stage
        if key is not None:
            labels[LABEL_KEY] = key
        return labels

    def metadata(self, name: str, *, stage: str | None = None, key: str | None = None) -> Object:
        """Metadata of a child that is deleted with its owner."""
        return {
            "name": name,
            "namespace": self.namespace,
            "labels": self.labels(stage=stage, key=key),
            "ownerReferences": [
                {
                    "apiVersion": API_VERSION,
                    "kind": KIND,
                    "name": self.name,
                    "uid": self.uid,
                    "controller": True,
                    "blockOwnerDeletion": True,
                }
            ],
        }

    def labels_of(self, kind: Kind, name: str) -> dict[str, str]:
        """Labels of a child that was made once and is never built again, by its name: stage and key stand there."""
        if (
            kind in (JOB, CONFIG_MAP, SERVICE, NETWORK_POLICY)
            and (parts := parse_job_name(self.name, name)) is not None
        ):
            stage, key, _ = parts
            return self.labels(stage=stage, key=key)
        if kind in (DEPLOYMENT, SERVICE) and is_encoder_name(self.name, name):
            return self.labels(stage=STAGE_KEEP)
        if kind in (PERSISTENT_VOLUME_CLAIM, CONTROLLER_REVISION):
            return self.labels(key=parse_key(self.name, name))
        return self.labels()

    def may_adopt(self, obj: Mapping[str, Any]) -> bool:
        """Whether an object is one of ours that lost its owner, as after ``--cascade=orphan`` or out of a backup.

        It says itself that the operator made it for a ModelService of this name, has a name that ours have, and
        belongs to nobody, or to what it outlived its ModelService with.
        """
        metadata = obj["metadata"]
        if metadata["name"] != self.name and not metadata["name"].startswith(f"{self.name}-"):
            return False
        labels = metadata.get("labels") or {}
        ours = labels.get(MANAGED_BY_LABEL) == MANAGED_BY and labels.get(LABEL_NAME) == self.name
        left = all(map(_is_partner, metadata.get("ownerReferences") or ()))
        return ours and left and not metadata.get("deletionTimestamp")

    def mended(
        self, live: Mapping[str, Any], labels: Mapping[str, str], *, partners: Sequence[Partner] | None = None
    ) -> Object | None:
        """Labels and owners for a live child that lacks some of ours, its others kept; None where it lacks none.

        ``partners`` hold it besides the ModelService; None: those that it has are as good as any.
        """
        metadata = live["metadata"]
        owners: list[Object] = metadata.get("ownerReferences") or []
        held = [one for one in owners if _is_partner(one)]
        wanted = held if partners is None else [_partner(kind, obj) for kind, obj in partners]
        right = {one["uid"] for one in held} == {one["uid"] for one in wanted}
        if right and self.owns(live) and covers(metadata.get("labels") or {}, dict(labels)):
            return None
        (reference,) = self.metadata("")["ownerReferences"]
        others = [one for one in owners if one["uid"] != self.uid and one not in held]
        return {"labels": dict(labels), "ownerReferences": [*others, reference, *wanted]}

    def owns(self, obj: Mapping[str, Any]) -> bool:
        """Whether an object is a child of exactly this ModelService."""
        references = obj["metadata"].get("ownerReferences") or []
        return any(reference["uid"] == self.uid for reference in references)


def controller_uid(obj: Mapping[str, Any]) -> str | None:
    """UID of the object that made this one and looks after it, as it says; who may make pods may say so of theirs."""
    references = obj["metadata"].get("ownerReferences") or ()
    return next((reference["uid"] for reference in references if reference.get("controller")), None)


def _partner(kind: Kind, obj: Object) -> Object:
    """A reference that keeps an object for as long as ``obj`` is there, and keeps nobody from deleting ``obj``."""
    metadata = obj["metadata"]
    return {"apiVersion": kind.api_version, "kind": kind.kind, "name": metadata["name"], "uid": metadata["uid"]}


def _is_partner(reference: Mapping[str, Any]) -> bool:
    return reference["kind"] in _PARTNERS and not reference.get("controller")


def stamped(obj: Object) -> Object:
    """The object with a hash of itself, so that a field which is no longer desired shows as a difference too."""
    annotations = {**obj["metadata"].get("annotations", {}), ANNOTATION_APPLIED: _content_hash(obj)}
    return {**obj, "metadata": {**obj["metadata"], "annotations": annotations}}


def _content_hash(obj: Object) -> str:
    """By a library, since it is made anew in each pass: Python's own JSON was a tenth of one that writes nothing."""
    try:
        return hash_of(orjson.dumps(obj, option=orjson.OPT_SORT_KEYS), length=16)
    except TypeError:  # a number of more than 64 bits
        return short_hash(obj, length=16)


def is_current(live: Mapping[str, Any] | None, desired: Object) -> bool:
    """Whether applying ``desired`` (stamped) would change nothing: same stamp, and nobody changed a field of ours.

    Of a kind whose metadata is all that is watched, that is all that is compared.
    """
    if live is None or not bears_stamp(live, desired):
        return False
    if (desired.get("apiVersion"), desired.get("kind")) in _METADATA_ONLY:
        return covers(live["metadata"], desired["metadata"])
    return covers(live, desired)


def bears_stamp(live: Mapping[str, Any], desired: Object) -> bool:
    """Whether ``desired`` (stamped) is what was applied last, whatever others did to it since."""
    stamp: str = desired["metadata"]["annotations"][ANNOTATION_APPLIED]
    return bool(live["metadata"].get("annotations", {}).get(ANNOTATION_APPLIED) == stamp)


def covers(live: Any, desired: Any, *, name: str = "") -> bool:
    """Whether ``live`` has everything that ``desired`` says; what the apiserver or others added does not count.

    ``name``: of the field; items of a list that the apiserver merges are compared by what tells them apart.
    """
    if live == desired:  # in C, and true of most parts
        return True
    if isinstance(desired, dict):
        if not desired:
            return live is None or isinstance(live, dict)
        return isinstance(live, dict) and all(covers(live.get(key), value, name=key) for key, value in desired.items())
    if isinstance(desired, (list, tuple)):
        found = live or []
        if desired and None not in (keys := [item_key(name, item) for item in desired]):
            known = {item_key(name, item): item for item in found}
            return all(covers(known.get(key), item) for key, item in zip(keys, desired, strict=True))
        return len(found) == len(desired) and all(covers(*pair) for pair in zip(found, desired, strict=True))
    return live is None and not desired
