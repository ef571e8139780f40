"""HTTP under uvicorn: a front that answers inference itself, before a FastAPI application for everything else."""

import asyncio
import socket
from collections.abc import Callable
from functools import partial

from modelservice.serving.core import Models
from modelservice.serving.listening import bind, url_of
from modelservice.serving.transports.http.server import build_front, build_server


class Http:
    """The transport of probes, metrics and documentation too; it turns signals into the server's leaving."""

    name = "http"

    def bind(self, host: str, port: int) -> "BoundHttp":
        """Take an address; see ``Transport``."""
        return BoundHttp(bind(host, port))


class BoundHttp:
    """A socket for HTTP."""

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener

    def where(self) -> str:
        """The address as a URL."""
        return url_of(self._listener)

    async def start(self, models: Models) -> None:
        """Build the application."""
        self._server = build_server(models)

    async def prepare(self, models: Models) -> Callable[[], None]:
        """Build another application, in a thread: it takes some tenths of a second."""
        return partial(self._server.turn_to, await asyncio.to_thread(build_front, models))

    async def serve(self) -> None:
        """Answer requests until a signal ends it."""
        await self._server.serve(sockets=[self._listener])

    def close(self) -> None:
        """Close the socket."""
        self._listener.close()
