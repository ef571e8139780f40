"""Clients that are slow, that leave, or that are very many: each ends in time, and holds no more than it may."""

import asyncio
import contextlib
import re
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from tests.unit.runtime.serving.fakes import core_of, numeric_model
from tests.unit.runtime.serving.talking import CHUNKED, GOOD, HEAD, LAST, listening, request, talk, until

from modelservice.contract.serving import Batching
from modelservice.serving.budget import Budget
from modelservice.serving.chain import Arrival
from modelservice.serving.core import Core
from modelservice.serving.errors import QueueFullError
from modelservice.serving.inference import LARGE_BODY
from modelservice.serving.transports.http import connection as connections
from modelservice.serving.transports.http import direct
from modelservice.serving.transports.http.connection import MAX_HEAD, PIECE, InferenceConnection
from modelservice.serving.transports.http.pace import (
    BODY_SECONDS,
    HEAD_SECONDS,
    KEEP_ALIVE_SECONDS,
    READING_SECONDS,
    Owed,
)

LARGE = GOOD + b" " * LARGE_BODY
CHUNKS = b"%x\r\n%b\r\n0\r\n\r\n" % (len(GOOD), GOOD)


class Kept(InferenceConnection):
    """Connections that the test can look at, in the order of their making."""

    made: list["Kept"]

    def connection_made(self, transport: Any) -> None:
        self.made.append(self)
        super().connection_made(transport)


@asynccontextmanager
async def kept(core: Core) -> AsyncIterator[tuple[int, list[Kept]]]:
    class Here(Kept):
        made: list[Kept] = []  # noqa: RUF012 - of this server

    async with listening(Here, core=core) as (port, _):
        yield port, Here.made


def pass_time(connection: InferenceConnection, seconds: float) -> None:
    """Ask about the pace twice, so many seconds apart."""
    now = connection.loop.time()
    connection.check_pace(now)
    connection.check_pace(now + seconds)


def answers(core: Core) -> dict[str, float]:
    page = core.common.exposition.render().body.decode()
    return {code: float(count) for code, count in re.findall(r'requests_total\{code="(\d+)".*?\} (\S+)', page)}


UNFINISHED = {
    "half a path": (b"POST /v1", HEAD_SECONDS, b"headers"),
    "half a head": (HEAD, HEAD_SECONDS, b"headers"),
    "half a small body": (request()[:-5], BODY_SECONDS, b"body"),
    "half a large body": (request(LARGE)[:-5], BODY_SECONDS, b"body"),
    "chunks without an end": (CHUNKED + b"1\r\n{\r\n", BODY_SECONDS, b"body"),
}


@pytest.mark.parametrize("what", UNFINISHED)
async def test_what_is_not_finished_in_time_is_408(what: str) -> None:
    sent, seconds, owed = UNFINISHED[what]
    core = core_of(numeric_model())
    async with kept(core) as (port, made):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request() + sent)
        assert b"200 OK" in await reader.readuntil(b"}]}")
        await until(lambda: made[0]._waits_for() not in {None, Owed.NEXT})
        pass_time(made[0], seconds - 1)
        assert not made[0].transport.is_closing()
        pass_time(made[0], seconds + 1)
        said = await reader.read()
        assert b"408 Request Timeout" in said
        assert b"the %b did not come whole within %d seconds" % (owed, seconds) in said
        writer.close()
        await until(lambda: not made[0].connections)
    assert answers(core) == {"200": 1, "408": 1}
    assert core.common.budget.free == core.common.budget.limit


async def test_a_connection_that_has_its_answer_is_closed_without_a_word() -> None:
    async with kept(core_of(numeric_model())) as (port, made):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(2):
            writer.write(request())
            assert b"200 OK" in await reader.readuntil(b"}]}")
            pass_time(made[0], KEEP_ALIVE_SECONDS - 1)
            assert not made[0].transport.is_closing()
        pass_time(made[0], KEEP_ALIVE_SECONDS + 1)
        assert await reader.read() == b""
        writer.close()


async def test_a_connection_that_says_nothing_is_408() -> None:
    async with kept(core_of(numeric_model())) as (port, made):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        await until(lambda: bool(made))
        pass_time(made[0], HEAD_SECONDS + 1)
        assert b"408 Request Timeout" in await reader.read()
        writer.close()


async def test_who_is_answered_slowly_is_not_slow() -> None:
    core = core_of(numeric_model(), batching=Batching(max_delay_milliseconds=200, max_size=1000))
    async with kept(core) as (port, made):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request() + request())
        await until(lambda: bool(made) and made[0].cycle is not None)
        pass_time(made[0], 1000)
        for _ in range(2):
            assert b"200 OK" in await reader.readuntil(b"}]}")
        writer.close()


