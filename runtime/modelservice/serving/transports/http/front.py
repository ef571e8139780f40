"""The ASGI front of what connections do not answer themselves: the chain, and the application behind it.

``connection`` answers inference requests before there is a scope; both ways begin and end with the same chain.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Any

from starlette.routing import BaseRoute, Match

from modelservice.serving.answer import Answer
from modelservice.serving.callers import PUBLIC_METHODS, UNKNOWN_PEER
from modelservice.serving.chain import UNMATCHED, Arrival
from modelservice.serving.core import Models
from modelservice.serving.errors import RequestError, UnauthenticatedError
from modelservice.serving.transports.http.body import HeldBack, Message, Receive, bounded
from modelservice.serving.transports.http.direct import Asked, Direct
from modelservice.serving.transports.http.errors import to_answer

Scope = dict[str, Any]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Any, Any, Any], Awaitable[None]]

ARRIVAL = "modelservice.arrival"
"""Key of the scope under which the application finds what the chain was asked about."""
ENDED = "modelservice.ended"
"""Key of uvicorn's scope under which a connection says why it ended a request that will never be whole."""
IS_HEAD = "modelservice.is_head"
"""Key of the scope with whether only the head of the answer is asked for."""
PEER = "modelservice.peer"
"""Key of uvicorn's scope with the other end of the connection."""
TURNED_AWAY = "modelservice.turned_away"
"""Key of uvicorn's scope with whether a request was answered with 429."""
FOR_PEOPLE = frozenset({"/", "/docs"})
"""Paths of pages that people open: their browser then asks them for a key or token."""
_ASKED_OF_BROWSERS = (b"www-authenticate", b'Basic realm="an API key or token as the password"')
_CLOSE = (b"connection", b"close")


class Front:
    """An ASGI application around another one."""

    def __init__(
        self,
        application: Application,
        *,
        models: Models,
        operations: Mapping[str, Asked],
        routes: Sequence[BaseRoute] = (),
    ) -> None:
        """Args: what answers all that connections do not, operations by path, and the application's routes."""
        self.direct = Direct(models, operations)
        self._application = application
        self._routes = routes
        self._operations = operations
        self._models = models

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._application(scope, receive, send)
            return
        asked = self._operations.get(scope["path"]) if scope["method"] == "POST" else None
        chain = self._models.chain if asked is None else asked[0].chain
        common, status = self._models.common, 500
        started = common.clock()
        arrival = Arrival(
            UNMATCHED if asked is None else asked[1].template,
            scope["headers"],
            infers=asked is not None,
            path="" if scope["path"] in PUBLIC_METHODS else scope["path"],
            peer=scope.get(PEER, UNKNOWN_PEER),
        )

        given = scope
        body = HeldBack(scope["headers"], receive)

        async def watch(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                given[TURNED_AWAY] = status == HTTPStatus.TOO_MANY_REQUESTS
                if common.lifecycle.draining or body.is_unasked:
                    message["headers"] = [*message.get("headers", ()), _CLOSE]
            await send(message)

        scope = {**scope, ARRIVAL: arrival, IS_HEAD: scope["method"] == "HEAD"}
        if scope[IS_HEAD]:  # a GET, of whose answer uvicorn sends no body
            scope["method"] = "GET"
        try:
            chain.admit(arrival)
        except Exception as error:
            answer = to_answer(error)
            if isinstance(error, UnauthenticatedError) and scope["path"] in FOR_PEOPLE:
                answer = answer._replace(headers=[*answer.headers, _ASKED_OF_BROWSERS])
            await send_answer(answer, watch)
        else:
            await self._application(scope, bounded(body.receive), watch)
        finally:
            if asked is None:
                arrival.route = getattr(scope.get("route") or self._route_of(given), "path", UNMATCHED)
            ended: RequestError | None = given.get(ENDED)
            chain.record(arrival, str(status if ended is None else ended.status), common.clock() - started)

    def _route_of(self, scope: Scope) -> BaseRoute | None:
        """What a request is for that the application was not asked, or that FastAPI does not tell of."""
        return next((route for route in self._routes if route.matches(scope)[0] is not Match.NONE), None)


async def send_answer(answer: Answer, send: Send) -> None:
    """Send an answer as ASGI messages."""
    await send({"type": "http.response.start", "status": answer.status, "headers": answer.all_headers()})
    await send({"type": "http.response.body", "body": answer.body})
