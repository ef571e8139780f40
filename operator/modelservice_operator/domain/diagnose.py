"""Why pods, claims and Jobs do not go on, in words that name the field to change."""

import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from modelservice.contract.failure import Failure
from modelservice.contract.places import API_KEYS_FOLDER, JWKS_CA_FOLDER, JWKS_FOLDER, TLS_FOLDER
from modelservice_operator.constants import LABEL_CLAIM
from modelservice_operator.domain.builders.encryption import KEYS_VOLUME
from modelservice_operator.domain.jobs import OOM_KILLED, JobPhase, StageJob
from modelservice_operator.domain.observe import IMAGE_REASONS, Observed, is_of_volume
from modelservice_operator.domain.problem import Problem
from modelservice_operator.domain.volumes import MULTI_ATTACH, VOLUME_BUSY, claim_field, unscheduled
from modelservice_operator.objects import Object

STUCK_SECONDS = 5.0
"""A pod or claim that waits for longer gets its events read."""

SERVING_SECTION = "spec.serving"
"""The part of the spec that says how serving pods run."""

CRASH_LOOP = "CrashLoopBackOff"
_LOOP_SECONDS = 60.0
"""A container that has run for as long since it crashed is out of its loop."""

_POD_NAME = re.compile(r'pods "([^"]+)-[a-z0-9]{5}"')

_ARTIFACT_IMAGE_REMEDY = (
    "it is the artifact: check spec.artifacts.image.pullSecretRef, and that nodes reach the registry (plain HTTP and"
    " certificates are settings of theirs)"
)
_MISSING = re.compile(r'for volume "([^"]+)" : (?:secret|configmap) "')
"""In what kubelet says of a Secret or a ConfigMap that is not there."""
_FIELDS_OF_VOLUMES = {
    TLS_FOLDER: "spec.serving.tls.secretRef",
    API_KEYS_FOLDER: "spec.serving.auth.apiKeys.secretRef",
    JWKS_FOLDER: "spec.serving.auth.jwt.jwks",
    JWKS_CA_FOLDER: "spec.serving.auth.jwt.jwks.caConfigMapRef",
    KEYS_VOLUME: "spec.artifacts.encryption.secretRef",
}
"""What names the Secret or the ConfigMap of a volume; that of data is none of them."""
_START_REASONS = frozenset({"CreateContainerConfigError", "CreateContainerError", "RunContainerError", CRASH_LOOP})


def pod_problem(
    pod: Object,
    *,
    section: str,
    memory_limit: str | None = None,
    now: datetime | None = None,
    observed: Observed | None = None,
) -> Problem | None:
    """What keeps a pod from running, as its status tells; ``section`` of the spec says how it runs.

    With ``observed`` it may be another pod, which uses its claim. With ``now`` a container that crashed, and answers
    again since less than a minute, counts as one that crashes.
    """
    status = pod.get("status", {})
    for condition in status.get("conditions", ()):
        if condition["type"] == "PodScheduled" and condition.get("reason") == "Unschedulable":
            message = condition.get("message", "no node fits")
            if observed is not None and (busy := unscheduled(pod, message, observed)) is not None:
                return busy
            return Problem(reason="Unschedulable", message=f"{message} {_scheduling_remedy(pod, message, section)}")
    for container in status.get("containerStatuses", ()):
        waiting = container.get("state", {}).get("waiting", {})
        if waiting.get("reason") in IMAGE_REASONS and is_of_volume(pod, waiting):
            return Problem(reason=waiting["reason"], message=f"{waiting['message']}; {_ARTIFACT_IMAGE_REMEDY}")
        if problem := _container_problem(container, section, memory_limit, now):
            return problem
    return None


