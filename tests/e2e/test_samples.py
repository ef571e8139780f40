"""Every sample runs as it stands; iris.yaml is the subject of test_operations.py."""

import json

import pytest
from tests.cluster.base_image import pause_reference
from tests.support.client import predict
from tests.support.e2e import Object, Space, eventually, says
from tests.support.samples import SAMPLES, sample_files

from modelservice_operator.kinds import HORIZONTAL_POD_AUTOSCALER, JOB, POD

pytestmark = pytest.mark.cluster


def ask_with_an_example(space: Space, name: str) -> None:
    """Ask the model what its own status.example asks."""
    status = space.wait_ready(name)["status"]
    body = status["example"].partition("-d '")[2].rstrip("'")
    rows = json.loads(body)["instances"]
    (label,) = predict(space.address(name), name, rows)
    assert label


def test_every_sample_has_its_test() -> None:
    names = {path.relative_to(SAMPLES).parts[0] for path in sample_files()}
    assert names == {"minimal.yaml", "iris.yaml", "autoscaling.yaml", "gpu.yaml", "kustomize"}


@pytest.mark.story(60)
def test_minimal(space: Space) -> None:
    space.kubectl("apply", "-f", SAMPLES / "minimal.yaml")
    ask_with_an_example(space, "churn")


@pytest.mark.story(60)
def test_autoscaling(space: Space) -> None:
    space.kubectl("apply", "-f", SAMPLES / "autoscaling.yaml")
    ask_with_an_example(space, "wine")
    (autoscaler,) = space.children(HORIZONTAL_POD_AUTOSCALER, "wine")
    assert autoscaler["spec"]["maxReplicas"] == 5


@pytest.mark.story(60)
def test_kustomization_follows_the_generated_name(space: Space) -> None:
    space.kubectl("apply", "-k", SAMPLES / "kustomize")
    ask_with_an_example(space, "flowers")
    name = space.service("flowers")["spec"]["data"]["configMap"]["name"]
    assert name.startswith("flowers-")


def build_gpu_holder() -> Object:
    """A pod that takes all GPUs of a node, for as long as it is there."""
    container = {
        "name": "holder",
        "image": pause_reference(),
        "imagePullPolicy": "Never",
        "resources": {"limits": {"nvidia.com/gpu": "2"}},
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    security = {"runAsNonRoot": True, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}}
    spec = {"terminationGracePeriodSeconds": 0, "securityContext": security, "containers": [container]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "holder"}, "spec": spec}


@pytest.mark.story(80)
def test_gpu_is_waited_for_and_then_used(space: Space) -> None:
    space.apply(build_gpu_holder())

    def held() -> bool:
        pod = space.api.get(POD, space.name, "holder")
        return pod is not None and pod["status"].get("phase") == "Running"

    eventually(held, what="both GPUs in use")
    space.kubectl("apply", "-f", SAMPLES / "gpu.yaml")
    words = ("Insufficient nvidia.com/gpu", "spec.training.resources")
    space.wait("diagnosis", says("Unschedulable", *words), what="waits for a GPU")
    space.kubectl("delete", "pod", "holder")
    space.wait_ready("diagnosis")
    (job,) = space.children(JOB, "diagnosis")
    limits = job["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"]
    assert limits["nvidia.com/gpu"] == "1"
