"""A table as it was given: named columns of text or numbers, not yet interpreted."""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from modelservice.cells import as_text, column_name, is_unicode, quoted
from modelservice.contract.digests import written
from modelservice.contract.failure import DataError
from modelservice.modalities.errors import InputError
from modelservice.modalities.frames import columns_of
from modelservice.modalities.table.notation import Decimal
from modelservice.modalities.table.preprocessing import MAX_COLUMNS

MAX_CELLS = 2**29
"""As many as the largest CSV file has at most: one digit and a comma each."""
_MATRIX_RANK = 2


def _row_place(row: int) -> str:
    return f"row {row}"


@dataclass(frozen=True, kw_only=True)
class Table:
    """Columns of one length, in order.

    Attributes:
        columns: arrow arrays by name: strings (as they stand in the file), integers or float64; null is missing.
        unreadable: why further columns, by name, cannot be read: they hold lists, say.
        sha256: digest of the content.
        notes: what was left out while reading.
        place: where a row (from 0) stands, for people: "line 57" of a file, "row 55" of a frame.
        separator: what stands between the cells of the file, which tells how its numbers may be written.
        decimal: the mark before the fraction of its numbers, where that is said.
    """

    columns: dict[str, pa.Array]
    unreadable: Mapping[str, str] = field(default_factory=dict)
    sha256: str
    notes: tuple[str, ...] = ()
    place: Callable[[int], str] = field(default=_row_place, compare=False)
    separator: str = ","
    decimal: Decimal | None = None

    @property
    def rows(self) -> int:
        """Number of rows."""
        return len(next(iter(self.columns.values()))) if self.columns else 0


def table_of(frame: object) -> Table | None:
    """A table from a pandas DataFrame, a pyarrow Table or an object of columns; None if it is none of these.

    An object that holds an array of three or more axes is none: cells have none.

    Raises:
        DataError: it has no rows, columns of different lengths, or something that is no column.
    """
    try:
        given = columns_of(frame)
    except InputError as error:
        raise DataError("NotATable", f"column {error.column}: {error.message}") from None
    if given is None or any(getattr(values, "ndim", 1) > _MATRIX_RANK for values in given.values()):
        return None
    check_column_count(len(given))
    if broken := next((name for name in given if not is_unicode(name)), None):
        raise DataError("NotATable", f"column {quoted(broken)} has no name that can be written down: rename it")
    columns = {column_name(name): _column(name, values) for name, values in given.items()}
    if len(columns) != len(given):
        raise DataError("DuplicateColumn", "two columns of the frame have the same name: rename one of them")
    lengths = {len(column) for column in columns.values()}
    if len(lengths) > 1:
        raise DataError("RaggedRow", "the columns have different lengths: give one value for each row")
    if not lengths or lengths == {0}:
        raise DataError("EmptyTable", "the frame has no rows: give at least three of each class")
    return Table(columns=columns, sha256=_digest(columns))


def check_column_count(columns: int) -> None:
    """Refuse a table that is too wide.

    Raises:
        DataError: it has more than ``MAX_COLUMNS`` columns.
    """
    if columns > MAX_COLUMNS:
        raise DataError("TooManyColumns", f"the table has {columns} columns, at most {MAX_COLUMNS} can be read")


def check_names(names: Iterable[str], *, field: str) -> list[str]:
    """Names as they are compared; empty ones name nothing.

    Args:
        names: of the columns, in order.
        field: what errors name as the field to change.

    Raises:
        DataError: there are too many, or two are the same.
    """
    known = [column_name(name) for name in names]
    check_column_count(len(known))
    seen: set[str] = set()
    for name in filter(None, known):
        if name in seen:
            raise DataError("DuplicateColumn", f"two columns are named {quoted(name)}: rename one of them", field=field)
        seen.add(name)
    return known


def check_cells(rows: int, columns: int, *, field: str) -> None:
    """Refuse a table that is too large.

    Raises:
        DataError: it has more than ``MAX_CELLS`` cells.
    """
    if rows * columns > MAX_CELLS:
        message = f"the table has more than {MAX_CELLS} cells, in {rows} rows of {columns} columns: give fewer"
        raise DataError("DataTooLarge", message, field=field)


def _column(name: str, values: Any) -> pa.Array:
    if isinstance(values, np.ndarray) and values.ndim == 1 and values.dtype.kind in "iuf":
        # Integers stay what they are, since labels of 20 digits do not fit into float64.
        return pa.array(values if values.dtype.kind in "iu" else values.astype(np.float64), from_pandas=True)
    texts: list[str | None] = []
    for row, value in enumerate(values):
        try:
            texts.append(as_text(value))
        except ValueError as error:
            raise DataError("NotAValue", f"{_row_place(row)}, column {name}: {error}") from None
        if (text := texts[-1]) is not None and not is_unicode(text):
            message = f"{quoted(text)} holds half a character (a lone surrogate): correct the cell"
            raise DataError("NotAValue", f"{_row_place(row)}, column {name}: {message}")
    return pa.array(texts, type=pa.string())


def _digest(columns: dict[str, pa.Array]) -> str:
    """Digest of the values: the same frame gives the same one, whatever its types in memory."""
    state = hashlib.sha256(json.dumps(list(columns)).encode())
    for column in columns.values():
        for text in pc.fill_null(column.cast(pa.string()), "").to_pylist():
            state.update(text.encode() + b"\0")
    return written(state)
