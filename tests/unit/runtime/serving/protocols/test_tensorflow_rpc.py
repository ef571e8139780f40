"""TensorFlow Serving over gRPC: the answers are those of REST, and what is wrong is said with its code."""

import struct
from collections.abc import Callable
from typing import Any

import grpc.aio
import numpy as np
import orjson
import pytest
from tests.unit.runtime.serving.fakes import (
    LABELS,
    REVISION,
    VERSION,
    FakeModel,
    core_of,
    image_model,
    mixed_model,
    numeric_model,
    regression_model,
)

from modelservice.contract.serving import Inputs, MissingColumns, UnknownColumns
from modelservice.modalities.tensors import NUMERIC
from modelservice.serving.calls import MAX_ROWS
from modelservice.serving.core import Models
from modelservice.serving.errors import RequestError
from modelservice.serving.lifecycle import Lifecycle
from modelservice.serving.model import Computation, computed
from modelservice.serving.protocols.tensorflow.messages import DTYPES, MESSAGES
from modelservice.serving.protocols.tensorflow.metadata import DTYPES as NAMES
from modelservice.serving.protocols.tensorflow.predictions import Predictions
from modelservice.serving.protocols.tensorflow.tensors import Repeats, read_tensor
from modelservice.serving.results import Results
from modelservice.serving.transports.grpc.server import start_grpc

PREDICT = "PredictionService/Predict"
METADATA = "PredictionService/GetModelMetadata"
STATUS = "ModelService/GetModelStatus"


async def call(model: FakeModel, method: str, request: Any, **more: Any) -> bytes:
    data = request if isinstance(request, bytes) else request.SerializeToString()
    server, port, _ = await start_grpc(Models([core_of(model, **more)]), host="127.0.0.1", port=0)
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            answer: bytes = await channel.unary_unary(f"/tensorflow.serving.{method}")(data)
            return answer
    finally:
        await server.stop(None)


async def predict(model: FakeModel, request: Any) -> Any:
    return MESSAGES["PredictResponse"].FromString(await call(model, PREDICT, request))


def add(request: Any, name: str, dtype: str, shape: list[int], **values: Any) -> Any:
    tensor = request.inputs[name]
    tensor.dtype = DTYPES[dtype]
    for size in shape:
        tensor.tensor_shape.dim.add(size=size)
    for field, value in values.items():
        if isinstance(value, bytes):
            setattr(tensor, field, value)
        else:
            getattr(tensor, field).extend(value)
    return request


def asking(**spec: Any) -> Any:
    return MESSAGES["PredictRequest"](model_spec={"name": "iris", **spec})


def matrix(**spec: Any) -> Any:
    return add(asking(**spec), "x", "DT_FLOAT", [2, 2], float_val=[3, 3, -3, -3])


def rest(model: FakeModel, instances: list[Any]) -> list[Any]:
    """What REST answers."""
    parsed = Predictions(model).parse(orjson.dumps({"instances": instances}))
    answer: list[Any] = orjson.loads(parsed.render(Results.of(computed(Computation(model), parsed.rows))).body)[
        "predictions"
    ]
    return answer


@pytest.mark.parametrize("spec", [{}, {"version": {"value": REVISION}}, {"signature_name": "serving_default"}])
async def test_answers_are_those_of_rest(spec: dict[str, Any]) -> None:
    response = await predict(numeric_model(), matrix(**spec))
    assert set(response.outputs) == {"label", "probabilities"}
    label, probabilities = response.outputs["label"], response.outputs["probabilities"]
    assert (label.dtype, [dim.size for dim in label.tensor_shape.dim]) == (DTYPES["DT_STRING"], [2])
    assert (probabilities.dtype, [dim.size for dim in probabilities.tensor_shape.dim]) == (DTYPES["DT_FLOAT"], [2, 3])
    expected = rest(numeric_model(), [[3, 3], [-3, -3]])
    assert [text.decode() for text in label.string_val] == [row["label"] for row in expected]
    flat = [np.float32(row["probabilities"][name]) for row in expected for name in LABELS]
    assert np.array(probabilities.float_val, np.float32).tolist() == flat
    said = response.model_spec
    assert (said.name, said.version.value, said.signature_name) == ("iris", REVISION, "serving_default")


