"""The ASGI front: answers inference itself and hands everything else to the application.

Where a route hangs matters more than anything in it: the same handler gave 0.66 of a bare echo here, 0.33 on the
router of FastAPI and 0.14 as a FastAPI route. Small requests do not even come here, see ``connection``. All ways begin
with the same chain.
"""

from collections.abc import Awaitable, Callable
from typing import Any

from modelservice.serving.chain import UNMATCHED, Arrival
from modelservice.serving.core import Core
from modelservice.serving.errors import ClientLeftError
from modelservice.serving.protocols.base import Operation
from modelservice.serving.transports.http.body import Message, Receive, bounded
from modelservice.serving.transports.http.direct import Direct
from modelservice.serving.transports.http.errors import to_answer
from modelservice.serving.transports.http.inference import answer_operation

Scope = dict[str, Any]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Any, Any, Any], Awaitable[None]]

_CLOSE = (b"connection", b"close")


class Front:
    """An ASGI application around another one."""

    def __init__(self, application: Application, *, core: Core, operations: tuple[Operation, ...]) -> None:
        self.direct = Direct(core, operations)
        self._application = application
        self._operations = {operation.path: operation for operation in operations}
        self._chain = core.chain
        self._core = core
        self._lifecycle = core.lifecycle
        self._clock = core.clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._application(scope, receive, send)
            return
        started = self._clock()
        operation = self._operations.get(scope["path"]) if scope["method"] == "POST" else None
        arrival = Arrival(
            UNMATCHED if operation is None else operation.template, scope["headers"], infers=operation is not None
        )
        try:
            self._chain.admit(arrival)
        except Exception as error:
            answer = to_answer(error)
        else:
            if operation is None:
                await self._hand_over(scope, receive, send, arrival, started)
                return
            answer = await answer_operation(self._core, operation, arrival, receive)
        status, headers, body = answer
        if status != ClientLeftError.status:
            if self._lifecycle.draining:
                headers.append(_CLOSE)
            await send({"type": "http.response.start", "status": status, "headers": headers})
            await send({"type": "http.response.body", "body": body})
        self._chain.record(arrival, str(status), self._clock() - started)

    async def _hand_over(self, scope: Scope, receive: Receive, send: Send, arrival: Arrival, started: float) -> None:
        status = 500

        async def watch(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                if self._lifecycle.draining:
                    message["headers"] = [*message.get("headers", ()), _CLOSE]
            await send(message)

        if scope["method"] == "HEAD":  # a GET, of whose answer uvicorn sends no body
            scope = {**scope, "method": "GET"}
        try:
            await self._application(scope, bounded(receive), watch)
        finally:
            arrival.route = getattr(scope.get("route"), "path", UNMATCHED)
            self._chain.record(arrival, str(status), self._clock() - started)
