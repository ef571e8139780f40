"""The audit log: a line for each request, never a key or what was asked, and no request waits for it."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import grpc.aio
import pytest
from tests.unit.runtime.serving.fakes import DIGEST, VERSION, client_of, core_of, numeric_model
from tests.unit.runtime.serving.mounts import mount
from tests.unit.runtime.serving.talking import GOOD, listening, request, talk
from tests.unit.runtime.serving.transports.test_grpc import INFER, STREAM, request_of, served

from modelservice.contract.access import Access
from modelservice.contract.places import API_KEYS_FOLDER
from modelservice.serving.access import audit as audits
from modelservice.serving.access.audit import AuditLog
from modelservice.serving.access.gate import build_gate
from modelservice.serving.callers import Caller
from modelservice.serving.chain import Arrival
from modelservice.serving.core import Core, Models
from modelservice.serving.transports.http.connection import InferenceConnection
from modelservice.serving.transports.http.server import build_front

KEY = "shop-0123456789abcdef"
SAID = {
    "auth": {"apiKeys": {"secretRef": {"name": "keys"}}},
    "limits": {"perCaller": {"requestsPerSecond": 3}},
    "audit": {},
}


def audit_log(stream: Any = None) -> AuditLog:
    return AuditLog(stream or io.BytesIO(), clock=lambda: 1e9)


def audited(folder: Path, log: AuditLog) -> Core:
    mount(folder / API_KEYS_FOLDER, {"shop": KEY})
    model = numeric_model()
    model.files = {"manifest.json": b"{}"}
    return core_of(model, gate=build_gate(Access.model_validate(SAID), folder), audit=log)


def lines(log: AuditLog) -> list[dict[str, Any]]:
    log.write()
    stream = log._stream
    assert isinstance(stream, io.BytesIO)
    return [json.loads(line) for line in stream.getvalue().splitlines()]


async def test_each_request_is_a_line_and_no_line_has_a_secret(tmp_path: Path) -> None:
    log = audit_log()
    core = audited(tmp_path, log)
    with_key = b"authorization: Bearer " + KEY.encode()
    async with listening(InferenceConnection, core=core) as (port, _):
        page = request(b"", with_key, method=b"GET", path=b"/v2/models/iris")
        probe = request(b"", method=b"GET", path=b"/v2/health/ready")
        sent = [request(GOOD, with_key), page, probe, request(b"{", with_key), request(GOOD, with_key)]
        await talk(port, *sent, request(GOOD, b"x-api-key: wrong-wrong-wrong", b"connection: close"))
        await talk(port, b"\0\r\n\r\n")
    found = lines(log)
    predict = "/v1/models/{name}:predict"
    assert [(one["caller"], one["route"], one["code"], one["decision"]) for one in found] == [
        ("shop", predict, "200", "allowed"),
        ("shop", "/v2/models/iris", "200", "allowed"),
        ("shop", predict, "400", "allowed"),
        ("shop", predict, "429", "denied"),
        (None, predict, "401", "denied"),
        (None, "unmatched", "400", "allowed"),
    ]
    first = found[0]
    assert first | {"seconds": 0} == {
        "audit": "request",
        "time": "2001-09-09T01:46:40.000Z",
        "caller": "shop",
        "peer": "127.0.0.1",
        "route": predict,
        "model": "iris",
        "digest": DIGEST,
        "decision": "allowed",
        "code": "200",
        "seconds": 0,
    }
    assert 0 < first["seconds"] < 60
    assert log._stream.getvalue().count(b"wrong") == log._stream.getvalue().count(KEY.encode()) == 0  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("method", "path", "codes"),
    [
        ("GET", f"/v2/models/iris/versions/{VERSION}/artifact", ("401", "200")),
        ("GET", "/v2/models/iris", ("401", "200")),
        ("HEAD", "/v2/models/iris", ("401", "200")),
        ("DELETE", "/v2/models/iris", ("401", "405")),
        ("GET", "/openapi.json", ("401", "200")),
    ],
)
async def test_a_line_says_which_page_was_asked_for_whoever_asked(
    tmp_path: Path, method: str, path: str, codes: tuple[str, str]
) -> None:
    log = audit_log()
    core = audited(tmp_path, log)
    async with client_of(build_front(Models([core]))) as client:
        for headers in ({}, {"x-api-key": KEY}):
            await client.request(method, path, headers=headers)
            await client.request(method, f"{path}x", headers=headers)
    said = [(one["code"], one["route"]) for one in lines(log)]
    assert said == [(codes[0], path), ("401", "unmatched"), (codes[1], path), ("404", "unmatched")]


async def test_calls_are_lines_too(tmp_path: Path) -> None:
    log = audit_log()
    async with served(audited(tmp_path, log)) as address, grpc.aio.insecure_channel(address) as channel:
        metadata = (("authorization", f"Bearer {KEY}"),)
        for _ in range(3):
            await channel.unary_unary(INFER)(request_of().SerializeToString(), metadata=metadata)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await channel.unary_unary(INFER)(request_of().SerializeToString(), metadata=metadata)
        assert refused.value.code().name == "RESOURCE_EXHAUSTED"
        assert ("retry-after", "1") in tuple(refused.value.trailing_metadata() or ())
    found = [(one["caller"], one["peer"], one["route"], one["code"], one["decision"]) for one in lines(log)]
    assert found == [
        *[("shop", "127.0.0.1", INFER, "OK", "allowed")] * 3,
        ("shop", "127.0.0.1", INFER, "RESOURCE_EXHAUSTED", "denied"),
    ]


async def test_an_address_of_ipv4_is_written_as_one_however_it_came(tmp_path: Path) -> None:
    log = audit_log()
    core = audited(tmp_path, log)
    async with (
        listening(InferenceConnection, core=core, host="::") as (port, _),
        served(core, host="::") as address,
        grpc.aio.insecure_channel(address) as channel,
    ):
        await talk(port, request(GOOD, b"x-api-key: " + KEY.encode(), b"connection: close"))
        await channel.unary_unary(INFER)(request_of().SerializeToString(), metadata=(("x-api-key", KEY),))
    assert [(one["peer"], one["code"]) for one in lines(log)] == [("127.0.0.1", "200"), ("127.0.0.1", "OK")]


async def test_messages_of_a_stream_are_counted_and_its_opening_is_not(tmp_path: Path) -> None:
    log = audit_log()
    async with served(audited(tmp_path, log)) as address, grpc.aio.insecure_channel(address) as channel:
        call: Any = channel.stream_stream(STREAM)(metadata=(("authorization", f"Bearer {KEY}"),))
        for _ in range(4):
            await call.write(request_of().SerializeToString())
            await call.read()
        await call.done_writing()
        assert (await call.code()).name == "OK"
    found = [(one["code"], one["decision"]) for one in lines(log)]
    assert found == [*[("OK", "allowed")] * 3, ("RESOURCE_EXHAUSTED", "denied")]


def test_a_full_queue_denies_nobody() -> None:
    log = audit_log()
    arrival = Arrival("route", (), infers=True)
    log.recorder("iris", DIGEST)(arrival, "429", 0.1)
    arrival.beyond = True
    log.recorder("iris", DIGEST)(arrival, "429", 0.1)
    assert [one["decision"] for one in lines(log)] == ["allowed", "denied"]


def test_lines_that_nobody_takes_are_dropped_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audits, "MAX_WAITING", 2)
    log = audit_log()
    for _ in range(5):
        log.recorder("iris", DIGEST)(Arrival("route", (), infers=True), "200", 0.1)
    assert len(lines(log)) == 2
    (family,) = log.collect()
    assert [(sample.name, sample.value) for sample in family.samples] == [("modelservice_audit_dropped_total", 3)]
    log.recorder("iris", DIGEST)(Arrival("route", (), infers=True), "200", 0.1)
    assert len(lines(log)) == 3


class Gone(io.BytesIO):
    def write(self, data: Any) -> int:
        raise BrokenPipeError


def test_what_waits_is_written_at_the_end_and_a_stream_that_is_gone_ends_nothing() -> None:
    stream = io.BytesIO()
    log = audit_log(stream)
    log.start()
    log.recorder("iris", DIGEST)(Arrival("route", (), infers=True), "200", 0.1)
    log.close()
    assert json.loads(stream.getvalue())["code"] == "200"
    assert not log._thread.is_alive()
    log = audit_log(Gone())
    for _ in range(3):
        log.recorder("iris", DIGEST)(Arrival("route", (), infers=True), "200", 0.1)
    log.write()
    assert log.dropped == 3


def test_a_name_that_is_no_text_ends_no_log() -> None:
    log = audit_log()
    arrival = Arrival("/v1/models/{name}:predict", [], infers=True)
    arrival.caller = Caller("x\ud800")
    log.recorder("iris", DIGEST)(arrival, "200", 0.1)
    assert [line["caller"] for line in lines(log)] == ["x?"]


class Slow(io.BytesIO):
    """A pipe as a process without buffers writes it: a signal may come when a part is written."""

    def write(self, data: Any) -> int:
        return super().write(data[:100])


class Full(io.BytesIO):
    def write(self, data: Any) -> Any:
        return None


def test_a_line_is_written_whole_or_counted() -> None:
    log = audit_log(Slow())
    for _ in range(3):
        log.recorder("iris", DIGEST)(Arrival("route", (), infers=True), "200", 0.1)
    assert len(lines(log)) == 3
    log = audit_log(Full())
    log.recorder("iris", DIGEST)(Arrival("route", (), infers=True), "200", 0.1)
    log.write()
    assert log.dropped == 1


ENDS = """
import sys
from contextlib import ExitStack
from modelservice.serving.chain import Arrival
from modelservice.serving.main import _audit_log
with ExitStack() as stack:
    record = _audit_log(stack).recorder("iris", "sha256:0")
    for _ in range(9_000):
        record(Arrival("route", (), infers=True), "200", 0.1)
sys.exit(0)
"""


def test_a_server_whose_lines_nobody_reads_ends_in_order() -> None:
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    command = [sys.executable, "-c", ENDS]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=buffered) as process:
        assert process.wait() == 0
