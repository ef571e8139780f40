"""Samples run as they stand, through all that the operator makes of them; test_images.py has the other ones."""

import base64
import io
import json
import secrets
from typing import Any

import numpy as np
import pytest
import yaml
from numpy.typing import NDArray
from PIL import Image
from sklearn.metrics import accuracy_score
from tests.cluster.base_image import pause_reference
from tests.e2e.test_images import LEARNED
from tests.support import object_store
from tests.support.client import ask, infer_grpc, predict
from tests.support.e2e import Object, Space, eventually, metrics, says
from tests.support.pods import build_container, build_pod
from tests.support.samples import SAMPLES, objects, sample_files, sample_table

from modelservice_operator.kinds import (
    CONTROLLER_REVISION,
    JOB,
    NETWORK_POLICY,
    PERSISTENT_VOLUME_CLAIM,
    POD,
    SERVICE,
)

pytestmark = pytest.mark.cluster


def ask_with_an_example(space: Space, name: str) -> None:
    """Ask the model what its own status.example asks."""
    status = space.wait_ready(name)["status"]
    body = status["example"].partition("-d '")[2].rstrip("'")
    rows = json.loads(body)["instances"]
    assert len(ask(space.address(name), name, rows)) == len(rows) > 0


def test_every_sample_has_its_test() -> None:
    names = {path.relative_to(SAMPLES).parts[0] for path in sample_files()}
    here = {
        "cnn.yaml",
        "encrypted.yaml",
        "gpu.yaml",
        "kustomize",
        "minimal.yaml",
        "object-storage.yaml",
    }
    elsewhere = {
        "autoscaling.yaml": "test_lifecycle.py",  # but for its table, which is that of parquet.yaml
        "iris.yaml": "test_operations.py",
        "bucket": "test_data.py",
        "registry.yaml": "test_image_volumes.py",
        "guarded.yaml": "test_access.py",
    }
    # These want a model in a store: test_encoder_sample.py, test_fetch.py, test_initial.py, test_teacher.py,
    # test_shared_rows.py and test_shared_images.py in tests/unit run them; test_shared_encoder.py is a story of heads.
    stored = {
        "artifact.yaml",
        "encoder.yaml",
        "initialize.yaml",
        "minilm.yaml",
        "shared-encoder.yaml",
        "shared-image-encoder.yaml",
        "teacher.yaml",
        "text-beside-columns.yaml",
        "vision.yaml",
    }
    assert names == {*here, "workers.yaml", *elsewhere, *stored, *LEARNED}


@pytest.mark.story(60)
def test_two_workers(space: Space) -> None:
    space.kubectl("apply", "-f", SAMPLES / "workers.yaml")
    ask_with_an_example(space, "wine-workers")
    (job,) = space.children(JOB, "wine-workers")
    assert (job["spec"]["completionMode"], job["spec"]["completions"]) == ("Indexed", 2)
    assert job["status"]["succeeded"] == 2
    # What its workers met by goes with the Job that somebody deletes, and nothing is trained again.
    space.kubectl("delete", "job", job["metadata"]["name"], "--cascade=foreground")

    def left() -> list[str]:
        made = (obj for kind in (JOB, SERVICE, NETWORK_POLICY) for obj in space.children(kind, "wine-workers"))
        return sorted({obj["metadata"]["name"] for obj in made})

    eventually(lambda: left() == ["wine-workers"], what="a ModelService without what its workers met by")


@pytest.mark.story(60)
def test_minimal(space: Space) -> None:
    space.kubectl("apply", "-f", SAMPLES / "minimal.yaml")
    ask_with_an_example(space, "churn")


@pytest.mark.story(10)
def test_kustomization_follows_the_generated_name(space: Space) -> None:
    """A Job is made once its table is found; it goes with the namespace before it costs much."""
    space.kubectl("apply", "-k", SAMPLES / "kustomize")
    eventually(lambda: space.children(JOB, "flowers"), what="a Job, whose table is there")
    name = space.service("flowers")["spec"]["data"]["configMap"]["name"]
    assert name.startswith("flowers-")


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
    assert accuracy_score(truth, labels) > 0.9
    assert predict(address, "digits", [png(image) for image in images[:20]]) == labels[:20]
    answered = infer_grpc(address, "digits", images[:20], output="label")
    assert [label.decode() for label in answered] == labels[:20]


