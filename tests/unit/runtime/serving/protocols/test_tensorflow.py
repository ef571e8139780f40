"""The predict API: what is answered, and what is said about a body that is wrong."""

import json
from typing import Any

import pytest
from tests.unit.runtime.serving.fakes import (
    SIDE,
    FakeModel,
    client_of,
    front_of,
    image_model,
    mixed_model,
    numeric_column,
    numeric_model,
    regression_model,
    table_model,
)

PATH = "/v1/models/iris:predict"


async def post(model: FakeModel, body: Any) -> tuple[int, Any]:
    async with client_of(front_of(model)) as client:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        answer = await client.post(PATH, content=content)
        return answer.status_code, answer.json()


async def test_rows_as_arrays_and_as_objects_are_answered_in_order() -> None:
    status, answer = await post(numeric_model(), {"instances": [[3, 3], {"petal_length": -3, "sepal_length": -3}]})
    assert status == 200
    assert [prediction["label"] for prediction in answer["predictions"]] == ["virginica", "setosa"]
    for prediction in answer["predictions"]:
        assert set(prediction["probabilities"]) == {"setosa", "versicolor", "virginica"}
        assert sum(prediction["probabilities"].values()) == pytest.approx(1, abs=1e-6)
        assert max(prediction["probabilities"], key=prediction["probabilities"].get) == prediction["label"]


async def test_labels_of_any_text_come_back_as_they_are() -> None:
    labels = ("100 %b", '"quoted"', "Köln {0}")
    model = table_model(numeric_column("x"), labels=labels)
    status, answer = await post(model, {"instances": [[-9], [9]]})
    assert status == 200
    assert [prediction["label"] for prediction in answer["predictions"]] == [labels[0], labels[2]]
    assert all(tuple(prediction["probabilities"]) == labels for prediction in answer["predictions"])


async def test_a_lone_output_comes_without_its_name() -> None:
    assert await post(regression_model(), {"instances": [[1, 2], [-3.5, 0]]}) == (200, {"predictions": [3.0, -3.5]})
    status, answer = await post(regression_model(), {"inputs": {"petal_length": [1, 2], "sepal_length": [0.5, 1]}})
    assert (status, answer) == (200, {"outputs": [1.5, 3.0]})


@pytest.mark.parametrize("name", ["", "serving_default"])
async def test_the_one_signature_may_be_named(name: str) -> None:
    body = {"instances": [[1, 2]]}
    assert await post(numeric_model(), {"signature_name": name, **body}) == await post(numeric_model(), body)


@pytest.mark.parametrize(("name", "said"), [("classify", "the text 'classify'"), (None, "null"), ([], "an array of 0")])
async def test_another_signature_is_refused(name: Any, said: str) -> None:
    status, answer = await post(numeric_model(), {"signature_name": name, "instances": [[1, 2]]})
    assert status == 400
    assert answer["error"] == f"signature_name: {said} is no signature of this model; expected serving_default"


async def test_images_are_nested_arrays() -> None:
    dark, light = [[0] * SIDE] * SIDE, [[255] * SIDE] * SIDE
    by_row = await post(image_model(), {"instances": [dark, light]})
    assert [prediction["label"] for prediction in by_row[1]["predictions"]] == ["setosa", "virginica"]
    _, by_input = await post(image_model(), {"inputs": [dark, light]})
    assert by_input["outputs"]["label"] == ["setosa", "virginica"]
    status, answer = await post(image_model(), {"instances": [dark, [[0] * SIDE]]})
    assert (status, answer["error"]) == (400, f"instances[1]: has shape [1, {SIDE}]; expected [{SIDE}, {SIDE}]")


async def test_columns_are_answered_by_columns() -> None:
    status, answer = await post(numeric_model(), {"inputs": {"petal_length": [3, -3], "sepal_length": [3, -3]}})
    assert status == 200
    assert answer["outputs"]["label"] == ["virginica", "setosa"]
    assert answer["outputs"]["probabilities"]["virginica"] == pytest.approx([0.9975, 0.0], abs=1e-3)


async def test_categories_count_and_unseen_ones_do_not() -> None:
    rows = [{"age": 0, "city (home)": city} for city in ("Basel", "Köln", "Nowhere", None)]
    status, answer = await post(mixed_model(), {"instances": rows})
    assert status == 200
    basel, koeln, nowhere, missing = (prediction["probabilities"] for prediction in answer["predictions"])
    assert basel == koeln
    assert nowhere == missing
    assert basel != nowhere


