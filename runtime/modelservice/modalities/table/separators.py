"""What stands between the cells of a file."""

import csv
import io
import re
from dataclasses import dataclass
from itertools import islice

from modelservice.contract.failure import DataError
from modelservice.contract.formats import TAB

SEPARATOR_FIELD = "spec.data.csv.separator"
COMMA, SEMICOLON = ",", ";"
NAMES = {COMMA: "commas", SEMICOLON: "semicolons", "\t": "tabs", "|": "bars"}
"""Those that are looked for."""
_MARK = b"\xef\xbb\xbf"
_SAID = re.compile(rb'"?sep=([^\r\n"]{1,4})"?(?:\r\n|\r|\n)')
"""What spreadsheets read as a first line, and some write."""


@dataclass(frozen=True)
class Separator:
    """``character`` stands between cells; the table begins at byte ``begin``, which is on line ``line`` (from 0)."""

    character: str
    begin: int
    line: int
    given: bool = False

    @property
    def notes(self) -> tuple[str, ...]:
        """What was found and is worth a word."""
        return () if self.given or self.character == COMMA else (f"columns are separated by {self.name}",)

    @property
    def name(self) -> str:
        """In a sentence, such as semicolons."""
        return name_of(self.character)


def name_of(character: str) -> str:
    """A separator in a sentence."""
    return NAMES.get(character) or ("blanks" if character == " " else f"{character!r}")


def find_separator(content: bytes, *, given: str | None = None, field: str) -> Separator:
    """The separator that is given, or that a first line such as ``sep=;`` says, or that divides the header.

    A comma that divides the header is taken before any other: names may hold semicolons. Where nothing divides it, the
    table has one column.

    Args:
        content: the file in UTF-8.
        given: ``spec.data.csv.separator``.
        field: what errors name as the field to change, where it is not the separator.

    Raises:
        DataError: several others divide the header, the first line says something else, or the one that is given does
            not divide the header.
    """
    begin, line, said = _first_line(content)
    if given is not None:
        return _given("\t" if given == TAB else given, content, begin, line, said)
    if said is not None:
        if said not in NAMES:
            message = f"the first line says sep={said}, and cells are separated by , ; | or tabs"
            raise DataError("SeparatorNotClear", f"{message}: save it as CSV with one of them", field=field)
        return Separator(said, begin, line)
    found = dividing(content[begin:])
    if COMMA in found or not found:
        return Separator(COMMA, begin, 0)
    if len(found) > 1:
        message = f"the header can be divided at {' and at '.join(NAMES[one] for one in found)}"
        remedy = f"set {SEPARATOR_FIELD}, or say which in a line before it, such as sep={found[0]}"
        raise DataError("SeparatorNotClear", f"{message}: {remedy}", field=SEPARATOR_FIELD)
    return Separator(found[0], begin, 0)


def _first_line(content: bytes) -> tuple[int, int, str | None]:
    """Where the table begins, on which line, and what the line before it says."""
    begin = len(_MARK) if content.startswith(_MARK) else 0
    if said := _SAID.match(content, begin):
        return said.end(), 1, said[1].decode()
    return begin, 0, None


def _given(character: str, content: bytes, begin: int, line: int, said: str | None) -> Separator:
    if said is not None and said != character:
        message = f"the first line says sep={said}, and {SEPARATOR_FIELD} says {character!r}"
        raise DataError("SeparatorNotClear", f"{message}: correct one of them", field=SEPARATOR_FIELD)
    if len(_first(content[begin:], character)) == 1:
        others = " and ".join(NAMES[one] for one in dividing(content[begin:]))
        message = f"{name_of(character)} do not divide the header" + (f", but {others} do" if others else "")
        raise DataError("SeparatorNotFound", f"{message}: correct {SEPARATOR_FIELD}", field=SEPARATOR_FIELD)
    return Separator(character, begin, line, given=True)


def dividing(content: bytes) -> list[str]:
    """The separators that divide the first line that is not empty into more than one cell."""
    return [character for character in NAMES if len(_first(content, character)) > 1]


def _first(content: bytes, separator: str) -> list[str]:
    text = io.TextIOWrapper(io.BytesIO(content), encoding="utf-8", newline="")
    try:
        return next(islice((record for record in csv.reader(text, delimiter=separator) if record), 1), [])
    except csv.Error:
        return []