async def test_columns_are_tensors_and_the_filter_chooses_outputs() -> None:
    request = add(asking(), "age", "DT_DOUBLE", [2], double_val=[1, 1])
    add(request, "city (home)", "DT_STRING", [2, 1], string_val=["Köln".encode(), b"Nowhere"])
    request.output_filter.append("probabilities")
    response = await predict(mixed_model(), request)
    (name,) = response.outputs
    assert name == "probabilities"
    with_city, without = np.array(response.outputs[name].float_val).reshape(2, 3)
    assert with_city[2] > without[2]


async def test_columns_are_tolerated_as_the_model_says() -> None:
    request = add(asking(), "age", "DT_DOUBLE", [2], double_val=[1, 1])
    add(request, "shoe", "DT_STRING", [2**40], string_val=[])  # not read
    loose = Inputs(unknown_columns=UnknownColumns.IGNORE, missing_columns=MissingColumns.MISSING)
    response: Any = MESSAGES["PredictResponse"].FromString(await call(mixed_model(), PREDICT, request, inputs=loose))
    expected = rest(mixed_model(), [{"age": 1, "city (home)": None}] * 2)
    assert [text.decode() for text in response.outputs["label"].string_val] == [row["label"] for row in expected]
    with pytest.raises(grpc.aio.AioRpcError, match="is no input of this model"):
        await call(mixed_model(), PREDICT, request)
    foreign = add(add(asking(), "a", "DT_FLOAT", [1], float_val=[1]), "b", "DT_FLOAT", [1], float_val=[1])
    with pytest.raises(grpc.aio.AioRpcError, match="is no input of this model"):
        await call(mixed_model(), PREDICT, foreign, inputs=loose)


@pytest.mark.parametrize("dtype", [name for name in DTYPES if name not in {"DT_STRING", "DT_BOOL"}])
async def test_every_number_type_is_taken_typed_and_packed(dtype: str) -> None:
    (datatype,) = (datatype for datatype, name in NAMES.items() if name == dtype)
    numbers = np.array([1, 2], NUMERIC[datatype])
    fields = {"DT_FLOAT": "float_val", "DT_DOUBLE": "double_val", "DT_INT64": "int64_val", "DT_HALF": "half_val"}
    field = fields.get(dtype, f"{datatype.lower()}_val" if datatype in {"UINT32", "UINT64"} else "int_val")
    typed = numbers.view(np.uint16) if dtype == "DT_HALF" else numbers
    for content in ({field: typed.tolist()}, {"tensor_content": numbers.tobytes()}):
        response = await predict(regression_model(), add(asking(), "x", dtype, [1, 2], **content))
        assert list(response.outputs["value"].float_val) == [3.0]


async def test_one_value_stands_for_all() -> None:
    response = await predict(regression_model(), add(asking(), "x", "DT_FLOAT", [3, 2], float_val=[2]))
    assert list(response.outputs["value"].float_val) == [4.0] * 3
    cities = add(asking(), "city (home)", "DT_STRING", [2], string_val=[b"Basel"])
    response = await predict(mixed_model(), add(cities, "age", "DT_FLOAT", [2], float_val=[1, 1]))
    assert len(response.outputs["label"].string_val) == 2


async def test_images_are_taken() -> None:
    pixels = add(asking(), "x", "DT_UINT8", [1, 4, 4], tensor_content=b"\xff" * 16)
    assert list((await predict(image_model(), pixels)).outputs["label"].string_val) == [b"virginica"]


def repeated() -> Any:
    """Two columns, each of which alone may be given so."""
    request = add(asking(), "sepal_length", "DT_FLOAT", [7500, 70], float_val=[1])
    return add(request, "petal_length", "DT_FLOAT", [7500, 70], float_val=[1])


def infinite() -> Any:
    return add(asking(), "x", "DT_FLOAT", [2, 2], tensor_content=struct.pack("<4f", 1, 1, 1, float("inf")))


def filtered() -> Any:
    request = matrix()
    request.output_filter.append("size")
    return request


def unknown_rank() -> Any:
    request = matrix()
    request.inputs["x"].tensor_shape.unknown_rank = True
    return request


def complex_numbers() -> Any:
    request = matrix()
    request.inputs["x"].dtype = 8
    return request


