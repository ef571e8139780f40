"""What a request asks besides its rows: the same over every protocol."""

import json
import re
from typing import Any

import pytest
import tritonclient.grpc as triton
from tests.unit.runtime.serving.fakes import (
    FakeModel,
    client_of,
    front_of,
    image_model,
    mixed_model,
    numeric_model,
    refined_model,
)
from tests.unit.runtime.serving.transports.test_grpc import tensor, triton_client
from tritonclient.utils import InferenceServerException

from modelservice.contract.serving import Batching, Inputs, MissingColumns, UnknownColumns
from modelservice.modalities.base import Tolerance
from modelservice.modalities.table.kinds.numbers import FAR
from modelservice.serving.asked import MAX_TIMEOUT, NOTHING, Asked, read_asked
from modelservice.serving.errors import RequestError
from modelservice.serving.protocols.open_inference.rpc import _parameters

V1, V2, EXPLAIN = "/v1/models/iris:predict", "/v2/models/iris/infer", "/v1/models/iris:explain"
CITY = "city (home)"
TOLERANT = {"unknown_columns": "Ignore", "missing_columns": "Missing"}


async def post(model: FakeModel, path: str, body: dict[str, Any]) -> tuple[int, Any]:
    async with client_of(front_of(model)) as client:
        answer = await client.post(path, json=body)
        return answer.status_code, answer.json()


def column(name: str, *data: Any) -> dict[str, Any]:
    return {
        "name": name,
        "datatype": "BYTES" if isinstance(data[0], str) else "FP64",
        "shape": [len(data)],
        "data": data,
    }


async def test_unknown_columns_are_ignored_and_missing_ones_missing_where_that_is_asked() -> None:
    exact = [{"age": 1, CITY: None}, {"age": None, CITY: "Basel"}]
    loose = [{"age": 1, "shoe": 43}, {CITY: "Basel", "x": [1]}]
    _, expected = await post(mixed_model(), V1, {"instances": exact})
    assert await post(mixed_model(), V1, {"instances": loose, **TOLERANT}) == (200, expected)
    _, by_column = await post(mixed_model(), V1, {"inputs": {"age": [1, 2], CITY: [None, None]}})
    assert await post(mixed_model(), V1, {"inputs": {"age": [1, 2], "shoe": []}, **TOLERANT}) == (200, by_column)
    _, whole = await post(
        mixed_model(), V2, {"inputs": [column("age", 1, 2), column(CITY, None, None) | {"datatype": "BYTES"}]}
    )
    loosely = {"inputs": [column("shoe", "a"), column("age", 1, 2)], "parameters": TOLERANT}
    assert await post(mixed_model(), V2, loosely) == (200, whole)


@pytest.mark.parametrize(
    ("path", "body", "error"),
    [
        (V1, {"instances": [{"age": 1}], "unknown_columns": "Ignore"}, f"instances[0].{CITY}: is missing"),
        (V1, {"instances": [{"age": 1, "x": 1}], "missing_columns": "Missing"}, "instances[0].x: is not a column"),
        (V1, {"instances": [[1]], **TOLERANT}, "instances[0]: has 1 values, expected 2"),
        (V1, {"instances": [{}, {"x": 1}], **TOLERANT}, "instances[1]: has none of the model's columns; expected age"),
        (V1, {"inputs": {"x": [1]}, **TOLERANT}, f"inputs: none of the model's columns is given; expected age, {CITY}"),
        (V2, {"inputs": [column("x", 1)], "parameters": TOLERANT}, "none of the model's columns is given"),
        (
            V1,
            {"instances": [[1, ""]], "unknown_columns": "ignore"},
            "unknown_columns: must be Error or Ignore, not the text",
        ),
        (
            V1,
            {"instances": [[1, ""]], "missing_columns": 1},
            "missing_columns: must be Error or Missing, not the number 1",
        ),
        (V2, {"inputs": [column("age", 1)], "parameters": {"far": 1}}, "parameters.far: must be true or false"),
    ],
)
async def test_what_is_not_asked_for_is_refused(path: str, body: dict[str, Any], error: str) -> None:
    status, answer = await post(mixed_model(), path, body)
    assert status == 400
    assert error in answer["error"]


