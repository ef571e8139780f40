"""``status``: a ModelService and what there is of it, each with what it waits for; pure."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from modelservice.cluster.access import STAGE_LABEL, TRACK_LABEL, Object

HEADER: Final = ("NAMESPACE", "NAME", "READY", "STAGE", "REVISION", "METRIC", "REPLICAS", "WHY")
_GOOD: Final = "True"
_WAITING: Final = ("PodInitializing", "ContainerCreating")


class Node(NamedTuple):
    """A line of the tree, and those below it; ``good`` is None where nothing is to be judged."""

    text: str
    good: bool | None = None
    below: tuple["Node", ...] = ()


def service_row(service: Mapping[str, Any]) -> tuple[str, ...]:
    """A line of the table of all, see ``HEADER``."""
    status, metadata = service.get("status", {}), service["metadata"]
    ready = condition(service, "Ready")
    why = "" if ready.get("status") == _GOOD else ready.get("reason", "NotLookedAtYet")
    values = (status.get(name, "") for name in ("stage", "revision", "metric", "replicas"))
    return (metadata["namespace"], metadata["name"], ready.get("status", "Unknown"), *map(str, values), why)


def condition(service: Mapping[str, Any], kind: str) -> Mapping[str, Any]:
    """A condition by its type, an empty one where it is not there."""
    conditions: Sequence[Mapping[str, Any]] = service.get("status", {}).get("conditions", ())
    return next((one for one in conditions if one["type"] == kind), {})


def service_tree(service: Mapping[str, Any], children: Mapping[str, Sequence[Object]]) -> Node:
    """The whole: conditions that are not as wanted, revisions, and children with their pods below them."""
    ready = condition(service, "Ready")
    status = service.get("status", {})
    stage = status.get("stage", "not looked at yet")
    progress = " ".join(part for part in (status.get("progress", ""), _eta(status)) if part)
    head = f"ModelService/{service['metadata']['name']}  {stage}{f' {progress}' if progress else ''}"
    pods = list(children.get("Pod", ()))
    below = [*_conditions(service), *_revisions(status)]
    for kind in ("Job", "Deployment", "HorizontalPodAutoscaler", "Service", "PersistentVolumeClaim"):
        below += [_child(kind, child, pods) for child in children.get(kind, ())]
    return Node(head, ready.get("status") == _GOOD, tuple(below))


def lines(node: Node, *, indent: str = "", last: bool = True, top: bool = True) -> Iterator[tuple[str, bool | None]]:
    """The tree as lines, each with whether it is good."""
    branch = "" if top else f"{indent}{'└─ ' if last else '├─ '}"
    yield f"{branch}{node.text}", node.good
    deeper = "" if top else f"{indent}{'   ' if last else '│  '}"
    for place, child in enumerate(node.below):
        yield from lines(child, indent=deeper, last=place == len(node.below) - 1, top=False)


def _eta(status: Mapping[str, Any]) -> str:
    return f"(about {status['eta']} left)" if status.get("eta") else ""


def _conditions(service: Mapping[str, Any]) -> Iterator[Node]:
    """Ready and Promoted, and what is not as wanted: Stalled is good where it is False."""
    for one in service.get("status", {}).get("conditions", ()):
        good = (one["status"] == _GOOD) != (one["type"] == "Stalled")
        if one["type"] in {"Ready", "Promoted"} or (not good and one["type"] != "Progressing"):
            yield Node(f"{one['type']}={one['status']} {one['reason']}: {one['message']}", good)


def _revisions(status: Mapping[str, Any]) -> Iterator[Node]:
    for one in status.get("revisions", ()):
        value = next((m["value"] for m in one.get("metrics", ()) if m["name"] == one.get("primaryMetric")), None)
        metric = "" if value is None else f", {one['primaryMetric']} {value:.3g}"
        said = f"Revision {one['number']}  {one.get('phase', '')}, {one.get('family', 'packed')}{metric}, {one['key']}"
        yield Node(said, None if one.get("phase") in {"Retired", "Canary"} else one.get("phase") == "Serving")


def _child(kind: str, child: Object, pods: Sequence[Object]) -> Node:
    name, status = child["metadata"]["name"], child.get("status", {})
    own = [_pod(pod) for pod in pods if _is_of(kind, child, pod)]
    said, good = _JUDGES[kind](child, status)
    return Node(f"{kind}/{name}  {said}", good, tuple(own))


def _is_of(kind: str, child: Object, pod: Object) -> bool:
    """By labels that Jobs put on their pods, and the operator on those of its Deployments."""
    labels = pod["metadata"].get("labels", {})
    if kind == "Job":
        return bool(labels.get("batch.kubernetes.io/job-name") == child["metadata"]["name"])
    if kind != "Deployment" or labels.get(STAGE_LABEL) != "serve":
        return False
    selected = child["spec"].get("selector", {}).get("matchLabels", {})
    return bool(labels.get(TRACK_LABEL) == selected.get(TRACK_LABEL))


def _job(_child: Object, status: Mapping[str, Any]) -> tuple[str, bool | None]:
    for one in status.get("conditions", ()):
        if one["type"] in {"Complete", "Failed", "Suspended"} and one["status"] == _GOOD:
            return (one["type"] + (f": {one['message']}" if one.get("message") else "")), one["type"] == "Complete"
    return f"{status.get('active', 0)} running, {status.get('failed', 0)} failed", None


def _deployment(child: Object, status: Mapping[str, Any]) -> tuple[str, bool | None]:
    wanted, ready = child["spec"].get("replicas", 1), status.get("readyReplicas", 0)
    updated = status.get("updatedReplicas", 0)
    rolling = "" if updated == wanted else f", {updated} of the newest revision"
    return f"{ready} of {wanted} ready{rolling}", ready >= wanted and updated == wanted


def _autoscaler(child: Object, status: Mapping[str, Any]) -> tuple[str, bool | None]:
    bounds = f"{child['spec'].get('minReplicas', 1)} to {child['spec']['maxReplicas']}"
    blind = [one for one in status.get("conditions", ()) if one["type"] == "ScalingActive" and one["status"] != _GOOD]
    why = f": {blind[0]['reason']}" if blind else ""
    return f"{status.get('currentReplicas', 0)} pods, of {bounds}{why}", not blind


def _service(child: Object, _status: Mapping[str, Any]) -> tuple[str, bool | None]:
    ports = ", ".join(str(port["port"]) for port in child["spec"].get("ports", ()))
    return f"{child['spec'].get('clusterIP', '')} port {ports}", None


def _claim(child: Object, status: Mapping[str, Any]) -> tuple[str, bool | None]:
    phase = status.get("phase", "Pending")
    size = child["spec"].get("resources", {}).get("requests", {}).get("storage", "")
    return f"{phase} {size}".strip(), phase == "Bound"


_JUDGES: Final = {
    "Job": _job,
    "Deployment": _deployment,
    "HorizontalPodAutoscaler": _autoscaler,
    "Service": _service,
    "PersistentVolumeClaim": _claim,
}


def _pod(pod: Object) -> Node:
    status = pod.get("status", {})
    said, good = _state_of(pod, status)
    node = pod["spec"].get("nodeName")
    return Node(f"Pod/{pod['metadata']['name']}  {said}{f' on {node}' if node else ''}", good)


def _state_of(pod: Object, status: Mapping[str, Any]) -> tuple[str, bool | None]:
    """Why it is not ready: the scheduler's words, then those of its containers."""
    if pod["metadata"].get("deletionTimestamp"):
        return "ends", None
    conditions = {one["type"]: one for one in status.get("conditions", ())}
    scheduled = conditions.get("PodScheduled", {})
    if scheduled.get("status") == "False":
        return f"waits for a node: {scheduled.get('message', scheduled.get('reason', ''))}", False
    for one in (*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ())):
        waiting = one.get("state", {}).get("waiting")
        if waiting and waiting.get("reason") not in _WAITING:
            said = waiting.get("message") or _last_words(one)
            return f"{waiting.get('reason', 'Waiting')}{f': {said}' if said else ''}", False
    phase = status.get("phase", "Pending")
    if phase == "Succeeded":
        return "Succeeded", True
    if phase == "Failed":
        return f"Failed: {status.get('message') or _failed_words(status)}", False
    ready = conditions.get("Ready", {}).get("status") == _GOOD
    return ("ready" if ready else f"{phase}, not ready"), ready or (None if _runs_a_stage(pod) else False)


def _runs_a_stage(pod: Object) -> bool:
    return bool(pod["metadata"].get("labels", {}).get(STAGE_LABEL) not in {None, "serve"})


def _last_words(container: Mapping[str, Any]) -> str:
    ended = container.get("lastState", {}).get("terminated", {})
    return f"exit code {ended['exitCode']}" if "exitCode" in ended else ""


def _failed_words(status: Mapping[str, Any]) -> str:
    codes = [
        one["state"]["terminated"]["exitCode"]
        for one in status.get("containerStatuses", ())
        if "terminated" in one.get("state", {})
    ]
    return f"exit code {', '.join(map(str, codes))}" if codes else status.get("reason", "no reason given")
