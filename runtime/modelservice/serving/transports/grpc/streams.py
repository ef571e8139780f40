"""Streams of requests: each is answered before the next is read, and one that is refused ends nothing."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

import grpc.aio

from modelservice.serving.core import Core
from modelservice.serving.errors import BusyError, ShuttingDownError, as_request_error, message_of
from modelservice.serving.inference import LARGE_BODY
from modelservice.serving.transports.grpc.interceptor import without_frames

MAX_STREAMS: Final = 16
"""Each waits for a message, and gRPC holds a whole one, 16 MiB at most, before anything is asked."""

Infer = Callable[[bytes, Any], Awaitable[bytes]]
Admit = Callable[[], None]
"""Raises a RequestError to refuse: a token may have run out, and a caller asked too often."""
Record = Callable[[str, float], None]
"""Is told the code of an answer, and the seconds that it took."""


class Streams:
    """The streams of one server; lives on its event loop."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._open = 0

    async def answer(
        self, context: Any, admit: Admit, record: Record, *, infer: Infer, refuse: Callable[[str], bytes]
    ) -> None:
        """Answer one stream until its client or the server ends it.

        Args:
            context: of the call.
            admit: is asked about each message.
            record: is told of each answer.
            infer: answers a message.
            refuse: says in a message why another one was refused.

        Raises:
            BusyError: there are too many streams.
            ShuttingDownError: the server takes nothing new.
        """
        if self._open >= MAX_STREAMS:
            raise BusyError(f"the server answers {MAX_STREAMS} streams, which is all it may; try again")
        self._open += 1
        leaving = asyncio.ensure_future(self._core.lifecycle.left())
        try:
            while (message := await _next(context, leaving)) is not None:
                started = self._core.clock()
                answer, code = await self._answer(message, context, admit, infer, refuse)
                await context.write(answer)
                record(code, self._core.clock() - started)
        finally:
            leaving.cancel()
            self._open -= 1

    async def _answer(
        self, message: bytes, context: Any, admit: Admit, infer: Infer, refuse: Callable[[str], bytes]
    ) -> tuple[bytes, str]:
        try:
            admit()
            with self._core.budget.hold() as held:
                if len(message) > LARGE_BODY:
                    held.add(len(message))
                return await infer(message, context), "OK"
        except Exception as error:
            refused = without_frames(as_request_error(error))
            return refuse(message_of(refused)), refused.code


async def _next(context: Any, leaving: asyncio.Future[None]) -> bytes | None:
    reading = asyncio.ensure_future(context.read())
    try:
        await asyncio.wait((reading, leaving), return_when=asyncio.FIRST_COMPLETED)
        if not reading.done():
            raise ShuttingDownError("the server is shutting down; try again")
        message = reading.result()
        return None if message is grpc.aio.EOF else bytes(message)
    finally:
        reading.cancel()
