"""A verified artifact that answers; what does not belong together is refused in words."""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pandas as pd
import pytest
from tests.unit.runtime.stages.pipelines import IRIS, produce, store, train_work

from modelservice.artifact.errors import ArtifactError
from modelservice.artifact.files import file_entries
from modelservice.artifact.stores.folder import write
from modelservice.contract.manifest import ARCHITECTURE_FILE, MODEL_FILE, PREPROCESSING_FILE, WEIGHTS_FILE
from modelservice.contract.signature import SIGNATURE_FILE
from modelservice.families.torch_engine import load_torch_engine
from modelservice.inference.predictor import InputError, Predictor
from modelservice.stages.base import Produced


@pytest.fixture(scope="module")
def trained() -> Produced:
    return produce(train_work(epochs=5))


@pytest.fixture(scope="module")
def predictor(trained: Produced) -> Predictor:
    return Predictor.from_artifact(trained.as_artifact())


def test_probabilities_are_a_distribution_and_labels_the_most_probable(predictor: Predictor) -> None:
    rows = [[5.1, 3.5, 1.4, 0.2], [None] * 4]
    probabilities = predictor.predict_proba(rows)
    assert probabilities.dtype == np.float32
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-6)
    assert predictor.predict(rows) == [predictor.labels[index] for index in probabilities.argmax(axis=1)]


@pytest.mark.parametrize(
    ("frame", "rows"),
    [
        (pd.DataFrame({"sepal_length": [5.1], "sepal_width": [3.5], "petal_length": [1.4], "petal_width": [0.2]}), 1),
        (pd.read_csv(IRIS), 150),
        ([[5.1, 3.5, 1.4, 0.2]] * 2, 2),
        (np.ones((3, 4)), 3),
        ([{"sepal_length": 5.1, "sepal_width": 3.5, "petal_length": 1.4, "petal_width": None}], 1),
    ],
)
def test_frames_and_rows_are_predicted(predictor: Predictor, frame: Any, rows: int) -> None:
    assert len(predictor.predict(frame)) == rows
    assert predictor.predict_proba(frame).shape == (rows, 3)


def test_a_notebook_shows_what_it_is(predictor: Predictor) -> None:
    assert repr(predictor) == f"<iris: predicts species, mlp, Multiclass, {predictor.digest}>"


def test_a_frame_without_a_column_is_refused(predictor: Predictor) -> None:
    with pytest.raises(InputError, match="petal_width: is missing"):
        predictor.predict(pd.read_csv(IRIS).drop(columns="petal_width"))


def test_explanations_sum_up_and_are_of_the_chosen_label(predictor: Predictor) -> None:
    rows = pd.read_csv(IRIS).iloc[[0, 75, 149]]
    probabilities = predictor.predict_proba(rows)
    for label in (None, "versicolor"):
        for one, row in zip(predictor.explain(rows, label=label), probabilities, strict=True):
            assert one["label"] == (label or predictor.labels[row.argmax()])
            assert one["value"] == pytest.approx(row[predictor.labels.index(one["label"])], abs=1e-6)
            assert one["base"] + sum(one["contributions"].values()) == pytest.approx(one["value"], abs=1e-9)
    with pytest.raises(ValueError, match=r"'rose' is no label of iris; expected one of \['setosa'"):
        predictor.explain(rows, label="rose")
    with pytest.raises(ValueError, match="2; 4 columns need at least 8"):
        predictor.explain(rows, evaluations=2)


def test_a_regression_predicts_numbers_and_has_no_probabilities() -> None:
    work = train_work(target="petal_width", model={"svm": {}})
    regression = Predictor.from_artifact(produce(work).as_artifact())
    answers = regression.predict(pd.read_csv(IRIS))
    assert {type(answer) for answer in answers} == {float}
    assert np.corrcoef(answers, pd.read_csv(IRIS)["petal_width"])[0, 1] > 0.9
    with pytest.raises(TypeError, match="predicts petal_width, a number: call predict"):
        regression.predict_proba(pd.read_csv(IRIS))


def test_torch_answers_as_onnxruntime_does(trained: Produced, predictor: Predictor) -> None:
    by_torch = Predictor.from_artifact(trained.as_artifact(), engine=load_torch_engine)
    assert (by_torch.engine.name, predictor.engine.name) == ("Torch", "ONNX")
    frame = pd.read_csv(IRIS)
    np.testing.assert_allclose(by_torch.predict_proba(frame), predictor.predict_proba(frame), atol=1e-6)


