"""What is: children of a ModelService, read into values that a decision can be made from."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property, lru_cache
from types import MappingProxyType
from typing import Any, NamedTuple

from modelservice.contract.artifacts import Artifacts
from modelservice.contract.documents import DocumentError
from modelservice.contract.keys import key_of
from modelservice.contract.server_flags import DIGEST, MODEL
from modelservice_operator.constants import SERVING_CONTAINER, STAGE_DELETE, WEB_PORT_NAMES
from modelservice_operator.domain.builders.record import (
    is_comparison,
    is_foreign,
    is_template,
    parse_comparison,
    parse_record,
    parse_template,
)
from modelservice_operator.domain.jobs import StageJob, parse_job
from modelservice_operator.domain.metadata import Children, Owner, controller_uid
from modelservice_operator.domain.names import canary_name, keyed_name
from modelservice_operator.domain.records import (
    ComparisonRecord,
    Revision,
    StageRecord,
    TemplateRevision,
    UnreadableRecord,
)
from modelservice_operator.domain.stores import location_of, store_at
from modelservice_operator.kinds import (
    CONTROLLED_KINDS,
    CONTROLLER_REVISION,
    DEPLOYMENT,
    JOB,
    POD,
    REPLICA_SET,
    SERVICE,
)
from modelservice_operator.objects import Kind, Object

IMAGE_REASONS = frozenset({"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"})
"""Why a container waits for its image, or for one that it mounts."""

_ENDED = frozenset({"Succeeded", "Failed"})
"""Phases of a pod that does nothing any more, as one that was evicted."""


@dataclass(frozen=True, kw_only=True)
class Workload:
    """A Deployment of ours with what its controllers made: ReplicaSets and pods, the oldest first."""

    deployment: Object
    replica_sets: tuple[Object, ...]
    pods: tuple[Object, ...]


class Head(NamedTuple):
    """A ModelService that asks another one for the numbers of rows.

    ``asks`` are the digests of the artifacts that its pods ask, and that its Deployment will; where a record of these
    cannot be read, what its status says, too.
    """

    name: str
    asks: frozenset[str]


@dataclass(frozen=True, kw_only=True)
class Observed:
    """Everything about one ModelService that decisions are made from.

    ``children`` are what it owns. ``records`` are the results of stages that can be read, by number, ``comparisons``
    those of results with what served, ``templates`` the pod templates that are stored beside them, the oldest first;
    ``jobs`` are those of stages, ``deletions`` those that delete artifacts from object storage, the oldest first;
    ``replica_sets`` and ``serving_pods`` those of our Deployment, the oldest first; ``canary`` is the Deployment beside
    it, while there is one; ``pods`` all that are labelled as ours, whosever they are; ``adoptable`` objects that were
    made for a ModelService of this name and belong to nobody. ``unsure`` is what may hold a recorded artifact and is
    none of ours, by name; None where it cannot be read. ``imposed`` are additions to children, by UID, which come back
    as soon as they are removed. ``heads`` are the ModelServices that ask this one for the numbers of rows. ``scalers``
    are HorizontalPodAutoscalers of somebody else that scale our Deployment, None where that cannot be read.
    """

    owner: Owner
    service: Object
    children: Children
    records: tuple[Revision, ...] = ()
    unreadable: tuple[UnreadableRecord, ...] = ()
    comparisons: tuple[ComparisonRecord, ...] = ()
    templates: tuple[TemplateRevision, ...] = ()
    jobs: tuple[StageJob, ...] = ()
    deletions: tuple[StageJob, ...] = ()
    deployment: Object | None = None
    replica_sets: tuple[Object, ...] = ()
    serving_pods: tuple[Object, ...] = ()
    canary: Workload | None = None
    pods: tuple[Object, ...] = ()
    adoptable: tuple[tuple[Kind, Object], ...] = ()
    unsure: Mapping[tuple[Kind, str], Object | None] = field(default_factory=dict)
    imposed: Mapping[str, frozenset[tuple[str, str]]] = field(default_factory=dict)
    heads: tuple[Head, ...] = ()
    scalers: tuple[str, ...] | None = ()

    @property
    def generation(self) -> int:
        """Generation of the spec that was read."""
        return int(self.service["metadata"].get("generation", 0))

    @property
    def version(self) -> str:
        """The version of the ModelService that was read."""
        return str(self.service["metadata"].get("resourceVersion", ""))

    @cached_property
    def deployed_key(self) -> str | None:
        """Key of the revision that the Deployment's pods are told to serve."""
        asked = told(self.deployment["spec"].get("template", {})) if self.deployment else None
        return asked.key or None if asked else None

    @cached_property
    def beside(self) -> "Observed | None":
        """The same picture with the Deployment of a canary in the place of ours; None while there is none."""
        if (canary := self.canary) is None:
            return None
        return replace(
            self,
            deployment=canary.deployment,
            replica_sets=canary.replica_sets,
            serving_pods=canary.pods,
            canary=None,
        )

    @property
    def all_serving_pods(self) -> tuple[Object, ...]:
        """Pods of a canary, then those of our Deployment."""
        return (*(self.canary.pods if self.canary else ()), *self.serving_pods)

    @cached_property
    def answering(self) -> tuple[Object, ...]:
        """Serving pods that are ready, the oldest first, whether or not a Service leads to them; no canary's."""
        return tuple(pod for pod in self.serving_pods if is_ready(pod))

    @cached_property
    def all_answering(self) -> tuple[Object, ...]:
        """Those of a canary, too, which come first."""
        return tuple(pod for pod in self.all_serving_pods if is_ready(pod))

    @cached_property
    def reached(self) -> tuple[Object, ...]:
        """Those of all ready pods that our Service leads to as it is now, not as it should be."""
        service = self.child(SERVICE, self.owner.name)
        spec = service.get("spec", {}) if service else {}
        return tuple(pod for pod in self.all_answering if _leads_to(spec, pod))

    @cached_property
    def served(self) -> Revision | None:
        """What the newest ready pod serves, a canary's only where no other is; None where no record tells of it."""
        said = told(self.all_answering[-1]) if self.all_answering else None
        record = self.record(said.key) if said else None
        return record if record is not None and said is not None and record.digest == said.digest else None

    @property
    def settled_digest(self) -> str | None:
        """Digest of ``served``; None where that is a candidate, which nobody is to be made for yet."""
        settled = self.served is not None and (bool(self.answering) or self.served.key == self.deployed_key)
        return self.served.digest if self.served is not None and settled else None

    @property
    def said_encoder(self) -> Object | None:
        """The encoder that our pods ask, as the status says it."""
        encoder: Object | None = self.service.get("status", {}).get("encoder")
        return encoder

    @cached_property
    def encoder(self) -> Object | None:
        """The encoder that our pods ask, ready or not, and those to come: of several that of the oldest pod.

        What was said before, where no record tells: it was lost, cannot be read, or nothing is deployed.
        """
        told_keys = (said.key for pod in self.serving_pods if _works(pod) and (said := told(pod)))
        for revision in map(self.record, (*told_keys, self.deployed_key)):
            if revision is None:
                return self.said_encoder
            if revision.record.encoder is not None:
                return revision.record.encoder.model_dump(mode="json")
        return None

    @cached_property
    def revisions(self) -> tuple[Revision, ...]:
        """The records with a number, the oldest first."""
        return tuple(revision for revision in self.records if revision.number > 0)

    @property
    def last_number(self) -> int:
        """The highest number that a revision has, or had: records may be lost, and some cannot be read."""
        numbers = [revision.number for revision in self.records] + [record.number for record in self.unreadable]
        return max([*numbers, int(self.service.get("status", {}).get("lastRevision", 0))])

    def number_of(self, result: Revision) -> int:
        """The number of a result without one: that of its lost record, if the status tells of it still; or the next."""
        taken = {revision.number for revision in self.records} | {record.number for record in self.unreadable}
        for said in self.service.get("status", {}).get("revisions", ()):
            same = (said["key"], said["digest"]) == (result.key, result.digest)
            if same and said["number"] not in taken:
                return int(said["number"])
        return 1 + self.last_number

    def record(self, key: str | None) -> Revision | None:
        """What is recorded of a key."""
        return next((revision for revision in self.records if revision.key == key), None)

    def comparison(self, key: str) -> ComparisonRecord | None:
        """What is recorded of a comparison of this key."""
        return next((record for record in self.comparisons if record.key == key), None)

    def holds(self, record: StageRecord, artifacts: Artifacts) -> bool:
        """Whether a recorded artifact is there to stay, or may be; ``artifacts`` are those of the spec now."""
        store, location = location_of(record, artifacts)
        return store.holds(location, self.children) or not self.unsure.keys().isdisjoint(store.holders(location))

    @cached_property
    def holders(self) -> Children:
        """The children, and what holds recorded artifacts though it is none of ours: pods mount it all the same."""
        if not self.unsure:
            return self.children
        together = {kind: list(objects) for kind, objects in self.children.items()}
        for name, found in self.unsure.items():
            if found is not None and self.child(*name) is None:
                together.setdefault(name[0], []).append(found)
        return together

    def unreadable_record(self, key: str | None) -> UnreadableRecord | None:
        """The record of a key, where it cannot be read."""
        return next((record for record in self.unreadable if record.key == key), None)

    @cached_property
    def missing_images(self) -> frozenset[str]:
        """Images that pods wait for in vain; what is to run on one of them may take the operator's current image."""
        return frozenset(
            container.get("image", "")
            for pod in (*self.all_serving_pods, *(pod for job in self.jobs for pod in job.pods))
            for container in pod.get("status", {}).get("containerStatuses", ())
            if (waiting := container.get("state", {}).get("waiting", {})).get("reason") in IMAGE_REASONS
            and not is_of_volume(pod, waiting)
        )

    def child(self, kind: Kind, name: str) -> Object | None:
        """A child of ours by kind and name."""
        return next((obj for obj in self.children.get(kind, ()) if obj["metadata"]["name"] == name), None)