WRONG: list[tuple[Callable[[], FakeModel], Any, str, str]] = [
    (numeric_model, b"\xff\xff", "INVALID_ARGUMENT", "the message is no tensorflow.serving.PredictRequest"),
    (numeric_model, MESSAGES["PredictRequest"](), "NOT_FOUND", "no model named '' here; this server serves 'iris'"),
    (numeric_model, matrix(version={"value": 9}), "NOT_FOUND", "no version '9' of iris"),
    (numeric_model, matrix(version_label="stable"), "NOT_FOUND", "no version of iris is labelled 'stable'"),
    (numeric_model, matrix(signature_name="other"), "INVALID_ARGUMENT", "expected serving_default"),
    (numeric_model, filtered(), "INVALID_ARGUMENT", "output_filter[0]: 'size'; expected one of label, probabilities"),
    (numeric_model, asking(), "INVALID_ARGUMENT", "inputs: must be at least one tensor"),
    (numeric_model, unknown_rank(), "INVALID_ARGUMENT", "inputs[x].tensor_shape: of unknown rank"),
    (numeric_model, complex_numbers(), "INVALID_ARGUMENT", "inputs[x].dtype: 8; expected that of one of DT_FLOAT"),
    (
        numeric_model,
        add(asking(), "x", "DT_FLOAT", [], float_val=[1]),
        "INVALID_ARGUMENT",
        "inputs[x].tensor_shape: []; expected sizes",
    ),
    (
        numeric_model,
        add(asking(), "x", "DT_FLOAT", [2, 2], float_val=[1, 2]),
        "INVALID_ARGUMENT",
        "inputs[x].float_val: has 2 values, but shape [2, 2] needs 4",
    ),
    (
        numeric_model,
        add(asking(), "x", "DT_FLOAT", [2, 2], tensor_content=b"1"),
        "INVALID_ARGUMENT",
        "inputs[x]: has 1 bytes, but FP32 of shape [2, 2] needs 16",
    ),
    (
        numeric_model,
        add(asking(), "x", "DT_FLOAT", [MAX_ROWS + 1, 2], float_val=[1]),
        "INVALID_ARGUMENT",
        f"inputs[x]: {MAX_ROWS + 1} rows; at most {MAX_ROWS}",
    ),
    (
        numeric_model,
        add(asking(), "x", "DT_FLOAT", [1, 2**40], float_val=[1]),
        "INVALID_ARGUMENT",
        "inputs[x].float_val: one value for 1099511627776 elements; at most 1048576 of one request",
    ),
    (numeric_model, repeated(), "INVALID_ARGUMENT", "inputs[sepal_length].float_val: one value for 525000 elements"),
    (
        mixed_model,
        add(asking(), "city (home)", "DT_STRING", [1000], string_val=[b"x" * 2**14]),
        "INVALID_ARGUMENT",
        "inputs[city (home)].string_val: one value for 1000 elements; at most 1048576 of one request",
    ),
    (
        numeric_model,
        add(matrix(), "y", "DT_FLOAT", [1, 2**40], float_val=[1]),
        "INVALID_ARGUMENT",
        "inputs[x]: is no input of this model; expected one tensor for each of sepal_length, petal_length",
    ),
    (
        mixed_model,
        add(asking(), "age", "DT_FLOAT", [1], float_val=[1]),
        "INVALID_ARGUMENT",
        "inputs: city (home) is missing",
    ),
    (
        mixed_model,
        add(asking(), "age", "DT_STRING", [1], string_val=[b"1"]),
        "INVALID_ARGUMENT",
        "inputs[age].datatype: BYTES; the column is a Number",
    ),
    (
        mixed_model,
        add(asking(), "age", "DT_STRING", [1], tensor_content=b"1"),
        "INVALID_ARGUMENT",
        "inputs[age].tensor_content: is not taken of DT_STRING; send string_val",
    ),
    (numeric_model, infinite(), "INVALID_ARGUMENT", "inputs[x], row 1, column petal_length: "),
]


@pytest.mark.parametrize(("model", "request_", "code", "message"), WRONG)
async def test_a_wrong_message_is_told_what_is_wrong_and_where(
    model: Callable[[], FakeModel], request_: Any, code: str, message: str
) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await call(model(), PREDICT, request_)
    assert refused.value.code() is grpc.StatusCode[code]
    assert message in str(refused.value.details())


