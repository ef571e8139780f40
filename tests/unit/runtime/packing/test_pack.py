"""From a file that somebody else wrote to answers: what is read of it, and what is refused, each with a sentence."""

import base64
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import orjson
import pytest
from onnx import TensorProto, helper
from tests.support.helm import ROOT
from tests.unit.runtime.families.berts import write_bert
from tests.unit.runtime.families.image_networks import SIDE, WIDTH, png, write_network
from tests.unit.runtime.inference.graphs import model, tensor, value

from modelservice.artifact.stores import load_artifact
from modelservice.cli import main
from modelservice.contract.encoders import PretrainedModel
from modelservice.contract.exit_codes import ExitCode
from modelservice.contract.failure import StageError
from modelservice.contract.progress import Progress
from modelservice.contract.signature import InputTensor
from modelservice.families.pretrained import read_pretrained
from modelservice.inference.predictor import InputError, Predictor
from modelservice.packing.errors import PackError
from modelservice.packing.pack import Packed, pack
from modelservice.packing.settings import PackSettings, read_settings
from modelservice.serving.alone import answer_alone
from modelservice.serving.errors import RequestError
from modelservice.serving.protocols.schemas import predict_request

RELEASED = ROOT / "tests" / "data" / "released" / "0.1" / "artifacts" / "iris-train"
THREE = ["a", "b", "c"]


def saved(tmp_path: Path, made: onnx.ModelProto) -> Path:
    path = tmp_path / "some-model.onnx"
    path.write_bytes(made.SerializeToString())
    return path


def packed(path: Path, **settings: Any) -> Packed:
    return pack(path, PackSettings.model_validate(settings))


def served(path: Path, **settings: Any) -> Predictor:
    return Predictor.from_artifact(packed(path, **settings).artifact)


def scores(probabilities: bool = True, rows: str | int = "rows", inner: str = "x", given: int = 4) -> onnx.ModelProto:
    """Three numbers of four: a matrix of tenths, and a softmax."""
    weights = tensor("w", np.arange(3 * given).reshape(given, 3) / 10)
    nodes = [helper.make_node("MatMul", [inner, "w"], ["z"])]
    nodes.append(helper.make_node("Softmax" if probabilities else "Identity", ["z"], ["y"]))
    return model(nodes, weights=[weights], inputs=[value(inner, [rows, given])], outputs=[value("y", [rows, 3])])


def test_columns_and_labels_make_a_table_and_classes(tmp_path: Path) -> None:
    columns = [{"name": name, "example": 1.5} for name in ("p", "q", "r", "s")]
    predictor = served(saved(tmp_path, scores()), labels=THREE, columns=columns, target="kind")
    assert predictor.signature.task == "Multiclass"
    assert predictor.encoder.example() == {"p": 1.5, "q": 1.5, "r": 1.5, "s": 1.5}
    answer = orjson.loads(answer_alone(predictor, b'{"instances":[{"p":1,"q":2,"r":3,"s":4}]}', explains=False))
    (one,) = answer["predictions"]
    z = np.array([1.0, 2, 3, 4], np.float32) @ (np.arange(12).reshape(4, 3) / 10)
    assert one["label"] == "c"
    assert list(one["probabilities"].values()) == pytest.approx(np.exp(z) / np.exp(z).sum(), abs=1e-6)
    explained = orjson.loads(answer_alone(predictor, b'{"instances":[[1,2,3,4]]}', explains=True))
    assert explained["method"] == "Shapley"


def test_numbers_may_be_far_and_may_not_be_missing(tmp_path: Path) -> None:
    columns = [{"name": name} for name in ("p", "q", "r", "s")]
    predictor = served(saved(tmp_path, scores()), labels=THREE, columns=columns)
    cells = predict_request(predictor.signature)["properties"]["instances"]["items"]["anyOf"][0]["properties"]
    assert [cell["type"] for cell in cells.values()] == ["number"] * 4
    _, unlike = predictor.encoder.encode_counted([[1e6, 0, 0, 0]])
    assert unlike == {}
    for rows in ([[1.0, None, 3, 4]], np.array([[1.0, np.nan, 3, 4]])):
        with pytest.raises(InputError, match=r"\[0\].q: is missing, and the model takes no missing values"):
            predictor.encode(rows)


