"""gRPC: Triton's client works as it is, errors have their codes, and the one way in stands before every call."""

import asyncio
import contextlib
import gc
import json
import struct
import threading
import weakref
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from typing import Any

import grpc
import grpc.aio
import numpy as np
import pytest
import tritonclient.grpc.aio as triton
from tests.unit.runtime.serving.fakes import (
    DIGEST,
    SIDE,
    VERSION,
    FakeModel,
    core_of,
    image_model,
    mixed_model,
    numeric_model,
    regression_model,
)
from tritonclient.grpc import model_config_pb2, service_pb2
from tritonclient.utils import InferenceServerException

from modelservice.contract.serving import Batching
from modelservice.serving.batcher import Batcher
from modelservice.serving.budget import Budget
from modelservice.serving.calls import MAX_ROWS
from modelservice.serving.chain import MAX_BODY, MAX_HEADERS, Arrival
from modelservice.serving.core import Core, Models
from modelservice.serving.costs import Costs
from modelservice.serving.errors import RequestError, TooSlowError
from modelservice.serving.inference import LARGE_AT_ONCE, LARGE_BODY
from modelservice.serving.lifecycle import Lifecycle
from modelservice.serving.protocols.open_inference.messages import DATA_TYPES, MESSAGES
from modelservice.serving.rests import Rests
from modelservice.serving.transports.grpc.answering import Answering
from modelservice.serving.transports.grpc.interceptor import (
    PUBLIC_AT_ONCE,
    READ_AT_ONCE,
    READ_SECONDS,
    ChainInterceptor,
)
from modelservice.serving.transports.grpc.server import start_grpc
from modelservice.serving.transports.grpc.streams import MAX_STREAMS, Streams

INFER = "/inference.GRPCInferenceService/ModelInfer"
STREAM = "/inference.GRPCInferenceService/ModelStreamInfer"
HEALTH = "/grpc.health.v1.Health/Check"


@asynccontextmanager
async def serving(model: FakeModel, **more: Any) -> AsyncIterator[tuple[str, Core]]:
    core = core_of(model, **more)
    async with served(core) as address:
        yield address, core


@asynccontextmanager
async def served(core: Core, *, host: str = "127.0.0.1", **more: Any) -> AsyncIterator[str]:
    server, port, _ = await start_grpc(Models([core]), host=host, port=0, **more)
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(None)


@asynccontextmanager
async def triton_client(model: FakeModel, **more: Any) -> AsyncIterator[triton.InferenceServerClient]:
    async with serving(model, **more) as (address, _), triton.InferenceServerClient(address) as client:
        yield client


def tensor(name: str, values: Any, datatype: str) -> triton.InferInput:
    array = np.asarray(values)
    given = triton.InferInput(name, list(array.shape), datatype)
    given.set_data_from_numpy(array)
    return given


async def ask(model: FakeModel, request: Any) -> Any:
    data = request if isinstance(request, bytes) else request.SerializeToString()
    async with serving(model) as (address, _), grpc.aio.insecure_channel(address) as channel:
        return await channel.unary_unary(INFER)(data)


def request_of(**changes: Any) -> Any:
    request: Any = MESSAGES["ModelInferRequest"](model_name="iris")
    matrix = request.inputs.add(name="features", datatype="FP32", shape=[2, 2])
    matrix.contents.fp32_contents.extend([3, 3, -3, -3])
    for name, value in changes.items():
        setattr(request, name, value)
    return request


def test_the_messages_are_those_that_tritons_client_has() -> None:
    for name, ours in MESSAGES.items():
        theirs = service_pb2 if hasattr(service_pb2, name.partition(".")[0]) else model_config_pb2
        for part in name.split("."):
            theirs = getattr(theirs, part)
        described = {field.name: field for field in theirs.DESCRIPTOR.fields}
        assert ours.DESCRIPTOR.full_name == theirs.DESCRIPTOR.full_name
        for field in ours.DESCRIPTOR.fields:
            assert shape_of(field) == shape_of(described[field.name]), (name, field.name)


def shape_of(field: Any) -> tuple[Any, ...]:
    message = field.message_type.full_name if field.message_type else None
    choice = field.containing_oneof.name if field.containing_oneof else None
    kind = field.TYPE_INT32 if field.type == field.TYPE_ENUM else field.type  # the same on the wire
    return field.number, kind, field.is_repeated, message, choice


def test_datatypes_have_the_numbers_that_tritons_client_knows() -> None:
    assert [model_config_pb2.DataType.Value(name) for name in DATA_TYPES] == list(range(len(DATA_TYPES)))


