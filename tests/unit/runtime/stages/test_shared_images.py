"""A head of a shared encoder of images: it answers as with the encoder inside, and is told what it does not take."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import helper
from PIL import Image
from tests.support.samples import SAMPLES, model_service, sample_table
from tests.unit.runtime.families.image_networks import SIDE, archive, network, pictures, png
from tests.unit.runtime.served import NAME, SEES, Counting, bert, served, vision
from tests.unit.runtime.stages.test_shared_rows import HEAD as OF_TEXTS
from tests.unit.runtime.stages.test_shared_rows import resource as of_texts
from tests.unit.runtime.stages.test_shared_rows import table

import modelservice
from modelservice.artifact.stores import load_artifact
from modelservice.contract.failure import StageError
from modelservice.contract.manifest import METRICS_FILE, SharedEncoder
from modelservice.contract.metric_names import KnownMetric
from modelservice.inference.encoder_wire import NotAnsweredError, Trouble
from modelservice.inference.predictor import Predictor
from modelservice.modalities.shared import EncoderInput, SentRows
from modelservice.modalities.tensors import UINT8
from modelservice.stages import shared_rows
from modelservice.tasks.metrics_document import MetricsDocument

SAMPLE, VISION = SAMPLES / "shared-image-encoder.yaml", SAMPLES / "vision.yaml"
HEAD: dict[str, Any] = {"service": {"name": SEES}, "head": {"logistic": {"c": 100}}}
GIVEN = 20
STEPS = {"size": {"shortest_edge": GIVEN}, "do_center_crop": True, "crop_size": SIDE, "resample": 3}
"""Pictures are brought to 20 x 20 pixels, of which the network sees 16 x 16."""


def resource(encoder: dict[str, Any], **image: Any) -> dict[str, Any]:
    data = {
        "persistentVolumeClaim": {"claimName": "d", "path": "pictures.zip"},
        "image": {"height": GIVEN, "width": GIVEN, **image},
        "target": "label",
    }
    return {
        "apiVersion": "modelservice.dev/v1alpha1",
        "kind": "ModelService",
        "metadata": {"name": "sides"},
        "spec": {"data": data, "model": {"encoder": encoder}},
    }


def zipped(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "pictures.zip").write_bytes(archive(pictures(80)))
    return folder / "pictures.zip"


def test_a_head_answers_as_with_the_encoder_inside_and_is_stored_without_it(tmp_path: Path) -> None:
    encoder, data = vision(tmp_path / "network", steps=STEPS), zipped(tmp_path / "data")
    inside = resource({"uri": f"file://{tmp_path / 'network'}", "head": HEAD["head"]})
    whole = modelservice.train(inside, data, tmp_path / "whole")
    fresh = np.stack([pixels for _, pixels in pictures(12, seed=1)])
    large = png(np.kron(fresh[0], np.ones((3, 3, 1), np.uint8)))
    encoder.engine = counting = Counting(encoder.engine)
    with served(encoder, name=SEES) as address:
        counting.batches.clear()  # its examples
        trained = modelservice.train(resource(HEAD), data, tmp_path / "head", encoder=address)
        assert sum(counting.batches) == len(pictures(80)), "each picture is asked for once"
        head = modelservice.load(tmp_path / "head", encoder=address)
        np.testing.assert_allclose(head.predict_proba(fresh), whole.predict_proba(fresh), atol=1e-5)
        # A picture of any size is brought to that of the data, as in training.
        np.testing.assert_allclose(head.predict_proba([large]), whole.predict_proba([large]), atol=1e-5)
        (explained,), (expected,) = head.explain(fresh[:1]), whole.explain(fresh[:1])
    np.testing.assert_allclose(explained["contributions"], expected["contributions"], atol=1e-4)
    assert explained["patch"] == expected["patch"]
    manifest = trained.manifest
    assert manifest.encoder == SharedEncoder(name=SEES, digest=encoder.digest, width=6)
    assert (manifest.modality, manifest.family) == ("EmbeddedImage", "encoder")
    assert manifest.files["model.onnx"].size < whole.manifest.files["model.onnx"].size
    assert manifest.data is not None
    assert manifest.data.shape == (GIVEN, GIVEN, 3)
    assert f"the encoder is the service {SEES} of {encoder.digest}, 6 numbers of a row" in manifest.data.notes
    assert head.signature.inputs == whole.signature.inputs


def test_each_request_of_a_training_has_its_own_time_and_is_made_once() -> None:
    """Of large images there are several to the rows that are asked for together: an encoder may be slow."""
    asked: list[tuple[int, float]] = []
    late = NotAnsweredError(Trouble.LATE, "too late", retry_after=0)

    def ask(sent: SentRows, within: float) -> Any:
        asked.append((len(sent.rows), within))
        if len(asked) == 2:
            raise late
        return np.array([[row[0]] for row in sent.rows], np.float32)

    encoder = SharedEncoder(name=SEES, digest=f"sha256:{'ab' * 32}", width=1)
    waiting = shared_rows._Waiting(clock=lambda: 0.0, say=lambda _: None)
    rows = shared_rows.AskedRows("http://localhost:1", encoder, EncoderInput(UINT8, (1024, 512, 1)), waiting)
    rows._ask = ask  # type: ignore[assignment]
    images = [bytes([place]) * 2**19 for place in range(5)]
    found = rows.embed(SentRows(name="image", datatype=UINT8, shape=(1024, 512, 1), rows=images))
    assert found.tolist() == [[0], [1], [2], [3], [4]]
    assert asked == [(count, shared_rows.ANSWER_SECONDS) for count in (2, 2, 2, 1)]


def test_grey_images_are_seen_in_equal_channels(tmp_path: Path) -> None:
    encoder = vision(tmp_path / "network", steps=STEPS)
    found = pictures(60)
    arrays = {
        "X": np.stack([pixels[..., 0] for _, pixels in found]),
        "y": np.array([label for label, _ in found]),
    }
    spec = {"configMap": {"name": "d", "key": "d.npz"}, "target": "y"}
    inside, outside = (
        {**one, "spec": {**one["spec"], "data": spec}}
        for one in (resource({"uri": f"file://{tmp_path / 'network'}", "head": HEAD["head"]}), resource(HEAD))
    )
    whole = modelservice.train(inside, arrays, tmp_path / "whole")
    with served(encoder, name=SEES) as address:
        head = modelservice.train(outside, arrays, tmp_path / "head", encoder=address)
        np.testing.assert_allclose(head.predict_proba(arrays["X"][:9]), whole.predict_proba(arrays["X"][:9]), atol=1e-5)


def cells() -> Any:
    """A network whose numbers are means of 8 x 8 places of its maps, which tells digits apart as pixels do."""
    places = helper.make_node("AveragePool", ["last_hidden_state"], ["pooled_maps"], kernel_shape=[14, 14])
    places.attribute.append(helper.make_attribute("strides", [14, 14]))
    flat = helper.make_node("Flatten", ["pooled_maps"], ["places"])
    return network(outputs=("places",), nodes=(places, flat), shape=("batch", 3, "height", "width"))


def test_the_sample_learns_with_the_encoder_that_it_names(tmp_path: Path) -> None:
    spec = model_service(SAMPLE)["spec"]
    assert spec["model"]["encoder"]["service"]["name"] == model_service(VISION)["metadata"]["name"] == SEES
    assert sample_table(SAMPLE) == sample_table(SAMPLES / "image-folder.yaml")
    size = spec["data"]["image"]
    with served(vision(tmp_path / "network", model=cells(), steps={"size": size}), name=SEES) as address:
        model = modelservice.train(SAMPLE, output=tmp_path / "model", encoder=address)
        assert model.manifest.encoder is not None
        assert len(model.predict(np.zeros((1, size["height"], size["width"], 1), np.uint8))) == 1
    measured = load_artifact(tmp_path / "model").document(METRICS_FILE, MetricsDocument).test
    accuracy = measured.metric(KnownMetric.ACCURACY)
    assert accuracy is not None
    assert accuracy.value > 0.8


def fractions() -> dict[str, Any]:
    found = pictures(40)
    return {"X": np.stack([pixels for _, pixels in found]) / np.float32(255), "y": [label for label, _ in found]}


@pytest.mark.parametrize(
    ("image", "reason", "field", "sentence"),
    [
        (
            {"height": 24, "width": 16},
            "EncoderUnsuited",
            "spec.data.image",
            "the encoder vision takes images of 20 x 20 pixels (height x width), and those of the data have 24 x 16:"
            " set spec.data.image to {height: 20, width: 20}, or store the array so",
        ),
        (
            {"channels": 4},
            "ModelUnsuited",
            "spec.data.image.channels",
            "the encoder vision sees 3 channels, and images have 4: set spec.data.image.channels to 3, or store the",
        ),
        (
            None,
            "ModelUnsuited",
            "spec.data",
            "the encoder vision reads pixels from 0 to 255, and the array X holds fractions, whose scale nothing says",
        ),
    ],
    ids=["size", "channels", "fractions"],
)
def test_images_that_the_encoder_does_not_take_are_refused(
    tmp_path: Path, image: dict[str, Any] | None, reason: str, field: str, sentence: str
) -> None:
    described = resource(HEAD, **(image or {}))
    data: Any = zipped(tmp_path / "data")
    if image is None:
        described["spec"]["data"] = {"configMap": {"name": "d", "key": "d.npz"}, "target": "y"}
        data = fractions()
    with served(vision(tmp_path / "network", steps=STEPS), name=SEES) as address, pytest.raises(StageError) as caught:
        modelservice.train(described, data, tmp_path / "head", encoder=address)
    assert (caught.value.reason, caught.value.field) == (reason, field)
    assert sentence in caught.value.message


def test_an_encoder_of_the_other_kind_is_named(tmp_path: Path) -> None:
    head = {**HEAD, "service": {"name": NAME}}
    with served(bert(tmp_path / "bert")) as address, pytest.raises(StageError) as caught:
        modelservice.train(resource(head), zipped(tmp_path / "data"), tmp_path / "head", encoder=address)
    assert (caught.value.reason, caught.value.field) == ("EncoderUnsuited", "spec.model.encoder.service")
    assert caught.value.message == (
        "the encoder minilm reads texts, and the data holds images: name an encoder of images in"
        " spec.model.encoder.service"
    )
    head = {**OF_TEXTS, "service": {"name": SEES}}
    with served(vision(tmp_path / "network"), name=SEES) as address, pytest.raises(StageError) as caught:
        modelservice.train(of_texts(head), table(tmp_path / "data"), tmp_path / "head", encoder=address)
    assert "the encoder vision reads images, and the data holds texts: name an encoder of texts" in caught.value.message


def test_a_stored_head_reads_its_preprocessing_again(tmp_path: Path) -> None:
    """What it is sent are the pixels of the pictures, whatever company they come in."""
    encoder = vision(tmp_path / "network", steps=STEPS)
    with served(encoder, name=SEES) as address:
        modelservice.train(resource(HEAD), zipped(tmp_path / "data"), tmp_path / "head", encoder=address)
        head = Predictor.load(tmp_path / "head", encoder=address)
        rows = [pixels for _, pixels in pictures(3, seed=5)]
        lossy = io.BytesIO()
        Image.fromarray(rows[2]).save(lossy, "JPEG")
        mixed = [png(rows[0]), rows[1].tolist(), lossy.getvalue()]
        decoded = np.asarray(Image.open(io.BytesIO(lossy.getvalue())))
        np.testing.assert_allclose(
            head.predict_proba(mixed), head.predict_proba(np.stack([rows[0], rows[1], decoded])), atol=1e-6
        )