def test_the_same_file_gives_the_same_digest_and_another_one_another(tmp_path: Path) -> None:
    path = saved(tmp_path, scores())
    first, second = packed(path, labels=THREE), packed(path, labels=THREE)
    assert first.artifact.digest == second.artifact.digest
    assert first.manifest.name == "some-model"
    other = packed(path, labels=["x", "y", "z"])
    assert (other.artifact.digest, other.manifest.key) != (first.artifact.digest, first.manifest.key)


def test_progress_is_told(tmp_path: Path) -> None:
    told: list[Progress] = []
    pack(saved(tmp_path, scores()), PackSettings(), observe=told.append)
    assert [one.percent for one in told] == [0, 33, 66]


def test_without_labels_outputs_are_tensors_under_their_own_names(tmp_path: Path) -> None:
    predictor = served(saved(tmp_path, scores(inner="features")))
    assert (predictor.signature.modality, predictor.signature.task) == ("Tensor", "Tensors")
    assert predictor.encoder.tensors() == [{"name": "features", "datatype": "FP32", "shape": [-1, 4]}]
    answer = orjson.loads(answer_alone(predictor, b'{"instances":[[1,2,3,4],[0,0,0,0]]}', explains=False))
    assert answer["predictions"][1] == pytest.approx([1 / 3] * 3)
    with pytest.raises(RequestError, match="this model cannot be explained: its inputs are tensors"):
        answer_alone(predictor, b'{"instances":[[1,2,3,4]]}', explains=True)


def test_several_inputs_and_outputs_of_any_shape(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Cast", ["ids"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["f", "mask"], ["kept"]),
        helper.make_node("ReduceSum", ["kept", "axis"], ["total"], keepdims=0),
        helper.make_node("Cast", ["ids"], ["codes"], to=TensorProto.INT64),
    ]
    axis = onnx.numpy_helper.from_array(np.array([1, 2], np.int64), "axis")
    made = model(
        nodes,
        weights=[axis],
        inputs=[value("ids", ["n", 2, "length"], TensorProto.INT64), value("mask", ["n", 2, 3])],
        outputs=[value("kept", ["n", 2, 3]), value("total", ["n"]), value("codes", ["n", 2, 3], TensorProto.INT64)],
    )
    path = saved(tmp_path, made)
    with pytest.raises(PackError, match=r"input ids is \[2, \?\]: say its sizes with inputs: .*name: ids"):
        packed(path)
    inputs = [{"name": "ids", "shape": [2, 3], "example": [[1, 2, 3], [4, 5, 6]]}]
    result = packed(path, inputs=inputs)
    assert "output codes is not served: its values are tensor(int64)" in result.notes
    predictor = Predictor.from_artifact(result.artifact)
    assert predictor.encoder.example()["ids"] == [[1, 2, 3], [4, 5, 6]]
    row = {"ids": [[1, 2, 3], [4, 5, 6]], "mask": [[1, 0, 1], [0.5, 0, 0]]}
    answer = orjson.loads(answer_alone(predictor, orjson.dumps({"instances": [row]}), explains=False))
    assert answer["predictions"] == [{"kept": [[1, 0, 3], [2, 0, 0]], "total": 6}]
    columns = {name: [values] for name, values in row.items()}
    by_input = orjson.loads(answer_alone(predictor, orjson.dumps({"inputs": columns}), explains=False))
    assert by_input["outputs"]["total"] == [6]