def _container_problem(
    container: Object, section: str, memory_limit: str | None, now: datetime | None
) -> Problem | None:
    last = container.get("lastState", {}).get("terminated", {})
    if last.get("reason") == OOM_KILLED and not container.get("ready"):
        return Problem(reason=OOM_KILLED, message=f"{_killed(memory_limit)}: raise {section}.resources.limits.memory")
    waiting = container.get("state", {}).get("waiting", {})
    reason, message = waiting.get("reason", ""), waiting.get("message", "")
    if last.get("exitCode") and not waiting and (not container.get("ready") or _just_started(container, now)):
        reason = CRASH_LOOP  # it runs again, or just ended again: one cause is not to look like several
    if reason in IMAGE_REASONS:
        remedy = f"check image.registry of the chart, and {section}.imagePullSecrets"
        return Problem(reason=reason, message=f"{message or container.get('image', '')}; {remedy}")
    if reason in _START_REASONS:
        words = " ".join(str(last.get("message", "")).split())[-512:]
        if reason == CRASH_LOOP:  # the kubelet's own words change with each try, and name the pod
            message = f"the container ended with exit code {last.get('exitCode', 'unknown')}"
        hint = f"check {section}.env and envFrom, and each secretRef" if reason == "CreateContainerConfigError" else ""
        return Problem(reason=reason, message="; ".join(part for part in (words, message, hint) if part))
    return None


def _just_started(container: Object, now: datetime | None) -> bool:
    """Whether a container runs again for too short a time to be out of a crash loop."""
    started = container.get("state", {}).get("running", {}).get("startedAt")
    if started is None or now is None:
        return False
    return (now - datetime.fromisoformat(started)).total_seconds() < _LOOP_SECONDS


def _scheduling_remedy(pod: Object, message: str, section: str) -> str:
    """The field that most likely helps, by the scheduler's own words; the claim of an artifact is none of the data."""
    claim = (pod.get("metadata", {}).get("labels") or {}).get(LABEL_CLAIM)
    if claim and f'"{claim}"' in message:
        return "(it is the artifact's claim; see spec.artifacts.volumeClaim)"
    remedies = {
        "Insufficient": f"(lower {section}.resources.requests or limits, or add nodes)",
        "untolerated taint": f"(see {section}.tolerations)",
        "PersistentVolumeClaim": "(see spec.artifacts.volumeClaim)",
        "persistentvolumeclaim": f"(see {claim_field(pod)})",
        "node affinity/selector": f"(see {section}.nodeSelector)",
        "volume node affinity": "(a volume cannot follow to another node; see spec.artifacts.volumeClaim)",
        "PersistentVolume's node affinity": "(a volume cannot follow to another node; see spec.artifacts.volumeClaim)",
        "pod affinity": "(pods of a ReadWriteOnce claim share a node; see spec.artifacts.volumeClaim.accessModes)",
    }
    return next((remedy for words, remedy in remedies.items() if words in message), f"(see {section})")


def failure_problem(job: StageJob, *, activity: str, section: str) -> Problem:
    """Why the Job of a stage failed; nothing of it is tried again before something changes.

    Args:
        job: the Job.
        activity: what it was doing, as a noun.
        section: where the spec says how it runs.
    """
    if job.failed_reason == "DeadlineExceeded":
        seconds = job.obj["spec"].get("activeDeadlineSeconds")
        message = f"{activity} was stopped after {seconds} s: raise {section}.timeoutSeconds"
        return Problem(reason="DeadlineExceeded", message=message, waits_for_change=True)
    if not isinstance(job.result, Failure):
        return Problem(reason=job.failed_reason or "StageFailed", message="the Job failed", waits_for_change=True)
    problem = _reported(job, job.result, section)
    mended = job.result.field or job.result.reason == OOM_KILLED
    again = "" if mended else f" (to try again: kubectl delete job {job.name})"
    return replace(problem, message=f"{problem.message}{again}", waits_for_change=True)


