"""Jobs of stages and their pods, read into values: where an attempt is in its life, and what it reported."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from itertools import chain
from typing import Any

from modelservice.contract.documents import DocumentError, read_document
from modelservice.contract.exit_codes import ExitCode
from modelservice.contract.failure import PEER_LOST, About, Failure, Retry
from modelservice.contract.report import Compared, Report, Success
from modelservice_operator.constants import ANNOTATION_RUN, STAGE_CONTAINER
from modelservice_operator.domain.builders.job import FINAL_EXIT_CODES
from modelservice_operator.domain.names import parse_job_name
from modelservice_operator.domain.queueing import queue_of
from modelservice_operator.objects import Object

OOM_KILLED = "OOMKilled"

Result = Success | Compared | Failure
"""What the pod of a stage may report."""


class JobPhase(StrEnum):
    """Where a Job is in its life."""

    RUNNING = "Running"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    DELETING = "Deleting"


@dataclass(frozen=True, kw_only=True)
class StageJob:
    """One attempt at a stage, with its pods (oldest first) and what the last of them reported.

    ``stage``, ``key`` and ``attempt`` (what tells it from others at the same step) come from its name, since anybody
    who may edit Jobs may change labels; all are empty where the name is none of ours. ``final``: the last failure is
    not tried again, although the Job controller may not have said so yet.
    """

    obj: Object
    name: str
    uid: str
    stage: str
    key: str
    attempt: str
    run: str
    phase: JobPhase
    failed_reason: str = ""
    pods: tuple[Object, ...] = ()
    result: Result | None = None
    final: bool = False

    @property
    def image(self) -> str:
        """Image that it runs on."""
        image: str = self.obj["spec"]["template"]["spec"]["containers"][0]["image"]
        return image

    @property
    def workers(self) -> int:
        """How many pods work together."""
        return int(self.obj["spec"].get("completions") or 1)

    @property
    def telling_pods(self) -> tuple[Object, ...]:
        """Those that tell how far the stage is: of several workers those of worker 0."""
        if self.workers == 1:
            return self.pods
        return tuple(pod for pod in self.pods if pod["metadata"]["name"].startswith(f"{self.name}-0-"))

    @property
    def suspended_since(self) -> str | None:
        """Since when somebody else keeps it from running, such as a queue; None where nobody does."""
        if self.phase is not JobPhase.RUNNING or not self.obj["spec"].get("suspend"):
            return None
        conditions = self.obj.get("status", {}).get("conditions", ())
        said = (str(one.get("lastTransitionTime", "")) for one in conditions if _holds(one, "Suspended"))
        return next(said, str(self.obj["metadata"].get("creationTimestamp", "")))

    @property
    def held_back(self) -> str:
        """For whom it waits to be let run, and since when, as words after its name; empty where nobody holds it."""
        if (since := self.suspended_since) is None:
            return ""
        queue = queue_of(self.obj)
        where = f"waits in queue {queue}" if queue else "is suspended, and waits for whoever did so,"
        return f"{where} since {since}"

    @property
    def unfinished(self) -> bool:
        """Whether its pods may still be there."""
        return self.phase in (JobPhase.RUNNING, JobPhase.DELETING)

    @property
    def success(self) -> Success | None:
        """What it reported of its result; the report counts, not the end of the Job, which a sidecar may put off."""
        alive = self.phase in (JobPhase.RUNNING, JobPhase.SUCCEEDED)
        return self.result if alive and isinstance(self.result, Success) else None

    @property
    def compared(self) -> Compared | None:
        """What it reported of two models, likewise."""
        alive = self.phase in (JobPhase.RUNNING, JobPhase.SUCCEEDED)
        return self.result if alive and isinstance(self.result, Compared) else None

    @property
    def awaits_report(self) -> bool:
        """Whether the Job ended but the cache has not yet seen its pods end: the two are watched apart."""
        ended = self.phase in (JobPhase.SUCCEEDED, JobPhase.FAILED)
        return ended and any(not _has_ended(pod) for pod in self.pods)

    @property
    def tries_in_vain(self) -> bool:
        """Whether it would go on although a pod ran out of memory: no exit code tells that from another kill."""
        out_of_memory = isinstance(self.result, Failure) and self.result.reason == OOM_KILLED
        left = self.obj["spec"].get("backoffLimit") != 0
        return self.phase is JobPhase.RUNNING and self.final and out_of_memory and left

    @property
    def lost_report(self) -> bool:
        """Whether the Job ended well and left nothing readable: what it stored must be looked at by another try."""
        reported = isinstance(self.result, Success | Compared)
        return self.phase is JobPhase.SUCCEEDED and not reported and not self.awaits_report


def parse_job(job: Object, pods: Sequence[Object], *, service: str) -> StageJob:
    """Read a Job of a ModelService of this name, and the pods that its controller made."""
    metadata = job["metadata"]
    own = sorted(pods, key=lambda pod: pod["metadata"].get("creationTimestamp", ""))
    stage, key, attempt = parse_job_name(service, metadata["name"]) or ("", "", "")
    phase, reason = _phase(job)
    told = [(pod, pod_result(pod)) for pod in own]
    results = [result for _, result in reversed(told) if result and _is_about(result, stage, key)]
    return StageJob(
        obj=job,
        name=metadata["name"],
        uid=metadata["uid"],
        stage=stage,
        key=key,
        attempt=attempt,
        run=metadata.get("annotations", {}).get(ANNOTATION_RUN, ""),
        phase=phase,
        failed_reason=reason,
        pods=tuple(own),
        result=_telling(results, workers=int(job["spec"].get("completions") or 1)),
        final=any(_failed_for_good(*one) for one in told),
    )


def _telling(results: Sequence[Result], *, workers: int) -> Result | None:
    """The newest result. Of several workers what one stored; else why the first ended, not that others did then."""
    stored = (one for one in results if workers > 1 and isinstance(one, Success))
    causes = (one for one in results[:workers] if not isinstance(one, Failure) or one.reason != PEER_LOST)
    return next(chain(stored, causes, results), None)


def pod_result(pod: Object) -> Result | None:
    """What the pod of a stage reported, or a failure made from how Kubernetes says that it ended."""
    ended = _termination(pod)
    if ended is None:
        return None
    if ended.get("reason") == OOM_KILLED:
        return Failure(reason=OOM_KILLED, message="", about=About.STAGE)
    try:
        return _reported(str(ended.get("message", "")))
    except DocumentError:
        code = ended.get("exitCode")
        if code == ExitCode.DONE:
            return None
        words = " ".join(str(ended.get("message", "")).split())[-512:]
        retry = Retry.ON_CHANGE if code in FINAL_EXIT_CODES else Retry.UNKNOWN
        message = f"exit code {code}: {words or 'no last words'}"
        return Failure(reason="StageFailed", message=message, about=About.STAGE, retry=retry)


@lru_cache(maxsize=512)
def _reported(message: str) -> Result:
    """What a message says, which stays the same for as long as its pod is there."""
    return read_document("report", message, Report).result


def _failed_for_good(pod: Object, result: Result | None) -> bool:
    """Whether a pod failed in a way that waits for a change, and not because its node was needed for something else."""
    conditions = pod.get("status", {}).get("conditions", ())
    disrupted = any(one["type"] == "DisruptionTarget" and one["status"] == "True" for one in conditions)
    return isinstance(result, Failure) and result.retry is Retry.ON_CHANGE and not disrupted


def _is_about(result: Result, stage: str, key: str) -> bool:
    return isinstance(result, Failure) or (result.stage, result.key) == (stage, key)


def _phase(job: Object) -> tuple[JobPhase, str]:
    if job["metadata"].get("deletionTimestamp"):
        return JobPhase.DELETING, ""
    for condition in job.get("status", {}).get("conditions", ()):
        if condition["status"] == "True":
            if condition["type"] == "Complete":
                return JobPhase.SUCCEEDED, ""
            if condition["type"] == "Failed":
                return JobPhase.FAILED, condition.get("reason", "")
    return JobPhase.RUNNING, ""


def _holds(condition: Object, kind: str) -> bool:
    return (condition["type"], condition["status"]) == (kind, "True")


def _has_ended(pod: Object) -> bool:
    """Whether a pod says no more: its container ended, or it was evicted or is on its way out without it."""
    gone = pod["metadata"].get("deletionTimestamp") or pod.get("status", {}).get("phase") in {"Succeeded", "Failed"}
    return bool(gone) or _termination(pod) is not None


def _termination(pod: Object) -> dict[str, Any] | None:
    """How the stage's container of a pod ended: the stage ends with it, sidecar or not."""
    for status in pod.get("status", {}).get("containerStatuses", ()):
        if status["name"] == STAGE_CONTAINER:
            ended: dict[str, Any] | None = status.get("state", {}).get("terminated")
            return ended
    return None
