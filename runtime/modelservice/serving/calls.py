"""A request after parsing: rows for the model, and how the model's numbers become the answer."""

from collections.abc import Callable
from typing import Generic, NamedTuple, TypeVar

from modelservice.modalities.base import Rows
from modelservice.modalities.errors import InputError
from modelservice.serving.errors import RequestError, TooLargeError
from modelservice.serving.model import Compute
from modelservice.serving.results import Results

MAX_ROWS = 10_000
"""Rows of one request."""

Rendered = TypeVar("Rendered")


class Call(NamedTuple, Generic[Rendered]):
    """What a protocol makes of a body.

    ``rows`` are not encoded yet: rows of several requests are encoded at once, since most of the cost is per call.
    ``place`` says an encoding error in the protocol's own words; ``render`` takes what the model gave for the rows.
    ``hypothetical`` rows are nobody's: they count neither as unlike those of training nor as answered. ``compute`` is
    what computes them in another way than the model's own; then they are hypothetical as well. ``timeout`` is
    how many seconds they may wait for their answer, None for as long as it takes. ``model`` is the name of the one that
    is asked, where the request alone says it.
    """

    rows: Rows
    place: Callable[[InputError], RequestError]
    render: Callable[[Results], Rendered]
    hypothetical: bool = False
    timeout: float | None = None
    compute: Compute | None = None
    model: str = ""


def check_rows(rows: int, place: str) -> None:
    """Refuse no rows, and more than one request may carry."""
    if rows == 0:
        raise RequestError(f"{place}: no rows; expected at least one")
    if rows > MAX_ROWS:
        raise TooLargeError(f"{place}: {rows} rows; at most {MAX_ROWS} in one request")