@asynccontextmanager
async def deaf(port: int, made: list[Kept]) -> AsyncIterator[Kept]:
    """A connection whose client asked for much and reads none of it."""
    body, loop = b'{"instances": [%b]}' % b",".join([b"[1,2]"] * 5000), asyncio.get_running_loop()
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.setblocking(False)
    await loop.sock_connect(client, ("127.0.0.1", port))
    sending = asyncio.create_task(loop.sock_sendall(client, request(body) * 50))
    await until(lambda: bool(made) and made[0].flow.write_paused)
    yield made[0]
    sending.cancel()
    client.close()


@pytest.mark.parametrize("closing", [True, False], ids=["the last answer", "an answer before the next request"])
async def test_who_does_not_read_is_cut_off(closing: bool) -> None:
    async with kept(core_of(numeric_model())) as (port, made), deaf(port, made) as connection:
        if closing:
            connection.transport.close()
        pass_time(connection, READING_SECONDS - 1)
        await asyncio.sleep(0)
        assert connection in connection.connections
        pass_time(connection, READING_SECONDS + 1)
        await until(lambda: not connection.connections)


async def test_who_reads_slowly_is_not_cut_off() -> None:
    async with kept(core_of(numeric_model())) as (port, made), deaf(port, made) as connection:
        now = connection.loop.time()
        connection.check_pace(now)
        connection._owed = (Owed.READING, connection._begun, connection._owed[2] + 1)  # a byte more was unread then
        connection.check_pace(now + READING_SECONDS + 1)
        assert not connection.transport.is_closing()


async def test_who_does_not_read_gives_way_to_a_new_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "MAX_CONNECTIONS", 1)
    async with kept(core_of(numeric_model())) as (port, made), deaf(port, made) as connection:
        assert b"200 OK" in await talk(port, LAST)
        assert connection not in connection.connections


async def test_a_new_connection_takes_the_place_of_the_one_that_waits_longest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "MAX_CONNECTIONS", 2)
    async with kept(core_of(numeric_model())) as (port, made):
        first = await asyncio.open_connection("127.0.0.1", port)
        await until(lambda: len(made) == 1)
        second = await asyncio.open_connection("127.0.0.1", port)
        await until(lambda: len(made) == 2)
        assert b"200 OK" in await talk(port, LAST)
        assert await first[0].read() == b""
        second[1].write(LAST)
        assert b"200 OK" in await second[0].read()
        for _, writer in (first, second):
            writer.close()


async def test_one_too_many_is_refused_where_all_are_being_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "MAX_CONNECTIONS", 2)
    core = core_of(numeric_model(), batching=Batching(max_delay_milliseconds=500, max_size=1000))
    async with kept(core) as (port, made):
        asked = [asyncio.create_task(talk(port, LAST)) for _ in range(2)]
        await until(lambda: len(made) == 2 and all(one.cycle and not one.cycle.more_body for one in made))
        refused = await talk(port)
        assert b"503 Service Unavailable" in refused
        assert b"retry-after: 1\r\n" in refused
        assert b"the server answers on 2 connections, which is all it may; try again" in refused
        for said in await asyncio.gather(*asked):
            assert b"200 OK" in said
    assert answers(core) == {"200": 2, "503": 1}


OFTEN = b"x: often"


def guarded() -> Core:
    """Turns away who says that it asks often."""

    def guard(arrival: Arrival) -> None:
        if (b"x", b"often") in arrival.headers:
            raise QueueFullError("the queue is full", retry_after=1)

    core = core_of(numeric_model())
    return core._replace(chain=core.chain._replace(guards=(guard,)))


WAYS = {
    "from the connection": request(GOOD, OFTEN),
    "by the application": CHUNKED.replace(b"host: a", b"host: a\r\n" + OFTEN) + CHUNKS,
}


@pytest.mark.parametrize("way", WAYS)
async def test_who_was_turned_away_is_read_again_after_a_rest(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(direct, "TURN_SECONDS", 3600)
    async with kept(guarded()) as (port, made):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request() + WAYS[way])
        assert b"200 OK" in await reader.readuntil(b"}]}")
        assert b"429 Too Many Requests" in await reader.readuntil(b'is full"}')  # at once
        writer.write(LAST)
        await writer.drain()
        (connection,) = made
        await until(lambda: connection._is_resting)
        assert connection.flow.read_paused
        assert connection._waits_for() is Owed.REST
        pass_time(connection, KEEP_ALIVE_SECONDS + 1)  # it is the server that makes it wait
        assert not connection.transport.is_closing()
        connection._rested()
        assert b"200 OK" in await reader.read()
        writer.close()


async def test_what_came_with_what_was_turned_away_is_answered_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(direct, "TURN_SECONDS", 1e-3)
    often, asked = WAYS["from the connection"], WAYS["by the application"]
    large = [request(LARGE), CHUNKED + CHUNKS[:-5] + b"%x\r\n%b\r\n0\r\n\r\n" % (2 * PIECE, b" " * 2 * PIECE)]
    several = [often, request(), asked, request(), often, often, asked, *large, often, large[1], often, *large, LAST]
    async with kept(guarded()) as (port, _):
        said = await talk(port, b"".join(several))
        again = await talk(port, *several)
    statuses = [b"429" if OFTEN in one else b"200" for one in several]
    assert re.findall(rb"HTTP/1.1 (\d+) ", said) == statuses
    assert re.findall(rb"HTTP/1.1 (\d+) ", again) == statuses


