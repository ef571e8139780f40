"""Outputs as JSON, all rows of a batch by one call: most of the cost is per call."""

from typing import Any

import numpy as np
import orjson

from modelservice.contract.signature import Output
from modelservice.modalities.tensors import BYTES


def row_texts(output: Output, values: Any) -> list[bytes]:
    """Each row of an output as JSON: its text, or its numbers with commas between, float32 in its shortest form.

    Args:
        output: what the values are.
        values: a list of texts, or finite numbers [rows, *shape].
    """
    if output.datatype == BYTES:
        quoted = {text: orjson.dumps(text) for text in set(values)}
        return [quoted[text] for text in values]
    flat = np.ascontiguousarray(values).reshape(len(values), -1)
    return orjson.dumps(flat, option=orjson.OPT_SERIALIZE_NUMPY)[2:-2].split(b"],[")


def template(text: str) -> bytes:
    """A JSON string for the left side of ``%``."""
    return orjson.dumps(text).replace(b"%", b"%%")
