"""The model card: what hubs read of it, what people read, and that names from the data change nothing in it."""

import json
import shlex
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.runtime.reports.subjects import subject_of
from tests.unit.runtime.stages.pipelines import IRIS, produce, train_work
from tests.unit.runtime.stages.test_train import images

from modelservice.contract.manifest import CARD_FILE
from modelservice.contract.signature import InputColumn
from modelservice.inference.predictor import Predictor
from modelservice.reports.card_sections import calling, limits
from modelservice.reports.findings import examine
from modelservice.reports.markdown import plain, table
from modelservice.stages.base import Produced

SECTIONS = [
    "# Model Card for iris",
    "## Uses",
    "## Bias, Risks, and Limitations",
    "## How to Get Started with the Model",
    "## Training Details",
    "### Training Data",
    "### Training Procedure",
    "## Evaluation",
]


def card(produced: Produced) -> tuple[dict[str, Any], str]:
    """The YAML block and the text."""
    empty, block, text = produced.files[CARD_FILE].decode().split("---\n", 2)
    assert empty == ""
    return yaml.safe_load(block), text


@pytest.fixture(scope="module")
def iris() -> Produced:
    return produce(train_work(epochs=20))


def test_the_block_is_what_hubs_index(iris: Produced) -> None:
    block, _ = card(iris)
    assert block["library_name"] == "modelservice"
    assert block["pipeline_tag"] == "tabular-classification"
    assert block["tags"] == ["modelservice", "onnx", "mlp"]
    assert "license" not in block
    [index] = block["model-index"]
    [result] = index["results"]
    assert result["dataset"]["split"] == "test"
    assert result["metrics"][0]["type"] == block["metrics"][0] == "accuracy"
    assert result["metrics"][0]["value"] == pytest.approx(iris.metrics.test.primary_metric.value, abs=1e-6)


def test_the_sections_are_those_of_the_common_form(iris: Produced) -> None:
    _, text = card(iris)
    lines = text.splitlines()
    found = [lines.index(section) for section in SECTIONS]
    assert found == sorted(found)
    assert "Predicts **species**, one of 3 classes, from 4 columns." in text
    primary = iris.metrics.test.primary_metric
    assert f"| **accuracy** | {primary.value:.4g} | {primary.low:.4g} to {primary.high:.4g} |" in text


def test_the_table_by_class_is_that_of_the_confusion_matrix(iris: Produced) -> None:
    matrix = iris.metrics.confusion_matrix
    assert matrix is not None
    _, text = card(iris)
    for at, label in enumerate(matrix.labels):
        row = next(line for line in text.splitlines() if line.startswith(f"| {label} |") and line.count("|") == 6)
        _, rows, precision, recall, _ = (cell.strip() for cell in row.strip("|").split("|"))
        true, predicted = sum(matrix.counts[at]), sum(counts[at] for counts in matrix.counts)
        assert int(rows) == true
        assert float(recall) == pytest.approx(matrix.counts[at][at] / true, abs=1e-3)
        assert float(precision) == pytest.approx(matrix.counts[at][at] / predicted, abs=1e-3)


def test_what_it_says_to_call_runs(iris: Produced) -> None:
    _, text = card(iris)
    line = next(line for line in text.splitlines() if line.startswith("curl "))
    body = json.loads(shlex.split(line)[-1])
    predictor = Predictor.from_artifact(iris.as_artifact())
    rows = predictor.encoder.from_instances(body["instances"])
    assert predictor.outputs(predictor.run(predictor.encode(rows)))["label"]
    call = next(line for line in text.splitlines() if ".predict(" in line)
    assert predictor.predict(eval(call.partition(".predict(")[2].removesuffix(")")))  # noqa: S307 - our own line


def test_settings_are_those_that_were_set(iris: Produced) -> None:
    _, text = card(iris)
    settings = yaml.safe_load(text.partition("```yaml\n")[2].partition("```")[0])
    assert settings == {
        "data": {"target": "species"},
        "model": {"mlp": {"hiddenLayers": [8]}},
        "training": {"epochs": 20},
    }


def test_a_number_has_its_spread_and_no_classes() -> None:
    block, text = card(produce(train_work(target="petal_width", model={"decisionTree": {}})))
    assert block["pipeline_tag"] == "tabular-regression"
    assert "Predicts **petal_width**, a number, from 4 columns." in text
    assert "petal_width goes from 0.1 to 2.5, with mean 1.199" in text
    assert "### By class" not in text


def test_images_are_no_columns() -> None:
    work = train_work(target="y", file="images.npz", model={"cnn": {"channels": [4], "hiddenLayers": []}}, epochs=2)
    block, text = card(produce(work, images()))
    assert block["pipeline_tag"] == "image-classification"
    assert "from images." in text
    assert "predicts alone" not in text


def test_limits_are_named_from_the_data() -> None:
    rows = [f"{n},{'q' if n % 2 else 'p'},{'q' if n % 2 else 'p'}" for n in range(60)]
    subject = subject_of(rows, header="n,leak,y")
    said = "\n".join(limits(subject, examine(subject)))
    assert "column leak alone predicts y nearly perfectly" in said
    assert "fewer than 10 test rows" in said
    assert "fairness" in said


def test_names_from_the_data_change_nothing_around_them() -> None:
    lines = IRIS.read_text().splitlines()
    lines[0] = '"<img src=x>|`a`","[b](c)","---","# d",species'
    text = card(produce(train_work(model={"decisionTree": {}}), "\n".join(lines).encode()))[1]
    assert "| \\<img src=x\\>\\|\\`a\\` | Number |" in text
    assert "| \\[b\\](c) | Number |" in text
    assert "\n# d" not in text


@given(text=st.text(max_size=200))
def test_a_text_from_the_data_is_one_cell(text: str) -> None:
    shown = plain(text)
    assert len(shown.splitlines()) <= 1
    [_, _, row] = table(("a", "b"), [(shown, "1")])
    assert row.replace("\\\\", "").replace("\\|", "").count("|") == 3


def test_many_columns_are_called_by_name_of_the_status(iris: Produced) -> None:
    column = iris.signature.inputs[0]
    assert isinstance(column, InputColumn)
    many = iris.signature.model_copy(
        update={"inputs": tuple(column.model_copy(update={"name": f"c{n}"}) for n in range(61))}
    )
    assert "status.example" in next(iter(calling(many, name="iris")))
