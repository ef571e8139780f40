"""Another artifact takes over while requests are answered: none is lost, and what cannot be served changes nothing."""

import asyncio
import errno
import gc
import io
import itertools
import json
import logging
import re
import threading
import weakref
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import grpc.aio
import pytest
import tritonclient.grpc.aio as grpc_triton
import tritonclient.http.aio as triton
from tests.unit.runtime.serving.fakes import CHEAP, DIGEST, FakeEngine, FakeModel, core_of, numeric_model
from tests.unit.runtime.serving.talking import GOOD, request, until
from tests.unit.runtime.serving.transports.test_grpc import INFER, STREAM, request_of
from tritonclient.utils import InferenceServerException

from modelservice.artifact.errors import ArtifactError
from modelservice.contract.failure import StorageError
from modelservice.serving import switching
from modelservice.serving.access.audit import AuditLog
from modelservice.serving.core import Core, Models
from modelservice.serving.costs import Costs
from modelservice.serving.errors import NotRenewedError
from modelservice.serving.garbage import collect_all
from modelservice.serving.inference import LARGE_BODY
from modelservice.serving.model import ModelFaultError, ServedModel
from modelservice.serving.protocols.open_inference.messages import MESSAGES
from modelservice.serving.switching import Source, Switch
from modelservice.serving.transports.base import Bound
from modelservice.serving.transports.grpc import Grpc
from modelservice.serving.transports.http import Http
from modelservice.serving.transports.http.status import Status

OTHER = "sha256:" + "cd" * 32
NEW_LABELS = ("small", "medium", "large")
COSTLY = Costs(compute=((1, 1e-3), (64, 1e-3)), handover=1e-6)
METADATA = request(b"", method=b"GET", path=b"/v2/models/iris")


def newer(labels: tuple[str, ...] = NEW_LABELS) -> FakeModel:
    model = numeric_model(labels)
    model.digest = OTHER
    return model


class Slow(FakeEngine):
    """Computes once it may, from when it is slow."""

    def __init__(self, shape: tuple[int, ...], labels: tuple[str, ...]) -> None:
        super().__init__(shape, labels)
        self.slow, self.begun, self.may = False, threading.Event(), threading.Event()

    def run(self, features: Any) -> Any:
        if self.slow:
            self.begun.set()
            assert self.may.wait(10)
        return super().run(features)


def slow_model() -> tuple[FakeModel, Slow]:
    model = numeric_model()
    model.engine = engine = Slow(model.encoder.shape, model.signature.labels)
    return model, engine


def measured(_model: ServedModel, *, handover: float) -> Costs:
    return replace(CHEAP, handover=handover)


def switch_of(core: Core, bound: tuple[Bound, ...], load: Callable[[], ServedModel]) -> Switch:
    switch = Switch([Source("iris", load, lambda: True)], measure=measured)
    switch.begin(Models([core]), bound)
    return switch


@asynccontextmanager
async def answering(models: Models, *transports: Any) -> AsyncIterator[tuple[tuple[Any, ...], list[int]]]:
    """Transports that answer by models, and their ports."""
    bound: list[Any] = [transport.bind("127.0.0.1", 0) for transport in transports]
    for one in bound:
        await one.start(models)
    lifecycle = models.common.lifecycle
    del models
    serving = [asyncio.create_task(one.serve()) for one in bound]
    try:
        ports = []
        for one in bound:
            if isinstance(one._server, grpc.aio.Server):
                ports.append(one._port)
            else:
                await until(lambda server=one._server: server.started)  # type: ignore[misc] # of the loop
                ports.append(one._listener.getsockname()[1])
        yield tuple(bound), ports
    finally:
        lifecycle.leave()
        for one in bound:
            one._server.should_exit = True
        await asyncio.gather(*serving)
        for one in bound:
            one.close()


