"""A request after parsing: rows for the model, and how the model's numbers become the answer."""

from collections.abc import Callable
from typing import Final, Generic, NamedTuple, TypeVar

import numpy as np

from modelservice.modalities.base import Rows
from modelservice.modalities.compressed import DecodingEncoder
from modelservice.modalities.errors import InputError
from modelservice.serving.chain import MAX_BODY
from modelservice.serving.errors import RequestError, TooLargeError
from modelservice.serving.model import Compute
from modelservice.serving.results import Results

MAX_ROWS = 10_000
"""Rows of one request."""
MAX_DECODED: Final = MAX_BODY
"""Bytes of the rows of one request that come compressed: as many as numbers may have. One row may have more."""

Place = Callable[[InputError], RequestError]
"""Says an error of rows in a protocol's own words."""

Rendered = TypeVar("Rendered")


class Call(NamedTuple, Generic[Rendered]):
    """What a protocol makes of a body.

    ``rows`` are not encoded yet: rows of several requests are encoded at once, since most of the cost is per call.
    ``place`` says an encoding error in the protocol's own words; ``render`` takes what the model gave for the rows.
    ``hypothetical`` rows are nobody's: they count neither as unlike those of training nor as answered. ``compute`` is
    what computes them in another way than the model's own; then they are hypothetical as well. ``timeout`` is
    how many seconds they may wait for their answer, None for as long as it takes. ``model`` is the name of the one that
    is asked, where the request alone says it. ``weight`` are bytes that it holds beside the body until it is answered.
    """

    rows: Rows
    place: Place
    render: Callable[[Results], Rendered]
    hypothetical: bool = False
    timeout: float | None = None
    compute: Compute | None = None
    model: str = ""
    weight: int = 0


def check_rows(rows: int, place: str) -> None:
    """Refuse no rows, and more than one request may carry."""
    if rows == 0:
        raise RequestError(f"{place}: no rows; expected at least one")
    if rows > MAX_ROWS:
        raise TooLargeError(f"{place}: {rows} rows; at most {MAX_ROWS} in one request")


def check_decoded(encoder: DecodingEncoder, rows: Rows, place: Place) -> int:
    """How many bytes the rows of a request take once they are decoded; 0 where none is compressed.

    Raises:
        TooLargeError: they would take too many.
    """
    if not encoder.compressed(rows):
        return 0
    size, most = len(rows) * encoder.row_bytes, max(1, MAX_DECODED // encoder.row_bytes)
    if len(rows) > most:
        taken = f"{len(rows)} {encoder.compressed_noun} take {size} bytes once they are decoded"
        said = f"{taken}; at most {MAX_DECODED} in one request: send {most}, or fewer"
        raise TooLargeError(str(place(InputError(said))))
    return size


def decoded_rows(encoder: DecodingEncoder | None, rows: Rows, place: Place) -> Rows:
    """Rows of which none is compressed, whatever the encoder; in a thread.

    Raises:
        RequestError: see ``check_decoded`` and ``decode``.
    """
    return rows if encoder is None or not check_decoded(encoder, rows, place) else decode(encoder, rows, place)


def bytes_of(rows: Rows) -> int:
    """Bytes of rows that were decoded; of others none, since they came in the body."""
    return rows.nbytes if isinstance(rows, np.ndarray) else 0


def decode(encoder: DecodingEncoder, rows: Rows, place: Place) -> Rows:
    """Decode rows that were checked; in a thread.

    Raises:
        RequestError: one of them cannot be decoded.
    """
    try:
        return encoder.decoded(rows)
    except InputError as error:
        raise place(error) from None