def edit(content: bytes, **changes: Any) -> bytes:
    return json.dumps({**json.loads(content), **changes}).encode()


def other_labels(content: bytes) -> bytes:
    signature = json.loads(content)
    signature["outputs"][1].update(labels=["a", "b"], shape=[2])
    return json.dumps(signature).encode()


def other_width(content: bytes) -> bytes:
    file = onnx.load_from_string(content)
    file.graph.node.add(op_type="Concat", input=["raw", "raw"], output=["twice"]).attribute.add(
        name="axis", i=1, type=2
    )
    for node in file.graph.node[:-1]:
        node.output[:] = ["inner" if name == "raw" else name for name in node.output]
    file.graph.node[-1].input[:] = ["inner", "inner"]
    file.graph.node[-1].output[:] = ["raw"]
    file.graph.output[0].type.tensor_type.shape.dim[1].dim_value = 6
    return file.SerializeToString()


@pytest.mark.parametrize(
    ("name", "forge", "words"),
    [
        (SIGNATURE_FILE, other_labels, r"the model gives \[1, 3\] for one row, but the signature wants \[1, 2\]"),
        (SIGNATURE_FILE, lambda c: edit(c, inputs=json.loads(c)["inputs"][::-1]), "describe different inputs"),
        (SIGNATURE_FILE, lambda c: edit(c, outputs=json.loads(c)["outputs"][:1]), "outputs are not those of task"),
        (SIGNATURE_FILE, lambda c: edit(c, task="Ranking"), "task 'Ranking' is not known here"),
        (SIGNATURE_FILE, lambda c: edit(c, modality="Video"), "modality 'Video' is not known here"),
        (SIGNATURE_FILE, lambda _: b"[]", r"signature\.json is not an object"),
        (PREPROCESSING_FILE, lambda c: c.replace(b'"std": ', b'"std": -'), r"preprocessing\.json is not valid"),
        (PREPROCESSING_FILE, lambda _: b"\xff", r"preprocessing\.json is not JSON"),
        (MODEL_FILE, lambda _: b"\x80\x04K\x01.", r"model\.onnx is not an ONNX file"),
        (MODEL_FILE, lambda c: c[:-8], r"model\.onnx (is not an ONNX file|cannot be loaded)"),
        (MODEL_FILE, other_width, r"the model gives \[1, 6\] for one row"),
    ],
)
def test_forged_files_are_refused_in_words(
    trained: Produced, tmp_path: Path, name: str, forge: Callable[[bytes], bytes], words: str
) -> None:
    files = {**trained.files, name: forge(trained.files[name])}
    write(tmp_path / "m", trained.manifest.model_copy(update={"files": file_entries(files)}), files)
    with pytest.raises(ArtifactError, match=words):
        Predictor.load(tmp_path / "m")


def test_rows_of_another_width_than_the_model_takes(trained: Produced) -> None:
    fewer = produce(train_work(epochs=1, target="petal_width", model={"decisionTree": {}}))
    files = {**trained.files, MODEL_FILE: fewer.files[MODEL_FILE]}
    artifact = replace(trained.as_artifact(), contents=files)
    with pytest.raises(ArtifactError, match=r"does not take rows as they are encoded, \[4\]|for one row"):
        Predictor.from_artifact(artifact)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        (ARCHITECTURE_FILE, None, "no architecture.json, from which torch serves"),
        (WEIGHTS_FILE, b"\x80\x04K\x01.", "weights.safetensors is not valid"),
    ],
)
def test_what_torch_cannot_serve_is_refused(trained: Produced, name: str, content: bytes | None, words: str) -> None:
    files = {key: value for key, value in {**trained.files, name: content}.items() if value is not None}
    artifact = replace(trained.as_artifact(), contents=files)
    with pytest.raises(ArtifactError, match=words):
        Predictor.from_artifact(artifact, engine=load_torch_engine)


def test_a_loaded_model_and_its_server_import_nothing_that_is_not_used(trained: Produced, tmp_path: Path) -> None:
    store(trained, tmp_path / "m")
    code = (
        "import sys, modelservice; modelservice.load(sys.argv[1]).predict([[1, 2, 3, 4]]);"
        "import modelservice.serving.main;"
        "heavy = {'torch', 'pyarrow', 'sklearn', 'onnx', 'safetensors', 'pandas', 'obstore', 'grpc', 'jwt'};"
        "heavy |= {'cryptography', 'modelservice.serving.access.api_keys'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "m")]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip() == "[]"
