"""How the numbers of a column are written where it is not as 1234.5: with groups, a decimal comma, or a unit.

One definition for files and requests. A column has one notation or none: what can be read in two ways is refused.
"""

import re
from collections.abc import Collection, Iterable
from enum import StrEnum
from typing import Annotated, NamedTuple

from pydantic import StringConstraints

from modelservice.contract.base import Contract
from modelservice.modalities.table.remembered import Remembered

_SIGNS = "$€£¥₹₩₽₺₫₪฿₴₦¢"
_CODES = "AUD|BRL|CAD|CHF|CNY|CZK|DKK|EUR|GBP|HKD|HUF|INR|JPY|KRW|MXN|NOK|NZD|PLN|SEK|SGD|TRY|USD|ZAR"
_CURRENCY = f"[{_SIGNS}]|{_CODES}"
_SPACES = " \u00a0\u2007\u2009\u202f"
_MINUS = "\\-\u2010\u2011\u2013\u2212"
"""The hyphens and dashes that stand for a minus before digits; typography has a sign of its own for it."""
_GROUPS = f"'\u2019{_SPACES}"
"""What may stand between thousands, whatever the decimal mark is."""
_UNIT = rf"[^\s0-9.,'+(){_MINUS}][^\s0-9.,+(){_MINUS}]{{0,11}}"
_PARTS = re.compile(
    rf"(?P<sign>[+{_MINUS}]?)(?:(?P<before>{_CURRENCY})[{_SPACES}]?)?(?P<inner>[+{_MINUS}]?)"
    rf"(?P<body>[0-9](?:[0-9.,{_GROUPS}]*[0-9.,])?|[.,][0-9]+)(?:[{_SPACES}]?(?P<after>{_UNIT}))?"
)
_BRACKETED = re.compile(
    rf"(?P<before>(?:{_CURRENCY})?)[{_SPACES}]?\([{_SPACES}]?(?P<number>[^(){_MINUS}+]+?)[{_SPACES}]?\)"
    rf"(?P<after>(?:[{_SPACES}]?(?:{_CURRENCY}|%))?)"
)
"""How accountants write negative numbers."""
_BODY = rf"[0-9]{{1,3}}(?:[.,_{_GROUPS}][0-9]{{3}})+(?:[.,][0-9]+)?|[0-9]+(?:[.,][0-9]*)?|[.,][0-9]+"
_LOOKS = re.compile(
    rf"[^0-9A-Za-z]{{0,3}}(?:{_CODES}|[A-Za-z]{{2,4}}[.{_SPACES}])?[^0-9A-Za-z]{{0,3}}(?:{_BODY})"
    rf"[{_SPACES}]?[^\s0-9]{{0,12}}"
)
MEASURES = frozenset({*_SIGNS, *_CODES.split("|"), "%", ""})
"""Units that only numbers have: a column in which some cells have another than the rest is no text."""
_SINGLE_GROUP = re.compile(r"[1-9][0-9]{0,2}([.,])[0-9]{3}")
_BOTH_MARKS = re.compile(rf"[0-9][.{_GROUPS}][0-9]{{3}},[0-9]|[0-9][,{_GROUPS}][0-9]{{3}}\.[0-9]")
_FEW_DIGITS = re.compile(r"[0-9]{1,3}")


class Decimal(StrEnum):
    """The mark before the fraction."""

    POINT = "Point"
    COMMA = "Comma"


_BODIES = {
    decimal: re.compile(
        rf"(?:(?:0|[1-9][0-9]*)|[1-9][0-9]{{0,2}}(?:([{other}{_GROUPS}])[0-9]{{3}})(?:\1[0-9]{{3}})*)"
        rf"(?:{mark}[0-9]*)?|{mark}[0-9]+{lakhs}"
    )
    for decimal, mark, other, lakhs in (
        (Decimal.POINT, r"\.", ",", r"|[1-9][0-9]?(?:,[0-9]{2})+,[0-9]{3}(?:\.[0-9]*)?"),
        (Decimal.COMMA, ",", ".", ""),
    )
}


class Notation(Contract):
    """How the numbers of one column are written: the decimal mark, and the unit before or after them, or none."""

    decimal: Decimal
    unit: Annotated[str, StringConstraints(max_length=12)] = ""


class Unclear(NamedTuple):
    """A column whose numbers can be read in two ways, or are written in two: ``text`` is one of them."""

    text: str
    message: str


class _Written(NamedTuple):
    unit: str
    negative: bool
    body: str


def may_be_number(text: str) -> bool:
    """Whether a text without blanks around it is put together like a number in some notation."""
    return _parts(text) is not None


def is_certain(text: str) -> bool:
    """Whether a number has marks of both kinds, so that the last one can only stand before a fraction."""
    return _BOTH_MARKS.search(text) is not None


def looks_like_number(text: str) -> bool:
    """Whether there is little but a number in a text, however it may be written: 1_000, 5k or 12,- are such."""
    return _LOOKS.fullmatch(text) is not None


