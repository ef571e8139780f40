"""An answer over HTTP, before any framework: what the front sends as it is and the application wraps."""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import orjson

Headers = Sequence[tuple[bytes, bytes]]

JSON_HEADERS: Final = ((b"content-type", b"application/json"),)
INFERENCE_HEADER_LENGTH = b"inference-header-content-length"
"""Length in bytes of the JSON part of a body that continues with binary tensors (binary tensor extension)."""


class Answer(NamedTuple):
    """Status, headers without the length of the body, which who sends it adds, and the whole body."""

    status: int
    headers: Headers
    body: bytes

    def all_headers(self) -> list[tuple[bytes, bytes]]:
        """The headers, the length of the body last."""
        return [*self.headers, (b"content-length", b"%d" % len(self.body))]


def json_answer(payload: Any) -> Answer:
    """Status 200 with a JSON body; numpy arrays and scalars become numbers, float32 in its shortest form."""
    return Answer(200, JSON_HEADERS, orjson.dumps(payload, option=orjson.OPT_SERIALIZE_NUMPY))


def binary_answer(header: bytes, tensors: list[bytes]) -> Answer:
    """Status 200 with a JSON header followed by binary tensors."""
    body = b"".join((header, *tensors))
    headers = [
        (b"content-type", b"application/octet-stream"),
        (INFERENCE_HEADER_LENGTH, b"%d" % len(header)),
    ]
    return Answer(200, headers, body)
