"""What is: children of a ModelService, read into values that a decision can be made from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from pydantic import ValidationError

from modelservice.contract.report import Failure, Report, Success
from modelservice_operator.constants import (
    ANNOTATION_RUN,
    LABEL_REVISION,
    LABEL_STAGE,
    STAGE_SERVE,
    STAGE_TRAIN,
    TRAINING_CONTAINER,
)
from modelservice_operator.domain.builders.record import parse_record
from modelservice_operator.domain.builders.training import FINAL_EXIT_CODES
from modelservice_operator.domain.metadata import Object, Owner
from modelservice_operator.domain.problem import Problem
from modelservice_operator.domain.revisions import Revision
from modelservice_operator.kinds import CONTROLLER_REVISION, DEPLOYMENT, JOB, PERSISTENT_VOLUME_CLAIM, POD, Kind

Children = Mapping[Kind, Sequence[Object]]

IMAGE_REASONS = frozenset({"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"})
"""Why a container waits for its image."""


@dataclass(frozen=True, kw_only=True)
class DataState:
    """What is known of the data: the digest and file to read, or why there is none."""

    digest: str | None = None
    file: str | None = None
    problem: Problem | None = None


class JobPhase(StrEnum):
    """Where a training Job is in its life."""

    RUNNING = "Running"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    DELETING = "Deleting"


@dataclass(frozen=True, kw_only=True)
class TrainingJob:
    """One attempt at a training, with its pods (oldest first) and what the last of them reported.

    ``final``: the last failure is not tried again, although the Job controller may not have said so yet.
    """

    obj: Object
    name: str
    uid: str
    key: str
    run: str
    phase: JobPhase
    failed_reason: str = ""
    pods: tuple[Object, ...] = ()
    result: Success | Failure | None = None
    final: bool = False

    @property
    def image(self) -> str:
        """Runtime image that it runs on."""
        image: str = self.obj["spec"]["template"]["spec"]["containers"][0]["image"]
        return image

    @property
    def awaits_report(self) -> bool:
        """Whether the Job ended but the cache has not yet seen its pods end: the two are watched apart."""
        ended = self.phase in (JobPhase.SUCCEEDED, JobPhase.FAILED)
        return ended and any(not _has_ended(pod) for pod in self.pods)

    @property
    def lost_report(self) -> bool:
        """Whether the Job ended well and left nothing readable: what it stored must be looked at by another try."""
        return self.phase is JobPhase.SUCCEEDED and not isinstance(self.result, Success) and not self.awaits_report


@dataclass(frozen=True, kw_only=True)
class Observed:
    """Everything about one ModelService that decisions are made from.

    ``leftovers`` are objects with its label that it does not own, such as those of a deleted namesake.
    """

    owner: Owner
    service: Object
    children: Children
    revisions: tuple[Revision, ...] = ()
    created: Mapping[str, str] = field(default_factory=dict)
    jobs: tuple[TrainingJob, ...] = ()
    deployment: Object | None = None
    serving_pods: tuple[Object, ...] = ()
    leftovers: frozenset[tuple[Kind, str]] = frozenset()

    @property
    def generation(self) -> int:
        """Generation of the spec that was read."""
        return int(self.service["metadata"].get("generation", 0))

    @property
    def deployed_key(self) -> str | None:
        """Key of the revision that the Deployment is to serve."""
        return self.deployment["metadata"]["labels"].get(LABEL_REVISION) if self.deployment else None

    def revision(self, key: str | None) -> Revision | None:
        """The recorded revision of a key."""
        return next((revision for revision in self.revisions if revision.key == key), None)

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

    def claim(self, key: str) -> Object | None:
        """The claim of a stage key."""
        claims = self.children.get(PERSISTENT_VOLUME_CLAIM, ())
        return next((claim for claim in claims if claim["metadata"]["labels"].get(LABEL_REVISION) == key), None)


def observe(service: Object, children: Children) -> Observed:
    """Read a ModelService and what carries its label; strangers and leftovers of a namesake are left out.

    Pods belong to Jobs and ReplicaSets, so label and stage select them.
    """
    metadata = service["metadata"]
    owner = Owner(name=metadata["name"], namespace=metadata["namespace"], uid=metadata["uid"])
    ours = {kind: [obj for obj in objects if kind == POD or owner.owns(obj)] for kind, objects in children.items()}
    records = [(obj, parse_record_or_none(obj)) for obj in ours.get(CONTROLLER_REVISION, ())]
    known = {revision.key: obj["metadata"].get("creationTimestamp", "") for obj, revision in records if revision}
    pods = ours.get(POD, [])
    return Observed(
        owner=owner,
        service=service,
        children=ours,
        revisions=tuple(sorted((r for _, r in records if r), key=lambda revision: revision.number)),
        created=known,
        jobs=tuple(_training_job(job, pods) for job in ours.get(JOB, ())),
        deployment=next(iter(ours.get(DEPLOYMENT, ())), None),
        serving_pods=tuple(pod for pod in pods if pod["metadata"]["labels"].get(LABEL_STAGE) == STAGE_SERVE),
        leftovers=frozenset(
            (kind, obj["metadata"]["name"])
            for kind, objects in children.items()
            for obj in objects
            if kind != POD and not owner.owns(obj)
        ),
    )


def parse_record_or_none(obj: Object) -> Revision | None:
    """The revision that was recorded; what cannot be read is no record, so its stage is looked at again."""
    try:
        return parse_record(obj)
    except (ValidationError, KeyError):
        return None


def _training_job(job: Object, pods: Sequence[Object]) -> TrainingJob:
    metadata = job["metadata"]
    own = sorted(
        (p for p in pods if _belongs(p, metadata["uid"])), key=lambda pod: pod["metadata"].get("creationTimestamp", "")
    )
    phase, reason = _job_phase(job)
    return TrainingJob(
        obj=job,
        name=metadata["name"],
        uid=metadata["uid"],
        key=metadata["labels"].get(LABEL_REVISION, ""),
        run=metadata.get("annotations", {}).get(ANNOTATION_RUN, ""),
        phase=phase,
        failed_reason=reason,
        pods=tuple(own),
        result=next((r for pod in reversed(own) if (r := pod_result(pod)) and _is_about(r, metadata)), None),
        final=any(_failed_for_good(pod) for pod in own),
    )


def _failed_for_good(pod: Object) -> bool:
    """As the Job's pod failure policy has it: an exit code that would only come again, unless the pod was evicted."""
    ended, conditions = _termination(pod), pod.get("status", {}).get("conditions", ())
    disrupted = any(one["type"] == "DisruptionTarget" and one["status"] == "True" for one in conditions)
    return ended is not None and ended.get("exitCode") in FINAL_EXIT_CODES and not disrupted