@pytest.mark.parametrize(
    ("model", "inputs"),
    [
        (numeric_model, [("features", "TYPE_FP64", [2])]),
        (mixed_model, [("age", "TYPE_FP64", [1]), ("city (home)", "TYPE_STRING", [1])]),
        (image_model, [("x", "TYPE_UINT8", [SIDE, SIDE])]),
    ],
)
async def test_triton_reads_the_configuration(model: Any, inputs: list[Any]) -> None:
    async with triton_client(model()) as client:
        config = (await client.get_model_config("iris")).config
    named = model_config_pb2.DataType.Name
    assert (config.name, config.platform, config.max_batch_size) == ("iris", "modelservice_fake", MAX_ROWS)
    assert [(one.name, named(one.data_type), list(one.dims)) for one in config.input] == inputs
    outputs = [("label", "TYPE_STRING", [1]), ("probabilities", "TYPE_FP32", [3])]
    assert [(one.name, named(one.data_type), list(one.dims)) for one in config.output] == outputs


async def test_triton_reads_statistics_and_the_index() -> None:
    rows = np.array([[3, 3], [-3, -3]], dtype=np.float32)
    async with triton_client(numeric_model()) as client:
        await client.infer("iris", [tensor("features", rows, "FP32")])
        (index,) = (await client.get_model_repository_index()).models
        for name in ("", "iris"):
            (statistics,) = (await client.get_inference_statistics(name)).model_stats
            assert (statistics.name, statistics.version) == ("iris", VERSION)
            assert (statistics.inference_count, statistics.execution_count) == (2, 1)
            assert statistics.inference_stats.success.count == 1
            assert statistics.inference_stats.compute_infer.ns > 0
        with pytest.raises(InferenceServerException, match="no model named 'rose' here"):
            await client.get_inference_statistics("rose")
    assert (index.name, index.version, index.state, index.reason) == ("iris", VERSION, "READY", "")


async def test_triton_infers_a_matrix() -> None:
    rows = np.array([[3, 3], [-3, -3]], dtype=np.float32)
    async with triton_client(numeric_model()) as client:
        result = await client.infer("iris", [tensor("features", rows, "FP32")], request_id="7")
        assert result.get_response().id == "7"
        assert result.get_response().model_version == VERSION
        assert result.as_numpy("label").tolist() == [b"virginica", b"setosa"]
        assert result.as_numpy("probabilities").shape == (2, 3)
        outputs = [triton.InferRequestedOutput("probabilities")]
        some = await client.infer("iris", [tensor("features", rows, "FP32")], model_version=VERSION, outputs=outputs)
        assert [output.name for output in some.get_response().outputs] == ["probabilities"]
        np.testing.assert_array_equal(some.as_numpy("probabilities"), result.as_numpy("probabilities"))


@pytest.mark.parametrize(
    ("dtype", "datatype"),
    [("f2", "FP16"), ("f8", "FP64"), ("i1", "INT8"), ("i8", "INT64"), ("u2", "UINT16"), ("bool", "BOOL")],
)
async def test_triton_sends_every_number_type(dtype: str, datatype: str) -> None:
    async with triton_client(numeric_model()) as client:
        expected = await client.infer("iris", [tensor("m", np.array([[1, 0]], dtype=np.float32), "FP32")])
        result = await client.infer("iris", [tensor("m", np.array([[1, 0]], dtype=dtype), datatype)])
        np.testing.assert_array_equal(result.as_numpy("probabilities"), expected.as_numpy("probabilities"))


async def test_triton_sends_texts_and_gets_numbers() -> None:
    age = np.array([1, 1], dtype=np.float64)
    city = np.array(["Köln", "Nowhere"], dtype=object)
    async with triton_client(mixed_model()) as client:
        result = await client.infer("iris", [tensor("age", age, "FP64"), tensor("city (home)", city, "BYTES")])
        with_city, without = result.as_numpy("probabilities")
        assert with_city[2] > without[2]
        with pytest.raises(triton.InferenceServerException, match=r"inputs: city \(home\) is missing"):
            await client.infer("iris", [tensor("age", age, "FP64")])
    async with triton_client(regression_model()) as client:
        result = await client.infer("iris", [tensor("m", np.array([[1, 2]], dtype=np.float32), "FP32")])
        assert result.as_numpy("value").tolist() == [3.0]


async def test_triton_asks_which_categories_training_never_saw() -> None:
    inputs = [
        tensor("age", np.array([1, 1], dtype=np.float64), "FP64"),
        tensor("city (home)", np.array(["Köln", "Nowhere"], dtype=object), "BYTES"),
    ]
    async with triton_client(mixed_model()) as client:
        asked = await client.infer("iris", inputs, parameters={"unseen": True})
        unseen = asked.get_response().parameters["unseen"].string_param
        assert json.loads(unseen) == [[], ["city (home)"]]
        assert not (await client.infer("iris", inputs)).get_response().parameters
        told = (await client.infer("iris", inputs, parameters={"digest": DIGEST})).get_response().parameters
        assert told["digest"].string_param == DIGEST
        with pytest.raises(
            triton.InferenceServerException, match="sha256:0 is asked for, and iris is served as"
        ) as other:
            await client.infer("iris", inputs, parameters={"digest": "sha256:0"})
        assert other.value.status() == "StatusCode.FAILED_PRECONDITION"
        with pytest.raises(triton.InferenceServerException, match=r"parameters\.unseen: must be true or false"):
            await client.infer("iris", inputs, parameters={"unseen": "yes"})


