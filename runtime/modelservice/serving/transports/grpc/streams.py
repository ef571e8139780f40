"""Streams of requests: each is answered before the next is read, and one that is refused ends nothing.

Except where its caller is nobody any more: what was taken from a caller is not left open.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

import grpc.aio

from modelservice.serving.chain import Arrival
from modelservice.serving.core import Common
from modelservice.serving.errors import (
    BusyError,
    ClientLeftError,
    ForbiddenError,
    QueueFullError,
    ShuttingDownError,
    TooSlowError,
    UnauthenticatedError,
    as_request_error,
    message_of,
)
from modelservice.serving.inference import LARGE_BODY
from modelservice.serving.transports.grpc.interceptor import new_rests, without_frames

MAX_STREAMS: Final = 16
"""Each waits for a message, and gRPC holds a whole one, 16 MiB at most, before anything is asked."""
IDLE_SECONDS: Final = 75.0
"""Between two messages of a stream, as between two requests of a connection: a place is for who uses it."""
WRITE_SECONDS: Final = 20.0
"""For an answer that its client does not read: gRPC takes it once what was written before has left."""

Infer = Callable[[bytes, Arrival], Awaitable[bytes]]
Refuse = Callable[[str], bytes]
Admit = Callable[[], None]
"""Raises a RequestError to refuse: a token may have run out, and a caller asked too often."""
Record = Callable[[str, float], None]
"""Is told the code of the answer to a message, and the seconds since that was read."""


class Streams:
    """The streams of one server; lives on its event loop.

    Args:
        common: what its models share.
        idle_seconds: how long a stream may wait for its next message.
        write_seconds: how long its client may take to make room for an answer.
    """

    def __init__(
        self, common: Common, *, idle_seconds: float = IDLE_SECONDS, write_seconds: float = WRITE_SECONDS
    ) -> None:
        self._lifecycle, self._budget, self._clock = common.lifecycle, common.budget, common.clock
        self._idle_seconds = idle_seconds
        self._write_seconds = write_seconds
        self._open = 0
        self._rests = new_rests()

    async def answer(
        self, context: Any, arrival: Arrival, admit: Admit, record: Record, *, infer: Infer, refuse: Refuse
    ) -> None:
        """Answer one stream until its client or the server ends it.

        Args:
            context: of the call.
            arrival: its headers; learns of each message which model it is for.
            admit: is asked about each message.
            record: is told of each message that was read, CANCELLED where its answer was not taken; of none that
                ends the stream by what is raised.
            infer: answers a message.
            refuse: says in a message why another one was refused.

        Raises:
            BusyError: there are too many streams.
            ForbiddenError: its caller may not call any more.
            ShuttingDownError: the server takes nothing new.
            TooSlowError: the client sent nothing, or did not read its answer, for too long.
            UnauthenticatedError: its caller is not known any more.
        """
        if self._open >= MAX_STREAMS:
            raise BusyError(f"the server answers {MAX_STREAMS} streams, which is all it may; try again")
        self._open += 1
        leaving = asyncio.ensure_future(self._lifecycle.left())
        try:
            while (message := await self._next(context, leaving)) is not None:
                started = self._clock()
                code: str | None = ClientLeftError.code
                try:
                    answer, answered = await self._answer(message, arrival, admit, infer, refuse)
                    await self._write(context, answer)
                    code = answered
                except (UnauthenticatedError, ForbiddenError):
                    code = None  # one refusal is one record, that of the end
                    raise
                finally:
                    if code is not None:
                        record(code, self._clock() - started)
                if code == QueueFullError.code:
                    await self._rests.rest()
        finally:
            leaving.cancel()
            self._open -= 1

    async def _answer(
        self, message: bytes, arrival: Arrival, admit: Admit, infer: Infer, refuse: Refuse
    ) -> tuple[bytes, str]:
        try:
            admit()
            with self._budget.hold() as held:
                if len(message) > LARGE_BODY:
                    held.add(len(message))
                return await infer(message, arrival), "OK"
        except (UnauthenticatedError, ForbiddenError):
            raise
        except Exception as error:
            refused = without_frames(as_request_error(error))
            return refuse(message_of(refused)), refused.code

    async def _next(self, context: Any, leaving: asyncio.Future[None]) -> bytes | None:
        reading = asyncio.ensure_future(context.read())
        try:
            await asyncio.wait((reading, leaving), timeout=self._idle_seconds, return_when=asyncio.FIRST_COMPLETED)
            if reading.done():
                message = reading.result()
                return None if message is grpc.aio.EOF else bytes(message)
            if leaving.done():
                raise ShuttingDownError("the server is shutting down; try again")
            raise TooSlowError(f"the stream had no message for {self._idle_seconds:.0f} seconds; open it anew")
        finally:
            reading.cancel()

    async def _write(self, context: Any, answer: bytes) -> None:
        try:
            async with asyncio.timeout(self._write_seconds):
                await context.write(answer)
        except TimeoutError:
            raise TooSlowError(f"the answer was not read within {self._write_seconds:.0f} seconds") from None
