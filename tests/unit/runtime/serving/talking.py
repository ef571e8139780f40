"""Bytes to and from a server that listens on loopback."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import uvicorn
from tests.unit.runtime.serving.fakes import FakeModel, core_of, numeric_model

from modelservice.serving.core import Core, Models
from modelservice.serving.listening import bind
from modelservice.serving.transports.http.connection import InferenceConnection
from modelservice.serving.transports.http.front import Front
from modelservice.serving.transports.http.server import build_front, server_config

PREDICT = b"/v1/models/iris:predict"
GOOD = b'{"instances": [[1, 2]]}'
DEADLINE = 60


def request(
    body: bytes = GOOD, *headers: bytes, method: bytes = b"POST", path: bytes = PREDICT, version: bytes = b"1.1"
) -> bytes:
    lines = (b"%b %b HTTP/%b" % (method, path, version), b"host: a", b"content-length: %d" % len(body), *headers)
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def chunked(body: bytes) -> bytes:
    head = b"POST %b HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n" % PREDICT
    return head + b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE):
        while not holds():  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0.001)


class Prompt(uvicorn.Server):
    """A server that ends as soon as it may: uvicorn looks ten times a second whether it should, and was heeded."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        config.load()
        self.lifespan = config.lifespan_class(config)

    async def begin(self, socket: Any) -> None:
        await self.startup([socket])
        await self.on_tick(0)

    async def end(self) -> None:
        for server in self.servers:
            server.close()
        for connection in tuple(self.server_state.connections):
            connection.shutdown()
        await until(lambda: not self.server_state.connections and not self.server_state.tasks)


@asynccontextmanager
async def listening(
    http: Any,
    model: FakeModel | None = None,
    *,
    core: Core | None = None,
    front: Front | None = None,
    host: str = "127.0.0.1",
    port: int = 0,
    **more: Any,
) -> AsyncIterator[tuple[int, Any]]:
    front = front or build_front(Models([core or core_of(model or numeric_model(), **more)]))
    server = Prompt(server_config(front, http=http))
    with bind(host, port) as socket:
        await server.begin(socket)
        try:
            yield socket.getsockname()[1], front
        finally:
            await server.end()


@asynccontextmanager
async def connected(front: Front) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a front behind our connections, on a socket; ``fakes.client_of`` speaks ASGI to it."""
    async with (
        listening(InferenceConnection, front=front) as (port, _),
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client,
    ):
        yield client


async def talk(port: int, *pieces: bytes) -> bytes:
    """What a server says to these bytes until it closes the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)
        async with asyncio.timeout(DEADLINE):
            return await reader.read()
    finally:
        writer.close()


LAST = request(GOOD, b"connection: close")
HEAD = b"POST %b HTTP/1.1\r\nhost: a\r\n" % PREDICT
CHUNKED = HEAD + b"transfer-encoding: chunked\r\n\r\n"