async def test_triton_sends_images() -> None:
    images = np.stack([np.zeros((SIDE, SIDE), np.uint8), np.full((SIDE, SIDE), 255, np.uint8)])
    async with triton_client(image_model()) as client:
        result = await client.infer("iris", [tensor("x", images, "UINT8")])
        assert result.as_numpy("label").tolist() == [b"setosa", b"virginica"]


async def test_triton_asks_for_state_and_metadata() -> None:
    lifecycle = Lifecycle()
    async with triton_client(mixed_model(), lifecycle=lifecycle) as client:
        assert await client.is_server_live()
        assert await client.is_server_ready()
        assert await client.is_model_ready("iris")
        server = await client.get_server_metadata()
        assert (server.name, list(server.extensions)) == ("modelservice", [])
        model = await client.get_model_metadata("iris", VERSION)
        assert [(tensor.name, tensor.datatype, list(tensor.shape)) for tensor in model.inputs] == [
            ("age", "FP64", [-1]),
            ("city (home)", "BYTES", [-1]),
        ]
        assert [(tensor.name, list(tensor.shape)) for tensor in model.outputs] == [
            ("label", [-1]),
            ("probabilities", [-1, 3]),
        ]
        for name, version in (("rose", ""), ("iris", "9")):
            with pytest.raises(triton.InferenceServerException) as refused:
                await client.get_model_metadata(name, version)
            assert refused.value.status() == "StatusCode.NOT_FOUND"
        lifecycle.drain()
        assert not await client.is_server_ready()
        assert not await client.is_model_ready("iris")


@pytest.mark.parametrize("field", ["bool", "int", "int64", "uint", "uint64", "fp32", "fp64"])
async def test_typed_contents_are_taken(field: str) -> None:
    datatype = {"bool": "BOOL", "int": "INT8", "int64": "INT64", "uint": "UINT32", "uint64": "UINT64"}
    request: Any = MESSAGES["ModelInferRequest"](model_name="iris")
    given = request.inputs.add(name="m", datatype=datatype.get(field, field.upper()), shape=[1, 2])
    getattr(given.contents, f"{field}_contents").extend([1, 0])
    response: Any = MESSAGES["ModelInferResponse"].FromString(await ask(regression_model(), request))
    assert [output.name for output in response.outputs] == ["value"]
    assert response.raw_output_contents == [struct.pack("<f", 1)]


@pytest.mark.parametrize(
    ("datatype", "field", "value", "expected"),
    [("INT8", "int", 300, "-128 to 127"), ("UINT16", "uint", 2**16, "0 to 65535"), ("INT16", "int", -(2**15), None)],
)
async def test_typed_contents_are_numbers_that_the_datatype_has(
    datatype: str, field: str, value: int, expected: str | None
) -> None:
    request: Any = MESSAGES["ModelInferRequest"](model_name="iris")
    given = request.inputs.add(name="m", datatype=datatype, shape=[1, 2])
    getattr(given.contents, f"{field}_contents").extend([1, value])
    if expected is None:
        await ask(regression_model(), request)
        return
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await ask(regression_model(), request)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    said = f"inputs[0] (m).contents.{field}_contents[1]: the number {value} is not a whole number from {expected}"
    assert refused.value.details() == f"{said}, as {datatype} wants"


async def test_texts_are_typed_contents_too() -> None:
    request: Any = MESSAGES["ModelInferRequest"](model_name="iris")
    request.inputs.add(name="age", datatype="FP32", shape=[1]).contents.fp32_contents.append(0)
    request.inputs.add(name="city (home)", datatype="BYTES", shape=[1]).contents.bytes_contents.append(b"Basel")
    response: Any = MESSAGES["ModelInferResponse"].FromString(await ask(mixed_model(), request))
    assert response.raw_output_contents[0].endswith(b"virginica")


def changed(**changes: Any) -> Any:
    request = request_of()
    for name, value in changes.items():
        if name == "shape":
            request.inputs[0].shape[:] = value
        else:
            setattr(request.inputs[0], name, value)
    return request


def raw(*contents: bytes, keep: bool = False) -> Any:
    request = request_of()
    request.raw_input_contents.extend(contents)
    if not keep:
        request.inputs[0].ClearField("contents")
    return request


def wanting(name: str, **parameters: Any) -> Any:
    request = request_of()
    output = request.outputs.add(name=name)
    for parameter, value in parameters.items():
        output.parameters[parameter].int64_param = value
    return request


def shared() -> Any:
    request = request_of()
    request.inputs[0].parameters["shared_memory_region"].string_param = "a"
    return request


