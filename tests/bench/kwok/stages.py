"""What kwok makes of nodes and pods: the life that a kubelet and the runtime would give them, without either."""

from collections.abc import Mapping
from typing import Any

from modelservice.contract.evaluation import Evaluation, Metric
from modelservice.contract.manifest import CompressionSummary, DataSummary
from modelservice.contract.report import Report, Success
from modelservice.contract.signature import ColumnKind, InputColumn, Output, Signature
from modelservice_operator.constants import (
    LABEL_KEY,
    LABEL_NAME,
    LABEL_STAGE,
    SERVING_CONTAINER,
    STAGE_CONTAINER,
    STAGE_SERVE,
)

Object = dict[str, Any]

TRAIN, COMPRESS, FETCH = "train", "compress", "fetch"
END = "end"
"""Annotation by which a pod is asked to end well."""

_KEY = f"{{{{ index .metadata.labels `{LABEL_KEY}` }}}}"
_DIGEST = f"sha256:{'0' * 64}"

_NODE = """
conditions:
{{ range NodeConditions }}
- type: {{ .type | Quote }}
  status: {{ .status | Quote }}
  reason: {{ .reason | Quote }}
  message: {{ .message | Quote }}
  lastHeartbeatTime: {{ Now | Quote }}
  lastTransitionTime: {{ Now | Quote }}
{{ end }}
allocatable: {cpu: "64", memory: 256Gi, pods: "110"}
capacity: {cpu: "64", memory: 256Gi, pods: "110"}
phase: Running
"""
_STARTED = """
phase: Running
startTime: {{ Now | Quote }}
conditions:
- {type: Initialized, status: "True", lastTransitionTime: {{ Now | Quote }}}
- {type: ContainersReady, status: "READY", lastTransitionTime: {{ Now | Quote }}}
- {type: Ready, status: "READY", lastTransitionTime: {{ Now | Quote }}}
containerStatuses:
- name: CONTAINER
  image: simulated
  imageID: simulated
  ready: IS_READY
  started: true
  restartCount: 0
  state: {running: {startedAt: {{ Now | Quote }}}}
"""
_ADDRESS = """
{{ with PodIPsWith .spec.nodeName false .metadata.uid .metadata.name .metadata.namespace }}
podIP: {{ index . 0 | Quote }}
podIPs: [{ip: {{ index . 0 | Quote }}}]
{{ end }}
"""
_ENDED = """
phase: Succeeded
conditions:
- {type: ContainersReady, status: "False", reason: PodCompleted, lastTransitionTime: {{ Now | Quote }}}
- {type: Ready, status: "False", reason: PodCompleted, lastTransitionTime: {{ Now | Quote }}}
containerStatuses:
- name: CONTAINER
  image: simulated
  imageID: simulated
  ready: false
  started: false
  restartCount: 0
  state:
    terminated: {exitCode: 0, reason: Completed, finishedAt: {{ Now | Quote }}, message: 'REPORT'}
"""


def _is(key: str, operator: str, *values: str) -> Object:
    return {"key": key, "operator": operator, **({"values": list(values)} if values else {})}


def _label(key: str) -> str:
    return f'.metadata.labels["{key}"]'


_NOT_READY = _is('.status.conditions.[] | select(.type == "Ready") | .status', "NotIn", "True")


def all_stages() -> list[Object]:
    """Nodes are ready at once; a Job's pod ends well 2.5 to 5 s after it was placed, a server is ready in 1 to 2 s.

    Pods of Jobs have no address, so nobody asks them for progress.
    """
    return [
        *pending_stages(),
        *_job_stages(TRAIN, _report(_trained())),
        *_job_stages(COMPRESS, _report(_compressed())),
        *_job_stages(
            FETCH, _report(_trained().model_copy(update={"stage": FETCH, "source": "https://models.example"}))
        ),
        *_serving_stages(SERVING_CONTAINER, _is(_label(LABEL_STAGE), "In", STAGE_SERVE)),
    ]


def foreign_stages(label: str, container: str) -> list[Object]:
    """Servers of another controller, by a label of their pods, which live as ours in ``all_stages``."""
    return [*pending_stages(), *_serving_stages(container, _is(_label(label), "Exists"))]


def pending_stages() -> list[Object]:
    """Nodes are ready at once, and pods that were placed stay Pending: no kubelet says anything about them."""
    return [
        _stage("Node", "node", [_is(".status.phase", "NotIn", "Running")], _NODE),
        _stage("Pod", "delete", [_is(".metadata.deletionTimestamp", "Exists")], None),
    ]


def endless_stages(namespace: str, addresses: Mapping[str, str]) -> list[Object]:
    """The life of ``all_stages``, but in one namespace trainings never end.

    Args:
        namespace: where.
        addresses: IP address of the training pod of each ModelService there, by its name.
    """
    elsewhere = _is(".metadata.namespace", "NotIn", namespace)
    living = all_stages()
    for stage in living:
        if stage["metadata"]["name"].startswith(TRAIN):
            stage["spec"]["selector"]["matchExpressions"].append(elsewhere)
    return [*living, *(_endless(namespace, *one) for one in addresses.items())]


def asked_stages() -> list[Object]:
    """The life of ``all_stages``, but a training ends when its pod is asked to by the annotation ``END``."""
    asked = _is(f'.metadata.annotations["{END}"]', "Exists")
    living = all_stages()
    for stage in living:
        if stage["metadata"]["name"] == f"{TRAIN}-end":
            stage["spec"]["selector"]["matchExpressions"].append(asked)
    return living


