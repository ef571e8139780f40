"""Reading JSON lines: each line is an object, whose keys name columns; numbers are the texts of requests."""

import io
import json
import math
from collections import Counter
from functools import partial
from itertools import count
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from modelservice.cells import as_text, is_unicode, number_text, quoted
from modelservice.contract.data import Format
from modelservice.contract.digests import sha256
from modelservice.contract.failure import DataError
from modelservice.modalities.table.magic import check_magic
from modelservice.modalities.table.quotes import line_at
from modelservice.modalities.table.table import Table, check_cells, check_column_count, check_names

_MARK = b"\xef\xbb\xbf"
_EXAMPLE = 'one object in each line is expected, such as {"a": 1, "b": "x"}'


class _Object(list[tuple[str, Any]]):
    """The pairs of an object, in order: JSON may say a key twice."""


def _whole(digits: str) -> str:
    """All digits: float64 would merge labels of 20."""
    return "0" if digits == "-0" else digits


def _fraction(digits: str) -> str:
    """What a request makes of the same number; one beyond float64 stays, so that it can be said."""
    number = float(digits)
    return number_text(number) if math.isfinite(number) else digits


_DECODER = json.JSONDecoder(
    object_pairs_hook=_Object,
    parse_int=_whole,
    parse_float=_fraction,
    parse_constant=lambda name: as_text(float(name)),
)


def parse_json_lines(content: bytes, *, field: str = "spec.data") -> Table:
    """Read a table; a key that a line lacks is a missing value, and empty lines are skipped.

    Args:
        content: the inflated file, in UTF-8.
        field: what errors name as the field to change.

    Raises:
        DataError: no UTF-8, a line is no object of JSON or has a key twice, or there are none; names the line.
    """
    check_magic(content, Format.JSON_LINES)
    _check_utf8(content, field)
    rows = _Rows(field)
    for line, text in enumerate(io.BytesIO(content.removeprefix(_MARK)), start=1):
        if text.strip():
            rows.add(line, _parse(line, text.decode(), field))
    if not rows.lines:
        raise DataError("EmptyTable", f"the file is empty: {_EXAMPLE}", field=field)
    return rows.table(sha256(content))


def _check_utf8(content: bytes, field: str) -> None:
    try:
        content.decode()
    except UnicodeDecodeError as error:
        message = f"line {line_at(content, error.start)}: the file is not UTF-8 text, which JSON is: save it as UTF-8"
        raise DataError("NotUTF8", message, field=field) from None


def _parse(line: int, text: str, field: str) -> _Object:
    try:
        value = _DECODER.decode(text.strip())
    except json.JSONDecodeError as error:
        message = f"line {line}: {error.msg} at character {error.pos + 1}"
        one = "the file is one list or object of JSON: " if text.strip() in {"[", "{"} or text.startswith("[{") else ""
        hint = f"; {one}{_EXAMPLE}" if line == 1 else ""
        raise DataError("NotJSON", f"{message}: correct it{hint}", field=field) from None
    except RecursionError:
        raise DataError("NotJSON", f"line {line}: objects stand too deep inside of others: {_EXAMPLE}") from None
    if not isinstance(value, _Object):
        held = "a list" if isinstance(value, list) else "a single value"
        raise DataError("NotJSON", f"line {line} holds {held}: {_EXAMPLE}", field=field)
    return value


class _Rows:
    """Columns while they grow, each as long as the rows so far."""

    def __init__(self, field: str) -> None:
        self.lines: list[int] = []
        self._field = field
        self._columns: dict[str, list[Any]] = {}
        self._absent: Counter[str] = Counter()

    def add(self, line: int, pairs: _Object) -> None:
        row = len(self.lines)
        check_cells(row + 1, len(self._columns), field=self._field)
        for name, value in pairs:
            if (column := self._columns.get(name)) is None:
                column = self._columns[name] = self._new(name, row)
            if len(column) > row:
                message = f"line {line} has the key {quoted(name)} twice: rename one of them"
                raise DataError("DuplicateColumn", message, field=self._field)
            column.append(value)
        self.lines.append(line)
        if len(pairs) < len(self._columns):
            for name, column in self._columns.items():
                if len(column) == row:
                    column.append(None)
                    self._absent[name] += 1

    def table(self, sha256: str) -> Table:
        """What was added."""
        lines: NDArray[np.int64] = np.array(self.lines)
        names = check_names(self._columns, field=self._field)
        place = partial(_line_of, lines)
        columns: dict[str, pa.Array] = {}
        unreadable: dict[str, str] = {}
        for name, values in zip(names, self._columns.values(), strict=True):
            if (nested := next((row for row, value in enumerate(values) if isinstance(value, list)), None)) is not None:
                held = "an object" if isinstance(values[nested], _Object) else "a list"
                unreadable[name] = f"{place(nested)}, column {name}: it holds {held}, and a cell holds one value"
            elif name:
                columns[name] = _column(name, values, place, self._field)
        return Table(columns=columns, unreadable=unreadable, sha256=sha256, notes=(*self._notes(names),), place=place)

    def _new(self, name: str, row: int) -> list[Any]:
        check_column_count(len(self._columns) + 1)
        if row:
            self._absent[name] = row
        return [None] * row

    def _notes(self, names: list[str]) -> list[str]:
        notes = [f"ignored column {at}: it has no name" for at, name in zip(count(1), names, strict=False) if not name]
        if self._absent:
            name, absent = self._absent.most_common(1)[0]
            found = f"{len(self._absent)} columns are not in every line and are missing there"
            notes.append(f"{found}, as {name} in {absent} of {len(self.lines)}")
        return notes


def _column(name: str, values: list[Any], place: Any, field: str) -> pa.Array:
    if bool in set(map(type, values)):
        values = [str(value) if isinstance(value, bool) else value for value in values]
    try:
        return pa.array(values, type=pa.string())
    except UnicodeEncodeError:
        row = next(row for row, value in enumerate(values) if value is not None and not is_unicode(value))
        message = f"{quoted(values[row])} holds half a character (a lone surrogate): correct the cell"
        raise DataError("NotAValue", f"{place(row)}, column {name}: {message}", field=field) from None


def _line_of(lines: NDArray[np.int64], row: int) -> str:
    return f"line {lines[row]}"
