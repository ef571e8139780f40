"""Tables that stand in memory already: pandas frames, arrow tables, objects of columns.

Neither pandas nor pyarrow is imported: a frame is recognised by what it can do, an arrow table by the module that
whoever made it has imported.
"""

import sys
from collections.abc import Iterable, Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from modelservice.cells import quoted
from modelservice.modalities.errors import InputError

_NO_COLUMNS: Final = (str, bytes, Mapping, set, frozenset)
"""What can be iterated all the same; a set has no order in which its values could be rows."""
_TIMES: Final = "mM"
"""Kinds of numpy's durations and moments, of which Python objects would be integers where they count nanoseconds."""
_MISSING: Final = {"f": np.nan, **dict.fromkeys(_TIMES, "NaT")}
"""What is no value, in arrays of a kind that has such."""


def columns_of(frame: Any) -> dict[str, Any] | None:
    """The columns of a table by name, as numpy arrays or sequences; None if it is no such table.

    Raises:
        InputError: a value of an object of columns is no column, or two columns have one name.
    """
    if isinstance(frame, Mapping):
        for name, values in frame.items():
            if isinstance(values, _NO_COLUMNS) or not hasattr(values, "__iter__"):
                raise InputError(f"{quoted(values)} is no column; expected a list of values", column=str(name)[:128])
        _check_names(frame)
        return {str(name): _plain(values) for name, values in frame.items()}
    arrow = sys.modules.get("pyarrow")
    if arrow is not None and isinstance(frame, arrow.Table):
        _check_names(frame.column_names)
        return {name: _plain(frame.column(name)) for name in frame.column_names}
    if hasattr(frame, "columns") and hasattr(frame, "to_numpy"):
        _check_names(frame.columns)
        return {str(name): _plain(frame[name]) for name in frame.columns}
    return None


def unmasked(array: NDArray[Any]) -> NDArray[Any]:
    """An array in which what a mask hides is missing: NaN or NaT, or None among objects where neither can be."""
    if not isinstance(array, np.ma.MaskedArray):
        return array
    if not np.ma.is_masked(array):
        return array.data
    kind = array.dtype.kind
    values: NDArray[Any] = array.data.astype(array.dtype if kind in _MISSING else object)
    values[np.ma.getmaskarray(array)] = _MISSING.get(kind)
    return values


def _check_names(names: Iterable[Any]) -> None:
    """Raise InputError where two are the same, as texts also 1 and "1" are: one column would stand for both."""
    seen: set[str] = set()
    for name in map(str, names):
        if name in seen:
            raise InputError("is given twice: rename one of the two columns, or leave it out", column=name[:128])
        seen.add(name)


def _plain(values: Any) -> Any:
    """A numpy array of numbers where it is one; a list of Python values, None for missing, otherwise."""
    if hasattr(values, "to_pylist"):  # a column of an arrow table; to_numpy would make floats of integers with gaps
        return values.to_numpy() if values.null_count == 0 and _is_numeric(values) else values.to_pylist()
    if isinstance(values, np.ndarray):
        array = unmasked(values)
        return list(array) if array.dtype.kind in _TIMES else array
    if hasattr(values, "to_numpy"):
        return _without_pandas_na(values)
    return values if isinstance(values, list | tuple) else list(values)


def _is_numeric(column: Any) -> bool:
    types = sys.modules["pyarrow"].types
    return bool(types.is_integer(column.type) or types.is_floating(column.type))


def _without_pandas_na(series: Any) -> Any:
    array = np.asarray(series)
    if array.dtype.kind == "f" and getattr(series.dtype, "kind", "f") in "iu":
        array = np.asarray(series, dtype=object)  # whole numbers with gaps, which float64 would round
    if array.dtype.kind in "fiub":
        return array
    if array.dtype.kind in _TIMES:
        return list(array)
    missing = np.asarray(series.isna(), dtype=bool)
    return [None if absent else value for value, absent in zip(array.tolist(), missing, strict=True)]