@pytest.mark.parametrize(
    ("request_", "code", "message"),
    [
        (b"\xff\xff", "INVALID_ARGUMENT", "the message is no inference.ModelInferRequest"),
        (request_of(model_name="rose"), "NOT_FOUND", "no model named 'rose' here; this server serves 'iris'"),
        (request_of(model_version="9"), "NOT_FOUND", "no version '9' of iris"),
        (MESSAGES["ModelInferRequest"](model_name="iris"), "INVALID_ARGUMENT", "inputs: must be at least one tensor"),
        (changed(datatype="FP31"), "INVALID_ARGUMENT", "inputs[0] (features).datatype: 'FP31'; expected one of INT8"),
        (changed(datatype="FP16"), "INVALID_ARGUMENT", "FP16 has no typed contents; send raw_input_contents"),
        (changed(datatype="INT8"), "INVALID_ARGUMENT", ".contents.int_contents: has 0 values, but shape [2, 2] needs"),
        (changed(shape=[2, -2]), "INVALID_ARGUMENT", "inputs[0] (features).shape: [2, -2]"),
        (changed(shape=[]), "INVALID_ARGUMENT", "inputs[0] (features).shape: []"),
        (changed(shape=[1, 4]), "INVALID_ARGUMENT", "inputs[0] (features).shape: [1, 4]; expected [rows, 2]"),
        (raw(b"1"), "INVALID_ARGUMENT", "inputs[0] (features): has 1 bytes, but FP32 of shape [2, 2] needs 16"),
        (raw(b"", b""), "INVALID_ARGUMENT", "raw_input_contents: 2 for 1 inputs; expected one for each"),
        (raw(b"1", keep=True), "INVALID_ARGUMENT", "has both contents and raw_input_contents"),
        (wanting("size"), "INVALID_ARGUMENT", "outputs[0].name: expected one of label, probabilities"),
        (wanting("label", classification=3), "INVALID_ARGUMENT", "outputs[0].parameters.classification: not supported"),
        (shared(), "INVALID_ARGUMENT", "shared memory is not supported"),
    ],
)
async def test_a_wrong_message_is_told_what_is_wrong_and_where(request_: Any, code: str, message: str) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await ask(numeric_model(), request_)
    assert refused.value.code() is grpc.StatusCode[code]
    assert message in str(refused.value.details())


async def test_a_wrong_row_has_its_place() -> None:
    request = raw(struct.pack("<4f", 1, 1, 1, float("inf")))
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await ask(numeric_model(), request)
    assert str(refused.value.details()).startswith("inputs[0] (features), row 1, column petal_length: ")


async def test_a_full_queue_says_when_to_come_back() -> None:
    costs = Costs(compute=((4096, 10240.0),), handover=1e6)
    busy = {"costs": costs, "batching": Batching(max_size=4096, max_delay_milliseconds=300, max_queue_milliseconds=1)}
    async with serving(numeric_model(), **busy) as (address, _), grpc.aio.insecure_channel(address) as channel:
        call = channel.unary_unary(INFER)
        data = request_of().SerializeToString()
        ended = await asyncio.gather(*(call(data) for _ in range(8)), return_exceptions=True)
    refused = [error for error in ended if isinstance(error, grpc.aio.AioRpcError)]
    assert {error.code() for error in refused} == {grpc.StatusCode.RESOURCE_EXHAUSTED}
    metadata = dict(refused[0].trailing_metadata())
    assert int(metadata["retry-after"]) == 5
    assert int(metadata["grpc-retry-pushback-ms"]) == 5000


async def test_a_model_that_breaks_is_internal_without_its_words(caplog: pytest.LogCaptureFixture) -> None:
    model = numeric_model()
    model.engine.broken = True
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await ask(model, request_of())
    assert refused.value.code() is grpc.StatusCode.INTERNAL
    assert refused.value.details() == "internal error; the server's log has the details"
    assert "out of order" in caplog.text


async def test_a_leaving_server_infers_no_more_and_still_says_that_it_lives() -> None:
    lifecycle = Lifecycle()
    lifecycle.leave()
    async with (
        serving(numeric_model(), lifecycle=lifecycle) as (address, _),
        grpc.aio.insecure_channel(address) as channel,
    ):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await channel.unary_unary(INFER)(request_of().SerializeToString())
        assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
        live = await channel.unary_unary("/inference.GRPCInferenceService/ServerLive")(b"")
    assert live == MESSAGES["ServerLiveResponse"](live=True).SerializeToString()


