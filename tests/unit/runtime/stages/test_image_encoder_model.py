"""A head on an encoder of images, from a folder of pictures to the answer of a server: one file does it all."""

from base64 import b64encode
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import orjson
import pytest
import yaml
from tests.unit.runtime.families.image_networks import archive, pictures, png, write_network

import modelservice
from modelservice.families.pretrained import read_pretrained
from modelservice.inference.predictor import Predictor
from modelservice.serving.alone import answer_alone

SIDE = 20


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """The folder of a model and of its pictures, and its resource; the encoder is gone by then."""
    read_pretrained.cache_clear()
    folder = tmp_path_factory.mktemp("pictures")
    steps = {"size": {"shortest_edge": 18}, "do_center_crop": True, "crop_size": 16, "resample": 3}
    document: dict[str, Any] = {
        "apiVersion": "modelservice.dev/v1alpha1",
        "kind": "ModelService",
        "metadata": {"name": "sides"},
        "spec": {
            "data": {
                "persistentVolumeClaim": {"claimName": "d", "path": "pictures.zip"},
                "image": {"height": SIDE, "width": SIDE},
                "target": "label",
            },
            "model": {
                "encoder": {"uri": write_network(folder / "resnet", steps=steps), "head": {"logistic": {"c": 100}}}
            },
        },
    }
    (folder / "sides.yaml").write_text(yaml.safe_dump(document))
    (folder / "pictures.zip").write_bytes(archive(pictures(80)))
    modelservice.train(folder / "sides.yaml", data=folder / "pictures.zip", output=folder / "model")
    (folder / "resnet" / "model.onnx").unlink()
    return folder, document


def form(content: bytes) -> bytes:
    head = b'--x\r\nContent-Disposition: form-data; name="image"; filename="a.png"\r\n\r\n'
    return head + content + b"\r\n--x--\r\n"


def test_a_picture_in_any_form_gets_one_answer(trained: tuple[Path, dict[str, Any]]) -> None:
    predictor = Predictor.load(trained[0] / "model")
    fresh = pictures(20, side=SIDE, seed=1)
    arrays = np.stack([pixels for _, pixels in fresh])
    right = [answer == label for answer, (label, _) in zip(predictor.predict(arrays), fresh, strict=True)]
    assert np.mean(right) >= 0.9
    picture = png(fresh[0][1])
    bodies = {
        "numbers": orjson.dumps({"instances": [fresh[0][1].tolist()]}),
        "base64": orjson.dumps({"instances": [{"b64": b64encode(picture).decode()}]}),
        "raw": picture,
        "form": form(picture),
    }
    answers = {name: answer_alone(predictor, body, explains=False) for name, body in bodies.items()}
    assert len(set(answers.values())) == 1, answers
    # A picture of another size is brought to that of the data, as in training.
    larger = np.repeat(np.repeat(fresh[0][1], 2, axis=0), 2, axis=1)
    assert orjson.loads(answer_alone(predictor, png(larger), explains=False))["predictions"]


def test_what_serves_is_what_was_trained(trained: tuple[Path, dict[str, Any]]) -> None:
    manifest = Predictor.load(trained[0] / "model").manifest
    assert manifest.model.max_difference is not None
    assert manifest.model.max_difference <= 1e-5
    assert manifest.encoder is None
    assert manifest.data is not None
    assert "images of 20 x 20 pixels are seen by the encoder as 16 x 16" in manifest.data.notes


def test_it_is_explained_by_patches_and_made_smaller(trained: tuple[Path, dict[str, Any]]) -> None:
    folder, document = trained
    model = modelservice.load(folder / "model")
    (_, pixels) = pictures(2, side=SIDE, seed=2)[1]
    (explained,) = model.explain(pixels[None])
    assert np.shape(explained["contributions"]) == (7, 7)
    document = {
        **document,
        "spec": {**document["spec"], "compression": {"steps": [{"quantize": {}}], "maxAccuracyDrop": 0.5}},
    }
    small = modelservice.compress(document, folder / "model", folder / "pictures.zip", folder / "small")
    assert small.manifest.compression is not None
    content = onnx.load(folder / "small" / "model.onnx")
    resized = [one for one in content.graph.initializer if "pixels " in one.name]
    assert {one.data_type for one in resized} == {onnx.TensorProto.FLOAT}, "how pixels are resized stays as it is"
