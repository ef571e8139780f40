"""What callers give, as JSON rows in batches that one request may carry."""

import json
import reprlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

MAX_ROWS = 10_000
MAX_BYTES = 16 * 1024 * 1024 - 1024  # of the server's 16 MiB, less what stands around the rows


def rows_of(data: Any) -> list[Any]:
    """List the rows of a DataFrame, a list of rows, a dict of columns or a numpy array.

    Raises:
        ValueError: Two columns have one name, columns of a dict differ in length, or the data is none of these.
    """
    if _is_frame(data):
        names = _names(data.columns)
        return [dict(zip(names, row, strict=True)) for row in data.itertuples(index=False, name=None)]
    if isinstance(data, Mapping):
        return _rows_of_columns(data)
    if hasattr(data, "tolist"):
        data = _listed(data)
    if isinstance(data, list | tuple):
        return list(data)
    message = f"data is a {type(data).__name__}; give a DataFrame, a list of rows, a dict of columns or a numpy array"
    raise ValueError(message)


def index_of(data: Any) -> Any:
    """Return the index of a DataFrame, None of anything else."""
    return data.index if _is_frame(data) else None


def batches(rows: list[Any], most: int) -> Iterator[list[bytes]]:
    """Split rows, encoded as JSON, by number (at most ``most``) and by the bytes of a request.

    Raises:
        ValueError: A row has a value that JSON has not, or is too large for a request.
    """
    batch: list[bytes] = []
    size = 0
    for number, row in enumerate(rows):
        line = _line(number, row)
        if batch and (len(batch) == most or size + len(line) + 1 > MAX_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(line)
        size += len(line) + 1
    if batch:
        yield batch


def encoded(value: Any) -> bytes:
    """Encode as JSON; what is missing (NaN, NaT, NA) is null.

    Raises:
        ValueError: A number is infinite.
        TypeError: JSON has no such value.
    """
    return json.dumps(_plain(value), allow_nan=False).encode()


def _line(number: int, row: Any) -> bytes:
    try:
        line = encoded(row)
    except (ValueError, TypeError) as error:
        raise ValueError(_blame(number, row)) from error
    if len(line) > MAX_BYTES:
        message = f"row {number} has {len(line)} bytes as JSON, and a request at most {MAX_BYTES}; shorten its values"
        raise ValueError(message)
    return line


def _blame(number: int, row: Any) -> str:
    """Say which value of a row cannot be encoded."""
    row = _listed(row) if hasattr(row, "tolist") else row
    cells = row.items() if isinstance(row, Mapping) else enumerate(row) if isinstance(row, list | tuple) else ()
    for name, value in cells:
        try:
            encoded(value)
        except (ValueError, TypeError):
            said = f"{reprlib.repr(value)} ({type(value).__name__})"
            return f"row {number}, column {name!r}: {said} cannot be sent; give a finite number, a text, a date or None"
    return f"row {number}: {reprlib.repr(row)} ({type(row).__name__}) cannot be sent; give a list or a dict"


def _rows_of_columns(data: Mapping[Any, Any]) -> list[Any]:
    names = _names(data)
    if single := [name for name, column in zip(names, data.values(), strict=True) if not _is_column(column)]:
        message = f"{single} of a dict are no columns; to predict one row give a list of a dict"
        raise ValueError(message)
    lengths = {name: len(column) for name, column in zip(names, data.values(), strict=True)}
    if len(set(lengths.values())) > 1:
        message = f"columns must be equally long, but have {lengths} rows"
        raise ValueError(message)
    return [dict(zip(names, row, strict=True)) for row in zip(*data.values(), strict=True)]


def _names(columns: Iterable[Any]) -> list[str]:
    names = list(map(str, columns))
    if twice := sorted({name for name in names if names.count(name) > 1}):
        message = f"several columns are named {twice}; rename them, or leave all but one out"
        raise ValueError(message)
    return names


def _is_frame(data: Any) -> bool:
    return hasattr(data, "itertuples") and hasattr(data, "columns")


def _is_column(column: Any) -> bool:
    return hasattr(column, "__len__") and not isinstance(column, str | bytes | Mapping | set | frozenset)


def _listed(array: Any) -> Any:
    """As ``tolist``, which makes integers of numpy's nanoseconds."""
    if type(array).__module__ == "numpy" and array.dtype.kind == "M":
        array = array.astype("datetime64[us]")
    return array.tolist()


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if hasattr(value, "tolist"):
        value = _listed(value)
    if hasattr(value, "isoformat"):  # NaT has it too, and is unlike itself as NaN is
        return value.isoformat() if value == value else None  # noqa: PLR0124
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if type(value).__name__ == "NAType" or (isinstance(value, float) and value != value):  # noqa: PLR0124
        return None
    return value
