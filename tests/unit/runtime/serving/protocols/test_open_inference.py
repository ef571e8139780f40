"""The Open Inference Protocol: JSON and binary tensors, outputs, ids, and what is said about wrong ones."""

import json
import struct
from typing import Any

import httpx
import numpy as np
import pytest
from tests.unit.runtime.serving.fakes import (
    DIGEST,
    SIDE,
    VERSION,
    FakeModel,
    client_of,
    front_of,
    image_model,
    mixed_model,
    numeric_model,
    regression_model,
)

PATH = "/v2/models/iris/infer"
MATRIX = {"name": "features", "datatype": "FP32", "shape": [2, 2], "data": [3, 3, -3, -3]}
LENGTH = "Inference-Header-Content-Length"


async def post(model: FakeModel, body: Any, headers: dict[str, str] | None = None) -> httpx.Response:
    async with client_of(front_of(model)) as client:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return await client.post(PATH, content=content, headers=headers)


def column(name: str, datatype: str, data: list[Any], **more: Any) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": [len(data)], "data": data, **more}


async def test_a_matrix_is_answered_by_labels_and_probabilities() -> None:
    answer = await post(numeric_model(), {"id": "7", "inputs": [MATRIX]})
    assert answer.status_code == 200
    label, probabilities = answer.json().pop("outputs")
    assert answer.json() | {"outputs": None} == {
        "model_name": "iris",
        "model_version": VERSION,
        "id": "7",
        "outputs": None,
    }
    assert label == {"name": "label", "datatype": "BYTES", "shape": [2], "data": ["virginica", "setosa"]}
    assert probabilities["datatype"] == "FP32"
    assert probabilities["shape"] == [2, 3]
    assert np.reshape(probabilities["data"], (2, 3)).sum(axis=1) == pytest.approx([1, 1], abs=1e-6)


@pytest.mark.parametrize(
    "inputs",
    [
        [{**MATRIX, "data": [[3, 3], [-3, -3]]}],
        [{**MATRIX, "datatype": "INT64", "name": "anything"}],
        [column("petal_length", "FP64", [3, -3]), column("sepal_length", "INT8", [3, -3])],
        [{**column("petal_length", "FP64", [[3], [-3]]), "shape": [2, 1]}, column("sepal_length", "INT16", [3, -3])],
    ],
)
async def test_other_ways_to_send_the_same_rows_get_the_same_answer(inputs: list[Any]) -> None:
    expected = (await post(numeric_model(), {"inputs": [MATRIX]})).json()
    assert (await post(numeric_model(), {"inputs": inputs})).json() == expected


async def test_texts_are_bytes_tensors() -> None:
    inputs = [column("city (home)", "BYTES", ["Köln", "Nowhere"]), column("age", "FP32", [1, 1])]
    answer = await post(mixed_model(), {"inputs": inputs})
    assert answer.status_code == 200
    with_city, without = np.reshape(answer.json()["outputs"][1]["data"], (2, 3))
    assert with_city[2] > without[2]


@pytest.mark.parametrize("as_binary", [False, True])
async def test_booleans_are_numbers_and_categories(as_binary: bool) -> None:
    def body(datatype: str, data: list[Any], raw: bytes) -> tuple[bytes, dict[str, str]]:
        tensor = {"name": "features", "datatype": datatype, "shape": [1, 2]}
        if not as_binary:
            return json.dumps({"inputs": [{**tensor, "data": data}]}).encode(), {}
        head = json.dumps({"inputs": [{**tensor, "parameters": {"binary_data_size": len(raw)}}]}).encode()
        return head + raw, {LENGTH: str(len(head))}

    booleans = await post(numeric_model(), *body("BOOL", [True, False], b"\1\0"))
    numbers = await post(numeric_model(), *body("INT8", [1, 0], b"\1\0"))
    assert booleans.status_code == 200
    assert booleans.content == numbers.content
    wrong = await post(numeric_model(), {"inputs": [{**MATRIX, "datatype": "BOOL"}]})
    assert wrong.json()["error"] == "inputs[0] (features).data[0]: the number 3 is not true or false, as BOOL wants"


