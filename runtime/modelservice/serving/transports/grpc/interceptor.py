"""The chain before every remote call, its message, and the one place where errors become gRPC status codes.

Messages are read here, one by one, which gRPC offers for streams only (a call with one message is a stream of one).
Left to itself it reads all messages of all calls at once before anything is asked: 30 of 14 MB took 1.4 GB.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from http import HTTPStatus
from typing import Any, Final

import grpc
import grpc.aio

from modelservice.serving.access.rates import Rates
from modelservice.serving.callers import PUBLIC, Peer, plain_address
from modelservice.serving.chain import UNMATCHED, Arrival, Chain
from modelservice.serving.errors import RequestError, TooSlowError, UnknownMethodError, as_request_error, message_of
from modelservice.serving.inference import LARGE_BODY
from modelservice.serving.rests import Rests
from modelservice.serving.transports.grpc.answering import Answering

Behaviour = Callable[[bytes, Arrival], Awaitable[bytes]]
"""A message, and the headers before it, which learn the model that it names."""
Read = Callable[[Any, Arrival], Awaitable[bytes]]
Stream = Callable[[Any, Arrival, Callable[[], None], Callable[[str, float], None]], Awaitable[None]]

_NAMES: Final = ("peer_uri", "peer_dns", "x509_common_name")
"""What gRPC calls the names of ``callers.names_of``, in their order."""
READ_AT_ONCE: Final = 4
"""Messages: what is on its way is not in the budget yet."""
READ_SECONDS: Final = 10.0
"""For one message, once it is its turn."""
PUBLIC_AT_ONCE: Final = 8
"""Messages of calls that need no credential: who has none keeps nobody waiting but others that ask the same."""
PUBLIC_SECONDS: Final = 2.0
"""For one of these, which is a name at most and leaves its client with the call."""
TURN_SECONDS: Final = 0.001
"""Between two calls that are told that there are too many: each takes 0.3 ms of CPU, as much as an answer. gRPC cannot
be told not to read a connection, so what they are told waits."""
REST_SECONDS: Final = 1.0
"""That one waits for it at most."""


class ChainInterceptor(grpc.aio.ServerInterceptor):  # type: ignore[misc] # grpc is untyped
    """Asks the guards, reads the message within the budget, and tells the observers how the call ended."""

    def __init__(self, answering: Answering, *, methods: dict[str, bool], read_seconds: float = READ_SECONDS) -> None:
        """Methods by full path, and whether they ask for an inference."""
        common = answering.models.common
        self._answering = answering
        self._gate = common.gate
        self._budget = common.budget
        self._clock = common.clock
        self._methods = methods
        self._reading = asyncio.Semaphore(READ_AT_ONCE)
        self._read_seconds = read_seconds
        self._reading_public = asyncio.Semaphore(PUBLIC_AT_ONCE)
        self._public_seconds = min(PUBLIC_SECONDS, read_seconds)
        self._rests = new_rests()

    async def intercept_service(self, continuation: Callable[[Any], Awaitable[Any]], handler_call_details: Any) -> Any:
        """A handler that stands around the one that was found."""
        started = self._clock()
        infers = self._methods.get(handler_call_details.method)
        route = UNMATCHED if infers is None else handler_call_details.method
        headers = _headers(handler_call_details.invocation_metadata)
        path = "" if infers is None else handler_call_details.method  # which HTTP may have, and may be public there
        arrival = Arrival(route, headers, infers=bool(infers), path=path)
        handler = await continuation(handler_call_details)
        if handler is None:
            return self._handler(_unknown, arrival, started)
        if handler.response_streaming:
            return self._stream(handler.stream_stream, arrival)
        reads = self._reads(handler.unary_unary, public=arrival.path in PUBLIC)
        return self._handler(reads, arrival, started)

    def _admit(self, arrival: Arrival, context: Any, chain: Chain) -> None:
        """Ask the guards, now that there is somebody to ask about."""
        if self._gate.looks_at_peers:
            arrival.peer = peer_of(context)
        chain.admit(arrival)

    def _handler(self, respond: Read, arrival: Arrival, started: float) -> Any:
        models = self._answering.models

        async def answer(_messages: Any, context: Any) -> bytes:
            code = "OK"
            try:
                self._admit(arrival, context, models.chain)
                if arrival.infers and len(models.names) == 1:  # of several, the message says which
                    models.first.inference.check_room()
                return await respond(context, arrival)
            except asyncio.CancelledError:  # the client left, or its deadline passed
                code = "CANCELLED"
                raise
            except Exception as error:
                refused = without_frames(as_request_error(error))
                code = refused.code
                if refused.status == HTTPStatus.TOO_MANY_REQUESTS:
                    await self._rests.rest()
                return await _abort(context, refused)
            finally:
                models.chain_of(arrival).record(arrival, code, self._clock() - started)

        return grpc.stream_unary_rpc_method_handler(answer)

    def _stream(self, respond: Stream, arrival: Arrival) -> Any:
        """A stream that is answered by its own behaviour, which records its messages; what ends it is recorded here.

        The end is an answer that nothing waited for: it took no time, whatever the age of the stream. What counts
        requests is asked about its messages, each of which is one; that it begins is none.
        """

        def record(code: str, seconds: float) -> None:
            models = self._answering.models  # those that answer by now
            models.chain_of(arrival).record(arrival, code, seconds)

        async def answer(_messages: Any, context: Any) -> None:
            try:
                self._admit(arrival, context, _uncounted(self._answering.models.chain))
                await respond(context, arrival, partial(self._gate.admit, arrival), record)
            except Exception as error:
                refused = without_frames(as_request_error(error))
                record(refused.code, 0.0)
                await _abort(context, refused)

        return grpc.stream_stream_rpc_method_handler(answer)

    def _reads(self, behaviour: Behaviour, *, public: bool = False) -> Read:
        turns = self._reading_public if public else self._reading
        seconds = self._public_seconds if public else self._read_seconds

        async def respond(context: Any, arrival: Arrival) -> bytes:
            async with turns:
                message = await read_one(context, seconds)
            if len(message) <= LARGE_BODY:
                return await behaviour(message, arrival)
            with self._budget.hold() as held:
                held.add(len(message))
                return await behaviour(message, arrival)

        return respond


def new_rests() -> Rests:
    """Of calls, or of streams, that are told that there are too many."""
    return Rests(turn=TURN_SECONDS, most=REST_SECONDS)


def _uncounted(chain: Chain) -> Chain:
    """The chain without what counts requests of a caller."""
    return chain._replace(guards=tuple(one for one in chain.guards if not isinstance(one, Rates)))


async def read_one(context: Any, seconds: float) -> bytes:
    """The next message of a call.

    Raises:
        RequestError: there is none.
        TooSlowError: it takes longer than that.
    """
    try:
        async with asyncio.timeout(seconds):
            message = await context.read()
    except TimeoutError:
        raise TooSlowError(f"the message did not come whole within {seconds:.0f} seconds") from None
    if message is grpc.aio.EOF:
        raise RequestError("the call has no message; expected one")
    return bytes(message)


async def _unknown(_context: Any, _arrival: Arrival) -> bytes:
    raise UnknownMethodError("Method not found!")  # as gRPC itself says it


def peer_of(context: Any) -> Peer:
    """The other end of a call, as gRPC writes it: ``ipv4:10.0.0.7:52806``, ``ipv6:%5B::1%5D:52806``."""
    _, _, where = context.peer().partition(":")
    address = where.rpartition(":")[0].removeprefix("%5B").removesuffix("%5D")
    shown = context.auth_context()
    names = (name for kind in _NAMES for name in shown.get(kind, ()) if name)  # of no name it tells an empty one
    return Peer(plain_address(address), tuple(dict.fromkeys(name.decode("utf-8", "replace") for name in names)))


def without_frames(error: RequestError) -> RequestError:
    """An error leads to its frames and they to the error: until garbage is collected the message would stay."""
    error.__context__ = None
    return error.with_traceback(None)


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
