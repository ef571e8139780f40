"""Who may call, asked in every way in: the connection's, the application's, and over gRPC."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc.aio
import pytest
from tests.unit.runtime.serving.fakes import core_of, numeric_model
from tests.unit.runtime.serving.mounts import mount
from tests.unit.runtime.serving.talking import CHUNKED, GOOD, LAST, listening, request, talk
from tests.unit.runtime.serving.transports.test_grpc import HEALTH, INFER, STREAM, request_of, served

from modelservice.contract.access import Access
from modelservice.contract.exit_codes import ExitCode
from modelservice.contract.places import API_KEYS_FOLDER
from modelservice.serving.access.attempts import GUESSES
from modelservice.serving.access.gate import Gate, Kept, build_gate
from modelservice.serving.callers import PUBLIC, Peer
from modelservice.serving.chain import Arrival
from modelservice.serving.core import Core, Models
from modelservice.serving.errors import ForbiddenError, NotServedError, TooManyRequestsError, UnauthenticatedError
from modelservice.serving.inference import LARGE_BODY
from modelservice.serving.protocols import PROTOCOLS
from modelservice.serving.protocols.base import Spoken
from modelservice.serving.transports.grpc.health import health_service
from modelservice.serving.transports.http.connection import InferenceConnection
from modelservice.serving.transports.http.status import PAGES, build_status_front

KEY = "shop-0123456789abcdef"
ACCESS = Access.model_validate({"auth": {"apiKeys": {"secretRef": {"name": "keys"}}}})
WITH_KEY = b"authorization: Bearer " + KEY.encode()


@pytest.fixture
async def core(tmp_path: Path) -> Core:
    mount(tmp_path / API_KEYS_FOLDER, {"shop": KEY})
    return core_of(numeric_model(), gate=build_gate(ACCESS, tmp_path))


@asynccontextmanager
async def behind(core: Core) -> AsyncIterator[int]:
    async with listening(InferenceConnection, core=core) as (port, _):
        yield port


def counted(core: Core) -> dict[tuple[str, str], float]:
    page = core.common.exposition.render().body.decode()
    return {
        (code, route): float(n) for code, route, n in re.findall(r'total\{code="(\w+)",route="(.*?)"\} (\S+)', page)
    }


WAYS = {
    "small": GOOD,
    "large": GOOD + b" " * LARGE_BODY,
}


@pytest.mark.parametrize("way", WAYS)
async def test_a_key_opens_and_nothing_else_does(core: Core, way: str) -> None:
    async with behind(core) as port:
        said = await talk(
            port, *(request(WAYS[way], WITH_KEY) for _ in range(3)), request(WAYS[way], b"connection: close")
        )
        refused = await talk(port, request(WAYS[way], b"x-api-key: wrong", b"connection: close"))
    assert re.findall(rb"HTTP/1.1 (\d+) ", said) == [b"200"] * 3 + [b"401"]
    assert b"www-authenticate: Bearer\r\n" in said
    assert b"401 Unauthorized" in refused
    assert b'www-authenticate: Bearer error="invalid_token"\r\n' in refused
    assert refused.endswith(b'{"error":"the API key is not known"}')
    assert counted(core) == {("200", "/v1/models/{name}:predict"): 3, ("401", "/v1/models/{name}:predict"): 2}


async def test_pages_need_a_key_and_probes_do_not(core: Core) -> None:
    async with behind(core) as port:
        for path in (b"/v2/health/live", b"/v2/health/ready"):
            assert b"200 OK" in await talk(port, request(b"", b"connection: close", method=b"GET", path=path))
        other = b"/grpc.health.v1.Health/Check"  # is public over gRPC
        for path in (b"/v2/models/iris", b"/metrics", b"/docs", b"/nowhere", b"/v2/health/live/../ready", other):
            asked = await talk(port, request(b"", b"connection: close", method=b"GET", path=path))
            assert b"401 Unauthorized" in asked
            asked = await talk(port, request(b"", WITH_KEY, b"connection: close", method=b"GET", path=path))
            assert b"401 Unauthorized" not in asked


async def test_a_key_that_is_taken_back_opens_nothing_on_a_connection_that_it_opened(
    core: Core, tmp_path: Path
) -> None:
    async with behind(core) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(2):
            writer.write(request(GOOD, WITH_KEY))
            assert b"200 OK" in await reader.readuntil(b"}]}")
        mount(tmp_path / API_KEYS_FOLDER, {"bank": "bank-0123456789abcdef"})
        await core.common.gate.refresh()
        writer.write(request(GOOD, WITH_KEY))
        assert b"401 Unauthorized" in await reader.readuntil(b"}")
        writer.close()


@pytest.mark.parametrize("way", WAYS)
async def test_who_is_refused_was_asked_once(tmp_path: Path, way: str) -> None:
    asked = []

    def refuse(arrival: Arrival) -> None:
        asked.append(arrival)
        raise ForbiddenError("no")

    async with behind(core_of(numeric_model(), gate=Gate(guards=(refuse,)))) as port:
        said = await talk(port, *[request(WAYS[way])] * 3, request(WAYS[way], b"connection: close"))
    assert said.count(b"403 Forbidden") == len(asked) == 4


async def test_a_secret_that_cannot_be_read_changes_nothing(
    core: Core, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / API_KEYS_FOLDER).rename(tmp_path / "elsewhere")
    await core.common.gate.refresh()
    assert "could not be read again, the last stays" in caplog.text
    async with behind(core) as port:
        assert b"200 OK" in await talk(port, request(GOOD, WITH_KEY, b"connection: close"))


async def test_a_key_in_the_trailers_is_none(core: Core) -> None:
    def sent(header: bytes, trailer: bytes) -> bytes:
        head = CHUNKED.replace(b"host: a", b"host: a\r\nconnection: close\r\n" + header)
        return head + b"%x\r\n%b\r\n0\r\n%b\r\n\r\n" % (len(GOOD), GOOD, trailer)

    async with behind(core) as port:
        for trailer in (WITH_KEY, b"x-api-key: " + KEY.encode()):
            assert b"401 Unauthorized" in await talk(port, sent(b"accept: */*", trailer))
        assert b"200 OK" in await talk(port, sent(WITH_KEY, b"content-encoding: gzip"))


@pytest.mark.parametrize("stream", [False, True])
async def test_calls_need_a_key_too(core: Core, stream: bool) -> None:
    async with served(core) as address, grpc.aio.insecure_channel(address) as channel:
        message = request_of().SerializeToString()
        for metadata, code in (((), "UNAUTHENTICATED"), ((("authorization", f"Bearer {KEY}"),), "OK")):
            call: Any = channel.unary_unary(INFER)(message, metadata=metadata)
            asked = call
            if stream:
                call = channel.stream_stream(STREAM)(metadata=metadata)
                if code == "OK":  # who sends into a call that has ended is told of that, not of the refusal
                    await call.write(message)
                    await call.done_writing()
                asked = call.read()
            if code == "OK":
                assert await asked
            else:
                with pytest.raises(grpc.aio.AioRpcError) as refused:
                    await asked
                assert refused.value.details().startswith(
                    "the credential is missing; send Authorization: Bearer ..., or X-API-Key"
                )
            assert (await call.code()).name == code
        assert await channel.unary_unary(HEALTH)(b"") is not None
        for nothing in ("/inference.GRPCInferenceService/Nothing", "/v2/health/live"):
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await channel.unary_unary(nothing)(b"")
            assert refused.value.code().name == "UNAUTHENTICATED"


async def test_a_stream_ends_when_its_key_is_one_no_more(core: Core, tmp_path: Path) -> None:
    async with served(core) as address, grpc.aio.insecure_channel(address) as channel:
        call = channel.stream_stream(STREAM)(metadata=(("authorization", f"Bearer {KEY}"),))
        await call.write(request_of().SerializeToString())
        assert b"the API key" not in await call.read()
        mount(tmp_path / API_KEYS_FOLDER, {"bank": "bank-0123456789abcdef"})
        await core.common.gate.refresh()
        await call.write(request_of().SerializeToString())
        with pytest.raises(grpc.aio.AioRpcError, match="the API key is not known") as refused:
            await call.read()
        assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED
    page = core.common.exposition.render().body.decode()
    assert f'modelservice_requests_total{{code="OK",route="{STREAM}"}} 1.0' in page
    assert f'modelservice_requests_total{{code="UNAUTHENTICATED",route="{STREAM}"}} 1.0' in page


class Late:
    """A part that has nothing to go by yet, and fails as it is told."""

    ready = False
    fails = True

    async def refresh(self) -> None:
        if self.fails:
            raise OSError("down")
        self.ready = True


async def test_a_server_is_ready_once_it_can_tell_callers_apart(caplog: pytest.LogCaptureFixture) -> None:
    late = Late()
    core = core_of(numeric_model(), gate=Gate(parts=(Kept(late),)))
    probe = request(b"", b"connection: close", method=b"GET", path=b"/v2/health/ready")
    async with (
        listening(InferenceConnection, front=build_status_front(Models([core]))) as (port, _),
        served(core) as address,
        grpc.aio.insecure_channel(address) as channel,
    ):
        watch: Any = channel.unary_stream("/grpc.health.v1.Health/Watch")(b"")
        assert await watch.read() == b"\x08\x02"
        for _ in range(2):
            await core.common.gate.refresh()
            assert b"503 Service Unavailable" in await talk(port, probe)
        assert caplog.text.count("could not be read again, the last stays: down") == 1
        assert "modelservice_ready 0.0" in core.common.exposition.render().body.decode()
        late.fails = False
        await core.common.gate.refresh()
        assert await watch.read() == b"\x08\x01"
        assert b"200 OK" in await talk(port, probe)
        core.common.lifecycle.drain()
        assert await watch.read() == b"\x08\x02"


async def test_the_port_for_probes_has_them_and_metrics_and_nothing_else(core: Core) -> None:
    async with listening(InferenceConnection, front=build_status_front(Models([core]))) as (port, _):
        for page in sorted(PAGES):
            said = await talk(port, request(b"", b"connection: close", method=b"GET", path=page.encode()))
            assert b"200 OK" in said
        for path in (b"/", b"/docs", b"/v2/models/iris"):
            said = await talk(port, request(b"", b"connection: close", method=b"GET", path=path))
            assert b"404 Not Found" in said
        assert b"404 Not Found" in await talk(port, LAST)


def test_what_is_public_exists() -> None:
    spoken = Spoken(numeric_model(), "iris", "1")
    rests = [rest for one in PROTOCOLS if (rest := one.rest(spoken))]
    services = [health_service(()), *(service for one in PROTOCOLS for service in one.services([spoken]))]
    paths = {page.path for rest in rests for page in rest.pages}
    methods = {f"/{service.name}/{method.name}" for service in services for method in service.methods}
    assert paths | methods >= PUBLIC


@pytest.mark.parametrize("files", [None, {}, {"shop": "short"}])
def test_a_server_that_could_let_nobody_in_says_so(tmp_path: Path, files: Any) -> None:
    if files is not None:
        mount(tmp_path / API_KEYS_FOLDER, files)
    with pytest.raises(NotServedError, match=r"^spec\.serving\.auth: .*api-keys") as refused:
        build_gate(ACCESS, tmp_path)
    assert refused.value.exit_code == ExitCode.ORDER_INVALID
    assert (files is None) == ("on a laptop --secrets names the folder" in str(refused.value))


def test_nothing_is_asked_where_nothing_is_said(tmp_path: Path) -> None:
    assert build_gate(Access(), tmp_path / "nowhere").guards == ()
    assert json.loads(Access().model_dump_json(exclude_defaults=True)) == {}


async def test_guesses_get_429_and_a_known_key_does_not(core: Core) -> None:
    async with behind(core) as port:
        assert b"200 OK" in await talk(port, request(GOOD, WITH_KEY, b"connection: close"))
        guesses = [request(GOOD, b"x-api-key: wrong") for _ in range(GUESSES.at_once + 5)]
        said = await talk(port, *guesses, request(GOOD, WITH_KEY, b"connection: close"))
    statuses = re.findall(rb"HTTP/1.1 (\d+) ", said)
    assert set(statuses[: GUESSES.at_once]) == {b"401"}
    assert statuses[-2:] == [b"429", b"200"]
    assert b"retry-after: 1\r\n" in said


async def test_a_key_that_was_taken_back_is_one_guess_each_time_and_nobodys(core: Core, tmp_path: Path) -> None:
    callers: list[Any] = []

    def watch(arrival: Arrival, code: str, _seconds: float) -> None:
        callers.append((code, arrival.caller and arrival.caller.subject))

    core = core._replace(chain=core.chain._replace(observers=(watch,)))
    async with behind(core) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for number in range(GUESSES.at_once + 3):
            if number == 2:
                mount(tmp_path / API_KEYS_FOLDER, {"bank": "bank-0123456789abcdef"})
                await core.common.gate.refresh()
            writer.write(request(GOOD, WITH_KEY))  # the same head, which is known from the second time on
            await reader.readuntil(b"}]}" if number < 2 else b'"}')
        writer.close()
    assert callers == [("200", "shop")] * 2 + [("401", None)] * GUESSES.at_once + [("429", None)]


async def test_guesses_over_grpc_are_limited_by_address(core: Core) -> None:
    async with served(core) as address, grpc.aio.insecure_channel(address) as channel:
        codes = []
        for _ in range(GUESSES.at_once + 2):
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await channel.unary_unary(INFER)(b"", metadata=(("x-api-key", "wrong"),))
            codes.append(refused.value.code().name)
        assert await channel.unary_unary(HEALTH)(b"")
    assert codes[0] == "UNAUTHENTICATED"
    assert codes[-1] == "RESOURCE_EXHAUSTED"


async def test_guesses_beyond_the_limit_are_denied_in_the_audit_log(core: Core) -> None:
    guard = core.common.gate.guards[0]
    wrong = Arrival("r", [(b"x-api-key", b"wrong")], infers=True, path="/x", peer=Peer("10.0.0.1"))
    for beyond in [False] * GUESSES.at_once + [True]:
        with pytest.raises((UnauthenticatedError, TooManyRequestsError)):
            guard(wrong)
        assert wrong.beyond is beyond