def test_an_output_that_labels_do_not_fit_is_said_to_be_one(tmp_path: Path) -> None:
    made = scores()
    made.graph.output.append(value("x2", ["rows", 4]))
    made.graph.node.append(helper.make_node("Identity", ["x"], ["x2"]))
    path = saved(tmp_path, made)
    assert packed(path, labels=THREE).notes == (
        "output x2 is not served: it has a shape that labels do not fit, [4] of a row: leave labels out, and outputs"
        " names it",
    )
    assert packed(path, outputs=["y"]).notes == ("output x2 is not served: it was not named",)


def test_inputs_that_are_numbers_of_their_own_are_columns(tmp_path: Path) -> None:
    made = model(
        [helper.make_node("Add", ["age", "height"], ["y"])],
        inputs=[value("age", ["n", 1]), value("height", ["n", 1], TensorProto.FLOAT)],
        outputs=[value("y", ["n", 1])],
    )
    predictor = served(saved(tmp_path, made))
    assert (predictor.signature.modality, predictor.signature.task) == ("Table", "Regression")
    assert predictor.predict([{"height": 1.5, "age": 40}]) == [41.5]


def test_what_the_datatype_of_a_column_does_not_hold_is_refused(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Cast", ["half"], ["h"], to=TensorProto.FLOAT),
        helper.make_node("Add", ["h", "x"], ["y"]),
    ]
    made = model(
        nodes,
        inputs=[value("half", ["n", 1], TensorProto.FLOAT16), value("x", ["n", 1])],
        outputs=[value("y", ["n", 1])],
    )
    predictor = served(saved(tmp_path, made))
    assert predictor.predict([[65504, 0], [-65504, 1e6]]) == [65504, 934496]
    with pytest.raises(InputError, match=r"^\[1\]\.half: 70000\.0 is not a number from -65504 to 65504$"):
        predictor.predict([[1, 2], [70000, 2]])
    with pytest.raises(InputError, match=r"x: 1e\+39 is not a number from -3\.40282e\+38 to 3\.40282e\+38$"):
        predictor.predict([[1, 1e39]])
    with pytest.raises(PackError, match=r"does not take its example: \[0\]\.half: 70000\.0 is not .*: give another"):
        packed(tmp_path / "some-model.onnx", columns=[{"name": "half", "example": 70000}, {"name": "x"}])


@pytest.mark.parametrize(("labels", "given", "expected"), [(THREE, 3, [0.2, 0.3, 0.5]), (["n", "y"], 1, [0.25, 0.75])])
def test_logits_become_probabilities(tmp_path: Path, labels: list[str], given: int, expected: list[float]) -> None:
    node = helper.make_node("Identity", ["x"], ["y"])
    made = model([node], inputs=[value("x", ["n", given])], outputs=[value("y", ["n", given])])
    predictor = served(saved(tmp_path, made), labels=labels, logits=True)
    logits = np.log(expected) if given > 1 else [np.log(expected[1] / expected[0])]
    assert predictor.predict_proba([list(logits)])[0] == pytest.approx(expected)


def test_a_classifier_as_scikit_learn_is_converted(tmp_path: Path) -> None:
    weights = np.arange(9) / 10
    node = helper.make_node(
        "LinearClassifier",
        ["x"],
        ["label", "probabilities"],
        domain="ai.onnx.ml",
        coefficients=weights.tolist(),
        intercepts=[0.0, 0.0, 0.0],
        classlabels_strings=THREE,
        post_transform="SOFTMAX",
    )
    made = model(
        [node],
        inputs=[value("x", ["n", 3], TensorProto.DOUBLE)],
        outputs=[value("label", ["n"], TensorProto.STRING), value("probabilities", ["n", 3])],
        domains=("", "ai.onnx.ml"),
    )
    made.opset_import[1].version = 3
    result = packed(saved(tmp_path, made), labels=THREE)
    assert result.notes == (
        "output label is not served: its values are tensor(string)",
        "input x is FP64, and is given numbers of float32",
    )
    (given,) = Predictor.from_artifact(result.artifact).predict_proba([[1, 2, 3]])
    scored = np.exp(weights.reshape(3, 3) @ [1, 2, 3])
    assert given == pytest.approx(scored / scored.sum(), abs=1e-6)


