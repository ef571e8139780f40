"""An answer over HTTP, before any framework: what the front sends as it is and the application wraps."""

from typing import Any, NamedTuple

import orjson

Headers = list[tuple[bytes, bytes]]

INFERENCE_HEADER_LENGTH = b"inference-header-content-length"
"""Length in bytes of the JSON part of a body that continues with binary tensors (binary tensor extension)."""


class Answer(NamedTuple):
    """Status, headers and the whole body."""

    status: int
    headers: Headers
    body: bytes


def json_headers(body: bytes) -> Headers:
    """Headers of a JSON body."""
    return [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]


def json_answer(payload: Any) -> Answer:
    """Status 200 with a JSON body; numpy arrays and scalars become numbers, float32 in its shortest form."""
    body = orjson.dumps(payload, option=orjson.OPT_SERIALIZE_NUMPY)
    return Answer(200, json_headers(body), body)


def binary_answer(header: bytes, tensors: list[bytes]) -> Answer:
    """Status 200 with a JSON header followed by binary tensors."""
    body = b"".join((header, *tensors))
    headers = [
        (b"content-type", b"application/octet-stream"),
        (b"content-length", b"%d" % len(body)),
        (INFERENCE_HEADER_LENGTH, b"%d" % len(header)),
    ]
    return Answer(200, headers, body)
