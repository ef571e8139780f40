"""From an inference request's headers and body to its answer: the one path, whatever framework stands around it."""

import asyncio
from collections.abc import Callable
from typing import Final

from modelservice.data.errors import InputError
from modelservice.serving.answer import INFERENCE_HEADER_LENGTH, Answer
from modelservice.serving.batcher import Batcher
from modelservice.serving.body import ClientDisconnectedError, Receive, check_length, decode_body, read_body
from modelservice.serving.call import Call
from modelservice.serving.errors import to_answer
from modelservice.serving.model import ServedModel, version_of
from modelservice.serving.protocol_v1 import ProtocolV1
from modelservice.serving.protocol_v2 import ProtocolV2

LARGE_BODY: Final = 64 * 1024
"""Bytes from which a body is decoded and parsed, and its answer rendered, in a thread."""
LARGE_ANSWER: Final = 16 * 1024
"""Probabilities from which an answer is rendered in a thread: a small body can carry 10,000 short rows."""
LARGE_AT_ONCE: Final = 2
"""Large bodies that are decoded and parsed at once: JSON takes up to 25 times its bytes until it is refused."""

Parse = Callable[[bytes, bytes | None], Call]


class Inference:
    """Answers ``infer`` and ``:predict`` for one model.

    ``routes`` maps each path to its parser and to the template by which metrics know it.
    """

    def __init__(self, *, model: ServedModel, name: str, batcher: Batcher) -> None:
        self._batcher = batcher
        self._large = asyncio.Semaphore(LARGE_AT_ONCE)
        v1 = ProtocolV1(model=model)
        v2 = ProtocolV2(model=model, name=name)
        self.metadata = v2.metadata()

        def predict(body: bytes, _header_length: bytes | None) -> Call:
            return v1.parse(body)

        versioned = f"versions/{version_of(model)}"
        self.routes: dict[str, tuple[Parse, str]] = {
            f"/v1/models/{name}:predict": (predict, "/v1/models/{name}:predict"),
            f"/v2/models/{name}/infer": (v2.parse, "/v2/models/{name}/infer"),
            f"/v1/models/{name}/{versioned}:predict": (predict, "/v1/models/{name}/versions/{version}:predict"),
            f"/v2/models/{name}/{versioned}/infer": (v2.parse, "/v2/models/{name}/versions/{version}/infer"),
        }

    async def answer(self, parse: Parse, headers: list[tuple[bytes, bytes]], receive: Receive) -> Answer | None:
        """Answer one request; None if the client left before it was whole. Never raises."""
        encoding = header_length = None
        try:
            for name, value in headers:
                if name == b"content-length":
                    check_length(value)
                elif name == b"content-encoding":
                    encoding = value
                elif name == INFERENCE_HEADER_LENGTH:
                    header_length = value
            body = await read_body(receive)
            if len(body) > LARGE_BODY or encoding is not None:
                return await self._answer_large(parse, body, encoding, header_length)
            call = parse(body, header_length)
            try:
                probabilities = await self._batcher.submit(call.rows)
            except InputError as error:
                return to_answer(call.place(error))
            if probabilities.size > LARGE_ANSWER:
                return await asyncio.to_thread(call.render, probabilities)
            return call.render(probabilities)
        except ClientDisconnectedError:
            return None
        except Exception as error:
            return to_answer(error)

    async def _answer_large(
        self, parse: Parse, body: bytes, encoding: bytes | None, header_length: bytes | None
    ) -> Answer:
        def decode() -> Call:
            return parse(decode_body(body, encoding or b""), header_length)

        async with self._large:
            call = await asyncio.to_thread(decode)
        try:
            return await asyncio.to_thread(call.render, await self._batcher.submit(call.rows))
        except InputError as error:
            raise call.place(error) from None
