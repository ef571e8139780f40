"""An inference request over HTTP, whatever framework stands around it."""

from collections.abc import Callable

from modelservice.serving.answer import Answer
from modelservice.serving.calls import Call
from modelservice.serving.chain import Arrival
from modelservice.serving.inference import LARGE_BODY, Inference
from modelservice.serving.protocols.base import Operation
from modelservice.serving.transports.http.body import ClientDisconnectedError, Receive, decode_body, read_body
from modelservice.serving.transports.http.errors import to_answer

Parse = Callable[[bytes, bytes | None], Call[Answer]]


async def answer_operation(
    inference: Inference, operation: Operation, arrival: Arrival, receive: Receive
) -> Answer | None:
    """Answer one request that was admitted; None if the client left before it was whole. Never raises."""
    try:
        body = await read_body(receive)
        if arrival.encoding is None:
            return await inference.answer(operation.parse, body, arrival.header_length, large=len(body) > LARGE_BODY)
        return await inference.answer(
            _decode_and_parse, operation.parse, body, arrival.encoding, arrival.header_length, large=True
        )
    except ClientDisconnectedError:
        return None
    except Exception as error:
        return to_answer(error)


def _decode_and_parse(parse: Parse, body: bytes, encoding: bytes, header_length: bytes | None) -> Call[Answer]:
    return parse(decode_body(body, encoding), header_length)
