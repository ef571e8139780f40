"""JSON of the apiserver: by a fast parser, and by Python's own where it is nested too deeply for that one."""

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
