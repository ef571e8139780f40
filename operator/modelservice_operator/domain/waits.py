"""For what the operator waits: each wait names its object, and since when."""

from collections.abc import Iterable
from datetime import datetime

from modelservice_operator.constants import LABEL_CLAIM
from modelservice_operator.domain.attempts import StepState
from modelservice_operator.domain.diagnose import begun_at, is_past, is_stuck
from modelservice_operator.domain.jobs import JobPhase
from modelservice_operator.domain.observe import Observed, is_ready, told
from modelservice_operator.domain.problem import Problem
from modelservice_operator.domain.queueing import QUEUED, QueueSays, queue_of
from modelservice_operator.domain.unproven import unproven_problem
from modelservice_operator.kinds import JOB, WORKLOAD, ref_of
from modelservice_operator.objects import Object

_SHOWN = 3
"""Pods that are named; the others are counted."""


def claim_problem(state: StepState, observed: Observed, *, now: datetime) -> Problem | None:
    """What is to hold the artifact of a step is being deleted, or is nobody's: nothing is made before it is gone."""
    if state.unproven is not None:
        return unproven_problem(state.unproven, now=now)
    if state.leaving is None:
        return None
    metadata, key = state.leaving["metadata"], state.step.key
    if ref_of(state.leaving).kind == JOB:
        message = (
            f"Job {metadata['name']} deletes what is stored of {key}, which no revision needed: once it is gone,"
            " that is made again"
        )
        held = next((job.held_back for job in observed.deletions if job.name == metadata["name"]), "")
        return Problem(reason="ArtifactBeingDeleted", message=f"{message}; it {held}" if held else message)
    serving = [pod for pod in observed.all_serving_pods if (said := told(pod)) and said.key == key and _is_placed(pod)]
    pods = [*serving, *(pod for job in observed.jobs if job.key == key for pod in job.pods)]
    labelled = (
        pod for pod in observed.pods if (pod["metadata"].get("labels") or {}).get(LABEL_CLAIM) == metadata["name"]
    )
    pods += [pod for pod in labelled if _is_placed(pod) and pod not in pods]  # of a Job that is not ours any more
    holders = f"held by {_names(pods)}" if pods else "until no pod uses it any more"
    message = (
        f"PersistentVolumeClaim {metadata['name']} is being deleted since {metadata['deletionTimestamp']}, {holders}; "
        f"once it is gone, what it held is made again"
    )
    return Problem(reason="ClaimBeingDeleted", message=message, rests=bool(serving))


def job_problem(state: StepState, says: QueueSays | None) -> Problem | None:
    """The Job of a step waits in a queue, which may have said why; or somebody else suspended it."""
    job = state.job
    if job is None or (since := job.suspended_since) is None:
        return None
    if (queue := queue_of(job.obj)) is None:
        message = f"Job {job.name} is suspended since {since}: whoever did so, such as a queue, must let it run"
        return Problem(reason="JobSuspended", message=f"{message} (kubectl get job {job.name})", rests=True)
    waits = f"Job {job.name} waits in queue {queue} since {since}"
    if says is not None and not says.served:
        message = (
            f"{waits}, and the cluster has no Kueue (no API group {WORKLOAD.group}): install it, or leave"
            " spec.training.queueName out"
        )
        return Problem(reason="KueueMissing", message=message, waits_for_change=True)
    words = f": {says.words}" if says is not None and says.words else ""
    return Problem(reason=QUEUED, message=f"{waits}{words}", rests=True)


def stage_wait(state: StepState, observed: Observed, *, now: datetime) -> str:
    """What the next result of a step waits for; empty where that is only a matter of moments."""
    job, pods = state.job, state.job.pods if state.job else ()
    waiting = (pod for pod in reversed(pods) if _is_waiting(pod) and is_stuck(pod, now))
    if (pod := next(waiting, None)) is not None:
        return _pod_words(pod)
    if job is None or job.phase is JobPhase.DELETING:
        ending = (one.obj for one in observed.jobs if one.unfinished)
        return next((f"waits for the end of {_job_words(one)}" for one in ending if is_stuck(one, now)), "")
    begun = begun_at(job.obj)
    stuck = not pods and job.phase is JobPhase.RUNNING and is_past(begun, now)
    return f"Job {job.name} has made no pod since {begun}" if stuck else ""


def serving_wait(observed: Observed, *, now: datetime) -> str:
    """Which serving pod is not ready; or that there is none."""
    unready = (pod for pod in reversed(observed.all_serving_pods) if not is_ready(pod) and is_stuck(pod, now))
    if (pod := next(unready, None)) is not None:
        return _pod_words(pod)
    if observed.serving_pods or observed.deployment is None:
        return ""
    kind, maker = ("ReplicaSet", observed.replica_sets[-1]) if observed.replica_sets else ("Deployment", None)
    maker = maker or observed.deployment
    metadata = maker["metadata"]
    words = f"{kind} {metadata['name']} has no pod since {metadata.get('creationTimestamp')}"
    return words if is_stuck(maker, now) else ""


def _is_waiting(pod: Object) -> bool:
    """Whether a pod does not run, or is on a node that says nothing any more."""
    leaves, phase = pod["metadata"].get("deletionTimestamp"), pod.get("status", {}).get("phase", "Pending")
    return bool(leaves) or phase in {"Pending", "Unknown"}


def _is_placed(pod: Object) -> bool:
    """Whether a pod has a node: only such a one holds a claim."""
    return bool(pod.get("spec", {}).get("nodeName"))


def _job_words(job: Object) -> str:
    metadata = job["metadata"]
    if (since := metadata.get("deletionTimestamp")) is None:
        return f"Job {metadata['name']}"
    kept = f" (finalizers: {', '.join(metadata['finalizers'])})" if metadata.get("finalizers") else ""
    return f"Job {metadata['name']}, which is being deleted since {since}{kept}"


def _pod_words(pod: Object) -> str:
    metadata, status = pod["metadata"], pod.get("status", {})
    node = pod.get("spec", {}).get("nodeName")
    where = f"pod {metadata['name']} on node {node}" if node else f"pod {metadata['name']} on no node yet"
    if (leaves := metadata.get("deletionTimestamp")) is not None:
        return f"{where} is being deleted since {leaves}"
    ready: Object = next((one for one in status.get("conditions", ()) if one["type"] == "Ready"), {})
    since = ready.get("lastTransitionTime") or metadata.get("creationTimestamp")
    said = ": ".join(str(ready[name]) for name in ("reason", "message") if ready.get(name))
    return f"{where} is not ready since {since}" + (f" ({said})" if said else "")


def _names(pods: Iterable[Object]) -> str:
    names = [f"Pod {pod['metadata']['name']}" for pod in pods]
    more = [f"{len(names) - _SHOWN} more"] if len(names) > _SHOWN else []
    return ", ".join([*names[:_SHOWN], *more])
