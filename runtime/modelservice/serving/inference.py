"""From a body to its answer: the one path of every inference, whatever protocol and transport stand around it."""

import asyncio
from collections.abc import Callable
from typing import Any, Final, TypeVar

from modelservice.modalities.errors import InputError
from modelservice.serving.batcher import Batcher
from modelservice.serving.calls import Call

LARGE_BODY: Final = 64 * 1024
"""Bytes from which a body is decoded and parsed, and its answer rendered, in a thread."""
LARGE_ANSWER: Final = 16 * 1024
"""Numbers from which an answer is rendered in a thread: a small body can carry 10,000 short rows."""
LARGE_AT_ONCE: Final = 2
"""Large bodies that are decoded and parsed at once: JSON takes up to 25 times its bytes until it is refused."""

Rendered = TypeVar("Rendered")


class Inference:
    """Parses, queues and renders; must be made on the event loop that will serve."""

    def __init__(self, batcher: Batcher) -> None:
        self._batcher = batcher
        self._large = asyncio.Semaphore(LARGE_AT_ONCE)

    async def answer(
        self, parse: Callable[..., Call[Rendered]], *request: Any, large: bool, patience: int = 1, alone: bool = False
    ) -> Rendered:
        """Answer one request.

        Args:
            parse: makes a call of the request.
            request: the arguments of ``parse``.
            large: parse and render in a thread.
            patience: how long a batch waits for company, see ``Batcher.submit``.
            alone: nothing else is being asked, see ``Batcher.answer_alone``.

        Raises:
            RequestError: the request is refused.
        """
        if large:
            async with self._large:
                call = await asyncio.to_thread(parse, *request)
        else:
            call = parse(*request)
        try:
            raw = self._batcher.answer_alone(call.rows) if alone else None
            if raw is None:
                raw = await self._batcher.submit(call.rows, patience=patience)
        except InputError as error:
            raise call.place(error) from None
        if large or raw.size > LARGE_ANSWER:
            return await asyncio.to_thread(call.render, raw)
        return call.render(raw)