@pytest.mark.parametrize(
    ("datatype", "value", "said"),
    [
        ("INT8", 300, "the number 300 is not a whole number from -128 to 127"),
        ("UINT8", -1, "the number -1 is not a whole number from 0 to 255"),
        ("INT64", 1.5, f"the number 1.5 is not a whole number from {-(2**63)} to {2**63 - 1}"),
        ("UINT64", 2**64, f"the number {float(2**64)} is not a whole number from 0 to {2**64 - 1}"),
        ("FP16", 1e30, "the number 1e+30 is not a number from -65504 to 65504"),
    ],
)
async def test_a_number_that_a_datatype_does_not_have_is_refused(datatype: str, value: float, said: str) -> None:
    answer = await post(numeric_model(), {"inputs": [{**MATRIX, "datatype": datatype, "data": [3, 3, value, -3]}]})
    assert answer.status_code == 400
    assert answer.json() == {"error": f"inputs[0] (features).data[2]: {said}, as {datatype} wants"}


@pytest.mark.parametrize("datatype", ["INT8", "INT64", "FP16"])
async def test_whole_numbers_may_have_a_point_and_be_missing(datatype: str) -> None:
    inputs = [[{**MATRIX, "datatype": kind, "data": [3.0, None, -3, 100]}] for kind in (datatype, "FP64")]
    found, expected = [await post(numeric_model(), {"inputs": one}) for one in inputs]
    assert expected.status_code == 200
    assert found.json() == expected.json()


async def test_a_regression_has_one_output_of_one_number_for_each_row() -> None:
    (value,) = (await post(regression_model(), {"inputs": [MATRIX]})).json()["outputs"]
    assert value == {"name": "value", "datatype": "FP32", "shape": [2], "data": [6.0, -6.0]}


@pytest.mark.parametrize("datatype", ["UINT8", "FP32", "INT64"])
@pytest.mark.parametrize("nested", [True, False])
async def test_images_are_tensors_of_any_number_type(datatype: str, nested: bool) -> None:
    images = np.array([np.zeros((SIDE, SIDE)), np.full((SIDE, SIDE), 255)], dtype=int)
    data = images.tolist() if nested else images.ravel().tolist()
    tensor = {"name": "x", "datatype": datatype, "shape": [2, SIDE, SIDE], "data": data}
    answer = await post(image_model(), {"inputs": [tensor]})
    assert answer.json()["outputs"][0]["data"] == ["setosa", "virginica"]
    wrong = await post(
        image_model(), {"inputs": [{**tensor, "shape": [SIDE, 2 * SIDE], "data": [0] * 2 * SIDE * SIDE}]}
    )
    assert wrong.json()["error"].startswith(f"inputs[0] (x).shape: [{SIDE}, {2 * SIDE}]; expected")


async def test_only_requested_outputs_come_back_in_their_order() -> None:
    outputs = [{"name": "probabilities"}]
    answer = await post(numeric_model(), {"inputs": [MATRIX], "outputs": outputs})
    assert [output["name"] for output in answer.json()["outputs"]] == ["probabilities"]


async def test_binary_tensors_in_both_directions() -> None:
    head = json.dumps(
        {
            "inputs": [
                {"name": "city (home)", "datatype": "BYTES", "shape": [1], "parameters": {"binary_data_size": 9}},
                {"name": "age", "datatype": "FP16", "shape": [1], "parameters": {"binary_data_size": 2}},
            ],
            "parameters": {"binary_data_output": True},
        }
    ).encode()
    tail = struct.pack("<I", 5) + "Köln".encode() + np.array([1.5], dtype="<f2").tobytes()
    answer = await post(mixed_model(), head + tail, {LENGTH: str(len(head))})
    assert answer.status_code == 200
    length = int(answer.headers[LENGTH])
    outputs = {output["name"]: output for output in json.loads(answer.content[:length])["outputs"]}
    size = outputs["label"]["parameters"]["binary_data_size"]
    label = answer.content[length : length + size]
    assert label == struct.pack("<I", 9) + b"virginica"
    probabilities = np.frombuffer(answer.content[length + size :], dtype="<f4")
    in_json = {"inputs": [column("city (home)", "BYTES", ["Köln"]), column("age", "FP32", [1.5])]}
    assert (
        probabilities.tolist() == np.float32((await post(mixed_model(), in_json)).json()["outputs"][1]["data"]).tolist()
    )


async def test_one_output_binary_and_the_other_in_json() -> None:
    outputs = [{"name": "label"}, {"name": "probabilities", "parameters": {"binary_data": True}}]
    answer = await post(numeric_model(), {"inputs": [MATRIX], "outputs": outputs})
    length = int(answer.headers[LENGTH])
    label, probabilities = json.loads(answer.content[:length])["outputs"]
    assert label["data"] == ["virginica", "setosa"]
    assert probabilities["parameters"] == {"binary_data_size": 24}
    assert len(answer.content) == length + 24


