"""JSON bodies, with a sentence for each way they can be wrong."""

import json
from typing import Any

import orjson

from modelservice.serving.errors import RequestError

_SHOWN = 32
_LARGEST_SHOWN = 10**15


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


def describe(value: Any) -> str:
    """A JSON value as a message names it: its kind, and the value itself where it is short."""
    match value:
        case None | bool():
            return json.dumps(value)
        case str():
            return f"the text {value[:_SHOWN]!r}" + ("..." if len(value) > _SHOWN else "")
        case list():
            return f"an array of {len(value)}"
        case dict():
            return "an object"
        case int() if abs(value) > _LARGEST_SHOWN:
            return "a very large number"
        case _:
            return f"the number {value}"


def _not_json(error: Exception) -> RequestError:
    if isinstance(error, RecursionError):
        return RequestError("the body is nested too deeply")
    return RequestError(f"the body is not JSON: {str(error)[:200]}")
