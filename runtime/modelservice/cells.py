"""One cell: what counts as missing, as a number, as text. The single definition for files, frames and requests."""

import math
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal, InvalidOperation
from functools import cached_property
from typing import Any

import numpy as np

MISSING_WORDS = frozenset({"na", "n/a", "nan", "null", "none"})
"""What stands for a missing value among numbers, in any case, unless ``spec.data.missing`` says otherwise."""

NUMBER_PATTERN = r"^[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?$"
_NUMBER = re.compile(NUMBER_PATTERN, re.ASCII)
_CODE = re.compile(r"[+-]?0[0-9]", re.ASCII)
_SHOWN = 40
_WHOLE_FLOAT32 = 2**23
"""From here on all numbers of float32 are whole."""
_NOT_THERE = frozenset({"NaT", "NaN"})
"""How numpy and pandas write a missing date, and Python a decimal that is none."""


@dataclass(frozen=True)
class Missing:
    """Which cells are missing beside the empty ones; words are in lower case.

    Attributes:
        among_numbers: words that mean it where the rest of a column are numbers.
        anywhere: words that mean it in every column. One that is a number means every cell of that value, and of a
            fraction also of what float32 makes of it, which nobody else writes.
    """

    among_numbers: frozenset[str] = MISSING_WORDS
    anywhere: frozenset[str] = frozenset()

    @classmethod
    def of(cls, words: Iterable[str] | None) -> "Missing":
        """The rule that ``spec.data.missing`` gives; None is the default."""
        if words is None:
            return cls()
        return cls(frozenset(), frozenset(word.strip().lower() for word in words) - {""})

    @cached_property
    def _numbers(self) -> frozenset[Decimal]:
        exact = [number for word in self.anywhere if (number := _exact(word)) is not None]
        rounded = (float(np.float32(number)) for number in exact if abs(number) < _WHOLE_FLOAT32)
        return frozenset(exact) | {Decimal(repr(number)) for number in rounded if not number.is_integer()}

    @cached_property
    def floats(self) -> tuple[float, ...]:
        """Numbers that mean it."""
        return tuple(map(float, self._numbers))

    def means(self, text: str) -> bool:
        """Whether a text without blanks around it is missing whatever its column holds."""
        if text.lower() in self.anywhere:
            return True
        return bool(self._numbers) and (number := _exact(text)) is not None and number in self._numbers

    def blanked(self, cell: Any) -> Any:
        """A cell as a client or a frame gives it, or None where it is missing by one of the words for every column."""
        try:
            text = as_text(cell)
        except (ValueError, OverflowError):
            return cell  # a structure, or infinite: said by whoever reads it
        return None if text is None or self.means(text) else cell


def _exact(text: str) -> Decimal | None:
    """The value of a number whose text is no code, as 0101 may be; float64 would merge those of 20 digits."""
    if not is_number_text(text) or _CODE.match(text):
        return None
    try:
        return Decimal(text)
    except InvalidOperation:  # an exponent of twenty digits
        return None


def is_number_text(text: str) -> bool:
    """Whether a text without blanks around it is written as a number."""
    return _NUMBER.match(text) is not None


def as_number(value: Any, words: frozenset[str] = MISSING_WORDS) -> float:
    """The number that a cell of a numeric column holds, NaN if it is empty or one of the words for missing values.

    Raises:
        ValueError: it holds no finite number; the message quotes it.
    """
    if value is None:
        return math.nan
    if isinstance(value, str):
        text = value.strip()
        if not text or text.lower() in words:
            return math.nan
        number = float(text) if is_number_text(text) else None
    else:
        number = _float(value)
    if number is None:
        if _is_pandas_na(value):
            return math.nan
        raise ValueError(f"{quoted(value)} is not a number")
    if math.isinf(number):
        raise ValueError(f"{quoted(value)} is not a finite number")
    return number


def as_text(value: Any) -> str | None:
    """The text that a cell of a categorical column holds, None if it is missing.

    Numbers read as they would stand in a table: 3, 3.0 and a decimal 3.00 are all "3", True is "True". Dates and times
    of Python, numpy and pandas are texts of ISO 8601, of UTC where they have a zone.

    Raises:
        ValueError: it holds a structure; the message quotes it.
    """
    if isinstance(value, str):
        return value.strip() or None
    if value is None or _is_pandas_na(value):
        return None
    if isinstance(value, bool | np.bool_):
        return str(bool(value))
    if isinstance(value, int | np.integer) and not _is_duration(value):
        return str(int(value))
    if isinstance(value, float | np.floating):
        number = float(value)
        return None if math.isnan(number) else number_text(number)
    if isinstance(value, date | time | np.datetime64 | Decimal):
        text = decimal_text(value) if isinstance(value, Decimal) else _moment_text(value)
        return None if text in _NOT_THERE else text
    raise ValueError(f"{quoted(value)} is neither text nor a number")


def _is_duration(value: object) -> bool:
    """Whether it is one of numpy's, which are integers to Python, in a unit that the number does not tell."""
    return isinstance(value, np.timedelta64)


def _is_pandas_na(value: Any) -> bool:
    """Whether it is ``pandas.NA``, which lists have that were made of a frame; pandas need not be there."""
    return type(value).__name__ == "NAType"


def _moment_text(value: date | time | np.datetime64) -> str:
    """The same text for the same moment, in whatever unit it is counted."""
    if isinstance(value, datetime) and value.tzinfo is not None:
        value = value.astimezone(UTC)
    text = str(value) if isinstance(value, np.datetime64) else value.isoformat()
    whole, point, fraction = text.removesuffix("+00:00").partition(".")
    digits = fraction.rstrip("0")
    zone = "Z" if text.endswith("+00:00") else ""
    return f"{whole}{point if digits else ''}{digits}{zone}"


def number_text(number: float) -> str:
    """A number as a table writes it: whole ones without a decimal point."""
    return str(int(number)) if number.is_integer() and abs(number) < 1e16 else repr(number)  # noqa: PLR2004


def decimal_text(number: Decimal) -> str:
    """A decimal as the same number reads in a request: whole ones with all digits, others as float64."""
    if number.is_finite() and number == number.to_integral_value():
        return str(int(number))
    return number_text(float(number)) if number.is_finite() else str(number)


def column_name(text: str) -> str:
    """A column's name as names are compared: Unicode NFC, without blanks around it."""
    name = text.strip()
    return name if name.isascii() else unicodedata.normalize("NFC", name)


def is_unicode(text: str) -> bool:
    """Whether a text can be written down: Python's may hold halves of characters (lone surrogates), UTF-8 cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def quoted(value: Any) -> str:
    """A value for a message, cut to a sensible length."""
    shown = repr(value)
    return shown if len(shown) <= _SHOWN else f"{shown[: _SHOWN - 3]}..."


def _float(value: Any) -> float | None:
    if _is_duration(value) or not isinstance(value, bool | int | float | Decimal | np.integer | np.floating | np.bool_):
        return None
    try:
        return float(value)
    except OverflowError:
        return math.inf
