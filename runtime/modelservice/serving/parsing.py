"""JSON bodies, with a sentence for each way they can be wrong."""

import json
from typing import Any

import orjson

from modelservice.modalities.tensors import describe
from modelservice.serving.errors import RequestError


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
            raise _not_json(error) from None
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise _not_json(error) from None


def parse_object(body: bytes | memoryview) -> dict[str, Any]:
    """Parse a body that must be a JSON object."""
    document = parse_json(body)
    if not isinstance(document, dict):
        raise RequestError(f"the body must be a JSON object, not {describe(document)}")
    return document


def _not_json(error: Exception) -> RequestError:
    if isinstance(error, RecursionError):
        return RequestError("the body is nested too deeply")
    return RequestError(f"the body is not JSON: {str(error)[:200]}")
