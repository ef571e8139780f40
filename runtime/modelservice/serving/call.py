"""A request after parsing: numbers for the model, and how its numbers become the answer."""

from collections.abc import Callable
from typing import NamedTuple

from modelservice.serving.answer import Answer
from modelservice.serving.errors import RequestError, TooLargeError
from modelservice.serving.model import Array

MAX_ROWS = 10_000
"""Rows of one request."""


class Call(NamedTuple):
    """``features`` float32 [rows, width]; ``render`` takes probabilities float32 [rows, classes]."""

    features: Array
    render: Callable[[Array], Answer]


def check_rows(rows: int, place: str) -> None:
    """Refuse no rows, and more than one request may carry."""
    if rows == 0:
        raise RequestError(f"{place}: no rows; expected at least one")
    if rows > MAX_ROWS:
        raise TooLargeError(f"{place}: {rows} rows; at most {MAX_ROWS} in one request")