def _leads_to(service: Mapping[str, Any], pod: Object) -> bool:
    """Whether a Service of this spec leads to a ready pod: it selects it, and finds the port by its name there."""
    selector, labels = service.get("selector"), pod["metadata"].get("labels") or {}
    if not selector or service.get("type") == "ExternalName" or not selector.items() <= labels.items():
        return False
    names = {port.get("name") for port in (server_of(pod) or {}).get("ports", ())}
    asked = (port.get("targetPort") for port in service.get("ports", ()) if port.get("name") in WEB_PORT_NAMES)
    return any(not isinstance(target, str) or target in names for target in asked)


def is_of_volume(pod: Object, waiting: Mapping[str, str]) -> bool:
    """Whether a container waits for the image of a volume: the kubelet gives the same reasons, and names the image."""
    volumes = pod.get("spec", {}).get("volumes", ())
    images = (volume["image"].get("reference", "") for volume in volumes if "image" in volume)
    return any(image and image in waiting.get("message", "") for image in images)


def observe(
    service: Object,
    children: Children,
    *,
    imposed: Mapping[str, frozenset[tuple[str, str]]] = MappingProxyType({}),
    heads: tuple[Head, ...] = (),
) -> Observed:
    """Read a ModelService and what carries its label; what others own, and leftovers of a namesake, are left out.

    Pods count by the controllers that made them: those of our Jobs, and of the ReplicaSets of our Deployment. Labels
    may be forged by whoever may make pods.
    """
    metadata = service["metadata"]
    owner = _owner(metadata["name"], metadata["namespace"], metadata["uid"])
    made = {kind: objects for kind, objects in children.items() if kind not in CONTROLLED_KINDS}
    ours = {kind: [obj for obj in objects if owner.owns(obj)] for kind, objects in made.items()}
    revisions = ours.get(CONTROLLER_REVISION, ())
    records, comparisons, unreadable = _records(owner, [obj for obj in revisions if not is_template(obj)])
    pods = children.get(POD, ())
    made_by: dict[str | None, list[Object]] = {}
    for pod in pods:
        made_by.setdefault(controller_uid(pod), []).append(pod)
    workloads = {
        obj["metadata"]["name"]: _workload(obj, children.get(REPLICA_SET, ()), pods) for obj in ours.get(DEPLOYMENT, ())
    }
    workload = workloads.get(owner.name)
    jobs = [parse_job(job, made_by.get(job["metadata"]["uid"], ()), service=owner.name) for job in ours.get(JOB, ())]
    return Observed(
        owner=owner,
        service=service,
        children=ours,
        records=tuple(sorted(records, key=lambda revision: revision.number)),
        unreadable=tuple(unreadable),
        comparisons=tuple(comparisons),
        templates=tuple(sorted(_templates(revisions), key=lambda template: template.number)),
        jobs=tuple(job for job in jobs if job.stage != STAGE_DELETE),
        deletions=tuple(sorted((job for job in jobs if job.stage == STAGE_DELETE), key=lambda job: _age(job.obj))),
        deployment=workload.deployment if workload else None,
        replica_sets=workload.replica_sets if workload else (),
        serving_pods=workload.pods if workload else (),
        canary=workloads.get(canary_name(owner.name)),
        pods=tuple(pods),
        adoptable=tuple(
            (kind, obj)
            for kind, objects in made.items()
            for obj in objects
            if owner.may_adopt(obj) and not (kind == CONTROLLER_REVISION and is_foreign(obj))
        ),
        imposed=imposed,
        heads=heads,
    )