@pytest.fixture(autouse=True)
def collections(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """How often all garbage was asked to be collected: a second in a process that holds all tests and torch."""
    asked: list[str] = []
    if request.function is not test_the_model_before_goes:
        monkeypatch.setattr(switching, "collect_all", partial(asked.append, "all"))
        monkeypatch.setattr(switching, "calm_garbage_collector", partial(asked.append, "calm"))
    return asked


class Client:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    def send(self, data: bytes) -> None:
        self._writer.write(data)

    async def read(self) -> Any:
        async with asyncio.timeout(60):
            head = await self._reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200 OK"), head
            length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
            return json.loads(await self._reader.readexactly(length))

    async def label(self) -> str:
        said: str = (await self.read())["predictions"][0]["label"]
        return said


@asynccontextmanager
async def connected(port: int) -> AsyncIterator[Client]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield Client(reader, writer)
    finally:
        writer.close()


async def test_connections_that_are_open_turn_to_the_new_model(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    core = core_of(numeric_model())
    async with answering(Models([core]), Http()) as (bound, (port,)), connected(port) as client:
        for _ in range(3):  # from the second on its head is known
            client.send(request())
            assert await client.label() == "virginica"
        client.send(METADATA)
        assert (await client.read())["parameters"] == {"digest": DIGEST}
        assert await switch_of(core, bound, newer).renew("iris")
        for _ in range(3):
            client.send(request())
            assert await client.label() == "large"
        client.send(METADATA)
        assert (await client.read())["parameters"] == {"digest": OTHER}
        client.send(request(GOOD + b" " * LARGE_BODY))
        assert await client.label() == "large"
        async with connected(port) as another:
            another.send(request())
            assert await another.label() == "large"
    assert f"serving {OTHER} (Fake) in place of {DIGEST}, with other inputs or outputs" in caplog.text
    page = core.common.exposition.render().body.decode()
    assert f'modelservice_model_info{{digest="{OTHER}",name="iris"}} 1.0' in page
    assert DIGEST not in page
    assert 'modelservice_requests_total{code="200",route="/v1/models/{name}:predict"} 8.0' in page  # of both together
    assert 'modelservice_predictions_total{label="large"} 5.0' in page


async def test_what_was_asked_before_is_answered_by_the_model_before() -> None:
    model, engine = slow_model()
    core = core_of(model, costs=COSTLY)
    async with (
        answering(Models([core]), Http()) as (bound, (port,)),
        connected(port) as computed,
        connected(port) as half,
        connected(port) as whole,
        connected(port) as after,
    ):
        engine.slow = True
        large = request(GOOD + b" " * LARGE_BODY)
        half.send(request()[:-5])
        whole.send(large[:-5])
        computed.send(request())
        assert await asyncio.to_thread(engine.begun.wait, 10)
        await until(lambda: core.common.budget.free < core.common.budget.limit)  # what is large is being read
        assert await switch_of(core, bound, newer).renew("iris")
        after.send(request())
        engine.may.set()
        assert await after.label() == "large"
        half.send(request()[-5:])
        whole.send(large[-5:])
        assert [await one.label() for one in (computed, half, whole)] == ["virginica"] * 3
        for one in (computed, half, whole, after):
            one.send(request())
            assert await one.label() == "large"


async def test_calls_and_messages_of_open_streams_turn_too() -> None:
    core = core_of(numeric_model())
    message = request_of().SerializeToString()
    async with (
        answering(Models([core]), Grpc(), Http()) as (bound, (port, _)),
        grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel,
    ):
        switch, stream = switch_of(core, bound, newer), channel.stream_stream(STREAM)()
        for label in (b"virginica", b"large"):
            await stream.write(message)
            assert label in await stream.read()
            assert label in await channel.unary_unary(INFER)(message)
            described = await channel.unary_unary("/inference.GRPCInferenceService/ModelConfig")(
                MESSAGES["ModelConfigRequest"](name="iris").SerializeToString()
            )
            assert b"probabilities" in described
            assert await channel.unary_unary("/grpc.health.v1.Health/Check")(b"") == b"\x08\x01"
            await switch.renew("iris")
        stream.cancel()


async def test_the_port_for_probes_says_which_model_answers() -> None:
    core = core_of(numeric_model())
    async with answering(Models([core]), Http(), Status()) as (bound, (_, port)), connected(port) as client:
        await switch_of(core, bound, newer).renew("iris")
        client.send(request(b"", method=b"GET", path=b"/v2/health/ready"))
        assert await client.read() == {"ready": True}


async def test_a_line_of_the_audit_names_the_artifact_that_answered() -> None:
    stream = io.BytesIO()
    log = AuditLog(stream)
    core = core_of(numeric_model(), audit=log)
    async with answering(Models([core]), Http()) as (bound, (port,)), connected(port) as client:
        for _ in range(2):
            client.send(request())
            await client.read()
            await switch_of(core, bound, newer).renew("iris")
    log.write()
    assert [json.loads(line)["digest"] for line in stream.getvalue().splitlines()] == [DIGEST, OTHER]


def refused(error: Exception) -> Callable[[], ServedModel]:
    def load() -> ServedModel:
        raise error

    return load


def unable() -> ServedModel:
    """Loads, and cannot answer its own example."""
    model = newer()
    model.engine.broken = True
    return model


@pytest.mark.parametrize(
    ("load", "said", "reason"),
    [
        (
            refused(ArtifactError("model.onnx has 7 bytes")),
            "model.onnx has 7 bytes",
            "it is no whole artifact, or not .*",
        ),
        (refused(StorageError("NoSuchBucket", "no bucket b")), "no bucket b", "its store does not give it"),
        (refused(ModelFaultError("answers with nothing")), "answers with nothing", "its model does not answer .*"),
        (refused(OSError("the disk is gone")), "the disk is gone", "it cannot be read"),
        (refused(ZeroDivisionError("nobody expected")), "nobody expected", "a fault of the server"),
        (unable, "out of order", ".*"),
    ],
)
async def test_what_cannot_be_served_is_said_and_the_one_before_serves_on(
    load: Callable[[], ServedModel], said: str, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    core = core_of(numeric_model())
    async with answering(Models([core]), Http()) as (bound, (port,)), connected(port) as client:
        switch = switch_of(core, bound, load)
        with pytest.raises(
            NotRenewedError, match=f"cannot be served, {DIGEST} serves on: {reason}; the server's log says more$"
        ):
            await switch.renew("iris")
        assert switch.models.first is core
        client.send(request())
        assert await client.label() == "virginica"
    assert f"another artifact cannot be served, {DIGEST} serves on" in caplog.text
    assert said in caplog.text
    assert f'digest="{DIGEST}"' in core.common.exposition.render().body.decode()


async def test_the_same_artifact_is_no_other_one() -> None:
    core = core_of(numeric_model())
    switch = switch_of(core, (), numeric_model)
    assert not await switch.renew("iris")
    assert switch.models.first is core


async def test_the_model_before_goes() -> None:
    core = core_of(numeric_model())
    before = weakref.ref(core.model)
    async with (
        answering(Models([core]), Grpc(), Http(), Status()) as (bound, (port, http, _)),
        connected(http) as client,
        grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel,
    ):
        await channel.unary_unary(INFER)(request_of().SerializeToString())
        gc.freeze()  # as a server does once it serves
        switch = switch_of(core, bound, newer)
        del core
        assert await switch.renew("iris")
        for _ in range(2):
            client.send(request())
            assert await client.label() == "large"
        collect_all()
        assert before() is None


class Served:
    """A server of a folder in which one artifact takes the place of the other."""

    def __init__(self, *models: FakeModel | Exception, changed: Callable[[], bool] = lambda: False) -> None:
        self._models = iter(models)
        self.loads = 0
        self.switch = Switch([Source("iris", self._load, changed)], measure=measured)
        self.models = Models([core_of(numeric_model())], renew=self.switch.renew)

    def _load(self) -> ServedModel:
        self.loads += 1
        found = next(self._models)
        if isinstance(found, Exception):
            raise found
        return found


async def test_another_artifact_is_looked_for_again_and_again(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    looks = itertools.count()
    served = Served(
        newer(), numeric_model(), ArtifactError("torn"), newer(), changed=lambda: next(looks) in {1, 4, 5, 7}
    )
    switch = served.switch
    switch.begin(served.models, ())
    keeping = asyncio.create_task(switch.keep_newest(seconds=0))

    def turns() -> list[tuple[str, str]]:
        """What was served in whose place."""
        said = (record.getMessage() for record in caplog.records)
        return re.findall(r"serving (\S+) \(Fake\) in place of ([^\s,]+)", "\n".join(said))

    await until(lambda: len(turns()) == 3)
    keeping.cancel()
    assert turns() == [(OTHER, DIGEST), (DIGEST, OTHER), (OTHER, DIGEST)]
    assert served.loads == 4


@pytest.mark.parametrize(
    "error",
    [OSError(errno.ESTALE, "Stale file handle"), MemoryError(), StorageError("EncryptionKeyMissing", "no key yet")],
)
async def test_what_may_pass_is_tried_again_without_a_change(error: Exception) -> None:
    looks = itertools.count()
    served = Served(error, error, newer(), changed=lambda: next(looks) == 1)
    served.switch.begin(served.models, ())
    keeping = asyncio.create_task(served.switch.keep_newest(seconds=0, again=0))
    await until(lambda: served.switch.models.first.model.digest == OTHER)
    keeping.cancel()
    assert served.loads == 3


async def test_what_is_tried_again_waits_until_then() -> None:
    looks = itertools.count()
    served = Served(OSError("gone"), changed=lambda: next(looks) == 1)
    served.switch.begin(served.models, ())
    keeping = asyncio.create_task(served.switch.keep_newest(seconds=0, again=3600))
    await until(lambda: next(looks) > 10)
    keeping.cancel()
    assert served.loads == 1


async def test_a_transport_that_cannot_turn_is_told_and_the_next_look_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    class Stuck:
        async def prepare(self, _core: Core) -> Callable[[], None]:
            return lambda: 1 // 0  # type: ignore[return-value]

    served = Served(newer(), newer(), changed=lambda: True)
    served.switch.begin(served.models, (Stuck(),))  # type: ignore[arg-type]
    with pytest.raises(NotRenewedError):
        await served.switch.renew("iris")
    assert "ZeroDivisionError" in caplog.text
    served.switch.begin(served.models, ())
    assert await served.switch.renew("iris")


def test_a_load_that_goes_on_keeps_no_server_from_its_end() -> None:
    begun, may = threading.Event(), threading.Event()

    def load() -> ServedModel:
        begun.set()
        assert may.wait(10)
        return newer()

    async def ended_meanwhile() -> None:
        switch = switch_of(core_of(numeric_model()), (), load)
        keeping = asyncio.create_task(switch.keep_newest(seconds=0))
        assert await asyncio.to_thread(begun.wait, 10)
        keeping.cancel()

    asyncio.run(ended_meanwhile())  # waits for the threads of its executor
    loading = [thread for thread in threading.enumerate() if thread.name == "load"]
    assert [thread.daemon for thread in loading] == [True]
    may.set()
    loading[0].join(10)


async def test_where_nothing_can_change_nobody_looks() -> None:
    switch = Switch([Source("iris", newer)], measure=measured)
    switch.begin(Models([core_of(numeric_model())]), ())
    async with asyncio.timeout(60):
        await switch.keep_newest()
    assert not await switch.renew("iris")
    assert switch.models.first.model.digest == DIGEST


async def test_a_client_asks_for_the_artifact_that_is_there() -> None:
    served = Served(newer(), newer(), ArtifactError("torn"))
    async with (
        answering(served.models, Http()) as (bound, (port,)),
        triton.InferenceServerClient(f"127.0.0.1:{port}") as client,
    ):
        served.switch.begin(served.models, bound)
        for _ in range(2):
            await client.load_model("iris")
            assert (await client.get_model_metadata("iris"))["parameters"] == {"digest": OTHER}
        with pytest.raises(InferenceServerException, match=f"cannot be served, {OTHER} serves on") as refused:
            await client.load_model("iris")
        assert refused.value.status() == "400"
        with pytest.raises(InferenceServerException, match="parameters: not supported"):
            await client.load_model("iris", config="{}")
        with pytest.raises(InferenceServerException):
            await client.load_model("wine")
    assert served.loads == 3


async def test_a_client_asks_for_it_over_grpc() -> None:
    served = Served(newer(), ArtifactError("torn"))
    async with (
        answering(served.models, Grpc(), Http()) as (bound, (port, _)),
        grpc_triton.InferenceServerClient(f"127.0.0.1:{port}") as client,
    ):
        served.switch.begin(served.models, bound)
        await client.load_model("iris")
        assert served.switch.models.first.model.digest == OTHER
        with pytest.raises(InferenceServerException, match=f"cannot be served, {OTHER} serves on"):
            await client.load_model("iris")
        with pytest.raises(InferenceServerException, match="parameters: not supported"):
            await client.load_model("iris", config="{}")
        with pytest.raises(InferenceServerException, match="no model named 'wine' here"):
            await client.load_model("wine")


async def test_who_asks_at_the_same_time_is_answered_by_one_look(collections: list[str]) -> None:
    served = Served(newer())
    served.switch.begin(served.models, ())
    assert await asyncio.gather(*(served.switch.renew("iris") for _ in range(5))) == [True] * 5
    assert served.loads == 1
    assert collections == ["all"]