async def test_the_way_in_stands_before_every_call() -> None:
    metadata = [(f"x-{number}", "") for number in range(MAX_HEADERS + 1)]
    async with serving(numeric_model()) as (address, core), grpc.aio.insecure_channel(address) as channel:
        for method in (INFER, HEALTH, "/inference.GRPCInferenceService/ServerReady", "/nowhere.Service/Method"):
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await channel.unary_unary(method)(b"", metadata=metadata)
            assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
            assert f"at most {MAX_HEADERS}" in str(refused.value.details())
        await channel.unary_unary(INFER)(request_of().SerializeToString())
        with pytest.raises(grpc.aio.AioRpcError) as unknown:
            await channel.unary_unary("/nowhere.Service/Method")(b"")
        assert unknown.value.code() is grpc.StatusCode.UNIMPLEMENTED
    for line in (  # recorded once an answer was given
        f'modelservice_requests_total{{code="OK",route="{INFER}"}} 1.0',
        f'modelservice_requests_total{{code="INVALID_ARGUMENT",route="{INFER}"}} 1.0',
        'modelservice_requests_total{code="UNIMPLEMENTED",route="unmatched"} 1.0',
    ):
        await until(core, line)


@pytest.fixture
def turns(monkeypatch: pytest.MonkeyPatch) -> list[None]:
    """The queue is full; grows by one for each that is let wait since it was turned away."""
    taken: list[None] = []

    async def rest(_rests: Rests) -> None:
        taken.append(None)

    monkeypatch.setattr(Rests, "rest", rest)
    monkeypatch.setattr(Batcher, "wait_seconds", 1.0)
    return taken


async def test_who_would_wait_for_too_long_is_refused_before_its_message_is_read(turns: list[None]) -> None:
    async with (
        serving(numeric_model(), batching=Batching()) as (address, core),
        grpc.aio.insecure_channel(address) as channel,
    ):
        with pytest.raises(grpc.aio.AioRpcError, match="the queue is full: about 1000 ms to wait"):
            await channel.stream_unary(INFER)()  # whose message never comes
        assert len(turns) == 1
        await until(core, f'modelservice_requests_total{{code="RESOURCE_EXHAUSTED",route="{INFER}"}} 1.0')
        with pytest.raises(grpc.aio.AioRpcError):
            await channel.unary_unary("/nowhere.Service/Method")(b"")
    assert len(turns) == 1  # of other refusals none waits


async def test_a_stream_that_is_turned_away_is_told_so_and_not_read_for_a_while(turns: list[None]) -> None:
    data = request_of().SerializeToString()
    async with (
        serving(numeric_model(), batching=Batching()) as (address, _),
        grpc.aio.insecure_channel(address) as channel,
    ):
        stream = channel.stream_stream(STREAM)()
        for _ in range(2):
            await stream.write(data)
            answer: Any = MESSAGES["ModelStreamInferResponse"].FromString(await stream.read())
            assert answer.error_message.startswith("the queue is full: ")
        await stream.done_writing()
        assert await stream.read() is grpc.aio.EOF
    assert len(turns) == 2


async def test_a_message_beyond_the_limit_is_refused() -> None:
    async with serving(numeric_model()) as (address, _), grpc.aio.insecure_channel(address) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await channel.unary_unary(INFER)(b"\0" * (MAX_BODY + 1))
        assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_a_call_that_is_given_up_is_not_computed() -> None:
    model = numeric_model()
    costs = Costs(compute=((3, 1e-5),), handover=1.0)  # a batch waits until it has 3 rows, a request has 2
    batching = Batching().model_copy(update={"max_delay_milliseconds": 60_000})
    async with (
        serving(model, costs=costs, batching=batching) as (address, core),
        grpc.aio.insecure_channel(address) as channel,
    ):
        data = request_of().SerializeToString()
        given_up = channel.unary_unary(INFER)(data)
        await until(core, "modelservice_queued_rows 2.0")
        given_up.cancel()
        await until(core, f'code="CANCELLED",route="{INFER}"')
        await channel.unary_unary(INFER)(data)
    assert model.engine.batches == [2]


async def until(core: Core, line: str) -> None:
    """Wait until the metrics show a line."""
    async with asyncio.timeout(60):
        while line not in core.common.exposition.render().body.decode():  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0.001)


def inputs_of(*rows: Any) -> AsyncIterator[dict[str, Any]]:
    async def inputs() -> AsyncIterator[dict[str, Any]]:
        for number, row in enumerate(rows):
            values = np.asarray([row], dtype=np.float32)
            yield {"model_name": "iris", "inputs": [tensor("features", values, "FP32")], "request_id": str(number)}

    return inputs()


async def test_a_stream_is_answered_in_its_order_and_goes_on_after_a_refusal() -> None:
    async with serving(numeric_model()) as (address, core), triton.InferenceServerClient(address) as client:
        answers = [answer async for answer in client.stream_infer(inputs_of([3, 3], [1, 2, 3], [-3, -3], [0, 0]))]
        page = core.common.exposition.render().body.decode()
    told = [(result and (result.get_response().id, result.as_numpy("label").tolist())) for result, _ in answers]
    assert told == [("0", [b"virginica"]), None, ("2", [b"setosa"]), ("3", [b"setosa"])]
    assert "inputs[0] (features).shape: [1, 3]; expected [rows, 2]" in str(answers[1][1])
    assert [error for _, error in answers if error is not None] == [answers[1][1]]
    assert f'modelservice_requests_total{{code="OK",route="{STREAM}"}} 3.0' in page
    assert f'modelservice_requests_total{{code="INVALID_ARGUMENT",route="{STREAM}"}} 1.0' in page


