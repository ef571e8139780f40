"""Pictures are decoded off the event loop, however they came, and counted before."""

import asyncio
import io
import json
import threading
from base64 import b64encode
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

import grpc
import grpc.aio
import httpx
import numpy as np
import pytest
from PIL import Image
from tests.unit.runtime.serving.fakes import SIDE, client_of, core_of, image_model, numeric_model
from tests.unit.runtime.serving.talking import DEADLINE, connected

from modelservice.contract.serving import Batching
from modelservice.modalities.image import requests
from modelservice.modalities.image.pictures import decode_picture
from modelservice.serving import calls
from modelservice.serving.budget import Budget
from modelservice.serving.core import Core, Models
from modelservice.serving.errors import ClientLeftError, QueueFullError, TooLateError
from modelservice.serving.inference import LARGE_AT_ONCE, LARGE_BODY, Parsing
from modelservice.serving.protocols.open_inference.messages import MESSAGES as OPEN_INFERENCE
from modelservice.serving.protocols.open_inference.rest import RestCodec
from modelservice.serving.protocols.tensorflow.messages import DTYPES
from modelservice.serving.protocols.tensorflow.messages import MESSAGES as TENSORFLOW
from modelservice.serving.results import Results
from modelservice.serving.transports.grpc.server import start_grpc
from modelservice.serving.transports.http.server import build_front

PREDICT, EXPLAIN, INFER = "/v1/models/iris:predict", "/v1/models/iris:explain", "/v2/models/iris/infer"
ROW_BYTES = SIDE * SIDE
GREY = np.full((SIDE, SIDE), 50, dtype=np.uint8)


def picture() -> bytes:
    written = io.BytesIO()
    Image.fromarray(GREY).save(written, "PNG")
    return written.getvalue()


PICTURE = picture()
TEXT = b64encode(PICTURE).decode()


class Asked(NamedTuple):
    """What a client was told: status or gRPC's code, and why it was refused."""

    status: int | str
    error: str


Post = Callable[[httpx.AsyncClient, int], Awaitable[httpx.Response]]


def binary(kind: str, shape: list[int], content: bytes, more: str = "", encoding: str = "utf-8") -> dict[str, Any]:
    """A request with one tensor in binary form, for ``client.post``."""
    parameters = f'{{"binary_data_size": {len(content)}}}'
    tensor = f'{{"name": "x", "datatype": "{kind}", "shape": {shape}, "parameters": {parameters}}}'
    head = f'{{"inputs": [{tensor}]{more}}}'.encode(encoding)
    return {"content": head + content, "headers": {"Inference-Header-Content-Length": str(len(head))}}


def pictures(count: int, **said: str) -> dict[str, Any]:
    """A request with so many pictures in one tensor in binary form."""
    return binary("BYTES", [count], (len(PICTURE).to_bytes(4, "little") + PICTURE) * count, **said)


POSTS: dict[str, Post] = {
    "v1": lambda client, count: client.post(PREDICT, json={"instances": [{"b64": TEXT}] * count}),
    "v1 by column": lambda client, count: client.post(PREDICT, json={"inputs": {"x": [{"b64": TEXT}] * count}}),
    "raw": lambda client, count: client.post(PREDICT, content=PICTURE if count == 1 else _form(count)),
    "form": lambda client, count: client.post(PREDICT, content=_form(count)),
    "explained": lambda client, count: client.post(EXPLAIN, json={"instances": [{"b64": TEXT}] * count}),
    "v2": lambda client, count: client.post(
        INFER, json={"inputs": [{"name": "x", "datatype": "BYTES", "shape": [count], "data": [TEXT] * count}]}
    ),
    "v2 binary": lambda client, count: client.post(INFER, **pictures(count)),
}


def _form(count: int) -> bytes:
    part = b'--x\r\ncontent-disposition: form-data; name="a"; filename="a"\r\n\r\n%b\r\n' % PICTURE
    return part * count + b"--x--\r\n"


def _infer(count: int) -> tuple[str, Any]:
    request: Any = OPEN_INFERENCE["ModelInferRequest"](model_name="iris")
    request.inputs.add(name="x", datatype="BYTES", shape=[count])
    request.inputs[0].contents.bytes_contents.extend([PICTURE] * count)
    return "/inference.GRPCInferenceService/ModelInfer", request


