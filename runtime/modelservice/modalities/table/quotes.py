"""Quotes of a CSV file, as RFC 4180 has them: which line breaks stand inside a cell, and so how many records there are.

pyarrow is lenient: a quote that nobody closes swallows the rows up to the next one, and no count tells. So every quote
is looked at here, and every record counted, before it reads.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from modelservice.contract.failure import DataError

Positions = NDArray[np.int64]

_QUOTE, _LINE_FEED, _RETURN = b'"\n\r'
_BLANKS = b" \t"
_REMEDY = "close it, or write each quote that is part of a text twice, inside a quoted cell"


@dataclass(frozen=True, kw_only=True, eq=False)
class Layout:
    """What the bytes of a file say of its records.

    Attributes:
        records: number of records, the header among them; empty lines are none.
        broken: where the quoted cells begin that hold line breaks.
    """

    records: int
    broken: Positions


def layout_of(content: bytes, *, begin: int, separator: str, columns: int, field: str) -> Layout:
    """Count the records of a file.

    Args:
        content: the file.
        begin: where the header, or an empty line before it, begins.
        separator: what stands between cells, one ASCII character.
        columns: how many the header has.
        field: what errors name as the field to change.

    Raises:
        DataError: a quote is not closed, or closed in the middle of a cell, or a cell swallowed rows; names the line.
    """
    buffer = np.frombuffer(content, dtype=np.uint8)[begin:]
    breaks = buffer == _LINE_FEED
    if content.find(b"\r", begin) >= 0:
        breaks |= buffer == _RETURN
    lines = np.flatnonzero(breaks) + begin
    if content.find(b'"', begin) < 0:
        return Layout(records=_count(lines, begin, len(content)), broken=np.empty(0, dtype=np.int64))
    starts, ends = _spans(content, np.flatnonzero(buffer == _QUOTE) + begin, begin, separator, field)
    opened = np.searchsorted(starts, lines)
    inside = opened != np.searchsorted(ends, lines)
    broken = np.unique(opened[inside] - 1)
    limits = np.concatenate(([begin - 1], lines, [len(content)]))
    first, last = np.searchsorted(lines, starts[broken]), np.searchsorted(lines, ends[broken]) + 1
    for at, line, after in zip(broken.tolist(), limits[first].tolist(), limits[last].tolist(), strict=True):
        if _all_rows(content[line + 1 : after], separator.encode(), columns):
            begins, goes_on = line_at(content, starts[at]), line_at(content, ends[at])
            message = (
                f"line {begins}: a cell begins with a quote and goes on to line {goes_on}, and each of these lines"
            )
            raise DataError(
                "StrayQuote", f"{message} looks like a row: {_REMEDY}, or take the line breaks out", field=field
            )
    return Layout(records=_count(lines[~inside], begin, len(content)), broken=starts[broken])


def line_at(content: bytes, position: int) -> int:
    """The line on which a byte stands, as an editor counts it."""
    feeds, returns = content.count(b"\n", 0, position), content.count(b"\r", 0, position)
    return 1 + feeds + returns - content.count(b"\r\n", 0, position)


def _count(ends: Positions, begin: int, length: int) -> int:
    """Lines that are not empty; between the two bytes of a Windows line break is nothing, too."""
    return int((np.diff(ends, prepend=begin - 1, append=length) > 1).sum())


def _spans(content: bytes, quotes: Positions, begin: int, separator: str, field: str) -> tuple[Positions, Positions]:
    """Where quoted cells begin and end.

    Most files quote as RFC 4180 wants it, and then quotes open and close in turn: that is checked for all at once.
    Where it fails, quotes inside of cells without quotes are text, and the others are followed one by one.
    """
    starts, ends = quotes[0::2], quotes[1::2]
    if len(starts) == len(ends):
        buffer = np.frombuffer(content, dtype=np.uint8)
        limits = np.zeros(256, dtype=bool)
        limits[[_QUOTE, _LINE_FEED, _RETURN, ord(separator)]] = True
        opened = limits[buffer[np.maximum(starts - 1, 0)]] | (starts == begin)
        closed = limits[buffer[np.minimum(ends + 1, len(buffer) - 1)]]
        if opened.all() and closed.all():
            apart = starts[1:] != ends[:-1] + 1  # a doubled quote closes a cell and opens it again
            return starts[np.append(True, apart)], ends[np.append(apart, True)]
    return _followed(content, quotes.tolist(), begin, separator, field)


def _followed(content: bytes, quotes: list[int], begin: int, separator: str, field: str) -> tuple[Positions, Positions]:
    limits = f"\n\r{separator}".encode()
    starts, ends = [], []
    at = 0
    while at < len(quotes):
        start = quotes[at]
        at += 1
        if start != begin and content[start - 1] not in limits:
            continue
        while at + 1 < len(quotes) and quotes[at + 1] == quotes[at] + 1:
            at += 2
        if at == len(quotes):
            message = f"line {line_at(content, start)}: a cell begins with a quote that nobody closes: {_REMEDY}"
            raise DataError("StrayQuote", message, field=field)
        end = quotes[at]
        at += 1
        _check_end(content, start, end, limits, field)
        starts.append(start)
        ends.append(end)
    return np.array(starts, dtype=np.int64), np.array(ends, dtype=np.int64)


def _check_end(content: bytes, start: int, end: int, limits: bytes, field: str) -> None:
    after = end + 1
    while after < len(content) and content[after] not in limits:
        if content[after] not in _BLANKS:
            first, last = line_at(content, start), line_at(content, end)
            message = f"line {first}: a cell begins with a quote, and text follows the next quote, on line {last}"
            raise DataError("StrayQuote", f"{message}: {_REMEDY}", field=field)
        after += 1


def _all_rows(block: bytes, separator: bytes, columns: int) -> bool:
    """Whether the lines over which a quoted cell goes are rows each: then its quotes belong to two other cells."""
    first, *inside, last = block.splitlines()
    inside = [line for line in inside if line]
    return columns > 1 and bool(inside) and all(line.count(separator) == columns - 1 for line in (first, *inside, last))