async def test_messages_of_a_stream_draw_on_the_budget_too() -> None:
    core = core_of(numeric_model(), budget=Budget(LARGE_BODY))
    large = request_of().SerializeToString() + b"\x1a\x04iris" * LARGE_BODY  # ids, the last counts
    async with served(core) as address, grpc.aio.insecure_channel(address) as channel:
        stream = channel.stream_stream(STREAM)()
        for data, reason in ((large, "the server holds"), (request_of().SerializeToString(), "")):
            await stream.write(data)
            answer: Any = MESSAGES["ModelStreamInferResponse"].FromString(await stream.read())
            assert answer.error_message.startswith(reason)
            assert bool(reason) == bool(answer.error_message)
        await stream.done_writing()
        assert await stream.read() is grpc.aio.EOF
    assert core.common.budget.free == core.common.budget.limit


async def test_a_large_message_waits_for_a_thread_no_longer_than_any_request_may() -> None:
    time, released = count(), threading.Event()
    core = core_of(numeric_model(), batching=Batching(max_queue_milliseconds=1), clock=lambda: float(next(time)))
    busy = [core.common.parsing.start(released.wait) for _ in range(LARGE_AT_ONCE)]
    large = request_of().SerializeToString() + b"\x1a\x04iris" * LARGE_BODY
    async with served(core) as address, grpc.aio.insecure_channel(address) as channel:
        asking = asyncio.ensure_future(channel.unary_unary(INFER)(large))
        released.set()
        with pytest.raises(grpc.aio.AioRpcError, match="no thread was free for") as refused:
            await asking
    await asyncio.gather(*busy)
    assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert core.inference.load.wait_seconds > 0


async def test_streams_have_an_end_and_make_room_when_they_have_theirs() -> None:
    data = request_of().SerializeToString()
    async with serving(numeric_model()) as (address, _), grpc.aio.insecure_channel(address) as channel:
        streams = [channel.stream_stream(STREAM)() for _ in range(MAX_STREAMS)]
        for stream in streams:
            await stream.write(data)
            assert await stream.read() is not grpc.aio.EOF
        with pytest.raises(grpc.aio.AioRpcError, match=f"the server answers {MAX_STREAMS} streams") as refused:
            await channel.stream_stream(STREAM)().read()
        assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        streams[0].cancel()
        async with asyncio.timeout(60):
            while True:
                with contextlib.suppress(grpc.aio.AioRpcError):
                    other = channel.stream_stream(STREAM)()
                    await other.write(data)
                    if await other.read() is not grpc.aio.EOF:
                        break


async def test_streams_that_are_idle_make_room() -> None:
    async with (
        served(core_of(numeric_model()), idle_seconds=1.0) as address,
        grpc.aio.insecure_channel(address) as channel,
    ):
        streams = [channel.stream_stream(STREAM)() for _ in range(MAX_STREAMS)]
        for stream in streams:
            with pytest.raises(grpc.aio.AioRpcError, match="the stream had no message for") as refused:
                await stream.read()
            assert refused.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        other = channel.stream_stream(STREAM)()
        await other.write(request_of().SerializeToString())
        assert await other.read() is not grpc.aio.EOF


class Talk:
    """The context of a stream whose client sends some messages, and reads no answer."""

    def __init__(self, *messages: bytes) -> None:
        self._messages = list(messages)

    async def read(self) -> Any:
        return self._messages.pop(0) if self._messages else grpc.aio.EOF

    async def write(self, _answer: bytes) -> None:
        await asyncio.Event().wait()


async def echo(message: bytes, _arrival: Arrival) -> bytes:
    return message


async def test_a_message_whose_answer_is_not_read_is_recorded_and_gives_its_place_back() -> None:
    recorded: list[str] = []
    streams = Streams(core_of(numeric_model()).common, write_seconds=0.01)
    arrival = Arrival(STREAM, (), infers=True)
    for _ in range(MAX_STREAMS + 1):
        with pytest.raises(TooSlowError, match="the answer was not read within"):
            await streams.answer(
                Talk(b"a", b"b"),
                arrival,
                lambda: None,
                lambda code, _: recorded.append(code),
                infer=echo,
                refuse=str.encode,
            )
    assert recorded == ["CANCELLED"] * (MAX_STREAMS + 1)


