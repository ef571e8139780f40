"""What callers give, as JSON rows in batches that one request may carry; what the server answers, in the same order."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

MAX_ROWS = 10_000
MAX_BYTES = 16 * 1024 * 1024 - 1024  # of the server's 16 MiB, less what stands around the rows


def rows_of(data: Any) -> list[Any]:
    """List the rows of a DataFrame, a list of rows, a dict of columns or a numpy array.

    Raises:
        ValueError: The columns of a dict are not of one length, or the data is none of these.
    """
    if _is_frame(data):
        return [dict(zip(map(str, data.columns), row, strict=True)) for row in data.itertuples(index=False, name=None)]
    if isinstance(data, Mapping):
        lengths = {str(name): len(column) for name, column in data.items()}
        if len(set(lengths.values())) > 1:
            message = f"columns must be equally long, but have {lengths} rows; to predict one row give a list of a dict"
            raise ValueError(message)
        return [dict(zip(lengths, row, strict=True)) for row in zip(*data.values(), strict=True)]
    if hasattr(data, "tolist"):
        data = data.tolist()
    if isinstance(data, list | tuple):
        return list(data)
    message = f"data is a {type(data).__name__}; give a DataFrame, a list of rows, a dict of columns or a numpy array"
    raise ValueError(message)


def index_of(data: Any) -> Any:
    """Return the index of a DataFrame, None of anything else."""
    return data.index if _is_frame(data) else None


def batches(rows: list[Any], most: int) -> Iterator[list[bytes]]:
    """Split rows, encoded as JSON, by number (at most ``most``) and by the bytes of a request."""
    batch: list[bytes] = []
    size = 0
    for row in rows:
        encoded = json.dumps(_plain(row), allow_nan=False).encode()
        if batch and (len(batch) == most or size + len(encoded) + 1 > MAX_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(encoded)
        size += len(encoded) + 1
    if batch:
        yield batch


def _is_frame(data: Any) -> bool:
    return hasattr(data, "itertuples") and hasattr(data, "columns")


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if hasattr(value, "isoformat"):  # NaT has it too, and is unlike itself as NaN is
        return value.isoformat() if value == value else None  # noqa: PLR0124
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if type(value).__name__ == "NAType" or (isinstance(value, float) and value != value):  # noqa: PLR0124
        return None
    return value
