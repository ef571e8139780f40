"""One cell: what counts as missing, as a number, as text. The single definition for files, frames and requests."""

import math
import re
import unicodedata
from typing import Any

import numpy as np

MISSING_WORDS = frozenset({"na", "n/a", "nan", "null", "none"})
"""In a numeric column these stand for a missing value, in any case; in text only the empty cell does."""

NUMBER_PATTERN = r"^[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?$"
_NUMBER = re.compile(NUMBER_PATTERN, re.ASCII)
_SHOWN = 40


def is_number_text(text: str) -> bool:
    """Whether a text without blanks around it is written as a number."""
    return _NUMBER.match(text) is not None


def as_number(value: Any) -> float:
    """The number that a cell of a numeric column holds, NaN if it is missing.

    Raises:
        ValueError: it holds no finite number; the message quotes it.
    """
    if value is None:
        return math.nan
    if isinstance(value, str):
        text = value.strip()
        if not text or text.lower() in MISSING_WORDS:
            return math.nan
        number = float(text) if is_number_text(text) else None
    else:
        number = _float(value)
    if number is None:
        raise ValueError(f"{quoted(value)} is not a number")
    if math.isinf(number):
        raise ValueError(f"{quoted(value)} is not a finite number")
    return number


def as_text(value: Any) -> str | None:
    """The text that a cell of a categorical column holds, None if it is missing.

    Numbers read as they would stand in a table: 3 and 3.0 are both "3", True is "True".

    Raises:
        ValueError: it holds a structure; the message quotes it.
    """
    if isinstance(value, str):
        return value.strip() or None
    if value is None:
        return None
    if isinstance(value, bool | np.bool_):
        return str(bool(value))
    if isinstance(value, int | np.integer):
        return str(int(value))
    if isinstance(value, float | np.floating):
        number = float(value)
        if math.isnan(number):
            return None
        return number_text(number)
    raise ValueError(f"{quoted(value)} is neither text nor a number")


def number_text(number: float) -> str:
    """A number as a table writes it: whole ones without a decimal point."""
    return str(int(number)) if number.is_integer() and abs(number) < 1e16 else repr(number)  # noqa: PLR2004


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
    if not isinstance(value, bool | int | float | np.integer | np.floating | np.bool_):
        return None
    try:
        return float(value)
    except OverflowError:
        return math.inf
