"""The chain before every remote call, and the one place where errors become gRPC status codes."""

import asyncio
import math
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import grpc
import grpc.aio

from modelservice.serving.chain import UNMATCHED, Arrival
from modelservice.serving.core import Core
from modelservice.serving.errors import RequestError, as_request_error, message_of

Behaviour = Callable[[bytes, Any], Awaitable[bytes]]


class ChainInterceptor(grpc.aio.ServerInterceptor):  # type: ignore[misc] # grpc is untyped
    """Asks the guards before a call's message is read, and tells the observers how it ended."""

    def __init__(self, core: Core, *, methods: dict[str, bool]) -> None:
        """Methods by full path, and whether they ask for an inference."""
        self._chain = core.chain
        self._clock = core.clock
        self._methods = methods

    async def intercept_service(self, continuation: Callable[[Any], Awaitable[Any]], handler_call_details: Any) -> Any:
        """A handler that stands around the one that was found."""
        started = self._clock()
        infers = self._methods.get(handler_call_details.method)
        route = UNMATCHED if infers is None else handler_call_details.method
        arrival = Arrival(route, _headers(handler_call_details.invocation_metadata), infers=bool(infers))
        try:
            self._chain.admit(arrival)
        except Exception as error:
            return grpc.unary_unary_rpc_method_handler(self._watched(_refusal(error), arrival, started))
        handler = await continuation(handler_call_details)
        if handler is None:  # gRPC itself answers UNIMPLEMENTED
            self._chain.record(arrival, "UNIMPLEMENTED", self._clock() - started)
            return None
        return grpc.unary_unary_rpc_method_handler(self._watched(handler.unary_unary, arrival, started))

    def _watched(self, behaviour: Behaviour, arrival: Arrival, started: float) -> Behaviour:
        async def answer(request: bytes, context: Any) -> bytes:
            code = "OK"
            try:
                return await behaviour(request, context)
            except asyncio.CancelledError:  # the client left, or its deadline passed
                code = "CANCELLED"
                raise
            except Exception as error:
                refused = as_request_error(error)
                code = refused.code
                return await _abort(context, refused)
            finally:
                self._chain.record(arrival, code, self._clock() - started)

        return answer


def _refusal(error: Exception) -> Behaviour:
    async def refuse(_request: bytes, _context: Any) -> bytes:
        raise error

    return refuse


async def _abort(context: Any, error: RequestError) -> bytes:
    """End the call; when to come back is said to people, and to gRPC's own retry policy."""
    metadata: tuple[tuple[str, str], ...] = ()
    if error.retry_after is not None:
        metadata = (
            ("retry-after", str(max(1, math.ceil(error.retry_after)))),
            ("grpc-retry-pushback-ms", str(math.ceil(error.retry_after * 1000))),
        )
    await context.abort(grpc.StatusCode[error.code], message_of(error), metadata)
    raise AssertionError("unreachable: abort always raises")


def _headers(metadata: Iterable[tuple[str, str | bytes]]) -> list[tuple[bytes, bytes]]:
    return [(name.encode(), value.encode() if isinstance(value, str) else value) for name, value in metadata]