def tensor(**changes: Any) -> dict[str, Any]:
    return {"inputs": [{**MATRIX, **changes}]}


def binary(size: Any, **changes: Any) -> dict[str, Any]:
    without_data = {key: value for key, value in MATRIX.items() if key != "data"}
    return {"inputs": [{**without_data, "parameters": {"binary_data_size": size}, **changes}]}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "inputs: must be an array of at least one tensor, not null"),
        ({"inputs": []}, "inputs: must be an array of at least one tensor, not an array of 0"),
        ({"inputs": [3]}, "inputs[0]: must be an object, not the number 3"),
        ({"inputs": [{}]}, "inputs[0].name: must be a text, not null"),
        (tensor(datatype="FP31"), "inputs[0] (features).datatype: the text 'FP31'; expected one of INT8"),
        (tensor(datatype=["FP32"]), "inputs[0] (features).datatype: an array of 1"),
        (tensor(datatype="BYTES", data=["a"] * 4), "all columns are numeric"),
        (tensor(shape=None), "inputs[0] (features).shape: null; expected sizes such as [rows]"),
        (tensor(shape=[2, -2]), "inputs[0] (features).shape: [2, -2]"),
        (tensor(shape=[True, 2]), "inputs[0] (features).shape: [True, 2]"),
        (tensor(shape=[2, 2**70]), "inputs[0] (features).shape"),
        (tensor(shape=[2, 1, 2]), "inputs[0] (features).shape: [2, 1, 2]"),
        (tensor(shape=[4]), "inputs[0] (features).shape: [4]; expected [rows, 2] for sepal_length, petal_length"),
        (tensor(shape=[1, 4]), "inputs[0] (features).shape: [1, 4]; expected [rows, 2]"),
        (tensor(shape=[0, 2], data=[]), "inputs: no rows"),
        (tensor(shape=[3, 2]), "inputs[0] (features).data: has 4 values, but shape [3, 2] needs 6"),
        (tensor(data=None), "inputs[0] (features).data: must be an array, not null"),
        (tensor(data=[3, 3, "x", 3]), "inputs[0] (features).data[2]: the text 'x' is not a number"),
        (tensor(data=[3, 3, True, 3]), "inputs[0] (features).data[2]: true is not a number"),
        (
            tensor(data=[[3, 3], [3]]),
            "inputs[0] (features).data[1]: an array of 1, but shape [2, 2] needs an array of 2",
        ),
        (tensor(data=[3, 3, 3, 1e300]), "row 1, column petal_length"),
        (tensor(parameters=3), "inputs[0] (features).parameters: must be an object, not the number 3"),
        (tensor(parameters={"shared_memory_region": "a"}), "shared memory is not supported"),
        (tensor(parameters={"binary_data_size": 0}), "has both data and binary_data_size"),
        (binary(4), "binary_data_size: expected a size within the 0 bytes left"),
        (binary("4"), "binary_data_size: expected a size within"),
        (binary(0), "has 0 bytes, but FP32 of shape [2, 2] needs 16"),
        ({"inputs": [column("sepal_length", "FP32", [1])]}, "inputs: petal_length is missing"),
        ({"inputs": [column("sepal_length", "FP32", [1])] * 2}, "inputs[1] (sepal_length): is given twice"),
        ({"inputs": [column("size", "FP32", [1])] * 2}, "inputs[0] (size): is no column of this model; expected one"),
        ({"inputs": [MATRIX], "outputs": [{"name": "size"}]}, "outputs[0].name: expected one of label, probabilities"),
        ({"inputs": [MATRIX], "outputs": [3]}, "outputs[0].name: expected one of"),
        ({"inputs": [MATRIX], "outputs": {}}, "outputs: must be an array of at most 2 objects, not an object"),
        (
            {"inputs": [MATRIX], "outputs": [{"name": "label", "parameters": {"classification": 3}}]},
            "outputs[0].parameters.classification: not supported",
        ),
        ({"id": 3, "inputs": [MATRIX]}, "id: must be a text, not the number 3"),
        (b'{"id": "\\ud800", "inputs": NaN}', "id: must be a text"),
        ({"inputs": [MATRIX], "parameters": []}, "parameters: must be an object, not an array of 0"),
    ],
)
async def test_a_wrong_body_is_told_what_is_wrong_and_where(body: Any, message: str) -> None:
    answer = await post(numeric_model(), body)
    assert answer.status_code == 400
    assert message in answer.json()["error"]


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ([column("age", "BYTES", ["1"])], "inputs[0] (age).datatype: BYTES; the column is a Number: expected a number"),
        ([column("city (home)", "FP32", [1])], "the column is a Category: expected BYTES"),
        ([{**column("age", "FP32", [1, 2]), "shape": [1, 2]}], "inputs[0] (age).shape: [1, 2]; expected [rows] or"),
        (
            [column("age", "FP32", [1, 1e300]), column("city (home)", "BYTES", ["Basel"] * 2)],
            "inputs[0] (age).data[1]:",
        ),
    ],
)
async def test_a_column_of_the_wrong_kind_is_told_so(inputs: list[Any], message: str) -> None:
    answer = await post(mixed_model(), {"inputs": inputs})
    assert answer.status_code == 400
    assert message in answer.json()["error"]


