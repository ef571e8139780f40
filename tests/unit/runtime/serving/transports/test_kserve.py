"""KServe's client works as it is: what it was recorded to send is sent again, byte by byte.

``tests/support/kserve_recording.py`` runs the client and says why it is not installed here.
"""

import asyncio
import json
from base64 import b64decode
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import grpc.aio
import pytest
from tests.unit.runtime.serving.fakes import core_of, numeric_model
from tests.unit.runtime.serving.talking import DEADLINE, listening
from tritonclient.grpc import service_pb2
from tritonclient.utils import deserialize_bytes_tensor

from modelservice.serving.core import Models
from modelservice.serving.transports.grpc.server import start_grpc
from modelservice.serving.transports.http.connection import InferenceConnection

ROOT: Final = Path(__file__).parents[5]
RECORDED: Final = json.loads((ROOT / "tests/data/kserve/recorded.json").read_text())


def labels(answer: Any) -> Any:
    return next(output["data"] for output in answer["outputs"] if output["name"] == "label")


READ: Final[dict[str, Callable[[Any], Any]]] = {
    "v1 predict": lambda answer: answer,
    "v1 explain": lambda answer: answer,
    "v1 live": lambda answer: answer["status"].lower() == "alive",
    "v1 ready": lambda answer: answer["ready"],
    "v2 infer": labels,
    "v2 infer binary": labels,
    "v2 live": lambda answer: answer["live"],
    "v2 server ready": lambda answer: answer["ready"],
    "v2 ready": lambda _: True,
}
"""What the client makes of each answer that is a success."""


def texts(answer: Any) -> list[str]:
    place = [output.name for output in answer.outputs].index("label")
    if answer.raw_output_contents:
        return [text.decode() for text in deserialize_bytes_tensor(answer.raw_output_contents[place])]
    return [text.decode() for text in answer.outputs[place].contents.bytes_contents]


GRPC_READ: Final[dict[str, Callable[[Any], Any]]] = {
    "ModelInfer": texts,
    "ServerReady": lambda answer: answer.ready,
    "ServerLive": lambda answer: answer.live,
    "ModelReady": lambda answer: answer.ready,
}


@pytest.mark.parametrize("call", RECORDED["rest"], ids=lambda call: call["call"])
async def test_rest(call: Any) -> None:
    async with listening(InferenceConnection, numeric_model()) as (port, _):
        status, body = await sent(port, b64decode(call["request"]))
    assert status == b"HTTP/1.1 200 OK"
    assert rounded(READ[call["call"]](json.loads(body))) == rounded(call["got"])


@pytest.mark.parametrize("call", RECORDED["grpc"], ids=lambda call: call["method"])
async def test_grpc(call: Any) -> None:
    server, port, _ = await start_grpc(Models([core_of(numeric_model())]), host="127.0.0.1", port=0)
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            method = channel.unary_unary(f"/inference.GRPCInferenceService/{call['method']}")
            content = await method(b64decode(call["request"]))
    finally:
        await server.stop(None)
    answer = getattr(service_pb2, f"{call['method']}Response").FromString(content)
    assert GRPC_READ[call["method"]](answer) == call["got"]


def test_the_recording_is_of_calls_that_succeeded_and_the_docs_name_its_version() -> None:
    assert [call["call"] for call in RECORDED["rest"]] == list(READ)
    assert not [call for call in (*RECORDED["rest"], *RECORDED["grpc"]) if isinstance(call["got"], str)]
    assert f"kserve {RECORDED['version']}" in (ROOT / "docs/serving.md").read_text()


async def sent(port: int, request: bytes) -> tuple[bytes, bytes]:
    """First line and body of the answer on a connection that stays open."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(request)
        async with asyncio.timeout(DEADLINE):
            first, *headers = (await reader.readuntil(b"\r\n\r\n")).split(b"\r\n")
            named = dict(line.lower().split(b": ", 1) for line in headers if line)
            return first, await reader.readexactly(int(named[b"content-length"]))
    finally:
        writer.close()


def rounded(value: Any) -> Any:
    """Last bits of float32 are another processor's."""
    if isinstance(value, dict):
        return {name: rounded(one) for name, one in value.items()}
    if isinstance(value, list):
        return [rounded(one) for one in value]
    return round(value, 4) if isinstance(value, float) else value
