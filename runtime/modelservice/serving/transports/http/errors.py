"""Errors as HTTP answers: ``{"error": "..."}``, as both protocols want it."""

import math

import orjson

from modelservice.serving.answer import JSON_HEADERS, Answer
from modelservice.serving.errors import (
    RequestError,
    UnauthenticatedError,
    UnsupportedEncodingError,
    as_request_error,
    message_of,
)

Header = tuple[bytes, bytes]


def to_answer(error: BaseException) -> Answer:
    """Translate any error into an answer."""
    refused = as_request_error(error)
    headers: list[Header] = []
    if refused.retry_after is not None:
        headers.append((b"retry-after", b"%d" % max(1, math.ceil(refused.retry_after))))
    if isinstance(refused, UnsupportedEncodingError):
        headers.append((b"accept-encoding", b"gzip, deflate"))
    if isinstance(refused, UnauthenticatedError):
        headers.append((b"www-authenticate", b'Bearer error="invalid_token"' if refused.tried else b"Bearer"))
    return error_answer(refused.status, refused, *headers)


def error_answer(status: int, error: RequestError, *headers: Header) -> Answer:
    """An error body."""
    body = orjson.dumps({"error": message_of(error)})
    return Answer(status, (*JSON_HEADERS, *headers), body)
