"""gRPC on the event loop of HTTP; imported only where it is asked for."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING

from modelservice.serving.core import Models
from modelservice.serving.lifecycle import GRACE_SECONDS
from modelservice.serving.listening import bind

if TYPE_CHECKING:
    from modelservice.serving.transports.grpc.server import Started

_LOG = logging.getLogger(__name__)


class Grpc:
    """The transport of services."""

    name = "grpc"

    def bind(self, host: str, port: int) -> "BoundGrpc":
        """Find out whether the address can be had: gRPC takes no socket, it binds its own when it starts."""
        from modelservice.serving.transports.grpc.server import start_grpc  # noqa: PLC0415 - 15 MB

        bind(host, port).close()
        return BoundGrpc(host, port, start=start_grpc)


class BoundGrpc:
    """An address that was free a moment ago."""

    def __init__(self, host: str, port: int, *, start: Callable[..., Awaitable["Started"]]) -> None:
        self._host = host
        self._port = port
        self._start = start

    def where(self) -> str:
        """The address as gRPC's clients write it."""
        return f"{self._host} port {self._port}"

    async def start(self, models: Models) -> None:
        """Start to answer calls."""
        self._lifecycle = models.common.lifecycle
        self._server, self._port, self._answering = await self._start(models, host=self._host, port=self._port)
        _LOG.info("serving gRPC on %s", self.where())

    async def prepare(self, models: Models) -> Callable[[], None]:
        """Have the protocols say what they do of the other models, in a thread."""
        return partial(self._answering.turn_to, await asyncio.to_thread(self._answering.of, models))

    async def serve(self) -> None:
        """Answer calls until the server leaves."""
        await self._lifecycle.left()
        await self._server.stop(GRACE_SECONDS)

    def close(self) -> None:
        """Nothing is held."""
