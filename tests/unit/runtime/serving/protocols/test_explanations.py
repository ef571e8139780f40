"""``:explain``: contributions by column, what is asked of the model for them, and what is refused."""

from base64 import b64decode
from typing import Any

import numpy as np
import pytest
from tests.unit.runtime.serving.fakes import (
    LABELS,
    FakeModel,
    client_of,
    front_of,
    image_model,
    mixed_model,
    numeric_column,
    numeric_model,
    refined_model,
    regression_model,
    table_model,
)

from modelservice.modalities.text.encoder import TextEncoder
from modelservice.modalities.text.preprocessing import TextPreprocessing
from modelservice.modalities.tokens import train_tokenizer
from modelservice.serving.calls import MAX_ROWS

PATH = "/v1/models/iris:explain"
IMAGE = [[100, 100, 200, 200]] * 2 + [[100] * 4] * 2


async def post(model: FakeModel, body: Any, path: str = PATH) -> tuple[int, Any]:
    async with client_of(front_of(model)) as client:
        answer = await client.post(path, json=body)
        return answer.status_code, answer.json()


def wide_model(columns: int) -> FakeModel:
    return table_model(*(numeric_column(f"x{number}") for number in range(columns)), labels=())


async def test_a_sum_is_explained_by_its_summands() -> None:
    """The fake regression is the sum of its columns, and the reference has 0.5 in each."""
    status, answer = await post(regression_model(), {"instances": [[3, -1], {"petal_length": 0.5, "sepal_length": 2}]})
    assert status == 200
    assert answer == {
        "explanations": [
            {
                "output": "value",
                "value": 2.0,
                "base": 1.0,
                "contributions": {"sepal_length": 2.5, "petal_length": -1.5},
            },
            {"output": "value", "value": 2.5, "base": 1.0, "contributions": {"sepal_length": 1.5, "petal_length": 0.0}},
        ],
        "method": "Shapley",
        "exact": True,
    }


@pytest.mark.parametrize("label", [None, *LABELS])
@pytest.mark.parametrize("model", [numeric_model, mixed_model, refined_model])
async def test_probabilities_are_explained_and_contributions_sum_up(model: Any, label: str | None) -> None:
    row = {**model().encoder.example(), model().signature.inputs[0].name: 4}
    _, predicted = await post(model(), {"instances": [row]}, "/v1/models/iris:predict")
    asked = {} if label is None else {"label": label}
    _, answer = await post(model(), {"instances": [row], **asked}, "/v1/models/iris/versions/7:explain")
    (explanation,) = answer["explanations"]
    probabilities = predicted["predictions"][0]["probabilities"]
    assert explanation["output"] == "probabilities"
    assert explanation["label"] == (label or max(probabilities, key=probabilities.get))
    assert explanation["value"] == pytest.approx(probabilities[explanation["label"]])
    total = explanation["base"] + sum(explanation["contributions"].values())
    assert total == pytest.approx(explanation["value"], abs=1e-12)
    assert list(explanation["contributions"]) == [given.name for given in model().signature.inputs]


async def test_columns_are_explained_as_rows_are() -> None:
    _, by_row = await post(mixed_model(), {"instances": [{"age": 3, "city (home)": "Basel"}, [None, None]]})
    status, by_column = await post(mixed_model(), {"inputs": {"age": [3, None], "city (home)": ["Basel", None]}})
    assert (status, by_column) == (200, by_row)


async def test_images_are_explained_by_patches() -> None:
    asked = {"instances": [IMAGE], "patch": 2, "heat_map": True, "label": "virginica"}
    status, answer = await post(image_model(), asked)
    assert (status, answer["method"], answer["exact"]) == (200, "Occlusion", True)
    (found,) = answer["explanations"]
    assert (found["label"], found["patch"]) == ("virginica", 2)
    assert np.argmax(found["contributions"]) == 1
    assert b64decode(found["heat_map"]["b64"]).startswith(b"\x89PNG")


async def test_many_columns_are_explained_by_orders() -> None:
    columns, evaluations = 40, 200
    model = wide_model(columns)
    row = np.arange(columns).tolist()
    status, answer = await post(model, {"instances": [row], "evaluations": evaluations, "seed": 7})
    assert (status, answer["exact"]) == (200, False)
    np.testing.assert_allclose(list(answer["explanations"][0]["contributions"].values()), np.arange(columns) - 0.5)
    assert model.engine.batches[-3:] == [64, 64, 30]  # both ends, and 39 steps of each of 4 orders


async def test_explanations_are_batched_as_other_rows_and_counted() -> None:
    async with client_of(front_of(numeric_model())) as client:
        await client.post(PATH, json={"instances": [[1, 2]] * 3})
        page = (await client.get("/metrics")).text
    assert "modelservice_batch_rows_sum 12.0" in page
    assert 'modelservice_requests_total{code="200",route="/v1/models/{name}:explain"} 1.0' in page