def _is_about(result: Success | Failure, metadata: Object) -> bool:
    return isinstance(result, Failure) or result.key == metadata["labels"].get(LABEL_REVISION)


def _belongs(pod: Object, job_uid: str) -> bool:
    labels = pod["metadata"]["labels"]
    owner: str | None = labels.get("batch.kubernetes.io/controller-uid")
    return labels.get(LABEL_STAGE) == STAGE_TRAIN and owner == job_uid


def _job_phase(job: Object) -> tuple[JobPhase, str]:
    if job["metadata"].get("deletionTimestamp"):
        return JobPhase.DELETING, ""
    for condition in job.get("status", {}).get("conditions", ()):
        if condition["status"] == "True":
            if condition["type"] == "Complete":
                return JobPhase.SUCCEEDED, ""
            if condition["type"] == "Failed":
                return JobPhase.FAILED, condition.get("reason", "")
    return JobPhase.RUNNING, ""


def _has_ended(pod: Object) -> bool:
    """Whether a training pod says no more: its container ended, or it was evicted or is on its way out without it."""
    gone = pod["metadata"].get("deletionTimestamp") or pod.get("status", {}).get("phase") in {"Succeeded", "Failed"}
    return bool(gone) or _termination(pod) is not None


def _termination(pod: Object) -> dict[str, Any] | None:
    """How the training container of a pod ended: the stage ends with it, sidecar or not."""
    for status in pod.get("status", {}).get("containerStatuses", ()):
        if status["name"] == TRAINING_CONTAINER:
            ended: dict[str, Any] | None = status.get("state", {}).get("terminated")
            return ended
    return None


def pod_result(pod: Object) -> Success | Failure | None:
    """What a training pod reported, or a failure made from how Kubernetes says that it ended."""
    ended = _termination(pod)
    if ended is None:
        return None
    if ended.get("reason") == "OOMKilled":
        return Failure(reason="OOMKilled", message="", field="spec.training.resources.limits.memory")
    try:
        return Report.model_validate_json(ended.get("message", "")).result
    except ValidationError:
        if ended.get("exitCode") == 0:
            return None
        words = " ".join(str(ended.get("message", "")).split())[-512:]
        return Failure(
            reason="TrainingFailed", message=f"exit code {ended.get('exitCode')}: {words or 'no last words'}"
        )