async def test_a_message_is_timed_by_itself_and_the_end_of_a_stream_by_nothing() -> None:
    now = 0.0
    core = core_of(numeric_model(), clock=lambda: now)
    async with (
        served(core, idle_seconds=1.0) as address,
        grpc.aio.insecure_channel(address) as channel,
    ):
        stream = channel.stream_stream(STREAM)()
        await stream.write(request_of().SerializeToString())
        assert await stream.read() is not grpc.aio.EOF
        await until(core, f'modelservice_requests_total{{code="OK",route="{STREAM}"}} 1.0')
        now = 3600.0
        with pytest.raises(grpc.aio.AioRpcError):
            await stream.read()
        await until(core, f'modelservice_requests_total{{code="DEADLINE_EXCEEDED",route="{STREAM}"}} 1.0')
        page = core.common.exposition.render().body.decode()
        assert f'modelservice_request_duration_seconds_sum{{route="{STREAM}"}} 0.0' in page


async def test_a_message_whose_client_leaves_is_recorded() -> None:
    core = core_of(numeric_model(), batching=Batching().model_copy(update={"max_delay_milliseconds": 60_000}))
    async with served(core) as address, grpc.aio.insecure_channel(address) as channel:
        stream = channel.stream_stream(STREAM)()
        await stream.write(request_of().SerializeToString())
        await until(core, "modelservice_queued_rows 2.0")
        stream.cancel()
        await until(core, f'modelservice_requests_total{{code="CANCELLED",route="{STREAM}"}} 1.0')


async def test_a_stream_ends_when_the_server_leaves() -> None:
    lifecycle = Lifecycle()
    async with (
        serving(numeric_model(), lifecycle=lifecycle) as (address, _),
        grpc.aio.insecure_channel(address) as channel,
    ):
        stream = channel.stream_stream(STREAM)()
        await stream.write(request_of().SerializeToString())
        assert await stream.read() is not grpc.aio.EOF
        lifecycle.leave()
        with pytest.raises(grpc.aio.AioRpcError, match="the server is shutting down") as refused:
            await stream.read()
        assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
        with pytest.raises(grpc.aio.AioRpcError, match="the server is shutting down"):
            await channel.stream_stream(STREAM)().read()


SERVING, NOT_SERVING, SERVICE_UNKNOWN = b"\x08\x01", b"\x08\x02", b"\x08\x03"
"""Field 1 of ``HealthCheckResponse``."""


def asked_of(service: str) -> bytes:
    """A ``HealthCheckRequest``."""
    return b"\x0a" + bytes([len(service)]) + service.encode()


@pytest.mark.parametrize("question", [b"", asked_of("inference.GRPCInferenceService")])
async def test_health_is_that_of_the_server(question: bytes) -> None:
    lifecycle = Lifecycle()
    async with (
        serving(numeric_model(), lifecycle=lifecycle) as (address, _),
        grpc.aio.insecure_channel(address) as channel,
    ):
        check = channel.unary_unary(HEALTH)
        watch = channel.unary_stream("/grpc.health.v1.Health/Watch")(question)
        assert await check(question) == await watch.read() == SERVING
        lifecycle.drain()
        assert await check(question) == await watch.read() == NOT_SERVING
        lifecycle.leave()
        with pytest.raises(grpc.aio.AioRpcError, match="the server is shutting down"):
            await watch.read()


async def test_health_of_an_unknown_service_is_said_so() -> None:
    async with serving(numeric_model()) as (address, _), grpc.aio.insecure_channel(address) as channel:
        with pytest.raises(grpc.aio.AioRpcError, match="no service 'x' here") as refused:
            await channel.unary_unary(HEALTH)(asked_of("x"))
        assert refused.value.code() is grpc.StatusCode.NOT_FOUND
        watch = channel.unary_stream("/grpc.health.v1.Health/Watch")(asked_of("x"))
        assert await watch.read() == SERVICE_UNKNOWN


@pytest.mark.parametrize("message", [b"\xff\xff", None])
async def test_a_watch_without_a_question_is_told_so(message: bytes | None) -> None:
    async with (
        served(core_of(numeric_model()), read_seconds=1.0) as address,
        grpc.aio.insecure_channel(address) as channel,
    ):
        watch = channel.stream_stream("/grpc.health.v1.Health/Watch")()
        if message is not None:
            await watch.write(message)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await watch.read()
        expected = "DEADLINE_EXCEEDED" if message is None else "INVALID_ARGUMENT"
        assert refused.value.code() is grpc.StatusCode[expected]


async def test_watches_take_no_turn_of_calls() -> None:
    """As many as read messages at once, each of which never sends its own, and as many that go on."""
    async with serving(numeric_model()) as (address, _), grpc.aio.insecure_channel(address) as channel:
        silent = [
            channel.stream_stream("/grpc.health.v1.Health/Watch")() for _ in range(2 * (READ_AT_ONCE + PUBLIC_AT_ONCE))
        ]
        told = [channel.unary_stream("/grpc.health.v1.Health/Watch")(b"") for _ in range(READ_AT_ONCE)]
        assert [await watch.read() for watch in told] == [SERVING] * READ_AT_ONCE
        assert await channel.unary_unary(HEALTH)(b"", timeout=READ_SECONDS / 2) == SERVING
        assert await channel.unary_unary(INFER)(request_of().SerializeToString(), timeout=READ_SECONDS / 2)
        assert not any(watch.done() for watch in silent)


