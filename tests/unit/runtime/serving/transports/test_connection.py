"""Requests that connections answer themselves: byte for byte what uvicorn and the application would have said."""

import asyncio
import contextlib
import gc
import gzip
import re
import threading
import time
import weakref
from base64 import b64encode
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.runtime.serving.fakes import VERSION, core_of, image_model, numeric_model
from tests.unit.runtime.serving.talking import (
    CHUNKED,
    GOOD,
    HEAD,
    LAST,
    PREDICT,
    chunked,
    listening,
    request,
    talk,
    until,
)

from modelservice.contract.serving import Batching
from modelservice.serving import decoding
from modelservice.serving.answer import Answer
from modelservice.serving.batcher import Batcher
from modelservice.serving.budget import Budget
from modelservice.serving.calls import Call, check_decoded
from modelservice.serving.chain import MAX_BODY, MAX_HEADERS, Arrival
from modelservice.serving.costs import Costs
from modelservice.serving.errors import RequestError
from modelservice.serving.inference import LARGE_ANSWER, LARGE_AT_ONCE, LARGE_BODY, Parsing
from modelservice.serving.lifecycle import Lifecycle
from modelservice.serving.protocols.base import Operation
from modelservice.serving.transports.http.connection import LESSONS, MAX_HEAD, PIECE, InferenceConnection
from modelservice.serving.transports.http.direct import MAX_READ
from modelservice.serving.transports.http.known import KnownHead

INFER = b"/v2/models/iris/infer"
MATRIX = b'"name": "m", "shape": [2, 2], "datatype": "FP32"'
VERSIONED = b"/v2/models/iris/versions/%b/infer" % VERSION.encode()
BINARY = (
    b'{"inputs": [{%b, "parameters": {"binary_data_size": 16}}], "parameters": {"binary_data_output": true}}' % MATRIX
)
LARGE_BINARY = BINARY.replace(b"[2, 2]", b"[16384, 2]").replace(b": 16}", b": 131072}").replace(b"true", b"false")


async def both(*pieces: bytes, model: Any = numeric_model, **more: Any) -> tuple[bytes, bytes]:
    """Answers of uvicorn's own connection and of ours, without their dates."""
    said = []
    for http in ("httptools", InferenceConnection):
        async with listening(http, model(), **more) as (port, _):
            said.append(re.sub(rb"date: .*?\r\n", b"", await talk(port, *pieces)))
    return said[0], said[1]