@pytest.mark.parametrize("length", ["-1", "x", "1e3", "99999", "9" * 5000])
async def test_a_wrong_header_length_is_told_so(length: str) -> None:
    answer = await post(numeric_model(), {"inputs": [MATRIX]}, {LENGTH: length})
    assert answer.status_code == 400
    assert answer.json()["error"].startswith("Inference-Header-Content-Length: ")


@pytest.mark.parametrize(
    ("tail", "message"),
    [
        (b"", "expected a size within the 0 bytes left"),
        (struct.pack("<I", 6) + b"abcde", "element 0 reaches beyond the tensor's 9 bytes"),
        (struct.pack("<I", 4) + b"abcde", "has 1 bytes after its 1 elements"),
        (struct.pack("<I", 5) + b"\xff\xff\xff\xff\xff", "inputs[0] (city (home)).data[0]: is not UTF-8 text"),
        (struct.pack("<I", 5) + b"abcdef", "the body has 1 bytes after its last binary tensor"),
    ],
)
async def test_a_broken_binary_text_is_told_so(tail: bytes, message: str) -> None:
    city = {"name": "city (home)", "datatype": "BYTES", "shape": [1], "parameters": {"binary_data_size": 9}}
    head = json.dumps({"inputs": [city]}).encode()
    answer = await post(mixed_model(), head + tail, {LENGTH: str(len(head))})
    assert answer.status_code == 400
    assert message in answer.json()["error"]


async def test_who_asks_is_told_which_categories_training_never_saw() -> None:
    inputs = [column("city (home)", "BYTES", ["Basel", "Nowhere", None]), column("age", "FP32", [1, 1, 1])]
    plain = (await post(mixed_model(), {"inputs": inputs})).json()
    asked = (await post(mixed_model(), {"inputs": inputs, "parameters": {"unseen": True}})).json()
    assert json.loads(asked.pop("parameters")["unseen"]) == [[], ["city (home)"], []]
    assert asked == plain
    assert (await post(mixed_model(), {"inputs": inputs, "parameters": {"unseen": False}})).json() == plain
    wrong = await post(mixed_model(), {"inputs": inputs, "parameters": {"unseen": 1}})
    assert wrong.status_code == 400
    assert wrong.json()["error"] == "parameters.unseen: must be true or false, not the number 1"


async def test_a_binary_body_without_its_header_is_told_which() -> None:
    for raw in (struct.pack("<4f", 1, 2, 3, 4), b"NaN\xff" * 4):
        answer = await post(numeric_model(), json.dumps(binary(16)).encode() + raw)
        assert answer.status_code == 400
        assert f"need the header {LENGTH}, the length of the JSON" in answer.json()["error"]


async def test_an_artifact_that_is_named_answers_or_another_one_refuses() -> None:
    for binary in (False, True):
        parameters = {"digest": DIGEST, "binary_data_output": binary}
        answer = await post(numeric_model(), {"inputs": [MATRIX], "parameters": parameters})
        told = json.loads(answer.content[: int(answer.headers.get(LENGTH, len(answer.content)))])
        assert told["parameters"] == {"digest": DIGEST}
    assert "parameters" not in (await post(numeric_model(), {"inputs": [MATRIX]})).json()
    for digest in ("sha256:0", "", 7):
        answer = await post(numeric_model(), {"inputs": [MATRIX], "parameters": {"digest": digest}})
        assert answer.status_code == 412
        sentence = f"parameters.digest: {digest} is asked for, and iris is served as {DIGEST}"
        assert answer.json() == {"error": sentence}
    answer = await post(numeric_model(), {"inputs": [MATRIX], "parameters": {"digets": DIGEST}})
    assert answer.json()["error"] == "parameters.digets: is not known; did you mean digest?"
