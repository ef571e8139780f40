"""What a column holds: numbers or categories, found from its cells."""

from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from modelservice.cells import MISSING_WORDS, NUMBER_PATTERN
from modelservice.contract.failure import DataError
from modelservice.modalities.table.notation import Notation
from modelservice.modalities.table.separators import COMMA, SEMICOLON
from modelservice.modalities.table.written import Cells, Place, check_points, not_a_number, read_written

MAX_NUMBER = 1e100
"""Beyond it squares overflow."""


@dataclass(frozen=True, kw_only=True, eq=False)
class NumericColumn:
    """float64 [rows]; NaN is missing.

    ``notation`` is how they are written where it is not as 1234.5, and ``sample`` a text whose reading is worth a word.
    """

    name: str
    values: NDArray[np.float64]
    notation: Notation | None = None
    sample: str | None = None

    @property
    def rows(self) -> int:
        """Number of rows."""
        return len(self.values)

    @property
    def missing(self) -> int:
        """Number of missing values."""
        return int(np.isnan(self.values).sum())

    @property
    def distinct(self) -> int:
        """Number of different values, missing ones aside."""
        return len(np.unique(self.values[~np.isnan(self.values)]))

    def take(self, rows: NDArray[np.int64]) -> "NumericColumn":
        """The column of some of the rows."""
        return replace(self, values=self.values[rows])


@dataclass(frozen=True, kw_only=True, eq=False)
class TextColumn:
    """Texts by code: int32 [rows] indexes ``texts``, whose entries differ; -1 is missing."""

    name: str
    codes: NDArray[np.int32]
    texts: tuple[str, ...]

    @property
    def rows(self) -> int:
        """Number of rows."""
        return len(self.codes)

    @property
    def missing(self) -> int:
        """Number of missing values."""
        return int((self.codes < 0).sum())

    @property
    def distinct(self) -> int:
        """Number of different values, missing ones aside."""
        return len(np.unique(self.codes[self.codes >= 0]))

    def take(self, rows: NDArray[np.int64]) -> "TextColumn":
        """The column of some of the rows."""
        return replace(self, codes=self.codes[rows])

    @property
    def values(self) -> list[str | None]:
        """The text of each row, None for missing."""
        lookup: tuple[str | None, ...] = (*self.texts, None)
        return [lookup[code] for code in self.codes]


Column = NumericColumn | TextColumn


def read_column(name: str, cells: pa.Array, *, place: Place, separator: str = COMMA) -> Column:
    """Find out what a column holds.

    It is numeric when at least half of its non-empty cells are numbers; then any other text in it is an error. So it is
    where all are numbers in one other notation, as $1,234 is.

    Args:
        name: the column's name.
        cells: strings, integers or float64; null is missing.
        place: where a row stands, for messages.
        separator: what stands between the cells of the file: beside semicolons commas may be decimal marks.

    Raises:
        DataError: a numeric column holds something else, or a number beyond ``MAX_NUMBER``, or numbers that can be read
            in two ways.
    """
    if not pa.types.is_string(cells.type):
        return _bounded(NumericColumn(name=name, values=_floats(cells)), place)
    text = trimmed(cells)
    number = is_number(text)
    word = pc.is_in(pc.utf8_lower(text), value_set=pa.array(sorted(MISSING_WORDS)))
    numbers = pc.sum(number).as_py() or 0
    others = len(text) - text.null_count - numbers - (pc.sum(word).as_py() or 0)
    if numbers == 0 or others > numbers:
        column = text_column(name, text)
        return _written(column, place, separator) or column
    if others:
        column = text_column(name, text)
        if (written := _written(column, place, separator, mostly_plain=True)) is not None:
            return written
        wrong = pc.and_(pc.invert(pc.or_(number, word)), pc.is_valid(text))
        raise not_a_number(_cells(column, place), text[pc.index(wrong, value=True).as_py()].as_py())
    plain = pc.if_else(number, text, None)
    if separator == SEMICOLON:
        check_points(_cells(text_column(name, plain), place))
    values = parse_numbers(plain)
    return _bounded(NumericColumn(name=name, values=values, sample=_code_in(plain, values)), place)


def trimmed(cells: pa.Array) -> pa.Array:
    """Texts without surrounding blanks; an empty one is null."""
    text = pc.utf8_trim_whitespace(cells)
    return pc.if_else(pc.equal(text, ""), pa.scalar(None, pa.string()), text)


def is_number(text: pa.Array) -> pa.Array:
    """Which texts are numbers; false for null."""
    return pc.fill_null(pc.match_substring_regex(text, NUMBER_PATTERN), fill_value=False)


def parse_numbers(text: pa.Array) -> NDArray[np.float64]:
    """float64 [rows] of texts that are numbers or null (NaN); too large ones become infinite."""
    return _floats(pc.replace_substring(text, "+", "", max_replacements=1).cast(pa.float64()))


def text_column(name: str, text: pa.Array) -> TextColumn:
    """A column of trimmed texts."""
    encoded = text.dictionary_encode()
    codes = pc.fill_null(encoded.indices, -1).to_numpy(zero_copy_only=False).astype(np.int32)
    return TextColumn(name=name, codes=codes, texts=tuple(encoded.dictionary.to_pylist()))


def _written(column: TextColumn, place: Place, separator: str, *, mostly_plain: bool = False) -> NumericColumn | None:
    written = read_written(_cells(column, place), separator=separator, mostly_plain=mostly_plain)
    if written is None:
        return None
    return _bounded(NumericColumn(name=column.name, **written._asdict()), place)


def _cells(column: TextColumn, place: Place) -> Cells:
    return Cells(column.name, column.codes, column.texts, place)


def _code_in(text: pa.Array, values: NDArray[np.float64]) -> str | None:
    """A number with a leading zero: it may be a code, of which the zero is a part."""
    zero = np.flatnonzero(pc.fill_null(pc.starts_with(text, "0"), fill_value=False).to_numpy(zero_copy_only=False))
    codes = [code for code in text.take(pa.array(zero[values[zero] >= 1])).to_pylist() if code[1].isdigit()]
    return codes[0] if codes else None


def _floats(cells: pa.Array) -> NDArray[np.float64]:
    return np.array(cells.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False), dtype=np.float64)


def _bounded(column: NumericColumn, place: Place) -> NumericColumn:
    excessive = np.abs(column.values) > MAX_NUMBER
    if excessive.any():
        where = f"{place(int(excessive.argmax()))}, column {column.name}"
        raise DataError("NotANumber", f"{where}: the number is too large: correct the cell, or leave it empty")
    return column
