"""Rows to numbers: the encoder that training and serving share.

The fast paths convert whole batches at once and decide nothing about errors: whatever does not convert goes to
``_explain``, which looks at each cell and names the first wrong one.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modelservice.cells import as_number, as_text, is_number_text, quoted
from modelservice.modalities.base import Features
from modelservice.modalities.errors import InputError
from modelservice.modalities.table.names import Names
from modelservice.modalities.table.notation import Decimal, Notation, parse
from modelservice.modalities.table.preprocessing import (
    CategoricalPreprocessing,
    NumericPreprocessing,
    TablePreprocessing,
    UnusedPreprocessing,
    WrittenPreprocessing,
)

Row = Sequence[Any] | Mapping[str, Any]
_Numeric = NumericPreprocessing | WrittenPreprocessing

_FLOAT32_MAX = float(np.finfo(np.float32).max)


class RowEncoder:
    """Encodes rows after a ``TablePreprocessing``; immutable and safe to share between threads."""

    def __init__(self, preprocessing: TablePreprocessing) -> None:
        columns = preprocessing.columns
        self.names = tuple(column.name for column in columns)
        self.width = preprocessing.width
        self._columns = columns
        self._pick = _picker(self.names)
        self._spelled = Names(self.names)
        numeric = [column for column in columns if isinstance(column, _Numeric)]
        self._numeric = {column.name: column for column in numeric}
        unused = [column for column in columns if isinstance(column, UnusedPreprocessing)]
        self._all_numeric = len(numeric) + len(unused) == len(columns)
        self._used = [at for at, column in enumerate(columns) if isinstance(column, _Numeric)] if unused else None
        self._mean = np.array([column.mean for column in numeric])
        self._scale = np.array([1.0 / column.std for column in numeric])
        self._fill = np.array([column.fill for column in numeric])
        self._codes = {
            column.name: _codes(column) for column in columns if isinstance(column, CategoricalPreprocessing)
        }

    def encode_rows(self, rows: Sequence[Row] | NDArray[Any]) -> Features:
        """Encode rows given as arrays in the order of the columns, or as objects by column name.

        Args:
            rows: the rows; None and NaN are missing values.

        Returns:
            float32 [rows, width].

        Raises:
            InputError: a row has too few, too many or unknown columns, or a value that is none; names the first.
        """
        if len(rows) == 0:
            return np.zeros((0, self.width), dtype=np.float32)
        picked: Any = rows
        try:
            if isinstance(rows[0], Mapping):
                picked = self._pick_all(rows)
            if self._all_numeric:
                return self._standardise(_as_floats(picked))
            if set(map(len, picked)) == {len(self.names)} and not any(isinstance(row, str | Mapping) for row in picked):
                return self.encode_columns(dict(zip(self.names, zip(*picked, strict=True), strict=True)))
        except (TypeError, ValueError, KeyError, OverflowError):
            pass  # explained below, with the place
        return self._explain(rows)

    def encode_columns(self, columns: Mapping[str, Sequence[Any] | NDArray[Any]]) -> Features:
        """Encode a batch given column by column.

        Args:
            columns: for each column of the model its values, all of one length; None and NaN are missing values.

        Returns:
            float32 [rows, width].

        Raises:
            InputError: a column is missing, unknown or of another length, or a value is none of its kind.
        """
        self._check_names(columns.keys(), row=None)
        lengths = {name: len(values) for name, values in columns.items()}
        rows = lengths[self.names[0]]
        for name, length in lengths.items():
            if length != rows:
                raise InputError(f"has {length} values, but {self.names[0]} has {rows}", column=name)
        encoded = np.zeros((rows, self.width), dtype=np.float32)
        at = 0
        for column in self._columns:
            target = encoded[:, at : at + column.width]
            if isinstance(column, _Numeric):
                target[:, 0] = self._numeric_column(column, columns[column.name])
            elif isinstance(column, CategoricalPreprocessing):
                self._one_hot(column.name, columns[column.name], target)
            else:
                _check_texts(column.name, columns[column.name])
            at += column.width
        return encoded

    def unseen(self, rows: Sequence[Row] | NDArray[Any]) -> dict[str, int]:
        """How many values of each column of categories training never saw, missing ones aside; none where it saw all.

        Args:
            rows: rows that ``encode_rows`` takes.
        """
        counted: dict[str, int] = {}
        named = [self._spelled.keyed(row) if isinstance(row, Mapping) else row for row in rows]
        for name, codes in self._codes.items():
            at = self.names.index(name)
            cells = (row[name] if isinstance(row, Mapping) else row[at] for row in named)
            texts = (as_text(cell) for cell in cells)
            if new := sum(1 for text in texts if text is not None and text not in codes):
                counted[name] = new
        return counted

    def _pick_all(self, rows: Any) -> list[Any]:
        picked = [self._pick(row) for row in rows]
        if any(len(row) != len(self.names) for row in rows):
            raise KeyError("unknown column")
        return picked

    def _standardise(self, values: NDArray[np.float64]) -> Features:
        """The hot path: float64 [rows, columns] to float32, in one pass unless something is missing."""
        if values.ndim != 2 or values.shape[1] != len(self.names):  # noqa: PLR2004
            raise ValueError("shape")
        if self._used is not None:
            values = values[:, self._used]
        scaled = _scale(values, self._mean, self._scale)
        if not _fits(scaled):
            if np.isinf(values).any():
                raise ValueError("infinite")
            scaled = _scale(np.where(np.isnan(values), self._fill, values), self._mean, self._scale)
            if not _fits(scaled):
                raise OverflowError("beyond float32")
        return scaled.astype(np.float32)

    def _numeric_column(self, column: _Numeric, values: Sequence[Any] | NDArray[Any]) -> Features:
        try:
            numbers = _as_floats(values)
        except (TypeError, ValueError, OverflowError):
            numbers = np.empty(0)
        if numbers.shape != (len(values),) or np.isinf(numbers).any():
            numbers = np.array([_number_at(value, row, column) for row, value in enumerate(values)])
        filled = np.where(np.isnan(numbers), column.fill, numbers)
        scaled = _scale(filled, column.mean, 1.0 / column.std)
        if not _fits(scaled):
            row = int(np.argmax(np.abs(scaled)))
            raise InputError(f"{float(filled[row])!r} is too far from the training data", row=row, column=column.name)
        return scaled.astype(np.float32)

    def _one_hot(self, name: str, values: Sequence[Any] | NDArray[Any], target: Features) -> None:
        codes = self._codes[name]
        for row, value in enumerate(values):
            text = value.strip() if isinstance(value, str) else _text_at(value, row, name)
            if (code := codes.get(text)) is not None:
                target[row, code] = 1.0

    def _explain(self, rows: Sequence[Row] | NDArray[Any]) -> Features:
        """Encode cell by cell: raises the error with its place, and takes what the fast paths were too strict for."""
        listed: list[Any] = []
        for index, row in enumerate(rows):
            if isinstance(row, Mapping):
                named = self._spelled.keyed(row, row=index)
                self._check_names(named.keys(), row=index)
                listed.append(tuple(named[name] for name in self.names))
            elif isinstance(row, Sequence | np.ndarray) and not isinstance(row, str | bytes):
                if len(row) != len(self.names):
                    expected = f"{len(self.names)} ({', '.join(self.names[:16])})"
                    raise InputError(f"has {len(row)} values, expected {expected}", row=index)
                listed.append(tuple(row))
            else:
                raise InputError("is neither an array of values nor an object of column names and values", row=index)
            for name, value in zip(self.names, listed[-1], strict=True):
                column = self._numeric.get(name)
                _text_at(value, index, name) if column is None else _number_at(value, index, column)
        return self.encode_columns(dict(zip(self.names, zip(*listed, strict=True), strict=True)))

    def _check_names(self, names: Any, *, row: int | None) -> None:
        for name in names:
            if name not in self._spelled.known:
                known = ", ".join(self.names[:16])
                raise InputError(f"is not a column of this model, which has {known}", row=row, column=str(name)[:128])
        for name in self.names:
            if name not in names:
                raise InputError("is missing; null stands for an unknown value", row=row, column=name)


def _picker(names: tuple[str, ...]) -> Callable[[Any], Any]:
    if len(names) == 1:
        only = itemgetter(names[0])
        return lambda row: (only(row),)
    return itemgetter(*names)


def _codes(column: CategoricalPreprocessing) -> dict[str | None, int]:
    codes: dict[str | None, int] = {category: code for code, category in enumerate(column.categories)}
    for code, category in enumerate(column.categories):
        # JSON's true and Python's True are one value; "TRUE" is how spreadsheets write it.
        if category.lower() in {"true", "false"}:
            for spelling in (category.lower(), category.title(), category.upper()):
                codes.setdefault(spelling, code)
    return codes


def _as_floats(values: Any) -> NDArray[np.float64]:
    """Convert at once; text is left to the careful path, since numpy takes more for a number than a table does."""
    array = np.asarray(values)
    if array.dtype.kind not in "fiub":
        if array.dtype.kind != "O" or any(isinstance(value, str | bytes) for value in array.flat):
            raise TypeError("text")
        array = np.asarray(values, dtype=np.float64)
    return array.astype(np.float64, copy=False)


def _scale(values: NDArray[np.float64], mean: Any, scale: Any) -> NDArray[np.float64]:
    with np.errstate(over="ignore"):
        return np.asarray((values - mean) * scale)


def _fits(scaled: NDArray[np.float64]) -> bool:
    """Whether all are finite and within float32; a NaN makes both comparisons false."""
    return bool(scaled.size == 0 or (scaled.max() < _FLOAT32_MAX and scaled.min() > -_FLOAT32_MAX))


def _number_at(value: Any, row: int, column: _Numeric) -> float:
    try:
        if isinstance(column, WrittenPreprocessing) and isinstance(value, str):
            return _written_number(value, column.notation)
        return as_number(value)
    except ValueError as error:
        raise InputError(str(error), row=row, column=column.name) from None


def _written_number(text: str, notation: Notation) -> float:
    """A text in the column's own notation; 1.5 is none where 1.500 is a thousand and a half."""
    number = parse(text.strip(), notation)
    if number is not None and math.isfinite(number):
        return number
    if notation.decimal is Decimal.COMMA and is_number_text(text.strip()):
        raise ValueError(f"{quoted(text)} is not a number as this column has them, with a decimal comma")
    return as_number(text)


def _check_texts(name: str, values: Sequence[Any] | NDArray[Any]) -> None:
    """Cells of a column without effect may be anything but structures."""
    if not (isinstance(values, np.ndarray) and values.dtype.kind in "fiub"):
        for row, value in enumerate(values):
            _text_at(value, row, name)


def _text_at(value: Any, row: int, column: str) -> str | None:
    try:
        return as_text(value)
    except ValueError as error:
        raise InputError(str(error), row=row, column=column) from None