def _predict(count: int) -> tuple[str, Any]:
    request: Any = TENSORFLOW["PredictRequest"](model_spec={"name": "iris"})
    tensor = request.inputs["x"]
    tensor.dtype = DTYPES["DT_STRING"]
    tensor.tensor_shape.dim.add(size=count)
    tensor.string_val.extend([PICTURE] * count)
    return "/tensorflow.serving.PredictionService/Predict", request


CALLS: dict[str, Callable[[int], tuple[str, Any]]] = {"gRPC infer": _infer, "gRPC predict": _predict}


async def ask(core: Core, count: int, *, direct: bool = True, at_once: int = 1) -> dict[str, Asked]:
    """Send so many pictures to a server in all ways, one after the other if not more at once."""
    turns = asyncio.Semaphore(at_once)

    async def in_turn(asking: Awaitable[Asked]) -> Asked:
        async with turns:
            return await asking

    front = build_front(Models([core]))
    server, port, _ = await start_grpc(Models([core]), host="127.0.0.1", port=0)
    try:
        async with (
            connected(front) if direct else client_of(front) as client,
            grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel,
        ):
            asked = {way: _post(client, post, count) for way, post in POSTS.items()}
            asked |= {way: _call(channel, *request(count)) for way, request in CALLS.items()}
            return dict(zip(asked, await asyncio.gather(*map(in_turn, asked.values())), strict=True))
    finally:
        await server.stop(None)


async def _post(client: httpx.AsyncClient, post: Post, count: int) -> Asked:
    answer = await post(client, count)
    return Asked(answer.status_code, str(answer.json().get("error", "")))


async def _call(channel: grpc.aio.Channel, method: str, request: Any) -> Asked:
    try:
        await channel.unary_unary(method)(request.SerializeToString())
    except grpc.aio.AioRpcError as error:
        return Asked(error.code().name, error.details() or "")
    return Asked("OK", "")


