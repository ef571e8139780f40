"""JSON to and from the apiserver: by orjson, and by Python's own module where that one refuses."""

import json
from typing import Any

import orjson


def parse_json(payload: bytes) -> Any:
    """What JSON says.

    Raises:
        ValueError: It is none.
        RecursionError: It is nested too deeply for both.
    """
    try:
        return orjson.loads(payload)
    except orjson.JSONDecodeError:
        return json.loads(payload)


def dump_json(value: Any) -> bytes:
    """JSON of what was parsed or built; half a surrogate pair is escaped, and nesting is as deep as Python's own."""
    written = dump_plainly(value)
    return json.dumps(value, separators=(",", ":")).encode() if written is None else written


def dump_plainly(value: Any) -> bytes | None:
    """JSON of what most objects are made of; None of what is nested deeply, or has texts that are no Unicode."""
    try:
        return orjson.dumps(value)
    except TypeError:
        return None