async def test_metadata_is_the_signature() -> None:
    request = MESSAGES["GetModelMetadataRequest"](model_spec={"name": "iris"}, metadata_field=["signature_def"])
    response: Any = MESSAGES["GetModelMetadataResponse"].FromString(await call(mixed_model(), METADATA, request))
    assert (response.model_spec.name, response.model_spec.version.value) == ("iris", REVISION)
    packed = response.metadata["signature_def"]
    assert packed.type_url == "type.googleapis.com/tensorflow.serving.SignatureDefMap"
    signature = MESSAGES["SignatureDefMap"].FromString(packed.value).signature_def["serving_default"]  # type: ignore[attr-defined]
    assert signature.method_name == "tensorflow/serving/predict"
    told = {
        name: (info.dtype, [dim.size for dim in info.tensor_shape.dim])
        for side in (signature.inputs, signature.outputs)
        for name, info in side.items()
    }
    assert told == {
        "age": (DTYPES["DT_DOUBLE"], [-1]),
        "city (home)": (DTYPES["DT_STRING"], [-1]),
        "label": (DTYPES["DT_STRING"], [-1]),
        "probabilities": (DTYPES["DT_FLOAT"], [-1, 3]),
    }


@pytest.mark.parametrize(
    ("dtype", "value", "message"),
    [
        ("DT_UINT8", 300, "int_val[1]: 300 is no value of DT_UINT8; expected 0 to 255"),
        ("DT_UINT8", -1, "int_val[1]: -1 is no value of DT_UINT8; expected 0 to 255"),
        ("DT_INT8", 300, "int_val[1]: 300 is no value of DT_INT8; expected -128 to 127"),
        ("DT_UINT16", 2**16, "int_val[1]: 65536 is no value of DT_UINT16; expected 0 to 65535"),
        ("DT_HALF", 2**16, "half_val[1]: 65536 is no value of DT_HALF; expected 0 to 65535"),
        ("DT_HALF", -1, "half_val[1]: -1 is no value of DT_HALF; expected 0 to 65535"),
    ],
)
def test_a_value_that_its_type_has_not_is_told(dtype: str, value: int, message: str) -> None:
    field = "half_val" if dtype == "DT_HALF" else "int_val"
    request = add(asking(), "x", dtype, [1, 2], **{field: [1, value]})
    with pytest.raises(RequestError) as refused:
        read_tensor("x", request.inputs["x"], Repeats())
    assert message in str(refused.value)


@pytest.mark.parametrize("fields", [[], ["saved_model"], ["signature_def", "other"]])
async def test_other_metadata_is_refused(fields: list[str]) -> None:
    request = MESSAGES["GetModelMetadataRequest"](model_spec={"name": "iris"}, metadata_field=fields)
    with pytest.raises(grpc.aio.AioRpcError, match=r"metadata_field: .*; expected signature_def") as refused:
        await call(numeric_model(), METADATA, request)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_the_status_follows_readiness() -> None:
    request = MESSAGES["GetModelStatusRequest"](model_spec={"name": "iris"})
    lifecycle = Lifecycle()
    for state in (30, 40):
        data = await call(numeric_model(), STATUS, request, lifecycle=lifecycle)
        (version,) = MESSAGES["GetModelStatusResponse"].FromString(data).model_version_status  # type: ignore[attr-defined]
        assert (str(version.version), version.state, version.status.error_code) == (VERSION, state, 0)
        lifecycle.drain()
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await call(numeric_model(), STATUS, MESSAGES["GetModelStatusRequest"](model_spec={"name": "rose"}))
    assert refused.value.code() is grpc.StatusCode.NOT_FOUND


def test_messages_have_the_published_bytes() -> None:
    """A ``PredictRequest`` as protobuf writes it from TensorFlow Serving's own definition, spelled out by hand."""
    tensor = b"\x08\x01" + b"\x12\x08" + b"\x12\x02\x08\x01" * 2 + b"\x2a\x04" + struct.pack("<f", 5.0)
    entry = b"\x0a\x01x" + b"\x12" + bytes([len(tensor)]) + tensor
    spec = b"\x0a\x04iris" + b"\x12\x02\x08\x07" + b"\x1a\x0fserving_default"
    data = b"\x0a" + bytes([len(spec)]) + spec + b"\x12" + bytes([len(entry)]) + entry + b"\x1a\x05value"
    request: Any = MESSAGES["PredictRequest"].FromString(data)
    assert (request.model_spec.name, request.model_spec.version.value) == ("iris", 7)
    assert request.model_spec.signature_name == "serving_default"
    assert list(request.output_filter) == ["value"]
    assert (request.inputs["x"].dtype, list(request.inputs["x"].float_val)) == (1, [5.0])
    assert [dim.size for dim in request.inputs["x"].tensor_shape.dim] == [1, 1]
    assert request.SerializeToString(deterministic=True) == data
