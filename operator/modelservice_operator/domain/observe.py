"""What is: children of a ModelService, read into values that a decision can be made from."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from modelservice.contract.artifacts import Artifacts
from modelservice.contract.documents import DocumentError
from modelservice.contract.server_flags import DIGEST, MODEL
from modelservice_operator.constants import SERVING_CONTAINER
from modelservice_operator.domain.builders.record import is_template, parse_record, parse_template
from modelservice_operator.domain.jobs import StageJob, parse_job
from modelservice_operator.domain.metadata import Children, Owner, controller_uid
from modelservice_operator.domain.names import keyed_name
from modelservice_operator.domain.records import Revision, StageRecord, TemplateRevision, UnreadableRecord
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
"""Why a container waits for its image."""


class Head(NamedTuple):
    """A ModelService that asks another one for the numbers of texts.

    ``asks`` are the digests of the artifacts that its pods ask, and that its Deployment will.
    """

    name: str
    asks: frozenset[str]


@dataclass(frozen=True, kw_only=True)
class Observed:
    """Everything about one ModelService that decisions are made from.

    ``children`` are what it owns. ``records`` are the results of stages that can be read, by number, ``templates`` the
    pod templates that are stored beside them, the oldest first; ``replica_sets`` and ``serving_pods`` those of our
    Deployment, the oldest first; ``pods`` all that are labelled as ours, whosever they are; ``adoptable`` objects that
    were made for a ModelService of this name and belong to nobody. ``unsure`` are names of what may hold a recorded
    artifact and is none of ours, or cannot be seen. ``imposed`` are additions to children, by UID, which
    come back as soon as they are removed. ``heads`` are the ModelServices that ask this one for the numbers of texts.
    """

    owner: Owner
    service: Object
    children: Children
    records: tuple[Revision, ...] = ()
    unreadable: tuple[UnreadableRecord, ...] = ()
    templates: tuple[TemplateRevision, ...] = ()
    jobs: tuple[StageJob, ...] = ()
    deployment: Object | None = None
    replica_sets: tuple[Object, ...] = ()
    serving_pods: tuple[Object, ...] = ()
    pods: tuple[Object, ...] = ()
    adoptable: tuple[tuple[Kind, Object], ...] = ()
    unsure: frozenset[tuple[Kind, str]] = frozenset()
    imposed: Mapping[str, frozenset[tuple[str, str]]] = field(default_factory=dict)
    heads: tuple[Head, ...] = ()

    @property
    def generation(self) -> int:
        """Generation of the spec that was read."""
        return int(self.service["metadata"].get("generation", 0))

    @property
    def version(self) -> str:
        """The version of the ModelService that was read."""
        return str(self.service["metadata"].get("resourceVersion", ""))

    @property
    def deployed_key(self) -> str | None:
        """Key of the revision that the Deployment's pods are told to serve."""
        asked = told(self.deployment["spec"].get("template", {})) if self.deployment else None
        return asked.key or None if asked else None

    @property
    def answering(self) -> tuple[Object, ...]:
        """Serving pods that are ready, the oldest first, whether or not a Service leads to them."""
        return tuple(pod for pod in self.serving_pods if is_ready(pod))

    @property
    def reached(self) -> tuple[Object, ...]:
        """Those of the ready pods that our Service selects as it is now, not as it should be."""
        service = self.child(SERVICE, self.owner.name)
        selector = service.get("spec", {}).get("selector") if service else None
        if not selector:
            return ()
        return tuple(pod for pod in self.answering if selector.items() <= (pod["metadata"].get("labels") or {}).items())

    @property
    def served(self) -> Revision | None:
        """What the newest ready pod serves; None where none is ready, or no record tells of its artifact."""
        said = told(self.answering[-1]) if self.answering else None
        record = self.record(said.key) if said else None
        return record if record is not None and said is not None and record.digest == said.digest else None

    @property
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

    def holds(self, record: StageRecord, artifacts: Artifacts) -> bool:
        """Whether a recorded artifact is there to stay, or may be; ``artifacts`` are those of the spec now."""
        store, location = location_of(record, artifacts)
        return store.holds(location, self.children) or not self.unsure.isdisjoint(store.holders(location))

    def unreadable_record(self, key: str | None) -> UnreadableRecord | None:
        """The record of a key, where it cannot be read."""
        return next((record for record in self.unreadable if record.key == key), None)

    @property
    def missing_images(self) -> frozenset[str]:
        """Images that pods wait for in vain; what is to run on one of them may take the operator's current image."""
        return frozenset(
            container.get("image", "")
            for pod in (*self.serving_pods, *(pod for job in self.jobs for pod in job.pods))
            for container in pod.get("status", {}).get("containerStatuses", ())
            if container.get("state", {}).get("waiting", {}).get("reason") in IMAGE_REASONS
        )

    def child(self, kind: Kind, name: str) -> Object | None:
        """A child of ours by kind and name."""
        return next((obj for obj in self.children.get(kind, ()) if obj["metadata"]["name"] == name), None)