@lru_cache(maxsize=1024)
def _owner(name: str, namespace: str, uid: str) -> Owner:
    """The same one in each pass, so that what is built for it is remembered (see ``remembering``)."""
    return Owner(name=name, namespace=namespace, uid=uid)


def _workload(deployment: Object, replica_sets: Iterable[Object], pods: Iterable[Object]) -> Workload:
    made = _controlled(replica_sets, [deployment])
    return Workload(deployment=deployment, replica_sets=made, pods=_controlled(pods, made))


def observe_head(service: Object, children: Children, *, encoder: str) -> Head:
    """What a ModelService and its children ask of the encoder of this name."""
    made = {kind: children[kind] for kind in (DEPLOYMENT, REPLICA_SET, POD) if kind in children}
    observed = observe(service, made)
    told_keys = {said.key for pod in observed.all_serving_pods if _works(pod) and (said := told(pod))}
    keys = {observed.deployed_key, *told_keys, *([observed.beside.deployed_key] if observed.beside else [])}
    # Heads may be many, and each has many records: those alone are read that count.
    names = {keyed_name(observed.owner.name, key) for key in keys if key}
    objects = [one for one in children.get(CONTROLLER_REVISION, ()) if one["metadata"]["name"] in names]
    records, _, _ = _records(observed.owner, [one for one in objects if observed.owner.owns(one)])
    read = [revision for revision in records if revision.key in keys]
    asked = {(one.name, one.digest) for revision in read if (one := revision.record.encoder) is not None}
    before = observed.said_encoder
    if before is not None and keys - {revision.key for revision in read}:
        asked.add((before["name"], before["digest"]))
    return Head(name=observed.owner.name, asks=frozenset(digest for name, digest in asked if name == encoder))


