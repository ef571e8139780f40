"""What is: children of a ModelService, read into values that a decision can be made from."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from modelservice.contract.documents import DocumentError
from modelservice_operator.constants import LABEL_KEY, LABEL_STAGE, STAGE_SERVE
from modelservice_operator.domain.builders.record import parse_record
from modelservice_operator.domain.jobs import StageJob, parse_job
from modelservice_operator.domain.metadata import Children, Owner
from modelservice_operator.domain.names import keyed_name
from modelservice_operator.domain.records import Revision, UnreadableRecord
from modelservice_operator.domain.stores import store_at
from modelservice_operator.kinds import CONTROLLER_REVISION, DEPLOYMENT, JOB, POD
from modelservice_operator.objects import Kind, Object

IMAGE_REASONS = frozenset({"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"})
"""Why a container waits for its image."""


@dataclass(frozen=True, kw_only=True)
class Observed:
    """Everything about one ModelService that decisions are made from.

    ``records`` are the results of stages that can be read, by number; ``leftovers`` objects with its label that it
    does not own, such as those of a deleted namesake.
    """

    owner: Owner
    service: Object
    children: Children
    records: tuple[Revision, ...] = ()
    unreadable: tuple[UnreadableRecord, ...] = ()
    jobs: tuple[StageJob, ...] = ()
    deployment: Object | None = None
    serving_pods: tuple[Object, ...] = ()
    leftovers: frozenset[tuple[Kind, str]] = field(default=frozenset())

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
        """Key of the revision that the Deployment is to serve."""
        return self.deployment["metadata"]["labels"].get(LABEL_KEY) if self.deployment else None

    @property
    def revisions(self) -> tuple[Revision, ...]:
        """The records with a number, the oldest first."""
        return tuple(revision for revision in self.records if revision.number > 0)

    @property
    def next_number(self) -> int:
        """Number of the next revision; that of a record which cannot be read is taken, too."""
        numbers = [revision.number for revision in self.records] + [record.number for record in self.unreadable]
        return 1 + max(numbers, default=0)

    def record(self, key: str | None) -> Revision | None:
        """What is recorded of a key."""
        return next((revision for revision in self.records if revision.key == key), None)

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

    Pods belong to Jobs and ReplicaSets, so labels select them.
    """
    metadata = service["metadata"]
    owner = Owner(name=metadata["name"], namespace=metadata["namespace"], uid=metadata["uid"])
    ours = {kind: [obj for obj in objects if kind == POD or owner.owns(obj)] for kind, objects in children.items()}
    records, unreadable = _records(owner, ours.get(CONTROLLER_REVISION, ()))
    pods = ours.get(POD, [])
    return Observed(
        owner=owner,
        service=service,
        children=ours,
        records=tuple(sorted(records, key=lambda revision: revision.number)),
        unreadable=tuple(unreadable),
        jobs=tuple(parse_job(job, pods) for job in ours.get(JOB, ())),
        deployment=next((obj for obj in ours.get(DEPLOYMENT, ()) if obj["metadata"]["name"] == owner.name), None),
        serving_pods=tuple(pod for pod in pods if pod["metadata"]["labels"].get(LABEL_STAGE) == STAGE_SERVE),
        leftovers=frozenset(
            (kind, obj["metadata"]["name"])
            for kind, objects in children.items()
            for obj in objects
            if kind != POD and not owner.owns(obj)
        ),
    )


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