def telling_stages() -> list[Object]:
    """Trainings that never end, each at an address of its own in 127.19.0.0/16 (``telling_address``)."""
    number = f"index .metadata.labels `{LABEL_NAME}`"  # such as model-0123, see population.service_name
    address = f"127.19.1{{{{ substr 6 8 ({number}) }}}}.1{{{{ substr 8 10 ({number}) }}}}"
    status = f"{_started(STAGE_CONTAINER, ready=True)}podIP: {address}\npodIPs: [{{ip: {address}}}]\n"
    return [*pending_stages(), _pod_stage("telling", TRAIN, "Pending", status, seconds=0.5)]


def telling_address(number: int) -> str:
    """Where the training of a ModelService tells how far it is."""
    return f"127.19.{100 + number // 100}.{100 + number % 100}"


def _endless(namespace: str, name: str, address: str) -> Object:
    status = f"{_started(STAGE_CONTAINER, ready=True)}podIP: {address}\npodIPs: [{{ip: {address}}}]\n"
    there = _is(".metadata.namespace", "In", namespace)
    made = _pod_stage(f"endless-{name}", TRAIN, "Pending", status, there, seconds=0.5)
    made["spec"]["selector"]["matchLabels"][LABEL_NAME] = name
    return made


def _job_stages(stage: str, report: str) -> list[Object]:
    """A pod that starts, and ends well with its report."""
    ended = _ENDED.replace("CONTAINER", STAGE_CONTAINER).replace("REPORT", report)
    return [
        _pod_stage(f"{stage}-start", stage, "Pending", _started(STAGE_CONTAINER, ready=True), seconds=0.5),
        _pod_stage(f"{stage}-end", stage, "Running", ended, seconds=2),
    ]


def _serving_stages(container: str, which: Object) -> list[Object]:
    """A server is ready in 1 to 2 s."""
    arriving = _started(container, ready=False) + _ADDRESS
    ready = _started(container, ready=True)
    return [
        _living_stage("serve-start", "Pending", arriving, which, seconds=0.5),
        _living_stage("serve-ready", "Running", ready, which, _NOT_READY, seconds=0.5),
    ]


def _pod_stage(name: str, stage: str, phase: str, status: str, *selected: Object, seconds: float) -> Object:
    """What follows on a phase of the pods of a stage of ours."""
    made = _living_stage(name, phase, status, *selected, seconds=seconds)
    made["spec"]["selector"]["matchLabels"] = {LABEL_STAGE: stage}
    return made


def _living_stage(name: str, phase: str, status: str, *selected: Object, seconds: float) -> Object:
    """What follows on a phase of a pod that is not being deleted, after ``seconds`` to the double of it."""
    living = [_is(".metadata.deletionTimestamp", "DoesNotExist"), _is(".status.phase", "In", phase)]
    made = _stage("Pod", name, [*living, *selected], status)
    milliseconds = round(seconds * 1000)
    made["spec"]["delay"] = {"durationMilliseconds": milliseconds, "jitterDurationMilliseconds": 2 * milliseconds}
    return made


def _stage(kind: str, name: str, selected: list[Object], status: str | None) -> Object:
    return {
        "apiVersion": "kwok.x-k8s.io/v1alpha1",
        "kind": "Stage",
        "metadata": {"name": name},
        "spec": {
            "resourceRef": {"apiGroup": "v1", "kind": kind},
            "selector": {"matchExpressions": selected},
            "next": {"delete": True} if status is None else {"statusTemplate": status},
        },
    }


def _started(container: str, *, ready: bool) -> str:
    text = _STARTED.replace("CONTAINER", container).replace("IS_READY", str(ready).lower())
    return text.replace("READY", str(ready))


def _report(success: Success) -> str:
    """The termination message."""
    return Report(result=success).to_message()


def _trained() -> Success:
    """A training of four columns, for whichever key."""
    labels = ("a", "b", "c")
    columns = tuple(InputColumn(name=f"column {number}", type=ColumnKind.NUMBER, example=1.5) for number in range(4))
    outputs = (
        Output(name="label", datatype="BYTES"),
        Output(name="probabilities", datatype="FP32", shape=(len(labels),), labels=labels),
    )
    metrics = (
        Metric(name="accuracy", value=0.97, low=0.85, high=0.99),
        *(Metric(name=name, value=0.97) for name in ("precision", "recall", "f1")),
        Metric(name="logLoss", value=0.1),
    )
    return Success(
        stage=TRAIN,
        key=_KEY,
        digest=_DIGEST,
        family="mlp",
        task="Multiclass",
        evaluation=Evaluation(primary="accuracy", rows=30, metrics=metrics),
        data=DataSummary(sha256=_DIGEST, rows=150, features=4, classes=3),
        parameters=4675,
        artifact_bytes=24_000,
        signature=Signature(modality="table", task="Multiclass", target="kind", inputs=columns, outputs=outputs),
        seconds={"read": 0.1, "train": 1.0, "evaluate": 0.1, "store": 0.1},
    )


def _compressed() -> Success:
    """The same model in a quarter of the bytes."""
    summary = CompressionSummary(
        applied=True,
        message="nothing was lost",
        budget=0.005,
        drop=0.0,
        low=0.0,
        high=0.0,
        bytes_before=24_000,
        bytes_after=6_000,
    )
    return _trained().model_copy(update={"stage": COMPRESS, "artifact_bytes": 6_000, "compression": summary})
