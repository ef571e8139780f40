"""Streams on which the server tells whether it asks for requests, once and again when that changes."""

import asyncio
from collections.abc import Callable
from typing import Any, Final

from modelservice.serving.chain import Arrival
from modelservice.serving.errors import BusyError, ShuttingDownError
from modelservice.serving.protocols.base import State
from modelservice.serving.transports.grpc.answering import Answering
from modelservice.serving.transports.grpc.interceptor import read_one
from modelservice.serving.transports.grpc.streams import Admit, Record

MAX_WATCHES: Final = 800
"""As many as connections over HTTP: a client that balances calls keeps one open for as long as it lives."""


class Watches:
    """The watches of one server; lives on its event loop.

    Args:
        answering: whose readiness is told.
        read_seconds: how long the question may take.
    """

    def __init__(self, answering: Answering, *, read_seconds: float) -> None:
        self._answering = answering
        self._read_seconds = read_seconds
        self._open = 0

    async def answer(
        self, context: Any, _arrival: Arrival, admit: Admit, record: Record, *, answer: Callable[[bytes, State], bytes]
    ) -> None:
        """Answer one watch until its client or the server ends it.

        Raises:
            BusyError: there are too many.
            RequestError: the question is none.
            ShuttingDownError: the server takes nothing new.
        """
        if self._open >= MAX_WATCHES:
            raise BusyError(f"the server answers {MAX_WATCHES} watches, which is all it may; try again")
        self._open += 1
        try:
            question = await read_one(context, self._read_seconds)
            admit()
            started = self._answering.models.common.clock()
            told = answer(question, self._answering.models.state())
            await context.write(told)
            record("OK", self._answering.models.common.clock() - started)
            for change in (self._ready, self._answering.models.common.lifecycle.drained):
                await change()
                if (now := answer(question, self._answering.models.state())) != told:
                    await context.write(now)
                    told = now
            await self._answering.models.common.lifecycle.left()
            raise ShuttingDownError("the server is shutting down; try again")
        finally:
            self._open -= 1

    async def _ready(self) -> None:
        """Return once the server is ready, or will never be."""
        changes = [
            asyncio.ensure_future(one())
            for one in (self._answering.models.common.gate.arrived, self._answering.models.common.lifecycle.drained)
        ]
        try:
            await asyncio.wait(changes, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for change in changes:
                change.cancel()
