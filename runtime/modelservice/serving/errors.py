"""What can go wrong with a request, and the one place that says it in HTTP."""

import logging
import math

import orjson

from modelservice.serving.answer import Answer, json_headers

MAX_MESSAGE = 500
"""Characters of a message: a wrong value of a megabyte is not sent back."""

_LOG = logging.getLogger(__name__)


class RequestError(Exception):
    """A request that is refused: ``status`` is its HTTP code, and the message says what is wrong and where."""

    status = 400


class TooLargeError(RequestError):
    """The body or the number of rows is beyond a limit, which the message gives."""

    status = 413


class UnsupportedEncodingError(RequestError):
    """A Content-Encoding that is not decoded here."""

    status = 415


class QueueFullError(RequestError):
    """The request would wait longer than is allowed; ``retry_after`` is the estimate in seconds."""

    status = 429

    def __init__(self, message: str, *, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class ShuttingDownError(RequestError):
    """The server is about to exit and takes nothing new."""

    status = 503


class NotFiniteError(RequestError):
    """The model's answer to these inputs is no finite number."""


def to_answer(error: Exception) -> Answer:
    """Translate any error into an answer whose body is ``{"error": "..."}``, as both protocols want it."""
    if isinstance(error, QueueFullError):
        retry_after = str(max(1, math.ceil(error.retry_after))).encode()
        return error_answer(error.status, str(error), (b"retry-after", retry_after))
    if isinstance(error, ShuttingDownError):
        return error_answer(error.status, str(error), (b"retry-after", b"1"))
    if isinstance(error, UnsupportedEncodingError):
        return error_answer(error.status, str(error), (b"accept-encoding", b"gzip, deflate"))
    if isinstance(error, RequestError):
        return error_answer(error.status, str(error))
    _LOG.error("unexpected error while answering a request", exc_info=error)
    return error_answer(500, "internal error; the server's log has the details")


def error_answer(status: int, message: str, *headers: tuple[bytes, bytes]) -> Answer:
    """An error body that can always be written: lone surrogates are replaced, long messages cut."""
    text = message.encode("utf-8", "replace").decode()
    if len(text) > MAX_MESSAGE:
        text = f"{text[:MAX_MESSAGE]}..."
    body = orjson.dumps({"error": text})
    return Answer(status, [*json_headers(body), *headers], body)
