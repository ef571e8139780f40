"""``:explain`` by the paths through trees, of a model that is served."""

import json
import re
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import onnx
import pytest
from tests.unit.runtime.serving.fakes import client_of, front_of, mixed_model, numeric_model, regression_model
from tests.unit.runtime.stages.pipelines import IRIS, produce, train_work

from modelservice.artifact.load import Artifact
from modelservice.contract.manifest import MODEL_FILE
from modelservice.inference.explaining.tree_paths import UnlikeAnswerError
from modelservice.inference.predictor import Predictor
from modelservice.serving.alone import answer_alone
from modelservice.serving.calls import MAX_ROWS
from modelservice.serving.errors import RequestError
from modelservice.serving.protocols.tensorflow import explanations

PATH = "/v1/models/iris:explain"
PREDICT = "/v1/models/iris:predict"
ROW = {"sepal_length": 6.3, "sepal_width": 2.9, "petal_length": 5.6, "petal_width": 1.8}
TREES: dict[str, dict[str, Any]] = {
    "decisionTree": {"maxDepth": 3},
    "randomForest": {"trees": 8},
    "gradientBoosting": {"rounds": 8},
}


@cache
def artifact(family: str) -> Artifact:
    return produce(train_work(model={family: TREES.get(family, {})})).as_artifact()


@cache
def predictor(family: str) -> Predictor:
    return Predictor.from_artifact(artifact(family))


async def post(model: Any, path: str = PATH, **body: Any) -> tuple[int, Any]:
    """Status and answer; of ``PATH`` by the method that is tested here, unless another one is named."""
    named = {"method": "TreePaths"} if path == PATH else {}
    async with client_of(front_of(model)) as client:
        answer = await client.post(path, json={"instances": [ROW], **named, **body})
        return answer.status_code, answer.json()


async def test_a_decision_tree_is_told_by_its_path() -> None:
    status, answer = await post(predictor("decisionTree"))
    assert (status, answer["method"], answer["exact"]) == (200, "TreePaths", True)
    (found,) = answer["explanations"]
    assert (found["output"], found["label"], found["scale"]) == ("probabilities", "virginica", "Answer")
    conditions = [(step["column"], step["condition"], step["cell"]) for step in found["path"]]
    assert conditions[:2] == [("petal_width", "> 0.8", 1.8), ("petal_width", "> 1.75", 1.8)]
    rows = [found["rows"], *(step["rows"] for step in found["path"])]
    assert rows == sorted(rows, reverse=True)
    assert found["base"] + sum(found["contributions"].values()) == pytest.approx(found["value"], abs=1e-12)
    assert found["path"][-1]["expected"] == pytest.approx(found["answer"], abs=1e-7)


@pytest.mark.parametrize("family", TREES)
async def test_the_server_python_and_the_command_say_the_same(family: str) -> None:
    model, rows = predictor(family), [ROW, {**ROW, "petal_width": None}, {**ROW, "petal_length": 1, "petal_width": 0.2}]
    _, answer = await post(model, instances=rows)
    _, predicted = await post(model, PREDICT, instances=rows)
    said = json.loads(json.dumps(model.explain(rows, method="TreePaths")))
    assert said == answer["explanations"]
    alone = answer_alone(model, json.dumps({"instances": rows}).encode(), explains=True, method="TreePaths")
    assert json.loads(alone) == answer
    for one, prediction in zip(said, predicted["predictions"], strict=True):
        assert one["answer"] == pytest.approx(prediction["probabilities"][one["label"]], rel=1e-6)
        assert one["label"] == max(prediction["probabilities"], key=prediction["probabilities"].get)
        assert one["base"] + sum(one["contributions"].values()) == pytest.approx(one["value"], abs=1e-9)
        assert ("path" in one) == (family == "decisionTree")


async def test_a_label_that_is_named_is_explained() -> None:
    for family in TREES:
        status, answer = await post(predictor(family), label="setosa")
        assert (status, answer["explanations"][0]["label"]) == (200, "setosa")
        assert answer["explanations"][0]["answer"] < 0.5


async def test_paths_are_nobodys_rows_and_count_for_nothing_but_requests() -> None:
    async with client_of(front_of(predictor("decisionTree"))) as client:
        await client.post(PATH, json={"instances": [{**ROW, "petal_width": 1e6}] * 3, "method": "TreePaths"})
        page = (await client.get("/metrics")).text
    assert "modelservice_batch_rows_sum 3.0" in page
    assert "modelservice_unlike" not in re.sub(r"^#.*$", "", page, flags=re.MULTILINE).replace("} 0.0", "")
    assert 'modelservice_requests_total{code="200",route="/v1/models/{name}:explain"} 1.0' in page


def uncounted() -> Predictor:
    """As an artifact of a release that did not count rows."""
    whole = artifact("decisionTree")
    model = onnx.load_from_string(whole.contents[MODEL_FILE])
    for node in model.graph.node:
        for attribute in [one for one in node.attribute if one.name == "nodes_hitrates"]:
            node.attribute.remove(attribute)
    return Predictor.from_artifact(replace(whole, contents={**whole.contents, MODEL_FILE: model.SerializeToString()}))