@pytest.mark.parametrize("model", [numeric_model, mixed_model, refined_model])
async def test_numbers_that_are_far_are_told_and_counted(model: Any) -> None:
    served = model()
    name, example = served.signature.inputs[0].name, served.encoder.example()
    rows = [{**example, name: value} for value in (FAR, -FAR - 1, None)]
    async with client_of(front_of(served)) as client:
        answer = (await client.post(V1, json={"instances": rows, "far": True})).json()
        page = (await client.get("/metrics")).text
    assert answer["far"] == [[], [name], []]
    assert f'modelservice_far_values_total{{column="{name}"}} 1.0' in page


async def test_both_are_told_beside_each_other() -> None:
    body = {"instances": [[1e6, "Nowhere"]], "far": True, "unseen": True}
    _, answer = await post(mixed_model(), V1, body)
    assert (answer["far"], answer["unseen"]) == ([["age"]], [[CITY]])
    inputs = [column("age", 1e6), column(CITY, "Nowhere")]
    _, answer = await post(mixed_model(), V2, {"inputs": inputs, "parameters": {"far": True, "unseen": True}})
    assert {name: json.loads(text) for name, text in answer["parameters"].items()} == {
        "far": [["age"]],
        "unseen": [[CITY]],
    }


async def test_images_have_no_columns_to_tolerate() -> None:
    body = {"instances": [image_model().encoder.example()]}
    assert await post(image_model(), V1, body | TOLERANT) == await post(image_model(), V1, body)


def test_parameters_of_grpc_are_those_of_rest() -> None:
    given: Any = triton.service_pb2.ModelInferRequest().parameters
    given["far"].bool_param = True
    given["missing_columns"].string_param = "Missing"
    given["other"].int64_param = 3
    assert read_asked(_parameters(given)) == Asked(("far",), Tolerance(missing=True))
    given["unsen"].SetInParent()
    with pytest.raises(RequestError, match=r"^parameters\.unsen: is not known; did you mean unseen\?$"):
        _parameters(given)
    del given["unsen"]
    given["unseen"].SetInParent()
    with pytest.raises(RequestError, match=r"^parameters\.unseen: must be true or false, not null$"):
        read_asked(_parameters(given), place="parameters.")


@pytest.mark.parametrize(
    ("path", "members", "said"),
    [
        (
            V1,
            {"parameters": {"timeout": 1}},
            'parameters.timeout: in v1 it stands beside the rows: {"instances": [...], ',
        ),
        (EXPLAIN, {"parameters": {"seed": 1}}, "parameters.seed: in v1 it stands beside the rows: "),
        (V1, {"timeut": 1}, "timeut: is not known; did you mean timeout?"),
        (EXPLAIN, {"lable": "a"}, "lable: is not known; did you mean label?"),
        (
            V2,
            {"timeout": 1},
            'timeout: in v2 it stands among the parameters: {"inputs": [...], "parameters": {"timeout"',
        ),
        (V2, {"paramters": {}}, "paramters: is not known; did you mean parameters?"),
        (V2, {"parameters": {"timout": 1}}, "parameters.timout: is not known; did you mean timeout?"),
    ],
)
async def test_what_would_be_overlooked_is_refused(path: str, members: dict[str, Any], said: str) -> None:
    rows = {"inputs": [column("age", 1)]} if path == V2 else {"instances": [{"age": 1, CITY: None}]}
    status, answer = await post(mixed_model(), path, rows | members)
    assert status == 400
    assert answer["error"].startswith(said)


@pytest.mark.parametrize("path", [V1, V2])
async def test_members_of_others_are_ignored(path: str) -> None:
    rows = {"inputs": [column("age", 1), column(CITY, "Bern")]} if path == V2 else {"instances": [[1, "Bern"]]}
    others: dict[str, Any] = {"user": "me", "t" * 10_000: 1, "parameters": {"priority": 1, "sequence_id": 3}}
    assert await post(mixed_model(), path, rows | others) == await post(mixed_model(), path, rows)


def test_what_asks_nothing_costs_nothing() -> None:
    assert read_asked({"instances": [], "unknown": 1}) is NOTHING


LOOSE = Inputs(unknown_columns=UnknownColumns.IGNORE, missing_columns=MissingColumns.MISSING)


def values_of(page: str, name: str) -> list[tuple[str, float]]:
    found = re.findall(rf"^{name}_total(\{{.*\}})? (\S+)$", page, re.MULTILINE)
    return [(labels, float(value)) for labels, value in found]


