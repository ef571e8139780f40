"""Reports in artifacts: which there are, that they are the same each time, and that nothing needs them."""

import json
from pathlib import Path
from typing import Any

import pytest
from tests.unit.runtime.stages.pipelines import IRIS, produce, store, train_work
from tests.unit.runtime.stages.test_train import images

from modelservice.artifact.files import file_entries
from modelservice.artifact.stores import load_artifact
from modelservice.artifact.stores.folder import write
from modelservice.contract.baseline import Baseline
from modelservice.contract.data_report import DataReport
from modelservice.contract.importance import Importance
from modelservice.contract.manifest import (
    BASELINE_FILE,
    CALIBRATION_PICTURE,
    CARD_FILE,
    CONFUSION_PICTURE,
    CURVES_PICTURE,
    DATA_REPORT_FILE,
    IMPORTANCE_FILE,
    IMPORTANCE_PICTURE,
    REPORT_FILES,
    SEARCH_FILE,
    SEARCH_PICTURE,
    VALUES_PICTURE,
)
from modelservice.inference.predictor import Predictor

ALWAYS = {CARD_FILE, DATA_REPORT_FILE, BASELINE_FILE}
OF_TABLES = {IMPORTANCE_FILE, IMPORTANCE_PICTURE}
OF_SEARCHES = {SEARCH_FILE, SEARCH_PICTURE}
SEARCHED = {"model": {"svm": {}}, "search": {"parameters": [{"path": "model.svm.c", "values": [0.1, 10]}]}}
OF_CLASSES = {CONFUSION_PICTURE, CALIBRATION_PICTURE}
LARGEST = 200 * 1024
CNN = {"cnn": {"channels": [4], "hiddenLayers": []}}


@pytest.mark.parametrize(
    ("work", "content", "expected"),
    [
        ({}, None, ALWAYS | OF_TABLES | OF_CLASSES | {CURVES_PICTURE}),
        ({"model": {"logistic": {}}}, None, ALWAYS | OF_TABLES | OF_CLASSES),
        (SEARCHED, None, ALWAYS | OF_TABLES | OF_CLASSES | OF_SEARCHES),
        ({"target": "petal_width", "model": {"decisionTree": {}}}, None, ALWAYS | OF_TABLES | {VALUES_PICTURE}),
        ({"target": "y", "file": "i.npz", "model": CNN, "epochs": 2}, images(), ALWAYS | OF_CLASSES | {CURVES_PICTURE}),
    ],
    ids=["epochs", "classes", "searched", "numbers", "images"],
)
def test_a_model_has_the_reports_that_suit_it(work: Any, content: bytes | None, expected: set[str]) -> None:
    produced, again = produce(train_work(**work), content), produce(train_work(**work), content)
    written = {name: found for name, found in produced.files.items() if name in REPORT_FILES}
    assert written.keys() == expected
    assert written == {name: again.files[name] for name in expected}
    assert all(len(found) < LARGEST for found in written.values())
    assert expected <= produced.manifest.files.keys()
    card = written[CARD_FILE].decode()
    assert {name for name in expected if name.endswith(".svg")} == {
        name for name in REPORT_FILES if f"]({name})" in card
    }


def test_the_documents_can_be_read_from_an_artifact(tmp_path: Path) -> None:
    artifact = load_artifact(store(produce(train_work()), tmp_path / "m"))
    assert artifact.document(DATA_REPORT_FILE, DataReport).target == "species"
    assert artifact.document(BASELINE_FILE, Baseline).features[0].name == "sepal_length"
    assert artifact.document(IMPORTANCE_FILE, Importance).metric == "accuracy"


def test_a_model_answers_without_its_reports(tmp_path: Path) -> None:
    produced = produce(train_work())
    files = {name: content for name, content in produced.files.items() if name not in REPORT_FILES}
    write(tmp_path / "m", produced.manifest.model_copy(update={"files": file_entries(files)}), files)
    row = [[5.1, 3.5, 1.4, 0.2]]
    with_reports = Predictor.from_artifact(produced.as_artifact())
    assert Predictor.load(tmp_path / "m").predict(row) == with_reports.predict(row)


def test_a_leaked_column_is_said_where_a_training_is() -> None:
    header, *rows = IRIS.read_text().splitlines()
    codes = {"setosa": 3, "versicolor": 1, "virginica": 2}
    leaked = [f"{codes[row.rpartition(',')[2]]},{row}" for row in rows]
    produced = produce(train_work(model={"logistic": {}}), "\n".join([f"leak,{header}", *leaked]).encode())
    assert produced.manifest.data is not None
    [note] = [note for note in produced.manifest.data.notes if "nearly perfectly" in note]
    assert note.startswith("column leak alone predicts species")
    assert "column leak alone predicts species" in produced.files[CARD_FILE].decode()


def test_iris_gives_nothing_away() -> None:
    report = json.loads(produce(train_work(model={"logistic": {}})).files[DATA_REPORT_FILE])
    assert report["suspects"] == []
