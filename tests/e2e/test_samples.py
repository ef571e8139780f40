"""Every sample runs as it stands, one for each member of a seam; iris.yaml is the subject of test_operations.py."""

import base64
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from numpy.typing import NDArray
from PIL import Image
from tests.cluster.base_image import pause_reference
from tests.support import object_store
from tests.support.client import ask, infer_grpc, predict
from tests.support.e2e import Object, Space, condition, eventually, metrics, says
from tests.support.samples import SAMPLES, model_service, objects, sample_files, sample_rows, sample_table

from modelservice_operator.kinds import HORIZONTAL_POD_AUTOSCALER, JOB, PERSISTENT_VOLUME_CLAIM, POD

pytestmark = pytest.mark.cluster


def ask_with_an_example(space: Space, name: str) -> None:
    """Ask the model what its own status.example asks."""
    status = space.wait_ready(name)["status"]
    body = status["example"].partition("-d '")[2].rstrip("'")
    rows = json.loads(body)["instances"]
    assert len(ask(space.address(name), name, rows)) == len(rows) > 0


def rows_and_targets(sample: Path) -> tuple[list[dict[str, float]], list[str]]:
    """A sample's table of numbers, without its target, and the target."""
    target = model_service(sample)["spec"]["data"]["target"]
    rows = sample_rows(sample)
    targets = [row.pop(target) for row in rows]
    return [{name: float(cell) for name, cell in row.items()} for row in rows], targets


def agreement(answers: Sequence[str], truth: Sequence[str]) -> float:
    """Share of answers that are right."""
    return sum(answer == true for answer, true in zip(answers, truth, strict=True)) / len(truth)


def determination(answers: Sequence[float], truth: Sequence[float]) -> float:
    """R2 of answers."""
    residual, total = np.subtract(truth, answers), np.subtract(truth, np.mean(truth))
    return float(1 - (residual @ residual) / (total @ total))


COLUMNS = ("boolean.yaml", "date.yaml", "text.yaml")
COMPRESSED = ("compression.yaml", "prune.yaml", "distill.yaml", "compress-auto.yaml", "share-weights.yaml")
TOKENS_AND_PICTURES = ("rnn.yaml", "transformer.yaml", "image-folder.yaml")


@pytest.mark.story(60)
@pytest.mark.parametrize("name", [*COLUMNS, *TOKENS_AND_PICTURES])
def test_kinds_of_columns(space: Space, name: str) -> None:
    space.kubectl("apply", "-f", SAMPLES / name)
    ask_with_an_example(space, model_service(SAMPLES / name)["metadata"]["name"])


def test_every_sample_has_its_test() -> None:
    names = {path.relative_to(SAMPLES).parts[0] for path in sample_files()}
    tested = {"minimal.yaml", "iris.yaml", "autoscaling.yaml", "gpu.yaml", "kustomize", "cnn.yaml", *REGRESSIONS}
    tested |= {*COLUMNS, *TOKENS_AND_PICTURES, "imbalanced.yaml", "workers.yaml"}
    # These want a model in a store: test_encoder_sample.py, test_fetch.py and test_initial.py in tests/unit run them.
    tested |= {"encoder.yaml", "text-beside-columns.yaml", "artifact.yaml", "initialize.yaml"}
    assert names == {
        *tested,
        *CLASSIFIERS,
        *FORMATS,
        *COMPRESSED,
        "decimal-comma.yaml",
        "bucket",
        "object-storage.yaml",
        "guarded.yaml",  # in test_access.py
        "search.yaml",
    }


@pytest.mark.story(60)
def test_a_rare_class_is_found(space: Space) -> None:
    space.kubectl("apply", "-f", SAMPLES / "imbalanced.yaml")
    found = metrics(space.wait_ready("machines"))
    assert found["recallPositive"] > 0.5
    ask_with_an_example(space, "machines")