async def test_a_model_tolerates_what_its_serving_says_and_counts_it() -> None:
    """By all ways in: rows, columns, tensors; what the request says itself goes first."""
    async with client_of(front_of(mixed_model(), inputs=LOOSE)) as client:
        exact = await client.post(V1, json={"instances": [{"age": 1, CITY: None}, {"age": None, CITY: "Basel"}]})
        loose = await client.post(V1, json={"instances": [{"age": 1, "shoe": 43}, {CITY: "Basel", "x": [1]}]})
        assert loose.json() == exact.json()
        by_column = await client.post(V1, json={"inputs": {"age": [1, 2, 3], "shoe": [1]}})
        by_tensor = await client.post(V2, json={"inputs": [column("shoe", "a"), column("age", 1, 2)]})
        strict = await client.post(
            V1, json={"instances": [{"age": 1, CITY: "Basel", "x": 1}], "unknown_columns": "Error"}
        )
        explained = await client.post(EXPLAIN, json={"instances": [{"age": 1}]})
        page = (await client.get("/metrics")).text
        schema = (await client.get("/openapi.json")).json()["paths"][V1]["post"]["requestBody"]["content"]
    statuses = [answer.status_code for answer in (loose, by_column, by_tensor, strict, explained)]
    assert statuses == [200, 200, 200, 400, 200]
    assert values_of(page, "modelservice_unknown_columns") == [("", 1 + 1 + 3 + 2)]
    missing = {'{column="age"}': 1.0, f'{{column="{CITY}"}}': 1.0 + 3 + 2 + 1}
    assert dict(values_of(page, "modelservice_missing_columns")) == missing
    rows = schema["application/json"]["schema"]["properties"]["instances"]["items"]["anyOf"][0]
    assert (rows["additionalProperties"], rows.get("required")) == (True, None)


async def test_nothing_is_counted_where_nothing_is_tolerated() -> None:
    async with client_of(front_of(mixed_model())) as client:
        assert (await client.post(V1, json={"instances": [{"age": 1}]})).status_code == 400
        page = (await client.get("/metrics")).text
    assert values_of(page, "modelservice_unknown_columns") == [("", 0)]
    assert {count for _, count in values_of(page, "modelservice_missing_columns")} == {0}


@pytest.mark.parametrize(
    ("path", "body", "place"),
    [
        (V1, {"instances": [[1, 2]]}, "timeout"),
        (EXPLAIN, {"instances": [[1, 2]]}, "timeout"),
        (V2, {"inputs": [column("sepal_length", 1.0), column("petal_length", 2.0)]}, "parameters.timeout"),
    ],
)
async def test_a_request_says_how_long_it_may_wait(path: str, body: dict[str, Any], place: str) -> None:
    def asking(said: Any) -> dict[str, Any]:
        return {**body, **({"parameters": {"timeout": said}} if path == V2 else {"timeout": said})}

    for said in (0, 60_000_000):
        assert (await post(numeric_model(), path, asking(said)))[0] == 200
    delayed = Batching().model_copy(update={"max_delay_milliseconds": 60_000})
    async with client_of(front_of(numeric_model(), batching=delayed)) as client:
        answer = await client.post(path, json=asking(1))
    assert (answer.status_code, answer.json()) == (504, {"error": "it was not answered within its timeout of 0.001 ms"})
    for wrong in (-1, 1.5, "1", True, MAX_TIMEOUT + 1, None):
        status, answer = await post(numeric_model(), path, asking(wrong))
        assert (status, answer["error"].partition(", not")[0]) == (
            400,
            f"{place}: must be microseconds, a whole number up to {MAX_TIMEOUT}, or 0 for none",
        )


async def test_tritons_clients_say_it_too() -> None:
    delayed = Batching().model_copy(update={"max_delay_milliseconds": 60_000})
    async with triton_client(numeric_model(), batching=delayed) as client:
        features = tensor("features", [[1.0, 2.0]], "FP64")
        with pytest.raises(InferenceServerException, match="not answered within its timeout of 1 ms") as refused:
            await client.infer("iris", [features], timeout=1000)
    assert refused.value.status() == "StatusCode.DEADLINE_EXCEEDED"
