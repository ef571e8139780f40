"""Bytes that are hardly HTTP: our connections never differ from uvicorn's own in status and in who is cut off."""

import asyncio
import re
from collections.abc import AsyncIterator
from functools import partial
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from tests.unit.runtime.serving.fakes import core_of, numeric_model
from tests.unit.runtime.serving.talking import GOOD, PREDICT, listening, until
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from modelservice.serving.core import Models
from modelservice.serving.transports.http.connection import InferenceConnection
from modelservice.serving.transports.http.direct import Exchange
from modelservice.serving.transports.http.front import Front
from modelservice.serving.transports.http.server import build_front


class Said(NamedTuple):
    """The statuses of the answers, and whether the connection was closed after them."""

    statuses: list[bytes]
    closed: bool


class Server(NamedTuple):
    """A server whose connections the test looks at, in the order of their making."""

    port: int
    made: list[Any]
    front: Front


def watched(base: Any) -> tuple[Any, list[Any]]:
    made: list[Any] = []

    class Watched(base):  # type: ignore[misc]
        received = 0

        def connection_made(self, transport: Any) -> None:
            made.append(self)
            super().connection_made(transport)

        def data_received(self, data: bytes) -> None:
            self.received += len(data)
            super().data_received(data)

    return Watched, made


async def say(server: Server, pieces: list[bytes]) -> Said:
    """What a server says to these bytes once it has nothing left to do for them."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    await until(lambda: bool(server.made))
    connection, sent = server.made.pop(), 0
    for piece in pieces:
        if connection.transport.is_closing():  # what it does not read would make the kernel drop what it said
            break
        writer.write(piece)
        sent += len(piece)
        await until(partial(is_done, server, connection, sent))
    closed = connection.transport.is_closing()
    connection.transport.close()
    said = await reader.read()
    writer.close()
    await until(lambda: not connection.connections)
    return Said(re.findall(rb"HTTP/1.1 (\d+) ", said), closed)


def is_done(server: Server, connection: Any, sent: int) -> bool:
    cycle, queued = connection.cycle, server.front.direct.models.first.inference._batcher.queued_rows
    answered = cycle is None or cycle.response_complete or cycle.disconnected
    wants_more = not answered and cycle.more_body and (isinstance(cycle, Exchange) or cycle.message_event._waiters)
    works = connection.received < sent or queued or connection.pipeline or not (answered or wants_more)
    return connection.transport.is_closing() or not works


@pytest.fixture
async def servers() -> AsyncIterator[tuple[Server, Server]]:
    front = build_front(Models([core_of(numeric_model())]))
    (theirs, their), (ours, our) = watched(HttpToolsProtocol), watched(InferenceConnection)
    async with listening(theirs, front=front) as (first, _), listening(ours, front=front) as (second, _):
        yield Server(first, their, front), Server(second, our, front)


LINES = (
    b"host: a",
    b"content-length: 23",
    b"content-length: 5",
    b"content-length: 023",
    b"content-length: +23",
    b"content-length: -1",
    b"content-length: 2 3",
    b"content-length: 23, 23",
    b"content-length: ",
    b"content-length: 99999999999999999999999",
    b"content-length : 23",
    b" content-length: 23",
    b"Content-Length:23",
    b"transfer-encoding: chunked",
    b"transfer-encoding: identity",
    b"transfer-encoding: gzip, chunked",
    b"transfer-encoding: chunked, gzip",
    b"transfer-encoding:\tchunked",
    b"connection: close",
    b"connection: keep-alive, close",
    b"content-encoding: gzip",
    b"inference-header-content-length: 7",
    b"inference-header-content-length: x",
    b"x: \xff",
    b"x: a\x00b",
    b"x: a\rb",
    b"x",
    b": x",
    b"x y: z",
    b"x:",
    b"",
)
STARTS = (
    b"POST %b HTTP/1.1" % PREDICT,
    b"POST %b HTTP/1.0" % PREDICT,
    b"POST %b HTTP/1.2" % PREDICT,
    b"POST %b HTTP/2.0" % PREDICT,
    b"POST %b" % PREDICT,
    b"POST  %b HTTP/1.1" % PREDICT,
    b"post %b HTTP/1.1" % PREDICT,
    b"POST http://a%b HTTP/1.1" % PREDICT,
    b"POST %b?a=%%zz HTTP/1.1" % PREDICT,
    b"POST %b\xff HTTP/1.1" % PREDICT,
    b"POST /v1/models/iris%3Apredict HTTP/1.1",
    b"GET %b HTTP/1.1" % PREDICT,
    b"HEAD %b HTTP/1.1" % PREDICT,
    b"\r\nPOST %b HTTP/1.1" % PREDICT,
)
BODIES = (
    GOOD,
    b"",
    GOOD[:5],
    GOOD + b"x",
    b"17\r\n%b\r\n0\r\n\r\n" % GOOD,
    b"17;a=b\r\n%b\r\n0\r\n\r\n" % GOOD,
    b"18\r\n%b\r\n0\r\n\r\n" % GOOD,
    b"17 \r\n%b\r\n0\r\n\r\n" % GOOD,
    b"0x17\r\n%b\r\n0\r\n\r\n" % GOOD,
    b"17\n%b\n0\n\n" % GOOD,
    b"ffffffffffffffffff\r\n%b" % GOOD,
    b"-1\r\n%b" % GOOD,
    b"0\r\na: b\r\n\r\n",
)


KNOWN = b"%b\r\nhost: a\r\ncontent-length: 23\r\nx: y\r\n\r\n%b" % (STARTS[0], GOOD)


@st.composite
def requests(draw: st.DrawFn) -> list[bytes]:
    """A request as a hostile client might write it: whole lines from a store, a few bytes of it wrong, cut anywhere."""
    lines = draw(st.lists(st.sampled_from(LINES), max_size=4))
    if draw(st.booleans()):
        lines = [b"host: a", b"content-length: 23", *lines]
    end = draw(st.sampled_from([b"\r\n", b"\r\n", b"\r\n", b"\n", b"\r"]))
    data = bytearray(end.join([draw(st.sampled_from(STARTS)), *lines, b"", b""]) + draw(st.sampled_from(BODIES)))
    for place, byte in draw(st.lists(st.tuples(st.integers(0, len(data) - 1), st.integers(0, 255)), max_size=2)):
        data[place] = byte
    cut = draw(st.integers(0, len(data)))
    before = [KNOWN] * draw(st.integers(0, 2))  # whose head our connections know again
    changes_known = draw(st.booleans())
    if before and changes_known:
        data = bytearray(KNOWN)
        data[draw(st.integers(0, len(data) - 1))] = draw(st.sampled_from(b"0123456789 \r\n:x\t\x00"))
    return [*before, *(piece for piece in (bytes(data[:cut]), bytes(data[cut:])) if piece)]


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(pieces=requests())
@example([KNOWN, KNOWN.replace(b"23", b"5") + b"x"])
@example([b"POST %b HTTP/1.1\r\nhost: a\r\ncontent-length: 23\r\n\r\n" % PREDICT, GOOD])
async def test_what_is_malformed_is_answered_as_uvicorn_does(
    servers: tuple[Server, Server], pieces: list[bytes]
) -> None:
    theirs, ours = [await say(server, pieces) for server in servers]
    assert ours.closed == theirs.closed
    if theirs.closed and theirs.statuses[-1:] == [b"400"]:
        # uvicorn answers nothing of what came with bytes that are no HTTP, and refuses after an answer too.
        known = pieces.count(KNOWN)
        assert ours.statuses[:known] == theirs.statuses[:known]
        assert ours.statuses[-1:] == [b"400"] or ours.statuses == theirs.statuses[:-1]
    else:
        assert ours.statuses == theirs.statuses
