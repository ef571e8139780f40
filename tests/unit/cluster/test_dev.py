"""`make dev`: it starts beside nothing, and says why it does not start."""

import json
from pathlib import Path

import pytest
from tests.support.dev import DevError, Kubectl, environment_of, lease_namespace, recorded_images

from modelservice_operator.config import from_environment

IMAGES = {"operator": "local/operator:a", "trainer": "local/trainer:b", "server": "local/server:c"}


def answers(*, crd: bool = True, pods: tuple[dict[str, str], ...] = (), namespace: bool = True) -> Kubectl:
    items = [{"metadata": {"namespace": pod["namespace"]}, "status": {"phase": pod["phase"]}} for pod in pods]

    def kubectl(*arguments: str) -> str:
        match arguments[1]:
            case "crd":
                return "customresourcedefinition/modelservices.modelservice.dev" if crd else ""
            case "pods":
                return json.dumps({"items": items})
            case "namespace":
                return f"namespace/{arguments[2]}" if namespace else ""
        raise AssertionError(arguments)

    return kubectl


def test_the_lease_is_the_one_of_the_chart() -> None:
    assert lease_namespace(answers()) == "modelservice-system"
    assert lease_namespace(answers(namespace=False)) == "default"


def test_an_operator_in_the_cluster_is_left_alone() -> None:
    running = answers(pods=({"namespace": "ml", "phase": "Running"},))
    with pytest.raises(DevError, match=r"an operator runs in namespace ml, .*`kubectl scale deployment -n ml -l "):
        lease_namespace(running)
    assert lease_namespace(answers(pods=({"namespace": "ml", "phase": "Succeeded"},)))


def test_a_cluster_without_the_crd_is_told_how_to_get_it() -> None:
    with pytest.raises(DevError, match=r"kubectl apply --server-side -f .*manifests/crds"):
        lease_namespace(answers(crd=False))


def test_without_images_there_is_no_operator(tmp_path: Path) -> None:
    with pytest.raises(DevError, match="make load"):
        recorded_images(tmp_path / "images.json")
    (tmp_path / "images.json").write_text(json.dumps(IMAGES))
    assert recorded_images(tmp_path / "images.json") == IMAGES


def test_the_operator_takes_the_environment(tmp_path: Path) -> None:
    made = environment_of(
        {"MODELSERVICE_LOG_LEVEL": "debug", "MODELSERVICE_HTTP_PORT": "9999", "KUBECONFIG": "/elsewhere"},
        images=IMAGES,
        kubeconfig=tmp_path / "kubeconfig",
        namespace="ml",
    )
    assert made["KUBECONFIG"] == str(tmp_path / "kubeconfig")
    settings = from_environment(made)
    assert (settings.trainer_image, settings.server_image) == (IMAGES["trainer"], IMAGES["server"])
    assert (settings.log_level, settings.http_port, settings.pod_namespace) == ("debug", 9999, "ml")