ANSWERED = {**dict.fromkeys(POSTS, Asked(200, "")), **dict.fromkeys(CALLS, Asked("OK", ""))}


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The thread of each picture that is decoded."""
    threads: list[int] = []

    def decode(*content: Any, **more: Any) -> Any:
        threads.append(threading.get_ident())
        return decode_picture(*content, **more)

    monkeypatch.setattr(requests, "decode_picture", decode)
    return threads


@pytest.mark.parametrize("direct", [True, False])
async def test_pictures_are_decoded_off_the_event_loop(direct: bool, decoded: list[int]) -> None:
    assert await ask(core_of(image_model()), 2, direct=direct) == ANSWERED
    assert len(decoded) == 2 * len(ANSWERED)
    assert threading.get_ident() not in decoded


async def test_who_sends_numbers_is_answered_while_a_picture_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    answered = threading.Event()
    waited: list[bool] = []

    def decode(*content: Any, **more: Any) -> Any:
        waited.append(answered.wait(DEADLINE))
        return decode_picture(*content, **more)

    monkeypatch.setattr(requests, "decode_picture", decode)
    async with connected(build_front(Models([core_of(image_model())]))) as client:
        slow = asyncio.create_task(client.post(PREDICT, content=PICTURE))
        quick = await client.post(PREDICT, json={"instances": [GREY.tolist()]})
        answered.set()
        assert (await slow).json() == quick.json()
    assert waited == [True]


async def test_more_than_numbers_may_have_is_refused_before_one_is_decoded(
    decoded: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calls, "MAX_DECODED", 3 * ROW_BYTES + 1)
    core = core_of(image_model())
    limit = f"{3 * ROW_BYTES + 1} in one request: send 3, or fewer"
    for way, said in (await ask(core, 4)).items():
        assert said.status == ("INVALID_ARGUMENT" if way in CALLS else 413)
        assert said.error.endswith(f": 4 pictures take {4 * ROW_BYTES} bytes once they are decoded; at most {limit}")
    assert decoded == []
    assert await ask(core, 3) == ANSWERED


async def test_one_picture_is_taken_whatever_its_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "MAX_DECODED", ROW_BYTES - 1)
    assert await ask(core_of(image_model()), 1) == ANSWERED


async def test_decoded_rows_are_in_the_budget(decoded: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(POSTS, "explained")  # its body is in the budget by itself
    budget = Budget(2 * ROW_BYTES)
    core = core_of(image_model(), budget=budget)
    for way, said in (await ask(core, 3)).items():
        assert said.status == ("RESOURCE_EXHAUSTED" if way in CALLS else 503)
        assert said.error.startswith(f"the server holds {2 * ROW_BYTES} bytes of requests, which is all it may")
    assert decoded == []
    assert {said.status for said in (await ask(core, 2)).values()} == {200, "OK"}
    assert budget.free == budget.limit


async def test_pictures_that_are_explained_are_in_the_budget() -> None:
    budget = Budget(20 * ROW_BYTES)
    core = core_of(image_model(), budget=budget)
    async with connected(build_front(Models([core]))) as client:
        few = await client.post(EXPLAIN, json={"instances": [{"b64": TEXT}], "patch": SIDE})
        many = await client.post(EXPLAIN, json={"instances": [{"b64": TEXT}] * 10, "patch": 1})
    assert (few.status_code, many.status_code, budget.free) == (200, 503, budget.limit)


async def test_what_is_no_picture_is_said_and_held_no_longer() -> None:
    budget = Budget()
    core = core_of(image_model(), budget=budget)
    async with connected(build_front(Models([core]))) as client:
        answer = await client.post(PREDICT, json={"instances": [{"b64": TEXT}, {"b64": TEXT[:40]}]})
    assert answer.status_code == 400
    assert answer.json()["error"].startswith("instances[1]: is ")
    assert budget.free == budget.limit


class Time:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize("direct", [True, False])
async def test_who_waits_too_long_for_a_thread_is_told_and_not_decoded(direct: bool, decoded: list[int]) -> None:
    """As one that waits too long for a batch; and the autoscaler hears of it."""
    time, released = Time(), threading.Event()
    core = core_of(image_model(), batching=Batching(max_queue_milliseconds=200), clock=time)
    busy = [core.common.parsing.start(released.wait) for _ in range(LARGE_AT_ONCE)]
    asking = asyncio.create_task(ask(core, 1, direct=direct, at_once=len(ANSWERED)))
    try:
        async with asyncio.timeout(DEADLINE):
            while core.inference.load.requests_in_flight < len(ANSWERED) - 0.5:
                time.now += 1.0
                await asyncio.sleep(0.01)
    finally:
        released.set()
    await asyncio.gather(*busy)
    for way, said in (await asking).items():
        assert said.status == ("RESOURCE_EXHAUSTED" if way in CALLS else 429), way
        assert said.error.endswith("at most 200 ms allowed (spec.serving.batching.maxQueueMilliseconds)")
    assert decoded == []
    assert core.inference.load.wait_seconds > 1
    time.now += 100
    assert core.inference.load.requests_in_flight < 0.1
    assert await ask(core, 1, direct=direct) == ANSWERED


class Gone:
    """An asker that left."""

    disconnected = True

    def __init__(self) -> None:
        self.told: asyncio.Future[Results | Exception] = asyncio.get_running_loop().create_future()

    def take(self, outcome: Results | Exception) -> None:
        self.told.set_result(outcome)


async def test_nothing_is_decoded_for_who_left(decoded: list[int]) -> None:
    core, gone = core_of(image_model()), Gone()
    call = calls.Call([PICTURE], lambda error: pytest.fail(str(error)), lambda _: None)
    core.inference.ask(call, gone)
    assert isinstance(await gone.told, ClientLeftError)
    assert decoded == []
    assert core.common.budget.free == core.common.budget.limit


async def test_waiting_for_a_thread_is_part_of_the_time_that_a_request_has(decoded: list[int]) -> None:
    loop = threading.get_ident()

    def clock() -> float:
        """It is half a second later until a thread is free."""
        return 10.0 if threading.get_ident() == loop else 10.5

    core, asker = core_of(image_model(), clock=clock), Gone()
    asker.disconnected = False
    call = calls.Call([PICTURE], lambda error: pytest.fail(str(error)), lambda _: None, timeout=0.25)
    core.inference.ask(call, asker)
    told = await asker.told
    assert isinstance(told, TooLateError)
    assert str(told) == "it was not answered within its timeout of 250 ms"
    assert decoded == []


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """What was given to threads that parse and decode."""
    begun: list[object] = []
    start = Parsing.start

    def counting(self: Parsing, work: Any, *arguments: Any) -> Any:
        begun.append(work)
        return start(self, work, *arguments)

    monkeypatch.setattr(Parsing, "start", counting)
    return begun


@pytest.mark.parametrize("size", [1, LARGE_BODY + 1], ids=["small", "large"])
async def test_a_body_goes_to_a_thread_once(size: int, begun: list[object]) -> None:
    core = core_of(image_model())
    body = json.dumps({"instances": [{"b64": TEXT}]}).encode().ljust(size)
    async with connected(build_front(Models([core]))) as client:
        for path in (PREDICT, PREDICT + "?by=fastapi"):
            begun.clear()
            answer = await client.post(path, content=body)
            assert answer.status_code == 200
            assert len(begun) == 1
    assert core.common.budget.free == core.common.budget.limit


MANY = LARGE_BODY // ROW_BYTES + 1
_PIXELS = GREY.tobytes() * MANY


async def test_pixels_go_to_no_thread(begun: list[object]) -> None:
    core = core_of(image_model())
    request = binary("UINT8", [MANY, SIDE, SIDE], _PIXELS)
    async with connected(build_front(Models([core]))) as client:
        answer = await client.post(INFER, **request)
        assert answer.status_code == 200
        assert begun == []
        again = await client.post(INFER + "?by=fastapi", **request)
        assert len(begun) == 1
        assert answer.json() == again.json()
        refused = await client.post(INFER, **request | {"content": request["content"][:-1]})
        assert refused.status_code == 400
        assert len(begun) == 1
    assert core.common.budget.free == core.common.budget.limit


SLOW = {
    "long JSON": binary("UINT8", [MANY, SIDE, SIDE], _PIXELS, " " * 4096),
    "texts": binary("BYTES", [LARGE_BODY // 4], b"\0\0\0\0" * (LARGE_BODY // 4)),
    "escaped": binary("\\u0042YTES", [LARGE_BODY // 4], b"\0\0\0\0" * (LARGE_BODY // 4)),
    "half floats": binary("FP16", [MANY, SIDE, SIDE], _PIXELS * 2),
    "very large": binary("UINT8", [2**20 // ROW_BYTES + 256, SIDE, SIDE], b"1" * (2**20 + 256 * ROW_BYTES)),
}


@pytest.mark.parametrize("what", SLOW)
async def test_what_only_begins_as_pixels_do_goes_to_a_thread(what: str, begun: list[object]) -> None:
    async with connected(build_front(Models([core_of(image_model())]))) as client:
        await client.post(INFER, **SLOW[what])
    assert len(begun) == 1


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
async def test_json_of_another_encoding_hides_no_picture(encoding: str, decoded: list[int]) -> None:
    """The bytes of these ids hold a NaN, which only Python's parser reads; it would find the encoding by itself."""
    name = {"utf-16-le": "\u614eN", "utf-16-be": "\u4e61\u4e00"}[encoding]
    request = pictures(MANY, more=f', "id": "{name}"', encoding=encoding)
    async with connected(build_front(Models([core_of(image_model())]))) as client:
        for path in (INFER, INFER + "?by=fastapi"):
            answer = await client.post(path, **request)
            assert answer.status_code == 400
    assert b"NaN" in request["content"]
    assert decoded == []


