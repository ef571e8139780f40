"""Outputs as JSON, all rows of a batch by one call: most of the cost is per call."""

from functools import lru_cache
from typing import Any, Final

import numpy as np
import orjson

from modelservice.contract.signature import Output
from modelservice.modalities.tensors import BYTES

_MOST_LABELS: Final = 4096
"""Labels whose JSON is kept."""


def row_texts(output: Output, values: Any) -> list[bytes]:
    """Each row of an output as JSON: its text, or its numbers with commas between, float32 in its shortest form.

    Args:
        output: what the values are.
        values: a list of labels, or finite numbers [rows, *shape].
    """
    if output.datatype == BYTES:
        return [_quoted(text) for text in values]
    flat = values
    if values.ndim != 2 or not values.flags.c_contiguous:  # noqa: PLR2004
        flat = np.ascontiguousarray(values).reshape(len(values), -1)
    return orjson.dumps(flat, option=orjson.OPT_SERIALIZE_NUMPY)[2:-2].split(b"],[")


@lru_cache(_MOST_LABELS)
def _quoted(label: str) -> bytes:
    return orjson.dumps(label)


def template(text: str) -> bytes:
    """A JSON string for the left side of ``%``."""
    return orjson.dumps(text).replace(b"%", b"%%")