async def test_what_is_turned_away_unasked_for_rests_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(direct, "TURN_SECONDS", 3600)
    core, often = guarded(), WAYS["from the connection"]
    async with kept(core) as (port, made):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(often * (4 * PIECE // len(often)) + LAST)
        await until(lambda: bool(made) and made[0]._is_resting)
        assert made[0].flow.read_paused
        assert 0 < answers(core)["429"] <= PIECE // len(often)
        while not made[0].transport.is_closing():
            made[0]._rested()
            await asyncio.sleep(0)
        assert (await reader.read()).count(b"429 Too Many Requests") == 4 * PIECE // len(often)
        writer.close()
    assert answers(core)["200"] == 1


async def test_who_rests_gives_way_where_none_waits_for_its_client(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(direct, "TURN_SECONDS", 3600)
    monkeypatch.setattr(connections, "MAX_CONNECTIONS", 2)
    async with kept(guarded()) as (port, made):
        rests = await asyncio.open_connection("127.0.0.1", port)
        rests[1].write(request(GOOD, OFTEN))
        assert b"429 Too Many Requests" in await rests[0].readuntil(b'is full"}')
        waits = await asyncio.open_connection("127.0.0.1", port)
        await until(lambda: len(made) == 2)
        assert b"200 OK" in await talk(port, LAST)
        assert await waits[0].read() == b""
        assert not made[0].transport.is_closing()
        other = await asyncio.open_connection("127.0.0.1", port)
        other[1].write(request(GOOD, OFTEN))
        assert b"429 Too Many Requests" in await other[0].readuntil(b'is full"}')
        assert b"200 OK" in await talk(port, LAST)
        assert await rests[0].read() == b""
        for _, writer in (rests, waits, other):
            writer.close()


async def test_who_leaves_while_it_rests_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(direct, "TURN_SECONDS", 3600)
    async with kept(guarded()) as (port, made):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request(GOOD, OFTEN))
        await until(lambda: bool(made) and made[0]._is_resting)
        writer.transport.abort()
        made[0]._rested()
        await until(lambda: not made[0].connections)
        made[0]._rested()


REFUSED = {
    "no HTTP": (b"\0\0\r\n\r\n", "400"),
    "a chunk of no size": (CHUNKED + b"x\r\n", "400"),
    "a head without an end": (HEAD + b"x: " + b"a" * (2 * MAX_HEAD), "431"),
}


@pytest.mark.parametrize("what", REFUSED)
@pytest.mark.parametrize("before", [b"", request()], ids=["first", "after another"])
async def test_what_the_connection_refuses_is_counted(what: str, before: bytes) -> None:
    sent, code = REFUSED[what]
    core = core_of(numeric_model())
    async with kept(core) as (port, made):
        with contextlib.suppress(ConnectionError):  # what it never read makes a reset of its farewell
            await talk(port, before + sent)
        await until(lambda: not made[0].connections)
    assert answers(core) == {code: 1} | ({"200": 1} if before else {})


async def test_bodies_share_a_budget_and_what_is_beyond_it_is_503() -> None:
    core = core_of(numeric_model(), budget=Budget(3 * LARGE_BODY))
    async with kept(core) as (port, _):
        holding = [await asyncio.open_connection("127.0.0.1", port) for _ in range(2)]
        for _, writer in holding:
            writer.write(request(LARGE)[:-5])
        await until(lambda: core.common.budget.free < LARGE_BODY)
        refused = await talk(port, request(LARGE, b"connection: close"))
        assert b"503 Service Unavailable" in refused
        assert b"retry-after: 1\r\n" in refused
        assert b"the server holds %d bytes of requests" % core.common.budget.limit in refused
        assert b"200 OK" in await talk(port, LAST)  # a small one is answered all the same
        holding[0][1].write(request(LARGE)[-5:])
        assert b"200 OK" in await holding[0][0].readuntil(b"}]}")
        holding[1][1].close()
        await until(lambda: core.common.budget.free == core.common.budget.limit)
        assert b"200 OK" in await talk(port, request(LARGE, b"connection: close"))
        holding[0][1].close()


@pytest.mark.parametrize("body", [GOOD, LARGE], ids=["small", "large"])
async def test_nothing_is_computed_for_who_left(body: bytes) -> None:
    model = numeric_model()
    core = core_of(model, batching=Batching(max_delay_milliseconds=1000, max_size=2))
    async with kept(core) as (port, made):
        model.engine.batches.clear()
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request(body))
        await until(lambda: core.inference._batcher.queued_rows == 1)
        writer.close()
        await until(lambda: not made[0].connections)
        assert b"200 OK" in await talk(port, LAST)
        assert b"200 OK" in await talk(port, LAST)
    assert sum(model.engine.batches) == 2
    assert answers(core) == {"200": 2, "499": 1}