@pytest.mark.story(110)
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
    # Made again it finds them; and where it is asked for, they go with their revision, and with the ModelService.
    service = next(one for one in described if one["kind"] == "ModelService")
    service["spec"] |= {
        "revisionHistoryLimit": 1,
        "artifacts": service["spec"]["artifacts"] | {"deletionPolicy": "Delete"},
    }
    space.kubectl("apply", "-f", "-", input=yaml.safe_dump(service))
    assert space.wait_ready("iris-portable")["status"]["revisions"][0]["uri"] == uri
    service["spec"]["training"] = {"epochs": 3}
    space.kubectl("apply", "-f", "-", input=yaml.safe_dump(service))
    folders = f"team/{space.name}/iris-portable/"

    def keys() -> set[str]:
        return {name.split("/")[3] for name in object_store.object_names("models", folders)}

    eventually(lambda: len(keys()) == 1 and status["key"] not in keys(), what="the end of the first revision")

    def recorded() -> set[str]:
        records = (one["data"] for one in space.children(CONTROLLER_REVISION, "iris-portable"))
        return {record["key"] for record in records if record["kind"] == "StageRecord"}

    eventually(lambda: recorded() == keys(), what="the end of its record")
    space.kubectl("delete", "modelservice", "iris-portable")  # which waits for the finalizer
    assert keys() == set()


@pytest.mark.story(60)
def test_encrypted_at_rest(space: Space) -> None:
    def random_key() -> str:
        return base64.b64encode(secrets.token_bytes(32)).decode()

    object_store.make_bucket("models")
    described = objects(SAMPLES / "encrypted.yaml")
    for one in described:  # what the file has are placeholders; the cluster's own class is of one node
        if one["kind"] == "Secret":
            values = one["stringData"]
            values |= {"2026-11": random_key()} if "2026-11" in values else object_store.environment()
        elif one["kind"] == "PersistentVolumeClaim":
            one["spec"]["accessModes"] = ["ReadWriteOnce"]
    space.kubectl("apply", "-f", "-", input=yaml.safe_dump_all(described))
    status = space.wait_ready("iris-encrypted")["status"]
    ask_with_an_example(space, "iris-encrypted")
    bucket, uri = object_store.open_bucket("models"), status["revisions"][0]["uri"]
    names = object_store.object_names("models", uri.removeprefix("s3://models/"))
    at_rest = [bytes(bucket.get(name).bytes()) for name in names]
    assert len(at_rest) > 5
    assert all(content.startswith(b"MSVCSEA1") for content in at_rest)
    pods = space.pods("iris-encrypted", "serve")
    assert len(pods) == 2
    look = "import os; print(*os.listdir('/var/lib/modelservice/cache'))"
    kept = space.kubectl("exec", pods[0]["metadata"]["name"], "--", "python", "-c", look).split()
    assert len(kept) == len(names)
    # Another key is for what is made later: nothing is trained for it, and a pod that starts anew reads the old.
    space.kubectl("patch", "secret", "iris-encrypted-keys", "-p", json.dumps({"stringData": {"2026-12": random_key()}}))
    space.patch("iris-encrypted", {"artifacts": {"encryption": {"secretRef": {"key": "2026-12"}}}})
    space.kubectl("delete", "pod", pods[0]["metadata"]["name"])
    again = space.wait_ready("iris-encrypted")["status"]
    assert (again["digest"], len(space.children(JOB, "iris-encrypted"))) == (status["digest"], 1)
    ask_with_an_example(space, "iris-encrypted")


def build_gpu_holder() -> Object:
    """A pod that takes all GPUs of a node, for as long as it is there."""
    resources = {"limits": {"nvidia.com/gpu": "2"}}
    container = build_container("holder", pause_reference(), resources=resources)
    return build_pod("holder", container, terminationGracePeriodSeconds=0)


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
