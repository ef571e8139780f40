"""What stands between the cells of a file."""

import csv
import io
import re
from dataclasses import dataclass
from itertools import islice

from modelservice.contract.failure import DataError

COMMA, SEMICOLON = ",", ";"
NAMES = {COMMA: "commas", SEMICOLON: "semicolons", "\t": "tabs", "|": "bars"}
_MARK = b"\xef\xbb\xbf"
_SAID = re.compile(rb'"?sep=([^\r\n"]{1,4})"?(?:\r\n|\r|\n)')
"""What spreadsheets read as a first line, and some write."""


@dataclass(frozen=True)
class Separator:
    """``character`` stands between cells; the table begins at byte ``begin``, which is on line ``line`` (from 0)."""

    character: str
    begin: int
    line: int

    @property
    def notes(self) -> tuple[str, ...]:
        """What is worth a word."""
        return () if self.character == COMMA else (f"columns are separated by {NAMES[self.character]}",)


def find_separator(content: bytes, *, field: str) -> Separator:
    """The separator that a first line such as ``sep=;`` says, or the one that divides the header; else a comma.

    A comma that divides the header is taken before any other: names may hold semicolons.

    Raises:
        DataError: several others divide the header, or the first line says something else.
    """
    begin = len(_MARK) if content.startswith(_MARK) else 0
    if said := _SAID.match(content, begin):
        character = said[1].decode()
        if character not in NAMES:
            message = f"the first line says sep={character}, and cells are separated by , ; | or tabs"
            raise DataError("SeparatorNotClear", f"{message}: save it as CSV with one of them", field=field)
        return Separator(character, said.end(), 1)
    found = dividing(content[begin:])
    if COMMA in found or not found:
        return Separator(COMMA, begin, 0)
    if len(found) > 1:
        message = f"the header can be divided at {' and at '.join(NAMES[one] for one in found)}"
        remedy = f"say which in a line before it, such as sep={found[0]}"
        raise DataError("SeparatorNotClear", f"{message}: {remedy}", field=field)
    return Separator(found[0], begin, 0)


def dividing(content: bytes) -> list[str]:
    """The separators that divide the first line that is not empty into more than one cell."""
    return [character for character in NAMES if len(_first(content, character)) > 1]


def _first(content: bytes, separator: str) -> list[str]:
    text = io.TextIOWrapper(io.BytesIO(content), encoding="utf-8", newline="")
    try:
        return next(islice((record for record in csv.reader(text, delimiter=separator) if record), 1), [])
    except csv.Error:
        return []
