"""An inference request over HTTP, whatever framework stands around it."""

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial

from modelservice.serving.answer import Answer
from modelservice.serving.budget import Held
from modelservice.serving.calls import Call
from modelservice.serving.chain import Arrival
from modelservice.serving.core import Core, Models
from modelservice.serving.errors import ClientLeftError
from modelservice.serving.inference import LARGE_BODY
from modelservice.serving.protocols.base import Command, Operation, Query
from modelservice.serving.transports.http.body import Receive, bounded, decode_body, read_body
from modelservice.serving.transports.http.errors import to_answer

Parse = Callable[[bytes, bytes | None], Call[Answer]]


async def answer_operation(core: Core, operation: Operation, arrival: Arrival, receive: Receive) -> Answer:
    """Answer one request that was admitted; if the client left, nothing more is computed for it. Never raises."""
    try:
        core.inference.check_room()
        with core.common.budget.hold() as held:
            body = await read_body(receive, held)
            if arrival.encoding is None:
                large = operation.costly or len(body) > LARGE_BODY
                answering = core.inference.answer(operation.parse, body, arrival.header_length, large=large, held=held)
            else:
                unpacked = partial(_decode_and_parse, operation.parse, body, arrival.encoding, held)
                answering = core.inference.answer(unpacked, arrival.header_length, large=True, held=held)
            return await _unless_left(answering, receive)
    except Exception as error:
        return to_answer(error)


async def answer_query(models: Models, query: Query, receive: Receive) -> Answer:
    """Answer one request that needs no model. Never raises."""
    try:
        with models.common.budget.hold() as held:
            body = await read_body(bounded(receive, limit=LARGE_BODY), held)  # it is parsed on the event loop
            return query.answer(body, models.state())
    except Exception as error:
        return to_answer(error)


async def answer_command(models: Models, command: Command, receive: Receive) -> Answer:
    """Answer one request that is done before it is answered. Never raises."""
    try:
        with models.common.budget.hold() as held:
            body = await read_body(bounded(receive, limit=LARGE_BODY), held)
            return await command.answer(body, models.state())
    except Exception as error:
        return to_answer(error)


async def _unless_left(answering: Coroutine[None, None, Answer], receive: Receive) -> Answer:
    answer, left = asyncio.create_task(answering), asyncio.create_task(_disconnected(receive))
    try:
        await asyncio.wait((answer, left), return_when=asyncio.FIRST_COMPLETED)
        if answer.done():
            return answer.result()
        raise ClientLeftError()
    finally:
        answer.cancel()
        left.cancel()
        del answer  # an error leads to its frames, this one to the answer, and that to the error: a body would stay


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _decode_and_parse(
    parse: Parse, body: bytes, encoding: bytes, held: Held, header_length: bytes | None
) -> Call[Answer]:
    decoded = decode_body(body, encoding)
    held.add(len(decoded))
    return parse(decoded, header_length)