async def test_a_port_that_is_taken_is_said() -> None:
    async with serving(numeric_model()) as (address, core):
        with pytest.raises(OSError, match=r"cannot listen on 127\.0\.0\.1 port"):
            await start_grpc(Models([core]), host="127.0.0.1", port=int(address.rpartition(":")[2]))


def large(size: int) -> bytes:
    """A message of so many bytes that is read whole before it is refused."""
    return b"\xff" * size


async def code_of(call: Any) -> str:
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return str(error.code().name)
    return "OK"


async def test_large_messages_share_a_budget() -> None:
    core = core_of(numeric_model(), budget=Budget(2 * LARGE_BODY))
    async with served(core) as address, grpc.aio.insecure_channel(address) as channel:
        call = channel.unary_unary(INFER)
        with core.common.budget.hold() as held:
            held.add(LARGE_BODY)
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await call(large(LARGE_BODY + 1))
            assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            assert dict(refused.value.trailing_metadata())["retry-after"] == "1"
            assert await code_of(call(request_of().SerializeToString())) == "OK"  # a small one is answered all the same
        assert await code_of(call(large(LARGE_BODY + 1))) == "INVALID_ARGUMENT"  # it was read
        assert core.common.budget.free == core.common.budget.limit


@pytest.mark.parametrize("method", [INFER, HEALTH])
async def test_a_call_without_its_message_is_told_so_in_time(method: str) -> None:
    core = core_of(numeric_model())
    async with served(core, read_seconds=1.0) as address, grpc.aio.insecure_channel(address) as channel:
        stalled = [channel.stream_unary(method)() for _ in range(PUBLIC_AT_ONCE + 1)]
        codes = await asyncio.gather(*(code_of(call) for call in stalled))
        assert set(codes) == {"DEADLINE_EXCEEDED"}
        ended = channel.stream_unary(method)()
        await ended.done_writing()
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await ended
        assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert refused.value.details() == "the call has no message; expected one"


async def test_messages_are_read_a_few_at_a_time() -> None:
    """Calls that are begun without a message keep the others waiting, until they are given up."""
    async with served(core_of(numeric_model())) as address, grpc.aio.insecure_channel(address) as channel:
        good = request_of().SerializeToString()
        stalled = [channel.stream_unary(INFER)() for _ in range(READ_AT_ONCE)]
        for call in stalled:
            await call.wait_for_connection()
        await asyncio.sleep(0.1)
        waiting = asyncio.ensure_future(code_of(channel.unary_unary(INFER)(good)))
        await asyncio.sleep(0.1)
        assert not waiting.done()
        stalled[0].cancel()
        assert await waiting == "OK"
        for call in stalled:
            call.cancel()


async def test_calls_that_need_no_credential_keep_no_other_waiting() -> None:
    async with (
        served(core_of(numeric_model()), read_seconds=3600) as address,
        grpc.aio.insecure_channel(address) as channel,
    ):
        stalled = [channel.stream_unary(HEALTH)() for _ in range(PUBLIC_AT_ONCE + READ_AT_ONCE)]
        for call in stalled:
            await call.wait_for_connection()
        async with asyncio.timeout(60):
            assert await code_of(channel.unary_unary(INFER)(request_of().SerializeToString())) == "OK"
        for call in stalled:
            call.cancel()


async def test_what_was_refused_is_let_go_without_the_collector() -> None:
    """An error that leads to itself by its frames would keep each message until the collector runs, which is rare."""

    class Message(bytearray):
        """Bytes that can be watched."""

    kept: list[weakref.ref[Message]] = []

    def parse(_data: bytes) -> Any:
        message = Message(b"large")
        kept.append(weakref.ref(message))
        raise RequestError("refused")

    core = core_of(numeric_model())
    interceptor = ChainInterceptor(Answering(Models([core]), ()), methods={})
    reads = interceptor._reads(
        lambda data, _context: core.inference.answer(parse, data, large=True, held=Budget().hold())
    )

    class Context:
        async def read(self) -> bytes:
            return b"x"

        async def abort(self, *_: Any) -> None:
            raise grpc.aio.AbortError

    gc.disable()
    try:
        arrival = Arrival("/a", (), infers=True)
        answer = interceptor._handler(reads, arrival, 0.0).stream_unary
        with contextlib.suppress(grpc.aio.AbortError):
            await answer(None, Context())
        assert kept
        await until_gone(kept[0])
    finally:
        gc.enable()


async def until_gone(kept: "weakref.ref[Any]") -> None:
    async with asyncio.timeout(60):
        while kept() is not None:  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0.001)