@pytest.mark.parametrize(
    ("model", "body", "status", "error"),
    [
        (numeric_model, {}, 400, "neither instances nor inputs is set"),
        (numeric_model, {"instances": [], "inputs": {}}, 400, "both instances and inputs are set"),
        (numeric_model, {"inputs": {"sepal_length": [1], "petal_length": ["x"]}}, 400, "inputs.petal_length[0]: 'x'"),
        (numeric_model, {"inputs": {"sepal_length": [1]}}, 400, "inputs: petal_length is missing"),
        (numeric_model, {"instances": [[1, 2]], "patch": 2}, 400, "patch: is of images, and this model has none"),
        (numeric_model, {"instances": None}, 400, "instances: must be an array of rows, not null"),
        (numeric_model, {"instances": []}, 400, "instances: no rows"),
        (numeric_model, {"instances": [[1, 2], [1]]}, 400, "instances[1]: has 1 values, expected 2"),
        (numeric_model, {"instances": [[1, 2], [1, "x"]]}, 400, "instances[1].petal_length: 'x' is not a number"),
        (numeric_model, {"instances": [{"x": 1}]}, 400, "instances[0].x: is not a column"),
        (numeric_model, {"instances": [[1, 2]], "label": "rose"}, 400, "label: the text 'rose' is no label of this"),
        (regression_model, {"instances": [[1, 2]], "label": "x"}, 400, "expected none: the model predicts a number"),
        (numeric_model, {"instances": [[1, 2]], "evaluations": 3}, 400, "evaluations: 3; 2 columns need at least 4"),
        (numeric_model, {"instances": [[1, 2]], "evaluations": 1e9}, 400, "evaluations: must be a whole number from 0"),
        (numeric_model, {"instances": [[1, 2]], "seed": -1}, 400, "seed: must be a whole number from 0"),
        (numeric_model, {"instances": [[1, 2]], "signature_name": "x"}, 400, "expected serving_default"),
        (
            numeric_model,
            {"instances": [[1, 2]] * (MAX_ROWS // 4 + 1)},
            413,
            f"instances: 2501 rows of 2 columns take 10004 evaluations; at most {MAX_ROWS} in one request",
        ),
        (image_model, {"instances": [[]]}, 400, "instances[0]: "),
        (image_model, {"instances": [IMAGE], "patch": 0}, 400, "patch: must be a whole number from 1 to 4096, not"),
        (image_model, {"instances": [IMAGE], "heat_map": 1}, 400, "heat_map: must be true or false, not the number 1"),
        (image_model, {"instances": [IMAGE], "evaluations": 9}, 400, "evaluations: 9; 16 patches need at least 18"),
        (
            image_model,
            {"instances": [IMAGE] * 556},
            413,
            "instances: 556 rows of 16 patches take 10008 evaluations; at most 10000 in one request: send fewer"
            " rows, or larger patches",
        ),
    ],
)
async def test_what_is_wrong_is_said_and_where(model: Any, body: Any, status: int, error: str) -> None:
    answered, answer = await post(model(), body)
    assert answered == status
    assert error in answer["error"]


async def test_unknown_and_missing_columns_may_be_tolerated() -> None:
    body = {"instances": [{"age": 3, "x": 1}], "unknown_columns": "Ignore", "missing_columns": "Missing"}
    status, answer = await post(mixed_model(), body)
    assert status == 200
    assert set(answer["explanations"][0]["contributions"]) == {"age", "city (home)"}


async def test_a_table_with_more_columns_than_can_be_shown_is_served() -> None:
    model = wide_model(1001)
    async with client_of(front_of(model)) as client:
        assert PATH not in (await client.get("/openapi.json")).json()["paths"]
        answer = await client.post(PATH, json={"instances": [[0.0] * 1001], "evaluations": MAX_ROWS})
    assert answer.status_code == 413
    assert "at most 1047 in one request" in answer.json()["error"]


async def test_texts_are_explained_by_words() -> None:
    tokenizer = train_tokenizer(["not bad at all", "bad"] * 3, vocabulary=300)
    preprocessing = TextPreprocessing(name="note", max_length=8, vocabulary=1000, tokenizer=tokenizer)
    model = FakeModel("Text", TextEncoder(preprocessing), labels=())
    async with client_of(front_of(model)) as client:
        answer = await client.post(PATH, json={"inputs": {"note": ["not bad", "bad bad  bad"]}})
        value = (await client.post("/v1/models/iris:predict", json={"instances": ["not bad", "not "]})).json()
        page = (await client.get("/openapi.json")).json()["paths"][PATH]["post"]["responses"]["200"]
    first, second = answer.json()["explanations"]
    assert [one["word"] for one in first["contributions"]] == ["not", "bad"]
    assert len(second["contributions"]) == 3
    whole, without = value["predictions"]
    assert first["value"] == pytest.approx(whole)
    assert first["contributions"][1]["contribution"] == pytest.approx(whole - without)
    assert page["content"]["application/json"]["example"]["method"] == "Occlusion"