@pytest.mark.story(60)
def test_two_workers(space: Space) -> None:
    space.kubectl("apply", "-f", SAMPLES / "workers.yaml")
    ask_with_an_example(space, "wine-workers")
    (job,) = space.children(JOB, "wine-workers")
    assert (job["spec"]["completionMode"], job["spec"]["completions"]) == ("Indexed", 2)
    assert job["status"]["succeeded"] == 2


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


REGRESSIONS = ("regression.yaml", "kernel-ridge.yaml")
CLASSIFIERS = {
    "svm.yaml": "svm",
    "logistic.yaml": "logistic",
    "decision-tree.yaml": "decisionTree",
    "random-forest.yaml": "randomForest",
    "gradient-boosting.yaml": "gradientBoosting",
    "auto.yaml": "auto",
    "auto-budget.yaml": "auto",
    "test-file.yaml": "logistic",
}
"""Samples of the families that are fitted by scikit-learn and served without it, and how the status names each."""


@pytest.mark.story(50)
@pytest.mark.parametrize("file", CLASSIFIERS)
def test_family_of_scikit_learn(space: Space, file: str) -> None:
    sample = SAMPLES / file
    name = model_service(sample)["metadata"]["name"]
    space.kubectl("apply", "-f", sample)
    service = space.wait_ready(name)
    assert service["status"]["revisions"][0]["family"] == CLASSIFIERS[file]
    assert metrics(service)["accuracy"] > 0.8
    rows, truth = rows_and_targets(sample)
    answers = ask(space.address(name), name, rows)
    assert agreement([one["label"] for one in answers], truth) > 0.85
    for one in answers:
        assert sum(one["probabilities"].values()) == pytest.approx(1, abs=1e-5)


FORMATS = ("json-lines.yaml", "parquet.yaml", "excel.yaml")


@pytest.mark.story(50)
@pytest.mark.parametrize("file", FORMATS)
def test_format_of_tables(space: Space, file: str) -> None:
    sample = SAMPLES / file
    name = model_service(sample)["metadata"]["name"]
    space.kubectl("apply", "-f", sample)
    assert metrics(space.wait_ready(name))["accuracy"] > 0.8
    rows, truth = rows_and_targets(sample)
    assert agreement(predict(space.address(name), name, rows), truth) > 0.85


@pytest.mark.story(60)
def test_decimal_commas(space: Space) -> None:
    sample = SAMPLES / "decimal-comma.yaml"
    space.kubectl("apply", "-f", sample)
    assert metrics(space.wait_ready("progression-comma"))["r2"] > 0.2
    rows = sample_rows(sample)
    targets = [float(row.pop("progression")) for row in rows]
    answers = ask(space.address("progression-comma"), "progression-comma", rows)
    assert determination(answers, targets) > 0.3


@pytest.mark.story(60)
@pytest.mark.parametrize("file", REGRESSIONS)
def test_regression(space: Space, file: str) -> None:
    sample = SAMPLES / file
    name = model_service(sample)["metadata"]["name"]
    space.kubectl("apply", "-f", sample)
    service = space.wait_ready(name)
    assert service["status"]["revisions"][0]["primaryMetric"] == "r2"
    measured = metrics(service)
    assert measured["r2"] > 0.2
    assert 0 < measured["mae"] <= measured["rmse"]
    rows, truth = rows_and_targets(sample)
    assert determination(ask(space.address(name), name, rows), [float(one) for one in truth]) > 0.3


def digits() -> tuple[NDArray[Any], list[str]]:
    """Images [n, h, w] and their digits."""
    arrays = np.load(io.BytesIO(sample_table(SAMPLES / "cnn.yaml")), allow_pickle=False)
    return arrays["X"], [str(digit) for digit in arrays["y"]]


def png(image: NDArray[Any]) -> dict[str, str]:
    """An image as a request carries a file."""
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return {"b64": base64.b64encode(file.getvalue()).decode()}


