"""uvicorn as it runs here, and how it leaves."""

import asyncio
import signal
import socket
import sys
from types import FrameType
from typing import Any

import uvicorn

from modelservice.serving.access.certificates import Certificates
from modelservice.serving.access.handshakes import HANDSHAKE_SECONDS
from modelservice.serving.core import Models
from modelservice.serving.lifecycle import DRAIN_SECONDS, GRACE_SECONDS, Lifecycle
from modelservice.serving.protocols import PROTOCOLS
from modelservice.serving.protocols.base import InferenceProtocol
from modelservice.serving.transports.http.application import build_application, routes_of
from modelservice.serving.transports.http.connection import InferenceConnection
from modelservice.serving.transports.http.front import Front
from modelservice.serving.transports.http.pace import KEEP_ALIVE_SECONDS, READING_SECONDS

BACKLOG = 2048
PACE_TICKS = 10


class PacedServer(uvicorn.Server):
    """A uvicorn server that looks after its connections."""

    def turn_to(self, front: Front) -> None:
        """Answer what begins from now on by another front, on connections that are open too."""
        self.config.app = self.config.loaded_app = front
        for connection in tuple(self.server_state.connections):
            if isinstance(connection, InferenceConnection):
                connection.turn_to(front)

    async def on_tick(self, counter: int) -> bool:
        """Ten times a second: uvicorn's own duties, and now and then a look at clients that are slow."""
        if counter % PACE_TICKS == 0:
            now = asyncio.get_running_loop().time()
            for connection in tuple(self.server_state.connections):
                if isinstance(connection, InferenceConnection):
                    connection.check_pace(now)
        return await super().on_tick(counter)


class DrainingServer(PacedServer):
    """A server that leaves in order.

    SIGTERM: draining at once, leaving after ``drain_seconds``. A second signal, or Ctrl-C, skips the wait.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        *,
        lifecycle: Lifecycle,
        certificates: Certificates | None = None,
        drain_seconds: float = DRAIN_SECONDS,
    ) -> None:
        super().__init__(config)
        self._certificates = certificates
        self._lifecycle = lifecycle
        self._drain_seconds = drain_seconds
        self._loop = asyncio.get_running_loop()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002
        """Start to leave; runs in the signal handler, so all that touches the loop is handed to it."""
        if sig == signal.SIGTERM and not self._lifecycle.draining:
            self._lifecycle.drain()
            self._loop.call_soon_threadsafe(self._loop.call_later, self._drain_seconds, self._leave)
            return
        self._lifecycle.drain()
        self.force_exit = self.should_exit
        self._loop.call_soon_threadsafe(self._leave)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen; with TLS not by uvicorn's own call, which takes no time-out for handshakes."""
        if self._certificates is None:
            await super().startup(sockets)
            return
        await super().startup([])
        config, loop = self.config, asyncio.get_running_loop()
        self.servers = [
            await loop.create_server(
                lambda: InferenceConnection(config=config, server_state=self.server_state, app_state={}),
                sock=one,
                backlog=config.backlog,
                ssl=self._certificates.listening_context(),
                ssl_handshake_timeout=HANDSHAKE_SECONDS,
                ssl_shutdown_timeout=READING_SECONDS,
            )
            for one in sockets or ()
        ]

    def _leave(self) -> None:
        self._lifecycle.leave()
        self.should_exit = True


def build_front(models: Models, protocols: tuple[InferenceProtocol, ...] = PROTOCOLS) -> Front:
    """The front and the application behind it, with the routes of all protocols that are spoken over HTTP."""
    routes = routes_of(models, protocols)
    operations = {one.path: (core, one) for core, rests in routes for rest in rests for one in rest.operations}
    application = build_application(models, routes)
    return Front(application, models=models, operations=operations, routes=application.app.routes)


def server_config(application: Any, *, http: Any = "httptools") -> uvicorn.Config:
    """How uvicorn runs here; the bench's bare echo runs the same way, with uvicorn's own connections."""
    return uvicorn.Config(
        application,
        http=http,
        loop="uvloop" if sys.platform != "win32" else "asyncio",
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        log_level="warning",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        backlog=BACKLOG,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )


def build_server(models: Models) -> DrainingServer:
    """A server of models; its ``serve`` answers requests until a signal ends it."""
    config = server_config(build_front(models), http=InferenceConnection)
    common = models.common
    return DrainingServer(config, lifecycle=common.lifecycle, certificates=common.gate.certificates)
