"""JSON bodies, with a sentence for each way they can be wrong."""

import json
from collections.abc import Callable
from typing import Any, Final

import orjson

from modelservice.modalities.tensors import describe
from modelservice.serving.errors import RequestError

MAX_HEAD: Final = 64 * 1024
"""Bytes in which the JSON before binary tensors is looked for."""
_REMEDIES: Final[tuple[tuple[Callable[[bytes], bool], str], ...]] = (
    (
        lambda body: b'"binary_data_size"' in body[:MAX_HEAD],
        "; binary tensors after it need the header Inference-Header-Content-Length, the length of the JSON",
    ),
    (
        lambda body: body.startswith((b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"--")),
        "; a picture, or a form of them, is for :predict and :explain of a model of images, and other models take rows",
    ),
)
"""Signs of what somebody meant, and how to say it."""


def parse_json(body: bytes | memoryview) -> Any:
    """Parse a JSON body.

    TensorFlow Serving takes ``NaN`` and ``Infinity``, which JSON does not have and orjson refuses; such a body is
    parsed again by a slower parser.

    Raises:
        RequestError: the body is no JSON.
    """
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        data = bytes(body)
        if b"NaN" not in data and b"Infinity" not in data:
            raise _not_json(error, data) from None
    try:
        return json.loads(data.decode())  # of bytes it would find UTF-16 by itself, which nobody else here reads
    except (ValueError, RecursionError) as error:
        raise _not_json(error, data) from None


def parse_object(body: bytes | memoryview) -> dict[str, Any]:
    """Parse a body that must be a JSON object."""
    document = parse_json(body)
    if not isinstance(document, dict):
        raise RequestError(f"the body must be a JSON object, not {describe(document)}")
    return document


def _not_json(error: Exception, body: bytes) -> RequestError:
    if isinstance(error, RecursionError):
        return RequestError("the body is nested too deeply")
    remedy = next((remedy for sign, remedy in _REMEDIES if sign(body)), "")
    return RequestError(f"the body is not JSON: {str(error)[:200]}{remedy}")