def observe(service: Object, children: Children) -> Observed:
    """Read a ModelService and what carries its label; what others own, and leftovers of a namesake, are left out.

    Pods count by the controllers that made them: those of our Jobs, and of the ReplicaSets of our Deployment. Labels
    may be forged by whoever may make pods.
    """
    metadata = service["metadata"]
    owner = Owner(name=metadata["name"], namespace=metadata["namespace"], uid=metadata["uid"])
    made = {kind: objects for kind, objects in children.items() if kind not in CONTROLLED_KINDS}
    ours = {kind: [obj for obj in objects if owner.owns(obj)] for kind, objects in made.items()}
    revisions = ours.get(CONTROLLER_REVISION, ())
    records, unreadable = _records(owner, [obj for obj in revisions if not is_template(obj)])
    pods = children.get(POD, ())
    made_by: dict[str | None, list[Object]] = {}
    for pod in pods:
        made_by.setdefault(controller_uid(pod), []).append(pod)
    deployment = next((obj for obj in ours.get(DEPLOYMENT, ()) if obj["metadata"]["name"] == owner.name), None)
    replica_sets = _controlled(children.get(REPLICA_SET, ()), [deployment] if deployment else [])
    return Observed(
        owner=owner,
        service=service,
        children=ours,
        records=tuple(sorted(records, key=lambda revision: revision.number)),
        unreadable=tuple(unreadable),
        templates=tuple(sorted(_templates(revisions), key=lambda template: template.number)),
        jobs=tuple(
            parse_job(job, made_by.get(job["metadata"]["uid"], ()), service=owner.name) for job in ours.get(JOB, ())
        ),
        deployment=deployment,
        replica_sets=replica_sets,
        serving_pods=_controlled(pods, replica_sets),
        pods=tuple(pods),
        adoptable=tuple((kind, obj) for kind, objects in made.items() for obj in objects if owner.may_adopt(obj)),
    )


def observe_head(service: Object, children: Children, *, encoder: str) -> Head:
    """What a ModelService and its children ask of the encoder of this name."""
    observed = observe(service, children)
    keys = {observed.deployed_key, *(said.key for pod in observed.serving_pods if (said := told(pod)))}
    asked = (revision.record.encoder for revision in observed.records if revision.key in keys)
    digests = frozenset(one.digest for one in asked if one is not None and one.name == encoder)
    return Head(name=observed.owner.name, asks=digests)


def _controlled(objects: Iterable[Object], controllers: Iterable[Object]) -> tuple[Object, ...]:
    """What these controllers made, the oldest first."""
    uids = {controller["metadata"]["uid"] for controller in controllers}
    return tuple(sorted((obj for obj in objects if controller_uid(obj) in uids), key=_age))


def _age(obj: Object) -> tuple[str, str]:
    return obj["metadata"].get("creationTimestamp", ""), obj["metadata"]["name"]


def is_ready(pod: Object) -> bool:
    """Whether a pod answers: its readiness probe says so, and nobody takes it away."""
    said = {one["type"]: one["status"] for one in pod.get("status", {}).get("conditions", ())}
    return said.get("Ready") == "True" and not pod["metadata"].get("deletionTimestamp")


class Told(NamedTuple):
    """What a server was told to serve, in arguments that nobody can change once the pod is made."""

    key: str
    digest: str


def told(pod: Mapping[str, Any]) -> Told | None:
    """What the server of a pod, or of a pod template, is told; None where no container is ours."""
    for container in pod.get("spec", {}).get("containers", ()):
        if container.get("name") == SERVING_CONTAINER:
            args = dict(str(argument).partition("=")[::2] for argument in container.get("args", ()))
            return Told(key=args.get(MODEL, "").rpartition("/")[2], digest=args.get(DIGEST, ""))
    return None


def _templates(objects: Iterable[Object]) -> Iterator[TemplateRevision]:
    """Those that can be read: one of a newer release is built anew."""
    for obj in filter(is_template, objects):
        with suppress(DocumentError):
            yield parse_template(obj)


def _records(owner: Owner, objects: Sequence[Object]) -> tuple[list[Revision], list[UnreadableRecord]]:
    records: list[Revision] = []
    unreadable: list[UnreadableRecord] = []
    for obj in objects:
        try:
            records.append(_readable(parse_record(obj)))
        except DocumentError as error:
            key = obj["metadata"]["name"].removeprefix(keyed_name(owner.name, ""))
            unreadable.append(UnreadableRecord(key=key, number=int(obj.get("revision", 0)), message=str(error)))
    return records, unreadable


def _readable(revision: Revision) -> Revision:
    uri = revision.record.artifact.uri
    if store_at(uri) is None:
        raise DocumentError(f"record {revision.key}: this release knows no store for {uri[:64]!r}: use a newer release")
    return revision
