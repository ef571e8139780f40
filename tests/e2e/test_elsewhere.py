"""What was trained elsewhere: another ModelService's model by its claim, and a packed ONNX file in a bucket."""

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from tests.support import object_store
from tests.support.client import ask
from tests.support.e2e import LIGHT, Object, Space, condition, config_map, model_service, says
from tests.support.tables import IRIS
from tests.unit.runtime.inference.graphs import linear

from modelservice.packing.pack import Packed, pack
from modelservice.packing.settings import PackSettings
from modelservice_operator.kinds import JOB

pytestmark = pytest.mark.cluster

ROW = {"sepal_length": 5.1, "sepal_width": 3.5, "petal_length": 1.4, "petal_width": 0.2}
COLUMNS = [{"name": name} for name in ROW]


def stages(space: Space, name: str) -> list[str]:
    """What Jobs were made for."""
    return [job["metadata"]["labels"]["modelservice.dev/stage"] for job in space.children(JOB, name)]


def served_from(name: str, **source: str | Object) -> Object:
    """A ModelService that is not trained."""
    described = model_service(name)
    described["spec"] = {"model": {"artifact": source}, "training": LIGHT, "serving": LIGHT}
    return described


@pytest.mark.story(120)
def test_what_one_service_trained_others_serve_and_promote(space: Space) -> None:
    space.apply(config_map("flowers", IRIS), model_service("flowers"))
    trained = space.wait_ready("flowers")["status"]
    source = {"uri": trained["revisions"][0]["uri"], "digest": trained["digest"]}
    promoted = model_service("promoted", serving={"pinRevision": source})
    promoted["spec"]["data"]["configMap"]["name"] = "not-there"
    space.apply(served_from("taken", **source), promoted)
    for name in ("taken", "promoted"):
        service = space.wait_ready(name)
        status = service["status"]
        assert (status["digest"], status["source"]) == (trained["digest"], source["uri"])
        assert status["metric"] == trained["metric"]
        assert condition(service, "Fetched")["message"].startswith(f"revision 1: from {source['uri']}, test accuracy")
        assert stages(space, name) == ["fetch"]
    space.kubectl("delete", "modelservice", "flowers", "--wait=true")
    (answer,) = ask(space.address("taken"), "taken", [ROW])
    assert answer["label"] == "setosa"
    wide = space.kubectl("get", "modelservice", "taken", "-o", "wide")
    assert source["uri"] in wide


def put(folder: str, packed: Packed) -> str:
    """Copy an artifact into the bucket, as a person would, and give its address."""
    object_store.make_bucket("models")
    bucket = object_store.open_bucket("models")
    for name, content in {"manifest.json": packed.artifact.manifest_bytes, **packed.files}.items():
        bucket.put(f"{folder}/{name}", content)
    return f"s3://models/{folder}"


@pytest.mark.story(90)
def test_a_packed_model_is_served(space: Space) -> None:
    """Another digest is said, and the right one heals it."""
    settings = PackSettings.model_validate({"labels": ["a", "b", "c"], "logits": True, "columns": COLUMNS})
    with TemporaryDirectory() as folder:
        file = Path(folder) / "linear.onnx"
        file.write_bytes(linear().SerializeToString())
        packed = pack(file, settings)
    uri, secret = put(f"{space.name}/linear", packed), {"name": "models"}
    space.apply(object_store.secret("models"))
    space.apply(served_from("linear", uri=uri, digest=f"sha256:{'0' * 64}", secretRef=secret))
    space.wait("linear", says("ArtifactChanged", uri, packed.artifact.digest), what="says the digest")
    space.apply(served_from("linear", uri=uri, digest=packed.artifact.digest, secretRef=secret))
    status = space.wait_ready("linear")["status"]
    assert (status["digest"], status["revisions"][0]["family"]) == (packed.artifact.digest, "onnx")
    (answer,) = ask(space.address("linear"), "linear", [ROW])
    logits = np.array(list(ROW.values())) @ (np.arange(12).reshape(4, 3) / 10)
    expected = np.exp(logits) / np.exp(logits).sum()
    assert list(answer["probabilities"].values()) == pytest.approx(expected.tolist(), abs=1e-5)
