"""What a column holds, found from its cells: the vectorised look that kinds of columns decide by."""

from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from modelservice.cells import MISSING_WORDS, NUMBER_PATTERN, Missing, number_text
from modelservice.contract.data import ColumnType
from modelservice.modalities.table import kinds
from modelservice.modalities.table.kinds.base import Column, TextTokens
from modelservice.modalities.table.notation import Decimal
from modelservice.modalities.table.separators import COMMA
from modelservice.modalities.table.written import Cells, Place


class ArrowColumn:
    """A column before anything is known of it: strings, integers or float64 of an arrow array; null is missing.

    Args:
        name: the column's name.
        cells: the array.
        place: where a row stands, for messages.
        separator: what stands between the cells of the file.
        decimal: the mark before the fraction of its numbers, where that is said.
        words: what means a missing value among numbers.
        declared: what ``spec.data.columns`` says of it.
        reading: how texts become tokens, where ``spec.data.encoder`` says it.
    """

    def __init__(
        self,
        name: str,
        cells: pa.Array,
        *,
        place: Place,
        separator: str,
        decimal: Decimal | None,
        words: frozenset[str],
        declared: ColumnType | None,
        reading: TextTokens | None,
    ) -> None:
        self.reading = reading
        self.name, self.place, self.separator, self.words, self.declared = name, place, separator, words, declared
        self.floats = None if pa.types.is_string(cells.type) else _floats(cells)
        self.decimal = decimal
        self._given = cells

    @cached_property
    def _text(self) -> pa.Array:
        return texts_of(self._given)

    @cached_property
    def _is_plain(self) -> pa.Array:
        return is_number(self._text)

    @cached_property
    def cells(self) -> Cells:
        """The texts by code."""
        return coded(self.name, self._text, self.place)

    @cached_property
    def plain(self) -> int:
        """How many cells are numbers such as 1234.5."""
        return pc.sum(self._is_plain).as_py() or 0

    @cached_property
    def others(self) -> int:
        """How many cells are neither numbers nor missing."""
        words = pc.is_in(pc.utf8_lower(self._text), value_set=pa.array(sorted(self.words), type=pa.string()))
        return int(len(self._text) - self._text.null_count - self.plain - (pc.sum(words).as_py() or 0))

    def numbers(self) -> NDArray[np.float64]:
        """float64 [rows]: those of the cells that are plain numbers, NaN for the rest."""
        return parse_numbers(pc.if_else(self._is_plain, self._text, None))

    def code(self) -> str | None:
        """One of the plain numbers that begin with a zero, as 0101 does: it may be a code."""
        zero = pc.and_(self._is_plain, pc.match_substring_regex(self._text, "^0[0-9]"))
        found = self._text.filter(zero)
        return next((found[int(at)].as_py() for at in np.flatnonzero(parse_numbers(found) >= 1)[:1]), None)


def read_column(
    name: str,
    cells: pa.Array,
    *,
    place: Place,
    separator: str = COMMA,
    decimal: Decimal | None = None,
    words: frozenset[str] = MISSING_WORDS,
    declared: ColumnType | None = None,
    reading: TextTokens | None = None,
) -> Column:
    """Find out what a column holds: the first of ``KINDS`` that takes it, among those of the type that is declared.

    For arguments see ``ArrowColumn``.

    Raises:
        DataError: a column of numbers holds something else, or one beyond ``MAX_NUMBER``, or numbers that can be read
            in two ways.
    """
    raw = ArrowColumn(
        name,
        cells,
        place=place,
        separator=separator,
        decimal=decimal,
        words=words,
        declared=declared,
        reading=reading,
    )
    offered = (kind for kind in kinds.KINDS if declared in {None, kind.type})
    return next(column for kind in offered if (column := kind.read(raw)) is not None)


def texts_of(cells: pa.Array) -> pa.Array:
    """Cells as they stand in the file, without surrounding blanks; whole numbers of a frame without a decimal point."""
    if pa.types.is_string(cells.type):
        return trimmed(cells)
    if pa.types.is_integer(cells.type):
        return cells.cast(pa.string())
    encoded = cells.dictionary_encode()
    texts = pa.array([number_text(number) for number in encoded.dictionary.to_pylist()], type=pa.string())
    return texts.take(encoded.indices)


def blanked(cells: pa.Array, missing: Missing) -> tuple[pa.Array, int]:
    """The cells without those that are missing by a word for every column, and how many these are."""
    if not missing.anywhere:
        return cells, 0
    texts = texts_of(cells).dictionary_encode()
    means = pa.array([missing.means(text) for text in texts.dictionary.to_pylist()], type=pa.bool_())
    gone = pc.fill_null(means.take(texts.indices), fill_value=False)
    return pc.if_else(gone, pa.scalar(None, cells.type), cells), pc.sum(gone).as_py() or 0


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


def coded(name: str, text: pa.Array, place: Place) -> Cells:
    """Trimmed texts by code."""
    encoded = text.dictionary_encode()
    codes = pc.fill_null(encoded.indices, -1).to_numpy(zero_copy_only=False).astype(np.int32)
    return Cells(name, codes, tuple(encoded.dictionary.to_pylist()), place)


def _floats(cells: pa.Array) -> NDArray[np.float64]:
    return np.array(cells.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False), dtype=np.float64)
