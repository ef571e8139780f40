"""Columns of texts that are numbers in another notation than 1234.5: prices, percentages, decimal commas."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from modelservice.cells import is_number_text, number_text, quoted
from modelservice.contract.failure import DataError
from modelservice.modalities.table.notation import (
    MEASURES,
    Decimal,
    Notation,
    Unclear,
    find_notation,
    in_doubt,
    is_certain,
    may_be_number,
    parse,
    unlike,
)
from modelservice.modalities.table.separators import COMMA, SEMICOLON

FEW_TEXTS = 20
"""Up to so many different texts, what is unclear about numbers is taken for categories."""

Place = Callable[[int], str]


class Cells(NamedTuple):
    """The texts of a column: codes int32 [rows] index ``texts``, whose entries differ; -1 is missing."""

    name: str
    codes: NDArray[np.int32]
    texts: tuple[str, ...]
    place: Place

    def place_of(self, text: str) -> str:
        """Where a text stands first."""
        return self.place(int(np.argmax(self.codes == self.texts.index(text))))


class Written(NamedTuple):
    """float64 [rows], NaN is missing; the notation in which they stand; and one of the texts."""

    values: NDArray[np.float64]
    notation: Notation
    sample: str


def read_written(
    cells: Cells,
    *,
    words: frozenset[str],
    separator: str = COMMA,
    decimal: Decimal | None = None,
    mostly_plain: bool = False,
    declared: bool = False,
) -> Written | None:
    """The numbers of a column in its notation; None where its texts are texts.

    Args:
        cells: the column.
        words: what means a missing value among numbers.
        separator: what stands between the cells of the file.
        decimal: the mark before the fraction, where that is said: then nothing is taken for a slip or for categories.
        mostly_plain: whether at least half of the cells are plain numbers. Then a comma before a fraction is a slip,
            unless semicolons separate the columns, or a number has a mark between thousands, too.
        declared: whether it is said that they are numbers, so that few different texts are no categories.

    Raises:
        DataError: most cells are numbers in a notation of their own and the rest is not, or they can be read in two
            ways; of few different texts neither is said, they are categories.
    """
    if decimal is not None:
        mostly_plain, declared = False, True
    given = [text for text in cells.texts if text.lower() not in words]
    likely = _likely(cells, words)
    if not likely:
        return None
    found = find_notation(likely, separator=separator, decimal=decimal)
    few = len(given) <= FEW_TEXTS and not mostly_plain and not declared
    if isinstance(found, Unclear):
        if few:
            return None
        raise DataError("NotANumber", f"{cells.place_of(found.text)}, column {cells.name}: {found.message}")
    slip = mostly_plain and separator != SEMICOLON and not any(map(is_certain, likely))
    if found is None or (slip and found.decimal is Decimal.COMMA):
        return None
    if len(likely) < len(given):
        if few or mostly_plain or found.unit not in MEASURES:
            return None
        known = set(likely)
        raise not_a_number(cells, next(text for text in given if text not in known))
    numbers = np.array([*(_number(text, found) for text in cells.texts), np.nan])
    sample = next((text for text in likely if not _is_plain(text, decimal)), None)
    if sample is None:
        return None
    return Written(numbers[cells.codes], found, sample)


def numbers_of(
    cells: Cells, *, words: frozenset[str], separator: str, decimal: Decimal | None = None
) -> tuple[str, ...] | None:
    """The texts of a target as plain numbers, words for missing values as they are; None where they stay texts.

    Raises:
        DataError: as ``read_written``, and of points as ``check_points`` and ``check_decimal``.
    """
    plain = [text for text in cells.texts if _is_plain(text, decimal)]
    if separator == SEMICOLON and decimal is None and len(cells.texts) > FEW_TEXTS and len(plain) == len(cells.texts):
        check_points(cells)
    if len(plain) == len(cells.texts):
        return None
    counts = np.bincount(cells.codes[cells.codes >= 0], minlength=len(cells.texts))
    usual = sum(int(count) for text, count in zip(cells.texts, counts, strict=True) if is_number_text(text))
    mostly_plain = 2 * usual >= counts.sum()
    written = read_written(cells, words=words, separator=separator, decimal=decimal, mostly_plain=mostly_plain)
    if written is None:
        if all(map(is_number_text, cells.texts)):
            check_decimal(cells, decimal)
        return None
    numbers = (parse(text, written.notation) for text in cells.texts)
    return tuple(text if n is None else number_text(n) for text, n in zip(cells.texts, numbers, strict=True))


def has_points(cells: Cells, decimal: Decimal | None) -> bool:
    """Whether numbers have points, in a file of which it is said that these are no decimal marks."""
    return decimal is Decimal.COMMA and any("." in text for text in cells.texts)


def check_decimal(cells: Cells, decimal: Decimal | None) -> None:
    """Refuse plain numbers with a point where it is said that a comma stands before fractions.

    Raises:
        DataError: names one.
    """

    def other(text: str) -> bool:
        return is_number_text(text) and not _is_plain(text, decimal)

    if decimal is not None and (text := next(filter(other, cells.texts), None)):
        raise DataError("NotANumber", f"{cells.place_of(text)}, column {cells.name}: {text!r} {unlike(decimal)}")


def check_points(cells: Cells) -> None:
    """Refuse plain numbers whose point may as well stand between thousands, in a file that has semicolons.

    Raises:
        DataError: names one.
    """
    if (text := in_doubt(filter(is_number_text, cells.texts))) is not None:
        message = f"{text!r} may be {text} or {text.replace('.', '')}: write it with another number of digits"
        raise DataError("NotANumber", f"{cells.place_of(text)}, column {cells.name}: {message}")


def not_a_number(cells: Cells, text: str, *, declared: bool = False) -> DataError:
    """What to say of a text among numbers, which are those of most cells, or said to be in ``spec.data.columns``."""
    why = "but spec.data.columns says Number" if declared else "but most values of this column are"
    return DataError(
        "NotANumber",
        f"{cells.place_of(text)}, column {cells.name}: {quoted(text)} is not a number, {why}:"
        " correct the cell, or leave it empty if the value is not known",
    )


def _likely(cells: Cells, words: frozenset[str]) -> list[str]:
    """The texts that may be numbers, if they are at least half of the cells that hold something."""
    matched = np.array([may_be_number(text) for text in cells.texts], dtype=bool)
    absent = np.array([text.lower() in words for text in cells.texts], dtype=bool)
    counts = np.bincount(cells.codes[cells.codes >= 0], minlength=len(cells.texts))
    if not matched.any() or 2 * counts[matched].sum() < counts[~absent].sum():
        return []
    return [cells.texts[code] for code in np.flatnonzero(matched)]


def _is_plain(text: str, decimal: Decimal | None) -> bool:
    return is_number_text(text) and not (decimal is Decimal.COMMA and "." in text)


def _number(text: str, notation: Notation) -> float:
    number = parse(text, notation)
    return np.nan if number is None else number
