"""Whether what is rolled out fails: its pods end again and again, or are not ready when their time is up."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from modelservice_operator.domain.diagnose import SERVING_SECTION, memory_limit_of, pod_problem
from modelservice_operator.domain.observe import Observed, is_ready
from modelservice_operator.domain.records import StoredTemplate
from modelservice_operator.domain.rollout import AVAILABLE, EXCEEDED, is_deployed, newest_pods, rollout
from modelservice_operator.objects import Object

RESTARTS = 3
"""So often a container of a new pod ends before its rollout counts as failed, long before its deadline."""


def rollout_failure(observed: Observed, key: str, stored: StoredTemplate) -> str | None:
    """Why the rollout of a key with a template fails, None while it does not.

    Only a rollout that was not complete yet is judged: what served well and breaks later is no new revision.
    """
    deployment, state, pods = observed.deployment, rollout(observed.deployment), newest_pods(observed)
    if deployment is None or state is None or not state.desired or not pods:
        return None
    progressing = _conditions(deployment).get("Progressing", {})
    if progressing.get("reason") in (None, AVAILABLE) or sum(map(is_ready, pods)) >= state.desired:
        return None
    if not (any(map(loops, pods)) or _is_late(progressing, pods)):
        return None
    if observed.deployed_key != key or not is_deployed(stored, observed):
        return None
    return _why(deployment, pods)


def canary_failure(observed: Observed, stored: StoredTemplate, *, began: datetime, now: datetime) -> str | None:
    """Why a canary fails, None while it does not; ``observed`` has its Deployment in the place of the one that serves.

    It is judged all the time: each step brings more pods, after all of those before were available. Its Deployment
    allows none to be missing, so it says since when one is; what it said before the step ``began``, of another
    candidate, does not count.
    """
    deployment, pods = observed.deployment, newest_pods(observed)
    if deployment is None or not is_deployed(stored, observed):
        return None
    said = _conditions(deployment)
    available, progressing = said.get("Available", {}), said.get("Progressing", {})
    deadline = deployment["spec"].get("progressDeadlineSeconds", 0)
    said_since = datetime.fromisoformat(available.get("lastTransitionTime") or began.isoformat())
    missing = available.get("status") == "False" and (now - max(began, said_since)).total_seconds() >= deadline
    unready = sum(map(is_ready, pods)) < deployment["spec"].get("replicas", 1)
    if any(map(loops, pods)) or (unready and (missing or _is_late(progressing, pods))):
        return _why(deployment, pods)
    return None


def _why(deployment: Object, pods: Sequence[Object]) -> str:
    limit = memory_limit_of(deployment)
    problems = (pod_problem(pod, section=SERVING_SECTION, memory_limit=limit) for pod in reversed(pods))
    found = next((f"{one.reason}: {one.message}" for one in problems if one), "")
    seconds = deployment["spec"].get("progressDeadlineSeconds")
    return found or f"not available after {seconds} s (spec.serving.progressDeadlineSeconds)"


def _conditions(deployment: Object) -> Mapping[str, Mapping[str, Any]]:
    return {one["type"]: one for one in deployment.get("status", {}).get("conditions", ())}


def _is_late(progressing: Mapping[str, Any], pods: Sequence[Object]) -> bool:
    """Whether the time of these pods is up: a ReplicaSet that is used again has the verdict on another one at first."""
    since = progressing.get("lastTransitionTime", "")
    made = (pod["metadata"].get("creationTimestamp", "") for pod in pods)
    return progressing.get("reason") == EXCEEDED and any(one < since for one in made)


def loops(pod: Object) -> bool:
    """Whether a container of a pod ended again and again."""
    containers = pod.get("status", {}).get("containerStatuses", ())
    return any(not one.get("ready") and one.get("restartCount", 0) >= RESTARTS for one in containers)