def _controlled(objects: Iterable[Object], controllers: Iterable[Object]) -> tuple[Object, ...]:
    """What these controllers made, the oldest first."""
    uids = {controller["metadata"]["uid"] for controller in controllers}
    return tuple(sorted((obj for obj in objects if controller_uid(obj) in uids), key=_age))


def _age(obj: Object) -> tuple[str, str]:
    return obj["metadata"].get("creationTimestamp", ""), obj["metadata"]["name"]


def _works(pod: Object) -> bool:
    return pod.get("status", {}).get("phase") not in _ENDED


def is_ready(pod: Object) -> bool:
    """Whether a pod answers: its readiness probe says so, and nobody takes it away."""
    said = {one["type"]: one["status"] for one in pod.get("status", {}).get("conditions", ())}
    return said.get("Ready") == "True" and not pod["metadata"].get("deletionTimestamp")


def ready_since(pod: Object) -> datetime | None:
    """When a pod that answers began to, as its kubelet says; None where it does not answer."""
    if not is_ready(pod):
        return None
    (ready,) = (one for one in pod["status"]["conditions"] if one["type"] == "Ready")
    return datetime.fromisoformat(ready.get("lastTransitionTime") or pod["metadata"]["creationTimestamp"])


class Told(NamedTuple):
    """What a server was told to serve, in arguments that nobody can change once the pod is made."""

    key: str
    digest: str


def told(pod: Mapping[str, Any]) -> Told | None:
    """What the server of a pod, or of a pod template, is told; None where no container is ours."""
    if server_of(pod) is None:
        return None
    args = arguments_of(pod)
    return Told(key=key_of(args.get(MODEL, "")), digest=args.get(DIGEST, ""))


def server_of(pod: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The container of a pod, or of a pod template, that is the server; None where no container is ours."""
    containers: Iterable[Mapping[str, Any]] = pod.get("spec", {}).get("containers", ())
    return next((one for one in containers if one.get("name") == SERVING_CONTAINER), None)


def image_of(pod: Mapping[str, Any]) -> str | None:
    """The image of its server; None where it is not known."""
    return (server_of(pod) or {}).get("image")


def arguments_of(pod: Mapping[str, Any]) -> dict[str, str]:
    """The flags of its server, by name."""
    arguments: Iterable[object] = (server_of(pod) or {}).get("args", ())
    split = (str(argument).partition("=") for argument in arguments)
    return {name: value for name, _, value in split}


def _templates(objects: Iterable[Object]) -> Iterator[TemplateRevision]:
    """Those that can be read: one of a newer release is built anew."""
    for obj in filter(is_template, objects):
        with suppress(DocumentError):
            yield parse_template(obj)


def _records(
    owner: Owner, objects: Sequence[Object]
) -> tuple[list[Revision], list[ComparisonRecord], list[UnreadableRecord]]:
    records: list[Revision] = []
    comparisons: list[ComparisonRecord] = []
    unreadable: list[UnreadableRecord] = []
    for obj in objects:
        try:
            if is_comparison(obj):
                comparisons.append(parse_comparison(obj))
            else:
                records.append(_readable(parse_record(obj)))
        except DocumentError as error:
            key = obj["metadata"]["name"].removeprefix(keyed_name(owner.name, ""))
            unreadable.append(UnreadableRecord(key=key, number=int(obj.get("revision", 0)), message=str(error)))
    return records, comparisons, unreadable


def _readable(revision: Revision) -> Revision:
    uri = revision.record.artifact.uri
    if store_at(uri) is None:
        raise DocumentError(f"record {revision.key}: this release knows no store for {uri[:64]!r}: use a newer release")
    return revision
