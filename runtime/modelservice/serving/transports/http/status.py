"""A port for probes and metrics alone, in plain HTTP and to everybody: kubelet and Prometheus have no credentials.

It stands beside the port of HTTP where that one asks for a key, a token or TLS, and is not in the Service.
"""

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from modelservice.serving.core import Models
from modelservice.serving.errors import RequestError
from modelservice.serving.listening import bind, url_of
from modelservice.serving.protocols import PROTOCOLS
from modelservice.serving.transports.http.application import build_application, routes_of
from modelservice.serving.transports.http.connection import InferenceConnection
from modelservice.serving.transports.http.errors import error_answer
from modelservice.serving.transports.http.front import Application, Front, Scope, Send, send_answer
from modelservice.serving.transports.http.server import PacedServer, server_config

PAGES = frozenset({"/v2/health/live", "/v2/health/ready", "/metrics"})


class Status:
    """The transport of probes and metrics."""

    name = "status"

    def bind(self, host: str, port: int) -> "BoundStatus":
        """Take an address; see ``Transport``."""
        return BoundStatus(bind(host, port))


class BoundStatus:
    """A socket for probes and metrics."""

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener

    def where(self) -> str:
        """The address as a URL."""
        return f"{url_of(self._listener)} (status)"

    async def start(self, models: Models) -> None:
        """Build the few pages."""
        self._lifecycle = models.common.lifecycle
        self._server = _QuietServer(server_config(build_status_front(models), http=InferenceConnection))

    async def prepare(self, models: Models) -> Callable[[], None]:
        """Build the pages anew, in a thread."""
        return partial(self._server.turn_to, await asyncio.to_thread(build_status_front, models))

    async def serve(self) -> None:
        """Answer until the server leaves."""
        await asyncio.gather(self._server.serve(sockets=[self._listener]), self._leave())

    def close(self) -> None:
        """Close the socket."""
        self._listener.close()

    async def _leave(self) -> None:
        await self._lifecycle.left()
        self._server.should_exit = True


def build_status_front(models: Models) -> Front:
    """The pages of the application that are for everybody; all others are not there."""
    opened = models.open()
    routes = [
        (core, tuple(rest._replace(operations=(), queries=(), commands=(), downloads=()) for rest in rests))
        for core, rests in routes_of(opened, PROTOCOLS)
    ]
    return Front(_only_pages(build_application(opened, routes)), models=opened, operations={})


def _only_pages(application: Application) -> Application:
    async def answer(scope: Scope, receive: Any, send: Send) -> None:
        if scope["path"] in PAGES:
            await application(scope, receive, send)
        else:
            said = RequestError(f"nothing at {scope['path'][:200]}; this port has {', '.join(sorted(PAGES))}")
            await send_answer(error_answer(404, said), send)

    return answer


class _QuietServer(PacedServer):
    """Leaves the signals to the server of HTTP."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Take none."""
        yield
