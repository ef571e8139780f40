"""A frozen network over images and a head on it: what is done to pixels is in the graph, once, as Pillow does it."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from PIL import Image
from tests.unit.runtime.families.berts import write_bert
from tests.unit.runtime.families.datasets import fit, reviews, run_onnx
from tests.unit.runtime.families.image_networks import SIDE, WIDTH, archive, network, pictures, write_network

from modelservice.contract.data import Data, Format
from modelservice.contract.failure import StageError
from modelservice.families import family_named
from modelservice.families.encoder import UNREADABLE
from modelservice.families.pretrained import read_pretrained
from modelservice.families.pretrained.image_steps import FILTERS, ImageSteps, weights
from modelservice.families.pretrained.images import ImageModel
from modelservice.modalities.base import Dataset, FileOptions
from modelservice.modalities.image.preprocessing import ImagePreprocessing
from modelservice.modalities.sources import read_rows, read_source

SIZE = {"height": 20, "width": 20}


@pytest.fixture(autouse=True)
def _read_anew() -> None:
    read_pretrained.cache_clear()


def data(**more: Any) -> Data:
    return Data.model_validate(
        {"persistentVolumeClaim": {"claimName": "d", "path": "p.zip"}, "target": "label", "image": SIZE, **more}
    )


def rows(content: bytes | None = None, **more: Any) -> Dataset:
    asked = data(**more)
    source = read_source(content or archive(pictures()), format=Format.IMAGE_FOLDER, options=FileOptions.of(asked))
    return read_rows(source, asked, None)[1]


def spec(uri: str, **more: Any) -> dict[str, Any]:
    return {"encoder": {"uri": uri, **more}}


def plain(height: int, width: int, channels: int = 3, **more: Any) -> ImagePreprocessing:
    """Rows that are pixels."""
    moments: dict[str, Any] = {"mean": (0.0,) * channels, "std": (1.0,) * channels}
    sides: dict[str, Any] = {"height": height, "width": width, "channels": channels, "channel_axis": True}
    return ImagePreprocessing(name="image", datatype="UINT8", **{**sides, **moments, **more})


def by_pillow(uri: str, images: list[NDArray[np.uint8]]) -> NDArray[np.float32]:
    """What the file itself says of images that Pillow and numpy made ready, as image processors do it."""
    folder = Path(uri.removeprefix("file://"))
    steps = json.loads((folder / "preprocessor_config.json").read_text())
    size = steps["size"]
    seen = []
    for pixels in images:
        picture = Image.fromarray(pixels)
        if "shortest_edge" in size:
            short, least = size["shortest_edge"], min(picture.size)
            target = (int(short * picture.width / least), int(short * picture.height / least))
        else:
            target = (size["width"], size["height"])
        picture = picture.resize(target, steps["resample"])
        if steps["do_center_crop"]:
            height, width = (steps["crop_size"][side] for side in ("height", "width"))
            top, left = (picture.height - height) // 2, (picture.width - width) // 2
            picture = picture.crop((left, top, left + width, top + height))
        values = np.asarray(picture, np.float32) * steps["rescale_factor"]
        seen.append((values - steps["image_mean"]) / steps["image_std"])
    batch = np.stack(seen).transpose(0, 3, 1, 2).astype(np.float32)
    return run_file(folder / "model.onnx", "pooler_output", batch)


def run_file(file: Path, output: str, batch: NDArray[np.float32]) -> NDArray[np.float32]:
    session = onnxruntime.InferenceSession(file.read_bytes(), providers=["CPUExecutionProvider"])
    return np.asarray(session.run([output], {"pixel_values": batch})[0])


@given(
    given=st.integers(1, 40),
    resized=st.integers(1, 40),
    resample=st.sampled_from(range(len(FILTERS))),
    seed=st.integers(0, 9),
)
def test_rows_are_resized_as_pillow_does_it(given: int, resized: int, resample: int, seed: int) -> None:
    column = np.random.default_rng(seed).integers(0, 256, (given, 1), dtype=np.uint8)
    expected = np.asarray(Image.fromarray(column).resize((1, resized), resample), np.float32)
    matrix = weights(given, resized, FILTERS[resample])
    np.testing.assert_allclose(matrix.sum(axis=1), 1, atol=1e-6)
    # Pillow rounds to whole levels.
    np.testing.assert_allclose(np.clip(matrix @ column.astype(np.float32), 0, 255), expected, atol=0.51)


CROPPED = {"size": {"shortest_edge": 18}, "do_center_crop": True, "crop_size": {"height": SIDE, "width": SIDE}}


@pytest.mark.parametrize(
    ("steps", "size"),
    [
        ({}, (20, 20)),
        ({"resample": 3}, (9, 31)),
        ({**CROPPED, "resample": 3}, (24, 40)),
        ({**CROPPED, "resample": 2}, (18, 18)),
        ({"resample": 1}, (SIDE, SIDE)),
    ],
)
def test_the_graph_is_the_network_of_what_image_processors_make(
    tmp_path: Path, steps: dict[str, Any], size: tuple[int, int]
) -> None:
    uri = write_network(tmp_path / "m", steps=steps)
    # Of little contrast, as pictures are: whole levels, to which Pillow rounds, are then most of what differs.
    images = list(np.random.default_rng(0).integers(90, 140, (4, *size, 3), dtype=np.uint8))
    reading = read_pretrained(uri, None).reading(plain(*size))
    found = reading.compute(np.stack(images).transpose(0, 3, 1, 2).astype(np.float32))
    expected = by_pillow(uri, images)
    exact = size in {(18, 18), (SIDE, SIDE)}
    np.testing.assert_allclose(found, expected, atol=1e-5 if exact else 0.02 * np.abs(expected).max())


@pytest.mark.parametrize(
    "head", [{"logistic": {"c": 100}}, {"svm": {}}, {"decisionTree": {}}, {"mlp": {"ensemble": 2}}]
)
def test_a_head_learns_and_one_graph_answers_for_both(tmp_path: Path, head: dict[str, Any]) -> None:
    uri = write_network(tmp_path / "m")
    dataset = rows()
    fitted = fit(dataset, spec(uri, head=head))
    for side in (dataset.train, dataset.validation, dataset.test):
        raw = run_onnx(fitted.onnx, side.features)
        np.testing.assert_allclose(fitted.predict(side.features), raw, atol=1e-5)
    learned = run_onnx(fitted.onnx, dataset.train.features)
    assert (learned.argmax(axis=1) == dataset.train.values).mean() >= 0.9
    assert fitted.notes[:2] == (
        f"the encoder is {uri} with weights {read_pretrained(uri, None).digest}",
        "images of 20 x 20 pixels are seen by the encoder as 16 x 16",
    )
    assert not fitted.files


def test_how_rows_are_standardised_changes_nothing(tmp_path: Path) -> None:
    encoder = read_pretrained(write_network(tmp_path / "m"), None)
    pixels = np.random.default_rng(0).integers(0, 256, (3, 3, 20, 20)).astype(np.float32)
    expected = encoder.reading(plain(20, 20)).compute(pixels)
    mean, std = np.array([90.3, 127.5, 3.25]), np.array([70.1, 1.7, 33.3])
    standardised = ((pixels - mean.reshape(3, 1, 1)) / std.reshape(3, 1, 1)).astype(np.float32)
    reading = encoder.reading(plain(20, 20, mean=tuple(mean), std=tuple(std)))
    np.testing.assert_array_equal(reading.compute(standardised), expected)
    np.testing.assert_array_equal(reading.embed(standardised), expected)


def test_each_image_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reading = read_pretrained(write_network(tmp_path / "m"), None).reading(rows().preprocessing)
    features = rows().train.features
    first = reading.embed(features)
    monkeypatch.setattr(ImageModel, "compute", lambda *_: pytest.fail("it was read again"))
    np.testing.assert_array_equal(reading.embed(features[::-1]), first[::-1])
    assert reading.embed(features[:0]).shape == (0, WIDTH)


def test_grey_images_are_seen_in_three_channels(tmp_path: Path) -> None:
    encoder = read_pretrained(write_network(tmp_path / "m"), None)
    grey = np.random.default_rng(0).integers(0, 256, (2, 1, 20, 20)).astype(np.float32)
    found = encoder.reading(plain(20, 20, 1)).compute(grey)
    np.testing.assert_array_equal(found, encoder.reading(plain(20, 20)).compute(np.repeat(grey, 3, axis=1)))


@pytest.mark.parametrize(
    ("outputs", "opset"),
    [
        (("last_hidden_state",), 13),
        (("flat",), 9),
        (("pooler_output", "flat"), 21),
        (("flat", "last_hidden_state"), 20),
    ],
)
def test_what_is_taken_of_a_network(tmp_path: Path, outputs: tuple[str, ...], opset: int) -> None:
    uri = write_network(tmp_path / "m", outputs=outputs, opset=opset, file="onnx/model.onnx")
    encoder = read_pretrained(uri, None)
    pixels = np.random.default_rng(0).integers(0, 256, (2, 3, SIDE, SIDE)).astype(np.float32)
    found = encoder.reading(plain(SIDE, SIDE)).compute(pixels)
    steps = ImageSteps.model_validate_json((tmp_path / "m" / "preprocessor_config.json").read_bytes())
    factor, offset = (one.reshape(3, 1, 1) for one in steps.colours(3))
    kept = "pooler_output" if "pooler_output" in outputs else "last_hidden_state" if len(outputs) > 1 else outputs[0]
    expected = run_file(tmp_path / "m" / "onnx" / "model.onnx", kept, pixels * factor + offset)
    expected = expected.mean(axis=(2, 3)) if expected.ndim > 2 else expected
    np.testing.assert_allclose(found, expected, atol=1e-5)
    # What is not needed is left out.
    assert ("dense" in {one.name for one in encoder.network.model.graph.initializer}) == (kept == "pooler_output")  # type: ignore[attr-defined]


def refused(uri: str, dataset: Dataset | None = None, **more: Any) -> tuple[str, str, str | None]:
    with pytest.raises(StageError) as caught:
        fit(dataset or rows(), spec(uri, **more))
    return caught.value.reason, caught.value.message, caught.value.field


@pytest.mark.parametrize(
    ("steps", "without", "message"),
    [
        ({"size": 224}, (), "size: 224: "),
        ({"size": {"longest_edge": 8}}, (), "size.longest_edge"),
        ({"size": {"height": 16}}, (), 'size: say {"height": ..., "width": ...} or {"shortest_edge": ...}'),
        ({"size": {"height": 9999, "width": 16}}, (), "size.height"),
        ({}, ("resample",), "do_resize needs size, and resample"),
        ({"resample": 9}, (), "resample: 9: "),
        ({"do_pad": True}, (), "do_pad: it is no step that can be done here"),
        ({"do_flip_channel_order": True}, (), "do_flip_channel_order: it is no step"),
        ({"rescale_offset": True}, (), "rescale_offset: it is no step"),
        ({"keep_aspect_ratio": True}, (), "keep_aspect_ratio: it is no step"),
        (
            {"size": {"shortest_edge": 16}, "image_processor_type": "LevitImageProcessor"},
            (),
            "size: Levit makes the shorter side 256/224 of shortest_edge",
        ),
        ({"crop_pct": 1e-308, "size": {"shortest_edge": 8}}, (), "it makes images of 8 x 8 pixels"),
        ({"image_std": [1e-300, 1, 1]}, (), "rescale_factor, image_mean and image_std make numbers beyond those of"),
        ({"rescale_factor": 1e300}, (), "rescale_factor, image_mean and image_std make numbers beyond those of"),
        ({"auto_map": {"AutoImageProcessor": "code.py"}}, (), "auto_map: it needs code of its own, and none is run"),
        ({"do_center_crop": True}, (), "do_center_crop needs crop_size"),
        ({"do_center_crop": True, "crop_size": 17}, (), "crop_size is 17 x 17, and images are 16 x 16 before it"),
        ({}, ("image_std",), "do_normalize needs image_mean and image_std"),
        ({"image_std": [0, 1, 1]}, (), "image_std[0]: 0: "),
        ({"image_mean": [0.1, 0.2], "image_std": [1, 1]}, (), "image_mean has 2 numbers, and images of 3 channels"),
        ({"size": {"height": 8, "width": 8}}, (), "it makes images of 8 x 8 pixels, and the network takes 16 x 16"),
    ],
)
def test_steps_that_cannot_be_done_are_named(
    tmp_path: Path, steps: dict[str, Any], without: tuple[str, ...], message: str
) -> None:
    reason, said, field = refused(write_network(tmp_path / "m", steps=steps, without=without))
    assert (reason, field) == ("EncoderInvalid", "spec.model.encoder.uri"), said
    assert f"preprocessor_config.json: {message}" in said


def in_another_file() -> onnx.ModelProto:
    model = network()
    (stored,) = (one for one in model.graph.initializer if one.name == "dense")
    stored.ClearField("raw_data")
    stored.data_location = TensorProto.EXTERNAL
    stored.external_data.add(key="location", value="../secret")
    return model


def with_branches() -> onnx.ModelProto:
    inner = helper.make_graph(
        [helper.make_node("Identity", ["flat"], ["chosen"])],
        "branch",
        [],
        [helper.make_tensor_value_info("chosen", TensorProto.FLOAT, None)],
    )
    node = helper.make_node("If", ["yes"], ["branched"], then_branch=inner, else_branch=inner)
    model = network(outputs=("branched",), nodes=(node,))
    model.graph.initializer.append(numpy_helper.from_array(np.array(True), "yes"))
    return model


def with_functions() -> onnx.ModelProto:
    model = network()
    model.functions.add(name="f", domain="ai.onnx")
    return model


def with_claims() -> onnx.ModelProto:
    """A few bytes that say they are 64 GB."""
    model = network()
    (stored,) = (one for one in model.graph.initializer if one.name == "dense")
    stored.dims[:] = [6, 2**31]
    return model


def with_sparse_constant() -> onnx.ModelProto:
    """Whose values lie in another file."""
    values = TensorProto(name="v", data_type=TensorProto.FLOAT, dims=[1], data_location=TensorProto.EXTERNAL)
    values.external_data.add(key="location", value="../secret")
    places = helper.make_tensor("i", TensorProto.INT64, [1], [0])
    sparse = helper.make_node("Constant", [], ["thin"], sparse_value=helper.make_sparse_tensor(values, places, [WIDTH]))
    return network(outputs=("added",), nodes=(sparse, helper.make_node("Add", ["flat", "thin"], ["added"])))


CUSTOM = helper.make_node("Gelu", ["flat"], ["custom"], domain="com.microsoft")
OF_TWO = helper.make_node("Concat", ["flat", "flat"], ["twice"], axis=0)
BESIDE = helper.make_node("ReduceMean", ["flat"], ["over"], axes=[0], keepdims=1)
ADDED = helper.make_node("Add", ["flat", "over"], ["beside"])
UNFIT = helper.make_node("MatMul", ["flat", "kernel"], ["unfit"])
CHANCE = helper.make_node("RandomNormalLike", ["flat"], ["noise"], scale=1e-9)
DROPPED = helper.make_node("Dropout", ["flat", "", "learns"], ["dropped"])
NOISY = helper.make_node("Add", ["flat", "noise"], ["noisy"])
INTEGERS = helper.make_node("Cast", ["flat"], ["whole"], to=TensorProto.INT64)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (b"pickle", "is no ONNX file"),
        (b"", "is no ONNX file: it has no nodes"),
        (in_another_file, "keeps weights in another file: save the model as one file"),
        (with_branches, "has a node If with a graph of its own: export it without control flow"),
        (with_functions, "has functions of its own"),
        (with_claims, "cannot be "),
        (with_sparse_constant, "has sparse weights: store them dense"),
        (lambda: network(outputs=("unfit",), nodes=(UNFIT,)), "cannot be computed: "),
        (lambda: network(outputs=("noisy",), nodes=(CHANCE, NOISY)), "draws numbers by chance (RandomNormalLike)"),
        (lambda: network(outputs=("dropped",), nodes=(DROPPED,)), "draws numbers by chance (Dropout)"),
        (lambda: network(opset=21, outputs=("scale",)), "has no node that makes its output scale"),
        (
            lambda: network(outputs=("custom",), nodes=(CUSTOM,), imports=(helper.make_opsetid("com.microsoft", 1),)),
            "uses operators of 'com.microsoft', and only those of ai.onnx are allowed",
        ),
        (lambda: network(opset=8), "has opset 8, and 9 to 21 can be read"),
        (lambda: network(opset=23), "has opset 23, and 9 to 21 can be read"),
        (lambda: network(shape=(1, 3, SIDE, SIDE)), "takes 1 images, no more and no less"),
        (lambda: network(shape=("batch", 4, SIDE, SIDE)), "takes images of 4 channels in its second axis"),
        (lambda: network(outputs=("flat", "normal")), "has the outputs flat, normal; expected one of image_embeds"),
        (lambda: network(outputs=("twice",), nodes=(OF_TWO,)), "answers 3 images with [6, 6]"),
        (lambda: network(outputs=("beside",), nodes=(BESIDE, ADDED)), "answers an image otherwise beside others"),
    ],
)
def test_a_network_that_cannot_be_an_encoder_is_named(tmp_path: Path, model: Any, message: str) -> None:
    uri = write_network(tmp_path / "m")
    content = model if isinstance(model, bytes) else model().SerializeToString()
    (tmp_path / "m" / "model.onnx").write_bytes(content)
    reason, said, field = refused(uri)
    assert (reason, field) == ("EncoderInvalid", "spec.model.encoder.uri"), said
    assert f"model.onnx {message}" in said


def test_an_input_or_output_of_another_kind_is_named(tmp_path: Path) -> None:
    model = network(outputs=("whole",), nodes=(INTEGERS,))
    model.graph.output[0].type.tensor_type.elem_type = TensorProto.INT64
    assert "gives INT64 of 2 axes as whole; expected FLOAT" in refused(write_network(tmp_path / "a", model=model))[1]
    model = network()
    model.graph.input.append(helper.make_tensor_value_info("mask", TensorProto.FLOAT, ["batch"]))
    said = refused(write_network(tmp_path / "b", model=model))[1]
    assert "has the inputs pixel_values, mask; one of images is expected" in said


def test_a_folder_without_a_network_names_it(tmp_path: Path) -> None:
    uri = write_network(tmp_path / "m")
    (tmp_path / "m" / "model.onnx").unlink()
    reason, said, _ = refused(uri)
    assert reason == "EncoderNotFound"
    assert f"{uri} has no model.onnx" in said


def test_other_weights_than_were_meant_are_refused(tmp_path: Path) -> None:
    uri = write_network(tmp_path / "m")
    digest = f"sha256:{'0' * 64}"
    reason, said, field = refused(uri, digest=digest)
    assert (reason, field) == ("EncoderChanged", "spec.model.encoder.digest")
    assert f"{uri}/model.onnx has the digest {read_pretrained(uri, None).digest}, and {digest} is asked for" in said


def test_what_it_reads_is_said(tmp_path: Path) -> None:
    family = family_named("encoder")
    assert family.unsuited(modality="Image", task="Binary") is None
    assert family.unsuited(modality="Tensor", task="Binary") == UNREADABLE
    images = write_network(tmp_path / "images")
    reason, said, field = refused(images, reviews())
    assert (reason, field) == ("ModelUnsuited", "spec.model.encoder.uri")
    assert said == f"{images} reads images, and the data holds texts: name an encoder of these"
    read_pretrained.cache_clear()
    assert "reads texts, and the data holds images" in refused(write_bert(tmp_path / "texts"))[1]


def test_images_that_it_does_not_see_are_refused(tmp_path: Path) -> None:
    uri = write_network(tmp_path / "m")
    reason, said, field = refused(uri, rows(image={**SIZE, "channels": 4}))
    assert (reason, field) == ("ModelUnsuited", "spec.data.image.channels")
    assert "sees 3 channels, and images have 4: set spec.data.image.channels to 3" in said
    fractions = read_pretrained(uri, None)
    with pytest.raises(StageError, match="holds fractions, whose scale nothing says: store it as uint8"):
        fractions.reading(plain(20, 20).model_copy(update={"datatype": "FP32"}))
    shortest = write_network(tmp_path / "s", steps={"size": {"shortest_edge": SIDE}})
    with pytest.raises(StageError) as caught:
        read_pretrained(shortest, None).reading(plain(20, 40))
    assert "its network takes 16 x 16 pixels, and would see 16 x 32: set spec.data.image to 16 x 16" in str(
        caught.value
    )
    with pytest.raises(StageError, match="they would be made 16 x 8000, at most 4096 are possible"):
        read_pretrained(shortest, None).reading(plain(2, 1000))


def test_what_a_network_answers_is_known_of_each_size_that_it_sees(tmp_path: Path) -> None:
    """It takes any, and makes numbers of each place; or has weights for one size, which its input does not say."""
    places = helper.make_node("Flatten", ["last_hidden_state"], ["places"])
    model = network(outputs=("places",), nodes=(places,), shape=("batch", 3, "height", "width"))
    uri = write_network(tmp_path / "a", model=model, steps={"size": {"shortest_edge": SIDE}})
    encoder = read_pretrained(uri, None)
    assert encoder.reading(plain(24, 24)).compute(np.zeros((1, 3, 24, 24), np.float32)).shape == (1, encoder.width)
    with pytest.raises(StageError, match="its network makes 768 numbers of 16 x 32 pixels, and 384 of its own: set "):
        encoder.reading(plain(20, 40))
    model.graph.initializer.append(numpy_helper.from_array(np.zeros((1, 384), np.float32), "offsets"))
    model.graph.node.append(helper.make_node("Add", ["places", "offsets"], ["moved"]))
    model.graph.output[0].name = "moved"
    uri = write_network(tmp_path / "b", model=model, steps={"size": {"shortest_edge": SIDE}})
    with pytest.raises(StageError, match="its network cannot be computed: ") as caught:
        read_pretrained(uri, None).reading(plain(20, 40))
    assert (caught.value.reason, caught.value.field) == ("ModelUnsuited", "spec.data.image")


def test_sizes_that_older_exports_leave_open_are_open(tmp_path: Path) -> None:
    encoder = read_pretrained(write_network(tmp_path / "m", shape=(-1, 3, -1, -1)), None)
    assert encoder.reading(plain(20, 20)).compute(np.zeros((2, 3, 20, 20), np.float32)).shape == (2, WIDTH)


def test_a_network_of_16_bits_is_tried_with_what_it_will_see(tmp_path: Path) -> None:
    """Pixels of 255 would be beyond what these hold."""
    model = network(outputs=("whole",))
    del model.graph.node[:]
    large = np.full((3, WIDTH), 300, np.float16)
    model.graph.initializer.append(numpy_helper.from_array(large, "large"))
    model.graph.node.extend(
        [
            helper.make_node("GlobalAveragePool", ["pixel_values"], ["averaged"]),
            helper.make_node("Flatten", ["averaged"], ["colours"]),
            helper.make_node("Cast", ["colours"], ["half"], to=TensorProto.FLOAT16),
            helper.make_node("MatMul", ["half", "large"], ["made"]),
            helper.make_node("Cast", ["made"], ["whole"], to=TensorProto.FLOAT),
        ]
    )
    assert read_pretrained(write_network(tmp_path / "m", model=model), None).width == WIDTH


def test_learning_on_is_for_texts(tmp_path: Path) -> None:
    uri = write_network(tmp_path / "m")
    reason, said, field = refused(uri, fineTune={})
    assert (reason, field) == ("ModelUnsuited", "spec.model.encoder.fineTune")
    assert f"fineTune changes encoders of texts, and {uri} reads images: leave it out" in said
