"""Tables that stand in memory already: pandas frames, arrow tables, objects of columns."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa


def columns_of(frame: Any) -> dict[str, Any] | None:
    """The columns of a table by name, as numpy arrays or sequences; None if it is no such table.

    pandas is not imported: a frame is recognised by what it can do.
    """
    if isinstance(frame, Mapping):
        return {str(name): _plain(values) for name, values in frame.items()}
    if isinstance(frame, pa.Table):
        return {name: _plain(frame.column(name)) for name in frame.column_names}
    if hasattr(frame, "columns") and hasattr(frame, "to_numpy"):
        return {str(name): _plain(frame[name]) for name in frame.columns}
    return None


def _plain(values: Any) -> Any:
    """A numpy array of numbers where it is one; a list of Python values, None for missing, otherwise."""
    if isinstance(values, pa.Array | pa.ChunkedArray):
        if pa.types.is_integer(values.type) or pa.types.is_floating(values.type):
            return values.to_numpy() if isinstance(values, pa.ChunkedArray) else values.to_numpy(zero_copy_only=False)
        return values.to_pylist()
    if isinstance(values, np.ndarray):
        return values
    if hasattr(values, "to_numpy"):
        return _without_pandas_na(values)
    return values if isinstance(values, list | tuple) else list(values)


def _without_pandas_na(series: Any) -> Any:
    array = np.asarray(series)
    if array.dtype.kind in "fiub":
        return array
    missing = np.asarray(series.isna(), dtype=bool)
    return [None if absent else value for value, absent in zip(array.tolist(), missing, strict=True)]