@pytest.mark.parametrize(
    ("model", "body", "status", "said"),
    [
        (lambda: predictor("logistic"), {}, 400, "expected Shapley; TreePaths is of decisionTree, randomForest and"),
        (
            numeric_model,
            {"instances": [[1, 2]]},
            400,
            "method: the text 'TreePaths'; expected Shapley; TreePaths is of",
        ),
        (regression_model, {"instances": [[1, 2]]}, 400, "and this model has no trees"),
        (
            lambda: predictor("randomForest"),
            {"method": "Occlusion"},
            400,
            "expected Shapley or TreePaths; Occlusion is",
        ),
        (
            lambda: predictor("randomForest"),
            {"method": ["TreePaths"]},
            400,
            "method: an array of 1; expected Shapley or",
        ),
        (lambda: predictor("randomForest"), {"label": "rose"}, 400, "label: the text 'rose' is no label"),
        (
            lambda: predictor("randomForest"),
            {"instances": [ROW, {**ROW, "petal_width": "x"}]},
            400,
            "instances[1].petal",
        ),
        (lambda: predictor("randomForest"), {"instances": [ROW, {"x": 1}]}, 400, "instances[1].x: is not a column"),
        (uncounted, {}, 400, "method: the file of this model does not say how many rows of training came to each node"),
    ],
)
async def test_what_cannot_be_explained_so_is_said(model: Any, body: Any, status: int, said: str) -> None:
    found, answer = await post(model(), **body)
    assert found == status
    assert said in answer["error"]


async def test_more_rows_than_their_paths_may_take_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(explanations, "MAX_BYTES", 2**13)
    status, answer = await post(predictor("decisionTree"), instances=[ROW] * 100)
    assert status == 413
    assert "instances: the paths of 100 rows take " in answer["error"]
    most = int(re.findall(r"send (\d+) rows, or fewer", answer["error"])[0])
    assert (await post(predictor("decisionTree"), instances=[ROW] * most))[0] == 200


async def test_as_many_rows_as_a_request_may_have_are_explained() -> None:
    status, answer = await post(predictor("gradientBoosting"), instances=[ROW] * MAX_ROWS)
    assert status == 200
    assert len(answer["explanations"]) == MAX_ROWS
    assert answer["explanations"][0] == answer["explanations"][-1]


async def test_what_the_trees_do_not_say_is_a_fault_and_no_explanation(monkeypatch: pytest.MonkeyPatch) -> None:
    model = Predictor.from_artifact(artifact("randomForest"))
    run = model.engine.run
    front = front_of(model)
    monkeypatch.setattr(model.engine, "run", lambda rows: run(rows)[:, ::-1].copy())
    async with client_of(front) as client:
        answer = await client.post(PATH, json={"instances": [ROW], "method": "TreePaths"})
    assert answer.status_code == 500
    with pytest.raises(UnlikeAnswerError):
        model.explain([ROW], method="TreePaths")


async def test_the_page_names_the_method_where_there_are_trees() -> None:
    for model, named in ((predictor("randomForest"), ["Shapley", "TreePaths"]), (mixed_model(), None)):
        async with client_of(front_of(model)) as client:
            page = (await client.get("/openapi.json")).json()
        operation = page["paths"][PATH]["post"]
        body = operation["requestBody"]["content"]["application/json"]["schema"]["properties"]
        assert body.get("method", {}).get("enum") == named
        answer = operation["responses"]["200"]["content"]["application/json"]["schema"]["properties"]
        assert answer["method"]["enum"] == (named or ["Shapley"])
        told = answer["explanations"]["items"]["properties"]
        assert ("path" in told) == (named is not None)


def test_python_says_what_has_no_trees() -> None:
    with pytest.raises(ValueError, match="TreePaths is of decisionTree, randomForest and gradientBoosting"):
        predictor("logistic").explain([ROW], method="TreePaths")
    with pytest.raises(ValueError, match="does not say how many rows of training"):
        uncounted().explain([ROW], method="TreePaths")
    with pytest.raises(RequestError, match="and this model has no trees"):
        answer_alone(predictor("logistic"), b'{"instances": [[1, 2, 3, 4]]}', explains=True, method="TreePaths")


def test_training_rows_are_explained_to_their_mean() -> None:
    """What is expected at the root is the mean of what is answered to the rows that a single tree was grown from."""
    lines = IRIS.read_text().splitlines()
    rows = [dict(zip(ROW, map(float, line.split(",")[:4]), strict=True)) for line in lines[1:]]
    found = predictor("decisionTree").explain(rows, method="TreePaths", label="virginica")
    assert len({one["base"] for one in found}) == 1
    assert np.mean([one["value"] for one in found]) == pytest.approx(found[0]["base"], abs=0.05)
