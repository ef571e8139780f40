"""``instances``, and errors of rows in the words of the protocol."""

from typing import Any

from modelservice.modalities.base import Encoder, Rows, Tolerance
from modelservice.modalities.errors import InputError
from modelservice.modalities.tensors import describe
from modelservice.serving.calls import check_rows
from modelservice.serving.errors import RequestError


def read_instances(instances: Any, encoder: Encoder, tolerance: Tolerance) -> Rows:
    """The rows of a request that lists them.

    Raises:
        RequestError: it does not, or one is no row.
        TooLargeError: they are too many.
    """
    if not isinstance(instances, list):
        raise RequestError(f"instances: must be an array of rows, not {describe(instances)}")
    check_rows(len(instances), "instances")
    try:
        return encoder.from_instances(instances, tolerance)
    except InputError as error:
        raise place_row(error) from None


def place_row(error: InputError) -> RequestError:
    """An error of ``instances``."""
    row = "" if error.row is None else f"[{error.row}]"
    column = "" if error.column is None else f".{error.column}"
    return RequestError(f"instances{row}{column}: {error.message}")


def place_column(error: InputError) -> RequestError:
    """An error of ``inputs`` by column."""
    column = "" if error.column is None else f".{error.column}"
    row = "" if error.row is None else f"[{error.row}]"
    return RequestError(f"inputs{column}{row}: {error.message}")
