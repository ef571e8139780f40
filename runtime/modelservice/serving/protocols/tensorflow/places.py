"""Errors of rows in the words of the protocol."""

from modelservice.modalities.errors import InputError
from modelservice.serving.errors import RequestError


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
