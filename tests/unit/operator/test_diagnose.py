"""What a status says for each way in which pods, claims and Jobs get stuck."""

from datetime import UTC, datetime
from typing import Any

import pytest

from modelservice_operator.domain.diagnose import event_problem, is_stuck, pod_problem, with_remedy


def waiting(why: str, said: str = "", **last: Any) -> dict[str, Any]:
    state = {"name": "server", "state": {"waiting": {"reason": why, "message": said}}, "image": "r/x:1"}
    return {"status": {"containerStatuses": [{**state, "lastState": {"terminated": last} if last else {}}]}}


def unschedulable(message: str) -> dict[str, Any]:
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
    return {"status": {"conditions": [condition]}}


@pytest.mark.parametrize(
    ("pod", "reason", "words"),
    [
        (
            unschedulable("0/1 nodes are available: 1 Insufficient nvidia.com/gpu."),
            "Unschedulable",
            ".resources",
        ),
        (unschedulable("1 node(s) had untolerated taint {a: b}"), "Unschedulable", "….tolerations"),
        (
            unschedulable("1 node(s) didn't match Pod's node affinity/selector"),
            "Unschedulable",
            ".nodeSelector",
        ),
        (unschedulable('persistentvolumeclaim "d" not found'), "Unschedulable", "spec.data.persistentVolumeClaim"),
        (
            unschedulable("pod has unbound immediate PersistentVolumeClaims"),
            "Unschedulable",
            "spec.artifacts.volumeClaim",
        ),
        (
            unschedulable("0/2 nodes are available: 1 node(s) had volume node affinity conflict."),
            "Unschedulable",
            "spec.artifacts.volumeClaim",
        ),
        (unschedulable("something new"), "Unschedulable", "(see spec.serving)"),
        (waiting("ImagePullBackOff", "Back-off pulling image"), "ImagePullBackOff", "imagePullSecrets"),
        (waiting("ErrImageNeverPull"), "ErrImageNeverPull", "r/x:1"),
        (
            waiting("CreateContainerConfigError", 'secret "s" not found'),
            "CreateContainerConfigError",
            ".env",
        ),
        (waiting("CrashLoopBackOff", "back-off", message="digest differs"), "CrashLoopBackOff", "digest differs"),
        (
            waiting("CrashLoopBackOff", "back-off", reason="OOMKilled"),
            "OOMKilled",
            "at 1Gi: raise ….resources.limits",
        ),
    ],
)
def test_a_pod_that_does_not_run_is_explained(pod: dict[str, Any], reason: str, words: str) -> None:
    problem = pod_problem(pod, section="spec.serving", memory_limit="1Gi")
    assert problem is not None
    assert problem.reason == reason
    assert words.replace("…", "spec.serving") in problem.message
    assert not problem.waits_for_change


def test_a_pod_that_is_starting_is_no_problem() -> None:
    assert pod_problem(waiting("ContainerCreating"), section="spec.serving") is None
    assert pod_problem({}, section="spec.serving") is None


def test_the_last_warning_is_told_and_normal_events_are_not() -> None:
    events = [
        {"type": "Warning", "reason": "Old", "message": "old"},
        {"type": "Warning", "reason": "ProvisioningFailed", "message": 'storageclass "x"\nnot found'},
        {"type": "Normal", "reason": "Fine", "message": "fine"},
    ]
    problem = event_problem(events, section="spec.training")
    assert problem is not None
    assert problem.reason == "ProvisioningFailed"
    assert problem.message == 'storageclass "x" not found (see spec.artifacts.volumeClaim.storageClassName)'
    assert event_problem(events[2:], section="spec.training") is None


@pytest.mark.parametrize(
    ("message", "words"),
    [
        ("forbidden: exceeded quota: tight, requested: limits.memory=2Gi", "lower spec.serving.resources"),
        ("forbidden: failed quota: tight: must specify limits.cpu for: server", "set spec.serving.resources"),
        (
            "forbidden: maximum memory usage per Container is 1Gi, but limit is 2Gi",
            "LimitRange bounds spec.serving.res",
        ),
        ("forbidden: cpu max limit to request ratio per Pod is 2, but provided ratio is 8", "LimitRange bounds spec."),
    ],
)
def test_what_a_namespace_refuses_names_the_field(message: str, words: str) -> None:
    problem = event_problem([{"type": "Warning", "reason": "R", "message": message}], section="spec.serving")
    assert problem is not None
    assert problem.message.startswith(message)
    assert words in problem.message
    assert problem.reason == "R"


def test_stuck_means_five_seconds() -> None:
    obj = {"metadata": {"creationTimestamp": "2026-01-01T00:00:00Z"}}
    assert not is_stuck(obj, datetime(2026, 1, 1, 0, 0, 4, tzinfo=UTC))
    assert is_stuck(obj, datetime(2026, 1, 1, 0, 0, 5, tzinfo=UTC))
    assert not is_stuck({"metadata": {}}, datetime(2026, 1, 1, tzinfo=UTC))


def test_a_pod_that_could_not_be_made_is_said_without_the_random_part_of_its_name() -> None:
    words = 'Error creating: pods "churn-train-abc-{}" is forbidden: exceeded quota: tight'
    (first, second) = (with_remedy(words.format(end), section="spec.training") for end in ("x7k2p", "bq9zz"))
    assert first == second
    assert 'pods "churn-train-abc-" is forbidden' in first


@pytest.mark.parametrize(
    ("volume", "words", "field"),
    [
        ("tls", 'secret "iris-tls" not found', "spec.serving.tls.secretRef"),
        ("api-keys", 'secret "callers" not found', "spec.serving.auth.apiKeys.secretRef"),
        ("jwks", 'configmap "issuer" not found', "spec.serving.auth.jwt.jwks"),
        ("jwks-ca", 'configmap "ca" not found', "spec.serving.auth.jwt.jwks.caConfigMapRef"),
        ("encryption", 'secret "keys" not found', "spec.artifacts.encryption.secretRef"),
        ("data", 'configmap "iris" not found', "spec.data.configMap"),
    ],
)
def test_what_a_pod_waits_for_names_the_field_of_its_volume(volume: str, words: str, field: str) -> None:
    message = f'MountVolume.SetUp failed for volume "{volume}" : {words}'
    problem = event_problem([{"type": "Warning", "reason": "FailedMount", "message": message}], section="spec.serving")
    assert problem is not None
    assert problem.message == f"{message} (see {field})"
