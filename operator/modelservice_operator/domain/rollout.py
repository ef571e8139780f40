"""How far a Deployment is: its numbers, as its controller tells them, and what the pods of its newest template say."""

from dataclasses import dataclass

from modelservice_operator.constants import ANNOTATION_REPLICA_SET, GPU
from modelservice_operator.domain.metadata import controller_uid, covers
from modelservice_operator.domain.observe import Observed
from modelservice_operator.domain.records import StoredTemplate
from modelservice_operator.objects import Object

AVAILABLE, EXCEEDED = "NewReplicaSetAvailable", "ProgressDeadlineExceeded"
"""Reasons of a Deployment's condition Progressing: the rollout was complete once; its time is up."""

_NO_GPU = f"Insufficient {GPU}"
"""The scheduler's words for a pod that no node has a GPU left for."""


@dataclass(frozen=True, kw_only=True)
class Rollout:
    """Numbers of the Deployment, as far as its controller has seen the newest version."""

    desired: int
    updated: int
    available: int
    total: int
    current: bool

    @property
    def complete(self) -> bool:
        """All desired replicas are of the newest template and available, and no old one is left."""
        return self.current and self.updated == self.desired == self.available == self.total


def rollout(deployment: Object | None) -> Rollout | None:
    """Read a Deployment's status; None while there is none."""
    if deployment is None:
        return None
    status = deployment.get("status", {})
    return Rollout(
        desired=deployment["spec"].get("replicas", 1),
        updated=status.get("updatedReplicas", 0),
        available=status.get("availableReplicas", 0),
        total=status.get("replicas", 0),
        current=status.get("observedGeneration", 0) >= deployment["metadata"].get("generation", 0),
    )


def was_complete(deployment: Object) -> bool:
    """Whether all pods of a Deployment's template were available once."""
    return _progressing(deployment) == AVAILABLE


def is_overdue(deployment: Object) -> bool:
    """Whether the time is up in which pods of its template should have become available."""
    return _progressing(deployment) == EXCEEDED


def is_under_way(deployment: Object | None) -> bool:
    """Whether pods of a template are being brought up still: not all were available once, and their time is not up."""
    state = rollout(deployment)
    if deployment is None or state is None:
        return False
    return not (state.current and (state.complete or was_complete(deployment) or is_overdue(deployment)))


def is_deployed(stored: StoredTemplate, observed: Observed) -> bool:
    """Whether a template is the Deployment's, whatever others added to that."""
    return observed.deployment is not None and covers(observed.deployment["spec"].get("template"), stored.template)


def newest_pods(observed: Observed) -> tuple[Object, ...]:
    """Pods of the Deployment's template as it is now; none before its controller has come to it."""
    state, deployment = rollout(observed.deployment), observed.deployment
    if deployment is None or state is None or not state.current or (number := _turn(deployment)) is None:
        return ()
    uids = {one["metadata"]["uid"] for one in observed.replica_sets if _turn(one) == number}
    return tuple(pod for pod in observed.serving_pods if controller_uid(pod) in uids)


def lacks_gpu(observed: Observed) -> bool:
    """Whether a pod of the newest template waits for as many GPUs as one of an older template goes on holding."""
    newest = newest_pods(observed)
    wanted = max((_gpus(pod) for pod in newest if _waits_for_gpu(pod)), default=0)
    names = {pod["metadata"]["name"] for pod in newest}
    older = (pod for pod in observed.serving_pods if pod["metadata"]["name"] not in names)
    return 0 < wanted <= max((_gpus(pod) for pod in older if _holds_its_node(pod)), default=0)


def _progressing(deployment: Object) -> str | None:
    conditions = deployment.get("status", {}).get("conditions", ())
    return next((one.get("reason") for one in conditions if one["type"] == "Progressing"), None)


def _turn(obj: Object) -> str | None:
    number: str | None = obj["metadata"].get("annotations", {}).get(ANNOTATION_REPLICA_SET)
    return number


def _waits_for_gpu(pod: Object) -> bool:
    said = (one for one in pod.get("status", {}).get("conditions", ()) if one["type"] == "PodScheduled")
    return any(one.get("reason") == "Unschedulable" and _NO_GPU in one.get("message", "") for one in said)


def _holds_its_node(pod: Object) -> bool:
    ended = pod.get("status", {}).get("phase") in {"Succeeded", "Failed"}
    return bool(pod.get("spec", {}).get("nodeName")) and not ended and not pod["metadata"].get("deletionTimestamp")


def _gpus(pod: Object) -> int:
    limits = (one.get("resources", {}).get("limits", {}) for one in pod.get("spec", {}).get("containers", ()))
    numbers = (str(one.get(GPU, "")) for one in limits)
    return sum(int(number) for number in numbers if number.isascii() and number.isdecimal())