async def test_what_was_taken_for_quick_is_decoded_in_a_thread_all_the_same(
    decoded: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(RestCodec, "is_quick", lambda *_: True)
    core = core_of(image_model())
    async with connected(build_front(Models([core]))) as client:
        answer = await client.post(INFER, **pictures(MANY))
    assert answer.status_code == 200
    assert len(decoded) == MANY
    assert threading.get_ident() not in decoded
    assert core.common.budget.free == core.common.budget.limit


async def test_pixels_are_not_parsed_where_the_queue_is_full(monkeypatch: pytest.MonkeyPatch) -> None:
    """It filled up between the head and the end of the body."""
    core = core_of(image_model())

    def full() -> None:
        raise QueueFullError("the queue is full", retry_after=1.0)

    monkeypatch.setattr(core.inference, "check_room", full)
    with core.common.budget.hold() as held, pytest.raises(QueueFullError):
        core.inference.parse_here(lambda _: pytest.fail("it was parsed"), b"pixels", held=held)


@pytest.mark.parametrize("path", [PREDICT, INFER])
async def test_a_length_of_json_alone_makes_no_body_quick(path: str, begun: list[object]) -> None:
    """Of a protocol that knows no tensors in binary form, and of a model whose rows are many in such a body."""
    core = core_of(image_model() if path == PREDICT else numeric_model())
    async with connected(build_front(Models([core]))) as client:
        body = b"{}".ljust(LARGE_BODY + 1)
        await client.post(path, content=body, headers={"Inference-Header-Content-Length": "2"})
    assert len(begun) == 1


def test_what_is_made_for_who_left_is_not_held() -> None:
    budget = Budget()
    with budget.hold() as held:
        held.add(5)
        assert budget.free == budget.limit - 5
    with pytest.raises(ClientLeftError):
        held.add(5)
    assert budget.free == budget.limit