async def test_nan_is_a_missing_value_as_tensorflow_serving_takes_it() -> None:
    _, expected = await post(numeric_model(), {"instances": [[None, 1.0]]})
    status, answer = await post(numeric_model(), b'{"instances": [[NaN, 1.0]]}')
    assert (status, answer) == (200, expected)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "the body is not JSON"),
        (b"{", "the body is not JSON"),
        (b'{"instances": [[NaN, 1}', "the body is not JSON"),
        (b"\xff\xfe", "the body is not JSON"),
        (b"\x89PNG\r\n", "for :predict and :explain of a model of images, and other models take rows"),
        (b"--x\r\n", "for :predict and :explain of a model of images, and other models take rows"),
        (b'{"instances": ' + b"[" * 2000 + b"]" * 2000 + b"}", "the body is not JSON"),
        (b'{"instances": NaN, "deep": ' + b"[" * 200_000 + b"]" * 200_000 + b"}", "nested too deeply"),
        ([], "must be a JSON object, not an array of 0"),
        ({}, "neither instances nor inputs is set"),
        ({"instances": [[1, 2]], "inputs": {}}, "both instances and inputs are set"),
        ({"instances": {}}, "instances: must be an array of rows, not an object"),
        ({"instances": []}, "instances: no rows; expected at least one"),
        (
            {"instances": [[1, 2], 3]},
            "instances[1]: the number 3 is not a row; expected an array or an object of sepal",
        ),
        ({"instances": [[1, 2], "ab"]}, "instances[1]: the text 'ab' is not a row"),
        ({"instances": [[1, 2], [1, 2], [1, "x"]]}, "instances[2].petal_length: 'x' is not a number"),
        ({"instances": [[1, 2], {"sepal_length": 1, "petal_length": "x"}]}, "instances[1].petal_length: 'x' is not a"),
        ({"instances": [{"sepal_length": 1}]}, "instances[0].petal_length: is missing"),
        ({"instances": [{"sepal_length": 1, "petal_length": 1, "size": 1}]}, "instances[0].size: is not a column"),
        ({"instances": [[1, 2, 3]]}, "instances[0]: has 3 values, expected 2"),
        ({"instances": [[1, [2]]]}, "instances[0].petal_length"),
        ({"inputs": []}, "inputs: must be an object of columns, not an array of 0"),
        ({"inputs": {"sepal_length": 1}}, "inputs.sepal_length: must be an array of values, not the number 1"),
        ({"inputs": {"sepal_length": [1]}}, "inputs: petal_length is missing; expected sepal_length, petal_length"),
        ({"inputs": {"sepal_length": [1], "petal_length": [1], "size": [1]}}, "inputs: size is not a column"),
        (
            {"inputs": {"sepal_length": [1], "petal_length": [1, 2]}},
            "petal_length has 2 values, but sepal_length has 1",
        ),
        ({"inputs": {"sepal_length": [1, 2], "petal_length": [1, "x"]}}, "inputs.petal_length[1]: 'x' is not a number"),
        ({"inputs": {"sepal_length": [], "petal_length": []}}, "inputs: no rows"),
    ],
)
async def test_a_wrong_body_is_told_what_is_wrong_and_where(body: Any, message: str) -> None:
    status, answer = await post(numeric_model(), body)
    assert status == 400
    assert message in answer["error"]


async def test_too_many_rows_are_refused() -> None:
    status, answer = await post(numeric_model(), {"instances": [[1, 2]] * 10_001})
    assert status == 413
    assert answer["error"] == "instances: 10001 rows; at most 10000 in one request"


async def test_who_asks_is_told_which_categories_training_never_saw() -> None:
    rows = [{"age": 0, "city (home)": city} for city in ("Basel", "Nowhere", None, "Elsewhere")]
    _, plain = await post(mixed_model(), {"instances": rows})
    expected = [[], ["city (home)"], [], ["city (home)"]]
    assert await post(mixed_model(), {"instances": rows, "unseen": True}) == (200, {**plain, "unseen": expected})
    assert await post(mixed_model(), {"instances": rows, "unseen": False}) == (200, plain)
    columns = {"age": [0, 0], "city (home)": ["Nowhere", "Basel"]}
    _, by_column = await post(mixed_model(), {"inputs": columns})
    asked = await post(mixed_model(), {"inputs": columns, "unseen": True})
    assert asked == (200, {**by_column, "unseen": [["city (home)"], []]})
    assert (await post(numeric_model(), {"instances": [[1, 2]], "unseen": True}))[1]["unseen"] == [[]]
    status, answer = await post(mixed_model(), {"instances": rows, "unseen": "yes"})
    assert (status, answer["error"]) == (400, "unseen: must be true or false, not the text 'yes'")