def pending_problem(job: StageJob, *, section: str) -> Problem | None:
    """Why the last pod of a Job that has not failed yet failed: another try may heal it, or the Job is about to end."""
    if job.phase is not JobPhase.RUNNING or not isinstance(job.result, Failure):
        return None
    problem = _reported(job, job.result, section)
    if job.final:
        return replace(problem, waits_for_change=True)
    return replace(problem, message=f"{problem.message} (it is tried again)")


def _reported(job: StageJob, failure: Failure, section: str) -> Problem:
    """A failure as its pod reported it, or as Kubernetes tells it."""
    if failure.reason == OOM_KILLED:
        message = f"{_killed(memory_limit_of(job.obj))}: raise {section}.resources.limits.memory"
    else:
        message = failure.message
        if failure.field and failure.field not in message:
            message = f"{message} (see {failure.field})"
    return Problem(reason=failure.reason, message=message, about=failure.about)


def _killed(limit: str | None) -> str:
    return f"{OOM_KILLED} at {limit}" if limit else f"{OOM_KILLED}: the node ran out of memory"


def memory_limit_of(workload: Object) -> str | None:
    """Memory limit of the first container of a Job or a Deployment; among very much that others added none is kept."""
    pod = workload["spec"].get("template", {}).get("spec", {})
    container: Object = next(iter(pod.get("containers", ())), {})
    limit: str | None = container.get("resources", {}).get("limits", {}).get("memory")
    return limit


def is_stuck(obj: Object, now: datetime) -> bool:
    """Whether something that was made a while ago still waits for something that only events tell."""
    return is_past(obj["metadata"].get("creationTimestamp"), now)


def begun_at(job: Object) -> str | None:
    """Since when a Job may make pods: since it was made, or let go on by whoever suspended it."""
    begun: str | None = job.get("status", {}).get("startTime") or job["metadata"].get("creationTimestamp")
    return begun


def is_past(time: str | None, now: datetime) -> bool:
    """Whether it is a while since then."""
    return time is not None and (now - datetime.fromisoformat(time)).total_seconds() >= STUCK_SECONDS


def event_problem(events: Sequence[Object], *, section: str) -> Problem | None:
    """The last warning about an object, if there is one."""
    warnings = [event for event in events if event.get("type") == "Warning"]
    if not warnings:
        return None
    last = warnings[-1]
    message = " ".join(str(last.get("message", "")).split())
    if MULTI_ATTACH in message:
        return Problem(reason=VOLUME_BUSY, message=message)
    return Problem(reason=last.get("reason", "Waiting"), message=with_remedy(message, section=section))


def with_remedy(message: str, *, section: str) -> str:
    """What a controller says of an object that it cannot make or start, and the field that most likely helps.

    Of a pod that could not be made the random part of its name is left out: each try has another one, and each would be
    a change of the status.
    """
    message = _POD_NAME.sub(r'pods "\1-"', message)
    volume = _MISSING.search(message)
    if volume is not None and (field := _FIELDS_OF_VOLUMES.get(volume[1])) is not None:
        return f"{message} (see {field})"
    remedies = {
        "must specify": f"(a ResourceQuota wants them: set {section}.resources)",
        "exceeded quota": f"(lower {section}.resources, or ask for a larger ResourceQuota)",
        "usage per": f"(a LimitRange bounds {section}.resources)",
        "limit to request ratio per": f"(a LimitRange bounds {section}.resources)",
        "storageclass": "(see spec.artifacts.volumeClaim.storageClassName)",
        "StorageClass": "(see spec.artifacts.volumeClaim.storageClassName)",
        "no persistent volumes available": "(see spec.artifacts.volumeClaim, or make a default StorageClass)",
        "configmap": "(see spec.data.configMap)",
        "serviceaccount": f"(see {section}.serviceAccountName)",
        "RuntimeClass": f"(see {section}.runtimeClassName)",
        "priority": f"(see {section}.priorityClassName)",
    }
    remedy = next((remedy for words, remedy in remedies.items() if words in message), "")
    return f"{message} {remedy}".strip()