def test_a_model_of_trees_alone_needs_no_other_operators(tmp_path: Path) -> None:
    node = helper.make_node("Scaler", ["x"], ["y"], domain="ai.onnx.ml", offset=[1.0], scale=[2.0])
    made = model([node], inputs=[value("x", ["n", 1])], outputs=[value("y", ["n", 1])], domains=("ai.onnx.ml",))
    made.opset_import[0].version = 3
    assert served(saved(tmp_path, made)).predict([[4.0]]) == [6.0]


def test_weights_beside_the_file_are_taken_in(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    onnx.save_model(scores(), path, save_as_external_data=True, location="m.bin", size_threshold=0)
    assert (tmp_path / "m.bin").stat().st_size
    result = packed(path, labels=THREE)
    assert b"m.bin" not in result.files["model.onnx"]
    plain = tmp_path / "other"
    plain.mkdir()
    assert result.artifact.digest == packed(saved(plain, scores()), labels=THREE, name="m").artifact.digest


@pytest.mark.parametrize("location", ["../m.bin", "gone.bin"])
def test_weights_outside_of_the_folder_are_refused(tmp_path: Path, location: str) -> None:
    (tmp_path / "m.bin").write_bytes(bytes(48))
    made = scores()
    (weights,) = made.graph.initializer
    weights.ClearField("raw_data")
    weights.data_location = TensorProto.EXTERNAL
    weights.external_data.add(key="location", value=location)
    inside = tmp_path / "inside"
    inside.mkdir()
    with pytest.raises(PackError, match=r"keeps weights in '.*', which is no file of its folder: put it beside"):
        packed(saved(inside, made))


def test_functions_of_its_own_are_written_out(tmp_path: Path) -> None:
    double = helper.make_function(
        "own", "Double", ["a"], ["b"], [helper.make_node("Add", ["a", "a"], ["b"])], [helper.make_opsetid("", 21)]
    )
    made = model(
        [helper.make_node("Double", ["x"], ["y"], domain="own")],
        inputs=[value("x", ["n", 1])],
        outputs=[value("y", ["n", 1])],
        domains=("", "own"),
    )
    made.functions.append(double)
    assert served(saved(tmp_path, made)).predict([[4.0]]) == [8.0]


def wrong(
    *nodes: onnx.NodeProto, given: Any = None, out: Any = None, domains: Sequence[str] = ("",)
) -> onnx.ModelProto:
    return model(nodes, inputs=[given or value("x", ["n", 2])], outputs=[out or value("y", ["n", 2])], domains=domains)


IDENTITY = helper.make_node("Identity", ["x"], ["y"])
OLD = wrong(IDENTITY)
OLD.opset_import[0].version = 8


def single() -> onnx.ModelProto:
    """One number, the sum of two."""
    return model(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        weights=[tensor("w", [[1.0], [1.0]])],
        inputs=[value("x", ["rows", 2])],
        outputs=[value("y", ["rows", 1])],
    )


REFUSED: dict[str, tuple[onnx.ModelProto, dict[str, Any], str]] = {
    "operators": (
        wrong(helper.make_node("Magic", ["x"], ["y"], domain="mine"), domains=("", "mine")),
        {},
        "uses operators of 'mine', allowed are ai.onnx, ai.onnx.ml, com.microsoft",
    ),
    "opset": (OLD, {}, "has opset 8: convert it to 9 or later"),
    "example that is no number": (
        scores(),
        {"inputs": [{"name": "x", "example": [0, 0, 0, float("inf")]}]},
        "inputs: the example of x holds a value that is not finite",
    ),
    "unknown operator": (wrong(helper.make_node("Magic", ["x"], ["y"])), {}, "cannot be served: .*Magic"),
    "texts": (
        wrong(IDENTITY, given=value("x", ["n", 2], TensorProto.STRING), out=value("y", ["n", 2], TensorProto.STRING)),
        {},
        "input x is a tensor of string, and numbers can be served",
    ),
    "rows": (scores(rows=1), {}, "input x takes 1 rows, no more and no less: export the model with a dynamic"),
    "no rows": (wrong(IDENTITY, given=value("x", []), out=value("y", [])), {}, "input x has no axis of rows"),
    "batch inside": (
        wrong(helper.make_node("ReduceSum", ["x"], ["y"], keepdims=1), out=value("y", [1, 1])),
        {},
        r"output y is \[1, 1\] for one row and \[1, 1\] for 3, expected one line for each",
    ),
    "no floats": (
        wrong(
            helper.make_node("Cast", ["x"], ["y"], to=TensorProto.INT64), out=value("y", ["n", 2], TensorProto.INT64)
        ),
        {},
        r"no output of the model is a tensor of floats, which alone is served: it has y \(tensor\(int64\)\)",
    ),
    "labels": (scores(), {"labels": ["a", "b"]}, r"labels names 2 classes, and 0 outputs fit these \(y of 3\)"),
    "no probabilities": (
        scores(probabilities=False),
        {"labels": THREE},
        "answers its example with 0, 0, 0, which are no probabilities of 3 labels: say --logits",
    ),
    "logits that are even for zeros": (
        single(),
        {"labels": ["no", "yes"]},
        "answers a row of -10 with 21, -20, which are no probabilities of 2 labels: say --logits",
    ),
    "columns": (scores(), {"columns": [{"name": "p"}]}, "columns names 1, and the model takes 4 numbers"),
    "whole numbers": (
        wrong(
            helper.make_node("Cast", ["x"], ["y"], to=TensorProto.FLOAT),
            given=value("x", ["n", 1], TensorProto.INT64),
            out=value("y", ["n", 1]),
        ),
        {"columns": [{"name": "p"}]},
        "input x is INT64, and columns are numbers with fractions: leave columns out",
    ),
    "outputs": (scores(), {"outputs": ["raw"]}, "outputs: 'raw' is no output of floats of this model, which has y"),
    "inputs": (scores(), {"inputs": [{"name": "z"}]}, "inputs: the model has no input 'z', but x"),
    "shape": (
        scores(),
        {"inputs": [{"name": "x", "shape": [5]}]},
        r"inputs: x is \[4\] in the file, and cannot be \[5\]",
    ),
    "example": (
        scores(),
        {"inputs": [{"name": "x", "example": [1, 2]}]},
        r"inputs: the example of x does not have the shape \[4\]",
    ),
    "not finite": (
        wrong(helper.make_node("Log", ["x"], ["y"])),
        {},
        "answers its example with a value that is not finite: give an example",
    ),
}


@pytest.mark.parametrize(("made", "settings", "sentence"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_served_is_refused(
    tmp_path: Path, made: onnx.ModelProto, settings: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(PackError, match=sentence):
        packed(saved(tmp_path, made), **settings)


def test_logits_that_looked_like_probabilities_are_no_answer(tmp_path: Path) -> None:
    """What no row that is tried shows: one input is a whole number, of which not every one may be answered."""
    made = model(
        [helper.make_node("Cast", ["x"], ["f"], to=TensorProto.FLOAT), helper.make_node("MatMul", ["f", "w"], ["y"])],
        weights=[tensor("w", [[1.0], [1.0]])],
        inputs=[value("x", ["rows", 2], TensorProto.INT64)],
        outputs=[value("y", ["rows", 1])],
    )
    predictor = served(saved(tmp_path, made), labels=["no", "yes"])
    assert predictor.predict([[1, 0]]) == ["yes"]
    with pytest.raises(ValueError, match="answers with -19, 20, which are no probabilities of 2 labels"):
        predictor.predict_proba([[10, 10]])
    with pytest.raises(RequestError, match="-19, 20, which are no probabilities"):
        answer_alone(predictor, b'{"instances":[[10,10]]}', explains=False)


def no_file(path: Path) -> Path:
    return path / "gone.onnx"


def no_onnx(path: Path) -> Path:
    (path / "m.onnx").write_bytes(b"\x80no such file")
    return path / "m.onnx"


def empty(path: Path) -> Path:
    (path / "m.onnx").write_bytes(b"")
    return path / "m.onnx"


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (no_file, "is not there: name an ONNX file, or a folder"),
        (no_onnx, "is not an ONNX file"),
        (empty, "is not an ONNX file: it has no nodes"),
    ],
)
def test_what_is_no_model_is_refused(tmp_path: Path, make: Callable[[Path], Path], sentence: str) -> None:
    with pytest.raises(PackError, match=sentence):
        packed(make(tmp_path))


def test_a_folder_of_hugging_face_gives_embeddings_of_texts(tmp_path: Path) -> None:
    write_bert(tmp_path / "bert")
    predictor = served(tmp_path / "bert", maxLength=12)
    assert (predictor.signature.modality, predictor.manifest.family) == ("Text", "encoder")
    answer = orjson.loads(answer_alone(predictor, b'{"instances":["the soup was fine"]}', explains=False))
    (embedding,) = answer["predictions"]
    assert len(embedding) == 16
    assert np.linalg.norm(embedding) == pytest.approx(1, abs=1e-5)
    with pytest.raises(ValueError, match="cannot be explained: it gives 16 numbers, of which none is the answer"):
        predictor.explain(["the soup was fine"])
    with pytest.raises(StageError, match="maxLength is 64, and the encoder reads 20 tokens at most"):
        packed(tmp_path / "bert", maxLength=64)
    with pytest.raises(PackError, match="gives embeddings, so that labels mean nothing: leave them out"):
        packed(tmp_path / "bert", labels=THREE)


def test_a_folder_with_a_network_gives_embeddings_of_images(tmp_path: Path) -> None:
    steps = {"size": {"shortest_edge": 18}, "do_center_crop": True, "crop_size": {"height": SIDE, "width": SIDE}}
    write_network(tmp_path / "resnet", steps=steps)
    predictor = served(tmp_path / "resnet")
    assert (predictor.signature.modality, predictor.manifest.family) == ("Image", "encoder")
    assert predictor.encoder.inputs == (InputTensor(name="image", datatype="UINT8", shape=(18, 18, 3)),)
    pixels = np.random.default_rng(0).integers(0, 256, (18, 18, 3), dtype=np.uint8)
    encoded = base64.b64encode(png(pixels)).decode()
    instances = orjson.dumps({"instances": [{"b64": encoded}, pixels.tolist()]})
    first, second = orjson.loads(answer_alone(predictor, instances, explains=False))["predictions"]
    assert first == second
    assert len(first) == WIDTH
    model = read_pretrained(f"file://{tmp_path / 'resnet'}", None)
    reading = model.reading(model.alone(PretrainedModel(uri="file:///resnet"), section=None))
    np.testing.assert_allclose(first, reading.compute(predictor.encode(pixels[None]))[0], rtol=1e-5)
    with pytest.raises(StageError, match=r"maxLength counts tokens of a text, and .* reads images: leave it out"):
        packed(tmp_path / "resnet", maxLength=64)


def test_settings_of_a_file_and_of_options(tmp_path: Path) -> None:
    path = tmp_path / "pack.yaml"
    path.write_text("labels: [a, b]\nmaxLength: 7\n")
    assert read_settings(path, {"maxLength": 9}) == PackSettings(labels=("a", "b"), max_length=9)
    path.write_text("label: [a, b]")
    with pytest.raises(PackError, match=r"pack\.yaml: label: there is no such field; did you mean labels\?"):
        read_settings(path, {})
    path.write_text("- a")
    with pytest.raises(PackError, match="holds no object"):
        read_settings(path, {})
    for no_yaml in ("a: [", "a: 2026-13-45", "a: !!bool x", "[" * 2_000):
        path.write_text(no_yaml)
        with pytest.raises(PackError, match="is no YAML"):
            read_settings(path, {})
    path.write_text("labels: [a, b]\nlabels: [c, d]\n")
    with pytest.raises(PackError, match=r"pack\.yaml is no YAML: the key 'labels' is there twice: leave one"):
        read_settings(path, {})
    path.write_text(f"labels: [a, b]\n#{' ' * 2**20}\n")
    with pytest.raises(PackError, match=r"pack\.yaml has more than 1048576 bytes"):
        read_settings(path, {})
    with pytest.raises(PackError, match=r"gone\.yaml cannot be read: No such file"):
        read_settings(tmp_path / "gone.yaml", {})
    with pytest.raises(PackError, match=r"^labels: 'b' is there twice: they must differ"):
        read_settings(None, {"labels": ["a", "b", "b"]})
    with pytest.raises(PackError, match=r"^name: 'My Model': must be lower-case letters, digits and '-'"):
        read_settings(None, {"name": "My Model"})
    path.write_text("columns: [{name: a, exampl: 1}]")
    with pytest.raises(PackError, match=r"pack\.yaml: columns\[0\]\.exampl: .*; did you mean example\?"):
        read_settings(path, {})
    with pytest.raises(PackError, match="logits are of classes: name them with labels"):
        read_settings(None, {"logits": True})


def test_the_command_stores_an_artifact(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = saved(tmp_path, scores())
    out = tmp_path / "out"
    named = ["--labels", "a, b, c", "--columns", "p, q,r ,s", "--target", "t"]
    arguments = ["pack", str(path), "--output", str(out), *named]
    assert main(arguments) == ExitCode.DONE
    shown = capsys.readouterr().out
    assert f"modelservice serve --model {out}" in shown
    loaded = Predictor.load(out)
    assert loaded.predict([[1, 2, 3, 4]]) == ["c"]
    assert (loaded.labels, [one.name for one in loaded.signature.inputs]) == (("a", "b", "c"), ["p", "q", "r", "s"])
    assert main([*arguments, "--max-length", "9"]) == ExitCode.ORDER_INVALID
    assert "takes no texts, so that maxLength (--max-length) means nothing" in capsys.readouterr().err
    assert main([*arguments, "--outputs", "z"]) == ExitCode.ORDER_INVALID
    assert "outputs: 'z' is no output of floats" in capsys.readouterr().err
    assert main(["pack", str(path), "--output", str(tmp_path)]) == ExitCode.ORDER_INVALID
    assert "exists and is no artifact" in capsys.readouterr().err


def test_what_was_not_packed_is_not_replaced(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, out = saved(tmp_path, scores()), tmp_path / "iris"
    shutil.copytree(RELEASED, out)
    trained = load_artifact(out)
    asked = ["pack", str(path), "--output", str(out), "--name", "mine"]
    assert main(asked) == ExitCode.ORDER_INVALID
    said = f"{out} holds iris of key {trained.manifest.key}, which was not packed, and mine would replace it: name"
    assert said in capsys.readouterr().err
    assert load_artifact(out).digest == trained.digest
    assert main([*asked, "--force"]) == ExitCode.DONE
    assert f"replaced {trained.digest}\n" in capsys.readouterr().out
    first = load_artifact(out).digest
    assert main(asked) == ExitCode.DONE
    assert "replaced" not in capsys.readouterr().out, "it is the same"
    assert main([*asked, "--target", "kind"]) == ExitCode.DONE
    assert f"replaced {first}\n" in capsys.readouterr().out
    assert main([*asked[:-1], "other"]) == ExitCode.ORDER_INVALID
    assert "holds mine of key " in capsys.readouterr().err
    (out / "model.onnx").unlink()
    assert main(asked) == ExitCode.ORDER_INVALID
    assert "model.onnx is missing in" in capsys.readouterr().err
    assert main([*asked, "--force"]) == ExitCode.DONE
    (tmp_path / "empty").mkdir()
    assert main(["pack", str(path), "--output", str(tmp_path / "empty")]) == ExitCode.DONE
