"""gRPC reflection: a client that knows nothing finds the services, and calls one by the messages that it is told."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc.aio
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from tests.unit.runtime.serving.fakes import core_of, numeric_model

from modelservice.serving.core import Models
from modelservice.serving.protocols.tensorflow.messages import DESCRIBED
from modelservice.serving.transports.grpc.reflection import VERSIONS, _described
from modelservice.serving.transports.grpc.server import start_grpc

SERVICES = [
    "grpc.health.v1.Health",
    "grpc.reflection.v1.ServerReflection",
    "grpc.reflection.v1alpha.ServerReflection",
    "inference.GRPCInferenceService",
    "tensorflow.serving.ModelService",
    "tensorflow.serving.PredictionService",
]


class Asker:
    """One reflection stream."""

    def __init__(self, stream: Any, version: str) -> None:
        self._stream = stream
        self._messages: dict[str, Any] = _described(f"grpc.reflection.{version}").messages

    async def ask(self, **question: Any) -> Any:
        return await self.send(self._messages["ServerReflectionRequest"](**question).SerializeToString())

    async def send(self, data: bytes) -> Any:
        await self._stream.write(data)
        return self._messages["ServerReflectionResponse"].FromString(await self._stream.read())


@asynccontextmanager
async def asking(version: str = "v1") -> AsyncIterator[tuple[Asker, Any]]:
    server, port, _ = await start_grpc(Models([core_of(numeric_model())]), host="127.0.0.1", port=0)
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        method = f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo"
        yield Asker(channel.stream_stream(method)(), version), channel
    await server.stop(None)


@pytest.mark.parametrize("version", VERSIONS)
async def test_all_services_are_listed_and_described(version: str) -> None:
    async with asking(version) as (asker, _):
        listed = (await asker.ask(list_services="")).list_services_response.service
        assert [service.name for service in listed] == SERVICES
        for name in SERVICES:
            pool = descriptor_pool.DescriptorPool()
            described = (await asker.ask(file_containing_symbol=name)).file_descriptor_response.file_descriptor_proto
            for file in reversed(described):  # what a file needs comes after it
                pool.AddSerializedFile(file)
            assert pool.FindServiceByName(name).methods


async def test_a_client_calls_by_what_it_was_told() -> None:
    async with asking() as (asker, channel):
        answer = await asker.ask(host="iris", file_containing_symbol="inference.GRPCInferenceService.ServerMetadata")
        assert (answer.valid_host, answer.original_request.host) == ("iris", "iris")
        (file,) = answer.file_descriptor_response.file_descriptor_proto
        pool = descriptor_pool.DescriptorPool()
        pool.AddSerializedFile(file)
        method = pool.FindMethodByName("inference.GRPCInferenceService.ServerMetadata")
        response: Any = message_factory.GetMessageClass(method.output_type)
        said = await channel.unary_unary("/inference.GRPCInferenceService/ServerMetadata")(b"")
        assert response.FromString(said).name == "modelservice"


async def test_a_file_comes_with_those_that_it_needs() -> None:
    async with asking() as (asker, _):
        answer = await asker.ask(file_by_filename="tensorflow.serving.proto")
    files = map(descriptor_pb2.FileDescriptorProto.FromString, answer.file_descriptor_response.file_descriptor_proto)
    assert [file.name for file in files] == [
        "tensorflow.serving.proto",
        "google/protobuf/any.proto",
        "google/protobuf/wrappers.proto",
        "tensorflow.error.proto",
        "tensorflow.proto",
    ]
    assert len(DESCRIBED.files) == 5


@pytest.mark.parametrize(
    ("symbol", "name", "number"),
    [
        ("tensorflow.DataType", "DT_FLOAT", 1),
        ("tensorflow.DataType", "DT_UINT64", 23),
        ("tensorflow.error.Code", "OK", 0),
        ("tensorflow.serving.ModelVersionStatus.State", "AVAILABLE", 30),
        ("inference.DataType", "TYPE_STRING", 13),
        ("grpc.health.v1.HealthCheckResponse.ServingStatus", "SERVICE_UNKNOWN", 3),
    ],
)
async def test_enumerations_are_told_by_name(symbol: str, name: str, number: int) -> None:
    async with asking() as (asker, _):
        answer = await asker.ask(file_containing_symbol=symbol)
    pool = descriptor_pool.DescriptorPool()
    for file in reversed(answer.file_descriptor_response.file_descriptor_proto):
        pool.AddSerializedFile(file)
    values = pool.FindEnumTypeByName(symbol).values_by_name
    assert values[name].number == number


async def test_fields_have_the_published_enumerations() -> None:
    async with asking() as (asker, _):
        answer = await asker.ask(file_containing_symbol="tensorflow.serving.PredictionService")
    pool = descriptor_pool.DescriptorPool()
    for file in reversed(answer.file_descriptor_response.file_descriptor_proto):
        pool.AddSerializedFile(file)
    fields = {
        ("tensorflow.TensorProto", "dtype"): "tensorflow.DataType",
        ("tensorflow.TensorInfo", "dtype"): "tensorflow.DataType",
        ("tensorflow.serving.StatusProto", "error_code"): "tensorflow.error.Code",
        ("tensorflow.serving.ModelVersionStatus", "state"): "tensorflow.serving.ModelVersionStatus.State",
    }
    for (message, field), enumeration in fields.items():
        found = pool.FindMessageTypeByName(message).fields_by_name[field].enum_type
        assert found is not None
        assert found.full_name == enumeration


@pytest.mark.parametrize(
    ("question", "said"),
    [
        ({"file_by_filename": "x.proto"}, "no 'x.proto' here"),
        ({"file_containing_symbol": "x.Y"}, "no 'x.Y' here"),
        ({"all_extension_numbers_of_type": "x.Y"}, "no 'x.Y' here"),
        ({}, "no 'nothing' here"),
    ],
)
async def test_what_is_not_there_is_said_and_the_stream_goes_on(question: dict[str, str], said: str) -> None:
    async with asking() as (asker, _):
        error = (await asker.ask(**question)).error_response
        assert (error.error_code, error.error_message) == (grpc.StatusCode.NOT_FOUND.value[0], said)
        wrong = (await asker.send(b"\xff\xff")).error_response
        assert wrong.error_code == grpc.StatusCode.INVALID_ARGUMENT.value[0]
        assert (await asker.ask(list_services="")).list_services_response.service