@pytest.mark.story(80)
def test_network_of_convolutions_over_http_and_grpc(space: Space) -> None:
    space.kubectl("apply", "-f", SAMPLES / "cnn.yaml")
    assert metrics(space.wait_ready("digits"))["accuracy"] > 0.8
    address = space.address("digits")
    images, truth = digits()
    labels = predict(address, "digits", images.tolist())
    assert agreement(labels, truth) > 0.9
    assert predict(address, "digits", [png(image) for image in images[:20]]) == labels[:20]
    answered = infer_grpc(address, "digits", images[:20], output="label")
    assert [label.decode() for label in answered] == labels[:20]


@pytest.mark.story(70)
@pytest.mark.parametrize("file", COMPRESSED)
def test_compressed_model(space: Space, file: str) -> None:
    sample = SAMPLES / file
    name = model_service(sample)["metadata"]["name"]
    space.kubectl("apply", "-f", sample)
    service = space.wait_ready(name)
    assert condition(service, "Compressed")["status"] == "True", condition(service, "Compressed")["message"]
    rows, truth = rows_and_targets(sample)
    assert agreement(predict(space.address(name), name, rows), truth) > 0.85


@pytest.mark.story(80)
def test_search(space: Space) -> None:
    sample = SAMPLES / "search.yaml"
    space.kubectl("apply", "-f", sample)
    service = space.wait_ready("wine-search")
    assert "search: the best of 12 trials is " in condition(service, "DataReady")["message"]
    rows, truth = rows_and_targets(sample)
    assert agreement(predict(space.address("wine-search"), "wine-search", rows), truth) > 0.85


@pytest.mark.story(60)
def test_object_storage(space: Space) -> None:
    sample = SAMPLES / "object-storage.yaml"
    object_store.make_bucket("models")
    described = objects(sample)
    for one in described:
        if one["kind"] == "Secret":  # the file's own credentials are placeholders
            one["stringData"] |= object_store.environment()
    space.kubectl("apply", "-f", "-", input=yaml.safe_dump_all(described))
    status = space.wait_ready("iris-portable")["status"]
    uri = status["revisions"][0]["uri"]
    assert uri == f"s3://models/team/{space.name}/iris-portable/{status['key']}"
    assert space.children(PERSISTENT_VOLUME_CLAIM, "iris-portable") == []
    ask_with_an_example(space, "iris-portable")
    names = object_store.object_names("models", uri.removeprefix("s3://models/"))
    assert {"manifest.json", "model.onnx"} <= {name.rpartition("/")[2] for name in names}
    # The artifacts are the bucket's owner's: they stay when the ModelService goes.
    space.kubectl("delete", "modelservice", "iris-portable")
    eventually(lambda: not space.children(JOB, "iris-portable"), what="the end of its Jobs")
    assert object_store.object_names("models", uri.removeprefix("s3://models/")) == names


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
def test_gpu_is_waited_for_and_never_held_in_vain(space: Space) -> None:
    space.apply(build_gpu_holder())

    def held() -> bool:
        pod = space.api.get(POD, space.name, "holder")
        return pod is not None and pod["status"].get("phase") == "Running"

    eventually(held, what="both GPUs in use")
    space.kubectl("apply", "-f", SAMPLES / "gpu.yaml")
    words = ("Insufficient nvidia.com/gpu", "spec.training.resources")
    space.wait("diagnosis", says("Unschedulable", *words), what="waits for a GPU")
    space.kubectl("delete", "pod", "holder")
    # The scheduler alone believes in this cluster's GPUs.
    words = ("holds 1 GPU and torch sees none", "spec.training.runtimeClassName")
    space.wait("diagnosis", says("GpuNotVisible", *words), what="sees no GPU")
    (job,) = space.children(JOB, "diagnosis")
    limits = job["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"]
    assert limits["nvidia.com/gpu"] == "1"
    space.patch("diagnosis", {"training": {"resources": None}})
    ask_with_an_example(space, "diagnosis")