SENT: dict[str, Sequence[bytes]] = {
    "one": [LAST],
    "one after another": [request(), request(b'{"instances": [[5, 5]]}'), LAST],
    "all at once": [request() + request(b'{"instances": [[5, 5]]}') + LAST],
    "metadata between": [request() + request(b"", method=b"GET", path=b"/v2/health/ready") + LAST],
    "v2": [request(b'{"inputs": [{%b, "data": [1, 2, 3, 4]}]}' % MATRIX, path=INFER), LAST],
    "v2, one output and an id": [
        request(
            b'{"id": "\\u00fc", "outputs": [{"name": "label"}], "inputs": [{%b, "data": [1, 2, 3, 4]}]}' % MATRIX,
            path=INFER,
        ),
        LAST,
    ],
    "v2, binary": [
        request(BINARY + bytes(16), b"inference-header-content-length: %d" % len(BINARY), path=INFER),
        LAST,
    ],
    "v2, a version": [request(b'{"inputs": [{%b, "data": [1, 2, 3, 4]}]}' % MATRIX, path=VERSIONED), LAST],
    "v2, no tensors": [request(b'{"inputs": []}', path=INFER) + LAST],
    "columns": [request(b'{"inputs": {"sepal_length": [1, 2], "petal_length": [3, null]}}'), LAST],
    "NaN": [request(b'{"instances": [[NaN, 2]]}'), LAST],
    "unseen": [request(b'{"instances": [[1, 2]], "unseen": true}'), LAST],
    "wrong JSON": [request(b"{") + LAST],
    "wrong value": [request(b'{"instances": [[1, "x"]]}') + LAST],
    "not finite": [request(b'{"instances": [[3e38, 3e38]]}') + LAST],
    "empty": [request(b"") + LAST],
    "chunked": [chunked(GOOD) + LAST],
    "gzip": [request(gzip.compress(GOOD), b"content-encoding: gzip") + LAST],
    "unknown encoding": [request(GOOD, b"content-encoding: br") + LAST],
    "binary header": [request(GOOD, b"inference-header-content-length: 5") + LAST],
    "expect": [request(GOOD, b"expect: 100-continue") + LAST],
    "large": [request(b'{"instances": [[1, 2]]}' + b" " * LARGE_BODY) + LAST],
    "large, binary": [
        request(
            LARGE_BINARY + bytes(16 * 2**13), b"inference-header-content-length: %d" % len(LARGE_BINARY), path=INFER
        ),
        LAST,
    ],
    "large, wrong JSON": [request(b"{" + b" " * LARGE_BODY), LAST],
    "larger than is read here": [request(b'{"instances": [[1, 2]]}' + b" " * MAX_READ) + LAST],
    "length beyond the limit": [
        b"POST %b HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % (PREDICT, MAX_BODY + 1)
    ],
    "many headers": [request(GOOD, *(b"x: y" for _ in range(MAX_HEADERS + 1))) + LAST],
    "no length": [b"POST %b HTTP/1.1\r\nhost: a\r\n\r\n" % PREDICT + LAST],
    "HTTP/1.0": [request(version=b"1.0")],
    "escaped path": [request(path=b"/v1/models/iris%3Apredict?x=1") + LAST],
    "another model": [request(path=b"/v1/models/rose:predict") + LAST],
    "wrong method": [request(b"", method=b"GET") + request(b"", method=b"HEAD") + LAST],
    "an answer that is large": [
        request(b'{"instances": [%b]}' % b",".join([b"[1,2]"] * (LARGE_ANSWER // 3 + 1))) + LAST
    ],
}


@pytest.mark.parametrize("what", SENT)
async def test_answers_are_those_of_the_application(what: str) -> None:
    theirs, ours = await both(*SENT[what])
    assert theirs
    assert ours == theirs


@settings(max_examples=25)
@given(
    cuts=st.lists(st.integers(1, 400), max_size=6), name=st.sampled_from(["all at once", "metadata between", "empty"])
)
async def test_it_does_not_matter_how_bytes_arrive(cuts: list[int], name: str) -> None:
    data = b"".join(SENT[name])
    places = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    theirs, ours = await both(*(data[start:end] for start, end in pairwise(places)))
    assert ours == theirs


NO_HTTP = {
    "garbage": b"\0\0\0\r\n\r\n",
    "two lengths": request(GOOD, b"content-length: 5"),
    "length and chunks": request(GOOD, b"transfer-encoding: chunked"),
    "a tunnel": request(b"", method=b"CONNECT", path=b"a:1"),
    "a chunk of no size": CHUNKED + b"x\r\n",
}


@pytest.mark.parametrize("what", NO_HTTP)
@pytest.mark.parametrize("apart", [True, False])
async def test_what_is_no_http_is_refused_after_the_answers_before_it(what: str, apart: bool) -> None:
    """uvicorn's own connection drops what it was asked before, and refuses with plain text."""
    async with listening(InferenceConnection) as (port, _):
        pieces = (request(), request(), NO_HTTP[what]) if apart else (request() + request() + NO_HTTP[what],)
        said = await talk(port, *pieces)
    assert re.findall(rb"HTTP/1.1 (\d+) ", said) == [b"200", b"200", b"400"]
    assert said.endswith(b'{"error":"Invalid HTTP request received."}')
    assert b"connection: close\r\n" in said


async def test_of_requests_that_arrive_at_once_only_a_few_wait_as_more_than_bytes() -> None:
    count, most = 2000, 0

    class Watched(InferenceConnection):
        def data_received(self, data: bytes) -> None:
            nonlocal most
            super().data_received(data)
            most = max(most, len(self.pipeline))

    async with listening(Watched) as (port, _):
        said = await talk(port, request() * count + LAST)
    assert said.count(b"200 OK") == count + 1
    assert 0 < most <= PIECE // len(request()) + 1


@pytest.mark.parametrize("spaces", [0, LARGE_BODY, 2 * PIECE + LARGE_BODY])
async def test_requests_do_not_reach_the_application(spaces: int) -> None:
    async with listening(InferenceConnection, numeric_model()) as (port, front):
        front._application = None
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(3):
            writer.write(request(GOOD + b" " * spaces))
            assert b"200 OK" in await reader.readuntil(b"}]}")
        writer.close()


async def test_what_is_large_and_whose_client_left_is_not_parsed() -> None:
    core, begun, goes_on = core_of(numeric_model()), threading.Semaphore(0), threading.Event()

    def parse() -> Call[int]:
        begun.release()
        goes_on.wait()
        return Call([[1, 2]], lambda error: RequestError(str(error)), len)

    async with listening(InferenceConnection, core=core) as (port, _):
        before = [core.inference.parse_aside(parse, held=core.common.budget.hold()) for _ in range(LARGE_AT_ONCE)]
        try:
            await until(lambda: begun.acquire(blocking=False))
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(request(b"{" * LARGE_BODY + b" "))
            await until(lambda: core.common.budget.free == core.common.budget.limit - LARGE_BODY - 1)
            writer.close()
            await until(lambda: core.common.budget.free == core.common.budget.limit)
        finally:
            goes_on.set()
        await asyncio.gather(*before)
    assert 'code="499"' in core.common.exposition.render().body.decode()


async def test_for_who_left_while_it_was_parsed_nothing_is_decoded_or_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    budget = Budget()
    core = core_of(image_model(), budget=budget)
    parsed, goes_on, free = threading.Event(), threading.Event(), threading.Barrier(LARGE_AT_ONCE)

    def check(encoder: Any, rows: Any, place: Any) -> int:
        parsed.set()
        assert goes_on.wait(60)
        return check_decoded(encoder, rows, place)

    monkeypatch.setattr(decoding, "check_decoded", check)
    monkeypatch.setattr(decoding, "decode", lambda *_: pytest.fail("nobody waits for it"))
    body = b'{"instances": [{"b64": "%b"}]}' % b64encode(b"\x89PNG\r\n\x1a\n")
    async with listening(InferenceConnection, core=core) as (port, _):
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(request(body.ljust(LARGE_BODY + 1)))
            await until(parsed.is_set)
            writer.close()
            await until(lambda: budget.free == budget.limit)
        finally:
            goes_on.set()
        await asyncio.gather(*(core.common.parsing.start(free.wait) for _ in range(LARGE_AT_ONCE)))  # it has ended
    assert budget.free == budget.limit


async def test_what_a_large_body_was_refused_for_is_freed_with_its_answer() -> None:
    def alive() -> int:
        return sum(
            issubclass(type(one), RequestError) for one in gc.get_objects()
        )  # some objects warn of being looked at

    async with listening(InferenceConnection) as (port, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        gc.disable()
        before = alive()  # of other tests, perhaps
        try:
            for _ in range(3):
                writer.write(request(b"{" * LARGE_BODY + b" "))
                assert b" 400 " in await reader.readline()
                await reader.readuntil(b"}")
            await until(lambda: alive() <= before)  # the last thread may not have let go yet
        finally:
            gc.enable()
            writer.close()


async def test_what_is_refused_counts_no_longer_though_it_has_not_come() -> None:
    core, made = core_of(numeric_model(), budget=Budget(LARGE_BODY + 1)), []

    class Kept(InferenceConnection):
        def connection_made(self, transport: Any) -> None:
            made.append(self)
            super().connection_made(transport)

    async with listening(Kept, core=core) as (port, _):
        _, slow = await asyncio.open_connection("127.0.0.1", port)
        slow.write(request(b" " * 3 * LARGE_BODY)[: -LARGE_BODY // 2])
        await until(lambda: bool(made and (reading := made[0]._reading) is not None and reading.refused is not None))
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request(GOOD + b" " * (LARGE_BODY + 1 - len(GOOD))))
        assert b" 200 " in await reader.readline()
        for one in (slow, writer):
            one.close()


async def test_who_gives_up_before_a_thread_is_free_leaves_nothing_there() -> None:
    class Body(list[bytes]):
        """A list that a weak reference can look after."""

    parsing, goes_on, given = Parsing(time.monotonic), threading.Event(), Body()
    busy = [parsing.start(goes_on.wait) for _ in range(LARGE_AT_ONCE)]
    try:
        waiting, alive = parsing.start(len, given), weakref.ref(given)
        del given
        waiting.cancel()
        await asyncio.sleep(0)
        assert alive() is None
    finally:
        goes_on.set()
    await asyncio.gather(*busy)


async def test_a_head_that_was_parsed_before_is_known_again() -> None:
    made: list[Any] = []

    class Kept(InferenceConnection):
        def connection_made(self, transport: Any) -> None:
            made.append(self)
            super().connection_made(transport)

    async with listening(Kept) as (port, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request(GOOD, b"x: y"))
        first = await reader.readuntil(b"}]}")
        made[0].parser = None  # what is not known again fails
        for body in (GOOD, b'{"instances": [[1, 2.000]]}', b" " * 900 + GOOD):
            writer.write(request(body, b"x: y"))
            assert await reader.readuntil(b"}]}") == first
        writer.close()


async def test_who_asks_alone_is_answered_without_waiting_for_company(monkeypatch: pytest.MonkeyPatch) -> None:
    """Others that ask in between make company likely: then requests wait for a turn of the event loop as ever."""
    core, waited = core_of(numeric_model()), 0
    schedule = Batcher._schedule

    def wait(self: Batcher) -> None:
        nonlocal waited
        waited += 1
        schedule(self)

    monkeypatch.setattr(Batcher, "_schedule", wait)

    async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> tuple[bytes, int]:
        before = waited
        writer.write(request())
        return await reader.readuntil(b"}]}"), waited - before

    async with listening(InferenceConnection, core=core) as (port, _):
        first, second = [await asyncio.open_connection("127.0.0.1", port) for _ in range(2)]
        answers = [await ask(*who) for who in (first, first, first, first, second, second, second, first, first)]
        for _, writer in (first, second):
            writer.close()
    assert {answer for answer, _ in answers} == {answers[0][0]}
    assert [turns for _, turns in answers] == [1, 1, 0, 0, 1, 1, 0, 1, 0]


HEAD_LINES = (b"POST / HTTP/1.1", b"host: a", b"Content-Length:  3", b"x: 1")


def known(data: bytes) -> KnownHead | None:
    headers = [(b"host", b"a"), (b"content-length", b"3"), (b"x", b"1")]
    operation = Operation("/", "/", lambda _body, _length: pytest.fail("is not parsed"))
    return KnownHead.of(data, cast("Any", None), operation, Arrival("/", headers, infers=True))


@pytest.mark.parametrize(
    ("length", "body"),
    [(b"3", b"abc"), (b"1", b"x"), (b"0", b""), (b"10", b"\r\n\r\n  \r\n\r\n")],
)
def test_a_known_head_is_read_before_a_body_of_any_length(length: bytes, body: bytes) -> None:
    head = known(b"\r\n".join(HEAD_LINES) + b"\r\n\r\nabc")
    assert head is not None
    read = head.read(b"\r\n".join(HEAD_LINES).replace(b"  3", b"  " + length) + b"\r\n\r\n" + body)
    assert read is not None
    assert (read[1], read[0].length) == (body, len(body))
    assert len(list(read[0].headers)) == 3


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"  3", b"  4"),
        (b"  3", b"  2"),
        (b"  3", b"  003"),
        (b"  3", b"  -3"),
        (b"  3", b"  +3"),
        (b"  3", b"  "),
        (b"  3", b"  3 "),
        (b"  3", b" 3"),
        (b"  3", b"  0000000000000003"),
        (b"x: 1", b"x: 2"),
        (b"x: 1", b"x: 1\r\ny: 2"),
        (b"x: 1", b""),
        (b"abc", b"ab"),
        (b"abc", b"abcd"),
        (b"POST", b"PUT"),
    ],
)
def test_anything_but_a_known_head_and_a_whole_body_is_parsed(old: bytes, new: bytes) -> None:
    data = b"\r\n".join(HEAD_LINES) + b"\r\n\r\nabc"
    head = known(data)
    assert head is not None
    assert head.read(data.replace(old, new)) is None


@pytest.mark.parametrize("end", [b"ab", b"abcd", b"abc\r\n"])
def test_nothing_is_learned_of_a_head_without_its_whole_body_and_nothing_else(end: bytes) -> None:
    assert known(b"\r\n".join(HEAD_LINES) + b"\r\n\r\n" + end) is None


async def test_a_client_that_writes_new_heads_is_not_learned_from_for_ever() -> None:
    learned: list[Any] = []

    class Kept(InferenceConnection):
        def connection_lost(self, exc: Exception | None) -> None:
            learned.append((self._lessons, self._known and b"x: 9" in self._known.after))
            super().connection_lost(exc)

    async with listening(Kept) as (port, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for number in range(2 * LESSONS):
            writer.write(request(GOOD, b"x: %d" % number))
            assert b"200 OK" in await reader.readuntil(b"}]}")
        writer.close()
    assert learned == [(0, False)]


@pytest.mark.parametrize("header", [b"connection: close", b"connection: keep-alive, close"])
async def test_a_known_head_never_keeps_a_connection_that_is_to_close(header: bytes) -> None:
    async with listening(InferenceConnection) as (port, _):
        said = await talk(port, request(), request(), request(GOOD, header))
    assert said.count(b"200 OK") == 3
    assert said.count(b"connection: close") == 1


async def test_guards_are_asked_before_a_known_head_too() -> None:
    lifecycle = Lifecycle()
    async with listening(InferenceConnection, lifecycle=lifecycle) as (port, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(2):
            writer.write(request())
            assert b"200 OK" in await reader.readuntil(b"}]}")
        lifecycle.leave()
        writer.write(request())
        assert b"503 Service Unavailable" in await reader.read()
        writer.close()


def asked_at_once(front: Any, count: int) -> list[Answer]:
    """Answers that come to as many requests that are whole in the same turn of the event loop."""
    answers: list[Answer] = []
    for _ in range(count):
        exchange = front.direct.admit(PREDICT, [(b"content-length", b"23")], answers.append)
        exchange.add(GOOD)
        exchange.ask()
    return answers


async def test_requests_that_arrive_together_share_a_batch() -> None:
    model = numeric_model()
    async with listening(InferenceConnection, model) as (port, front):
        model.engine.batches.clear()
        answers = asked_at_once(front, 3)
        await until(lambda: len(answers) == 3)
        assert model.engine.batches == [3]
        await talk(port, LAST)
        assert model.engine.batches == [3, 1]


OFFER = (b"connection: Upgrade, HTTP2-Settings", b"upgrade: h2c", b"http2-settings: AAEAAEAAAAIAAAAB")


@pytest.mark.parametrize("size", [1, 7, 100, 10_000])
@pytest.mark.parametrize("offer", [OFFER, (b"connection: upgrade", b"upgrade: websocket")])
async def test_an_offer_to_upgrade_is_declined_and_the_request_answered(offer: Any, size: int) -> None:
    large = b'{"instances": [[5, 5]]}' + b" " * LARGE_BODY
    plain = [request(), request(b"", method=b"GET", path=b"/v2/health/ready"), chunked(GOOD), request(large)]
    offering = [one.replace(b"host: a\r\n", b"\r\n".join((b"host: a", *offer, b"")), 1) for one in plain]
    sent = request() + b"".join(offering) + LAST
    pieces = [sent[start : start + size] for start in range(0, len(sent), size)] if size > 1 else [*offering, LAST]
    async with listening(InferenceConnection) as (port, _):
        expected = await talk(port, b"".join([*plain, LAST]) if size == 1 else request() + b"".join(plain) + LAST)
        said = await talk(port, *pieces)
    assert b"101" not in re.findall(rb"HTTP/1.1 (\d+) ", said)
    without_dates = [re.sub(rb"date: .*?\r\n", b"", answers) for answers in (said, expected)]
    assert without_dates[0] == without_dates[1]
    assert said.count(b"200 OK") == 5 + (size != 1)


async def test_an_old_client_that_offers_is_answered_as_one() -> None:
    async with listening(InferenceConnection) as (port, _):
        said = await talk(port, request(GOOD, *OFFER, version=b"1.0"))
    assert b"200 OK" in said
    assert b"connection: close\r\n" in said


ENDLESS: dict[str, tuple[bytes, bytes]] = {
    "a path": (b"POST /", b"a" * 4096),
    "a header": (HEAD + b"x: ", b"a" * 4096),
    "headers": (HEAD, b"x: y\r\n" * 1000),
    "headers after an answer": (request() + HEAD, b"x: y\r\n" * 1000),
    "trailers": (CHUNKED + b"1\r\n{\r\n0\r\n", b"x: y\r\n" * 1000),
    "a trailer": (CHUNKED + b"1\r\n{\r\n0\r\nx: ", b"a" * 4096),
    "an extension of a chunk": (CHUNKED + b"1;", b"a" * 4096),
}


@pytest.mark.parametrize("what", ENDLESS)
async def test_what_never_ends_is_cut_off(what: str) -> None:
    start, piece = ENDLESS[what]
    async with listening(InferenceConnection, numeric_model()) as (port, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(start)
        if start.startswith(request()):
            assert b"200 OK" in await reader.readuntil(b"}]}")
        with contextlib.suppress(ConnectionError):  # it is closed under us
            async with asyncio.timeout(60):
                while True:
                    writer.write(piece)
                    await writer.drain()
        writer.close()
        assert b"200 OK" in await talk(port, LAST)


async def test_a_head_that_is_too_large_is_told_so() -> None:
    async with listening(InferenceConnection, numeric_model()) as (port, _):
        said = await talk(port, request() + LAST.replace(b"connection", b"a" * MAX_HEAD + b": b\r\nconnection"))
        first, second = re.findall(rb"HTTP/1.1 (\d+) ", said)
        assert (first, second) == (b"200", b"431")
        head = HEAD + b"x: " + b"a" * (MAX_HEAD + 1 - len(HEAD) - 3)
        said = await talk(port, head)
        assert b"431 Request Header Fields Too Large" in said
        assert said.endswith(b'{"error":"the path and the headers are larger than %d bytes"}' % MAX_HEAD)
        assert b"connection: close\r\n" in said


async def test_a_large_body_in_small_pieces_is_no_head() -> None:
    body = GOOD + b" " * (2 * MAX_HEAD)
    pieces = [body[start : start + 4096] for start in range(0, len(body), 4096)]
    lines = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
    sent = request(body) + CHUNKED + lines + b"0\r\n\r\n" + LAST
    cut = [sent[start : start + 1000] for start in range(0, len(sent), 1000)]
    async with listening(InferenceConnection, numeric_model()) as (port, _):
        assert (await talk(port, *cut)).count(b"200 OK") == 3


async def test_a_guard_that_breaks_is_500_and_harms_no_other(caplog: pytest.LogCaptureFixture) -> None:
    def guard(arrival: Arrival) -> None:
        if (b"x", b"broken") in arrival.headers:
            raise RuntimeError("guard out of order")

    core = core_of(numeric_model())
    core = core._replace(chain=core.chain._replace(guards=(guard,)))
    async with listening(InferenceConnection, core=core) as (port, _):
        said = await talk(port, request() + request(GOOD, b"x: broken") + LAST)
    assert re.findall(rb"HTTP/1.1 (\d+) ", said) == [b"200", b"500", b"200"]
    assert b"out of order" not in said
    assert "guard out of order" in caplog.text


async def test_a_full_queue_is_refused_here_too() -> None:
    costs = Costs(compute=((1, 2.5),), handover=10.0)
    async with listening(
        InferenceConnection, numeric_model(), costs=costs, batching=Batching(max_queue_milliseconds=1)
    ) as (_, front):
        answers = asked_at_once(front, 3)
        await until(lambda: len(answers) == 3)
    assert sorted(answer.status for answer in answers) == [200, 429, 429]


@pytest.mark.parametrize("headers", [(), (b"content-encoding: gzip",)], ids=["here", "by the application"])
@pytest.mark.parametrize("size", [0, LARGE_BODY])
async def test_who_would_wait_for_too_long_is_refused_before_its_body_is_parsed(
    size: int, headers: tuple[bytes, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = request(b"no JSON" + b" " * size, b"connection: close", *headers)
    async with listening(InferenceConnection, numeric_model(), batching=Batching()) as (port, _):
        assert b" 400 Bad Request" in await talk(port, wrong)
        monkeypatch.setattr(Batcher, "wait_seconds", 1.0)
        said = await talk(port, wrong)
    assert b" 429 Too Many Requests" in said
    assert b"the queue is full: about 1000 ms to wait" in said


@pytest.mark.parametrize(
    "header",
    [b"transfer-encoding: chunked", b"content-encoding: gzip\r\ncontent-length: 9", b"content-length: 3000000"],
    ids=["chunked", "encoded", "very large"],
)
@pytest.mark.parametrize("expects", [b"", b"expect: 100-continue\r\n"], ids=["", "asks first"])
async def test_who_would_wait_for_too_long_is_refused_before_its_body_is_read(
    header: bytes, expects: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with listening(InferenceConnection, numeric_model(), batching=Batching()) as (port, _):
        monkeypatch.setattr(Batcher, "wait_seconds", 1.0)
        said = await talk(port, HEAD + expects + header + b"\r\nconnection: close\r\n\r\n")
    assert said.startswith(b"HTTP/1.1 429 Too Many Requests")


async def test_what_follows_a_body_that_was_not_asked_for_is_not_taken_for_it() -> None:
    asks = b"POST %b HTTP/1.1\r\nhost: a\r\nexpect: 100-Continue\r\ncontent-length: 200\r\n\r\n"
    async with listening(InferenceConnection, numeric_model()) as (port, _):
        said = await talk(port, asks % b"/nowhere")
        large = await talk(port, asks.replace(b"200", b"%d" % (MAX_BODY + 1)) % PREDICT)
    for answer, status in ((said, b"404"), (large, b"413")):
        assert answer.startswith(b"HTTP/1.1 " + status)
        assert b"\r\nconnection: close\r\n" in answer


async def test_draining_closes_and_leaving_refuses() -> None:
    lifecycle = Lifecycle()
    lifecycle.drain()
    theirs, ours = await both(request(), lifecycle=lifecycle)
    assert ours == theirs
    assert b"200 OK" in ours
    assert b"connection: close\r\n" in ours
    lifecycle.leaving = True
    theirs, ours = await both(request(), lifecycle=lifecycle)
    assert ours == theirs
    assert b"503 Service Unavailable" in ours


async def test_a_model_that_breaks_is_500(caplog: pytest.LogCaptureFixture) -> None:
    model = numeric_model()
    async with listening(InferenceConnection, model) as (port, _):
        model.engine.broken = True
        said = await talk(port, LAST)
    assert b"500 Internal Server Error" in said
    assert b"internal error; the server's log has the details" in said
    assert "out of order" in caplog.text


async def test_requests_are_counted_and_a_client_that_left_harms_nobody() -> None:
    async with listening(InferenceConnection, numeric_model(), batching=Batching(max_delay_milliseconds=100)) as (
        port,
        front,
    ):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request())
        await writer.drain()
        writer.close()
        assert b"200 OK" in await talk(port, LAST)
        page = front.direct.models.common.exposition.render().body.decode()
    assert re.search(r'requests_total\{code="200",route="/v1/models/\{name\}:predict"\} [12]\.0', page)