def parse(text: str, notation: Notation) -> float | None:
    """The number that a text without blanks around it says, with or without the unit; None if it is none."""
    written = _parts(text)
    if written is None or written.unit not in {"", notation.unit} or not _is_body(written.body, notation.decimal):
        return None
    mark, other = (".", ",") if notation.decimal is Decimal.POINT else (",", ".")
    digits = written.body
    for group in other + _GROUPS:
        digits = digits.replace(group, "")
    number = float(digits.replace(mark, "."))
    return -number if written.negative else number


def find_notation(
    texts: Collection[str], *, separator: str, decimal: Decimal | None = None
) -> Notation | Unclear | None:
    """The notation in which all texts are numbers.

    Args:
        texts: the different texts of a column, missing ones aside.
        separator: what stands between the cells of the file. Beside semicolons a comma may be a decimal mark as well
            as not; beside others it stands between thousands where three digits follow it everywhere.
        decimal: the mark before the fraction, where that is said.

    Returns:
        None where the texts are no numbers.
    """
    parts = {text: _parts(text) for text in texts}
    if any(part is None for part in parts.values()):
        return None
    written = {text: part for text, part in parts.items() if part is not None}
    first = next(iter(written))
    unit = written[first].unit
    for text, part in written.items():
        if part.unit != unit:
            if not {part.unit, unit} <= MEASURES:
                return None
            return Unclear(text, f"{text!r} has another unit than {first!r}: write all values in one form")
    ways = [*Decimal] if decimal is None else [decimal]
    decimals = [way for way in ways if all(_is_body(part.body, way) for part in written.values())]
    if len(decimals) == 1:
        return Notation(decimal=decimals[0], unit=unit)
    if not decimals:
        return _in_two_ways(written) if decimal is None else _in_another_way(written, decimal)
    return _of_either(written, unit, separator)


def in_doubt(bodies: Iterable[str]) -> str | None:
    """A number whose mark may stand before a fraction as well as between thousands, as 1.234 beside 999; or None.

    In 0.5 or 1.25 it stands before a fraction, and where every number has it before three digits, either reading
    teaches a model the same.
    """
    doubtful, without = None, False
    for body in bodies:
        if _SINGLE_GROUP.fullmatch(body):
            doubtful = body
        elif _FEW_DIGITS.fullmatch(body):
            without = True
        else:
            return None
    return doubtful if without else None


def _in_two_ways(written: dict[str, _Written]) -> Unclear | None:
    """None where a text is a number in neither way, such as 007 or 1.2.3, so that the column is one of texts."""
    of = {text: [decimal for decimal in Decimal if _is_body(part.body, decimal)] for text, part in written.items()}
    if not all(of.values()):
        return None
    with_point, with_comma = (next(text for text, ways in of.items() if way not in ways) for way in reversed(Decimal))
    return Unclear(with_comma, f"{with_comma!r} and {with_point!r} have different decimal marks: write all with points")


def _in_another_way(written: dict[str, _Written], decimal: Decimal) -> Unclear | None:
    """None where a text is a number in neither way, as in a column of texts."""
    if not all(any(_is_body(part.body, way) for way in Decimal) for part in written.values()):
        return None
    other = next(text for text, part in written.items() if not _is_body(part.body, decimal))
    return Unclear(other, f"{other!r} {unlike(decimal)}")


def unlike(decimal: Decimal) -> str:
    """The rest of a sentence about a number that does not have the mark that is said."""
    mark = "point" if decimal is Decimal.POINT else "comma"
    return f"is no number with a decimal {mark}, which spec.data.csv.decimal says: correct one of them"


def _of_either(written: dict[str, _Written], unit: str, separator: str) -> Notation | Unclear:
    marked = {text: part.body for text, part in written.items() if "," in part.body or "." in part.body}
    commas = [text for text, body in marked.items() if "," in body]
    if commas and len(commas) < len(marked):
        point = next(text for text in marked if text not in commas)
        return Unclear(commas[0], f"{commas[0]!r} and {point!r} can be read in two ways each: write all with points")
    if separator == ";" and (body := in_doubt(part.body for part in written.values())):
        text = next(text for text, part in written.items() if part.body == body)
        digits = re.sub("[.,]", "", body)
        return Unclear(text, f"{text!r} may be {digits} or {body.replace(',', '.')}: write it as one of them")
    comma = separator == ";" and commas
    return Notation(decimal=Decimal.COMMA if comma else Decimal.POINT, unit=unit)


def _read(text: str) -> _Written | None:
    if bracketed := _BRACKETED.fullmatch(text):
        text = "{before}-{number}{after}".format(**bracketed.groupdict())
    found = _PARTS.fullmatch(text)
    if found is None or (found["before"] and found["after"]) or (found["sign"] and found["inner"]):
        return None
    signs = found["sign"] + found["inner"]
    return _Written(found["before"] or found["after"] or "", signs not in {"", "+"}, found["body"])


_parts = Remembered(_read, most=4096)


def _is_body(body: str, decimal: Decimal) -> bool:
    return _BODIES[decimal].fullmatch(body) is not None
