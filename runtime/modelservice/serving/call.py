"""A request after parsing: rows for the model, and how the model's numbers become the answer."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from modelservice.data.errors import InputError
from modelservice.serving.answer import Answer
from modelservice.serving.errors import RequestError, TooLargeError
from modelservice.serving.model import Array, Rows

MAX_ROWS = 10_000
"""Rows of one request."""


class Call(NamedTuple):
    """What a protocol makes of a body.

    ``rows`` are not encoded yet: rows of several requests are encoded at once, since most of the cost is per call.
    ``place`` says an encoding error in the protocol's own words; ``render`` takes float32 [rows, classes].
    """

    rows: Rows
    place: Callable[[InputError], RequestError]
    render: Callable[[Array], Answer]


def check_rows(rows: int, place: str) -> None:
    """Refuse no rows, and more than one request may carry."""
    if rows == 0:
        raise RequestError(f"{place}: no rows; expected at least one")
    if rows > MAX_ROWS:
        raise TooLargeError(f"{place}: {rows} rows; at most {MAX_ROWS} in one request")


def rows_of(columns: Mapping[str, Sequence[Any]], names: Sequence[str], place: str) -> Rows:
    """Rows from values by column name.

    Raises:
        RequestError: a column is missing or unknown, or the columns differ in length.
    """
    known = frozenset(names)  # a table may have thousands of columns
    for name in columns:
        if name not in known:
            raise RequestError(f"{place}: {name[:64]} is not a column of this model, which has {listed(names)}")
    for name in names:
        if name not in columns:
            raise RequestError(f"{place}: {name} is missing; expected {listed(names)}")
    lengths = {name: len(columns[name]) for name in names}
    for name, length in lengths.items():
        if length != lengths[names[0]]:
            raise RequestError(f"{place}: {name} has {length} values, but {names[0]} has {lengths[names[0]]}")
    check_rows(lengths[names[0]], place)
    return list(zip(*(columns[name] for name in names), strict=True))


def listed(names: Sequence[str], *, most: int = 16) -> str:
    """Names as a message gives them, cut where there are many."""
    return ", ".join(names[:most]) + (", ..." if len(names) > most else "")
