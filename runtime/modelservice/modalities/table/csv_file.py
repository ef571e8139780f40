"""Reading a CSV file with a header row: one encoding, one separator, quotes as in RFC 4180."""

import csv
import io
import itertools
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.csv

from modelservice.contract.data import Format
from modelservice.contract.digests import sha256
from modelservice.contract.failure import DataError
from modelservice.contract.formats import CSV
from modelservice.modalities.table.encodings import as_utf8
from modelservice.modalities.table.magic import check_magic
from modelservice.modalities.table.notation import Decimal
from modelservice.modalities.table.quotes import Layout, layout_of, line_at
from modelservice.modalities.table.separators import (
    COMMA,
    NAMES,
    SEPARATOR_FIELD,
    Separator,
    dividing,
    find_separator,
)
from modelservice.modalities.table.table import Table, check_names

if TYPE_CHECKING:
    from _csv import Reader

_DECIMALS = {".": Decimal.POINT, ",": Decimal.COMMA}


def parse_csv(content: bytes, dialect: CSV | None = None, *, field: str = "spec.data") -> Table:
    """Read a table; every cell stays text, and every record of the file is a row.

    Args:
        content: the inflated file.
        dialect: how it is written, where that is said.
        field: what errors name as the field to change.

    Raises:
        DataError: not in its encoding, no header, no rows, duplicate names, stray quotes, or a row of another length;
            names the line.
    """
    dialect = dialect or CSV()
    digest = sha256(content)
    content, notes = _text_of(content, dialect, field)
    separator = find_separator(content, given=dialect.separator, field=field)
    names, header_lines = _header(content, separator, field)
    layout = layout_of(content, begin=separator.begin, separator=separator.character, columns=len(names), field=field)
    ids = [str(index) for index in range(len(names))]
    try:
        read = pyarrow.csv.read_csv(
            pa.BufferReader(content),
            read_options=pyarrow.csv.ReadOptions(column_names=ids, skip_rows=header_lines, block_size=_block(content)),
            parse_options=pyarrow.csv.ParseOptions(delimiter=separator.character, newlines_in_values=True),
            convert_options=pyarrow.csv.ConvertOptions(
                column_types=dict.fromkeys(ids, pa.string()), strings_can_be_null=False, include_columns=ids
            ),
        )
    except pa.ArrowInvalid as error:
        raise _parse_error(content, separator, names, error, field) from None
    if read.num_rows == 0:
        raise DataError(
            "EmptyTable", "the table has a header but no rows: add at least three of each class", field=field
        )
    check_rows(read.num_rows, layout, field)
    return Table(
        columns={name: _whole(read.column(index)) for index, name in enumerate(names) if name},
        sha256=digest,
        notes=(*notes, *separator.notes, *_broken(content, layout), *_nameless(names)),
        place=partial(_line_of, content, separator),
        separator=separator.character,
        decimal=_DECIMALS.get(dialect.decimal or ""),
    )


def check_rows(read: int, layout: Layout, field: str) -> None:
    """Refuse a table of which rows were lost on the way.

    Raises:
        DataError: another number was read than the file has.
    """
    if read != layout.records - 1:
        message = f"the table cannot be read: the file has {layout.records - 1} rows, and {read} were understood"
        raise DataError("NotATable", f"{message}: save it again, with quotes as in RFC 4180", field=field)


def _text_of(content: bytes, dialect: CSV, field: str) -> tuple[bytes, tuple[str, ...]]:
    """The file in UTF-8, and what is worth a word of its encoding."""
    check_magic(content, Format.CSV)
    content, notes = as_utf8(content, dialect.encoding, field=field)
    if not content.strip():
        raise DataError("EmptyTable", "the file is empty: give a CSV table with a header row", field=field)
    if (zero := content.find(b"\0")) >= 0:
        message = f"line {line_at(content, zero)}: the file has zero bytes, which no text has: take them out"
        raise DataError("NotATable", message, field=field)
    return content, notes


def _header(content: bytes, separator: Separator, field: str) -> tuple[list[str], int]:
    """Column names, and how many lines of the file they and what precedes them take."""
    reader = _csv_reader(content, separator)
    try:
        names = next(record for record in reader if record)
    except (csv.Error, StopIteration) as error:
        raise DataError("NotATable", f"the header row cannot be read: {error}", field=field) from None
    return check_names(names, field=field), separator.line + reader.line_num


def _parse_error(content: bytes, separator: Separator, names: list[str], error: Exception, field: str) -> DataError:
    """Find what pyarrow refused, with its line as an editor counts it."""
    try:
        for line, record in _records(content, separator):
            if len(record) != len(names):
                found = f"line {line} has {len(record)} values, the header has {len(names)} columns"
                return DataError("RaggedRow", f"{found}: {_ragged_remedy(content, separator)}", field=field)
    except csv.Error as inner:
        return DataError("NotATable", f"the table cannot be read: {inner}", field=field)
    return DataError("NotATable", f"the table cannot be read: {error}", field=field)


def _ragged_remedy(content: bytes, separator: Separator) -> str:
    used = separator.name
    remedy = f"correct the row, and put quotes around {used}"
    if separator.character != COMMA:
        remedy += f", by which columns are separated here, since {used} divide the header and commas do not"
    others = [other for other in dividing(content[separator.begin :]) if other != separator.character]
    if others:
        remedy += f"; if {NAMES[others[0]]} separate the columns, say so in {SEPARATOR_FIELD}, or by a first line sep="
    return remedy


def _nameless(names: list[str]) -> list[str]:
    return [f"ignored column {index + 1}: it has no name in the header" for index, name in enumerate(names) if not name]


def _broken(content: bytes, layout: Layout) -> list[str]:
    if not len(layout.broken):
        return []
    return [
        f"{len(layout.broken)} quoted cells hold line breaks, the first on line {line_at(content, layout.broken[0])}"
    ]


def _line_of(content: bytes, separator: Separator, row: int) -> str:
    try:
        line, _ = next(itertools.islice(_records(content, separator), row + 1, None))
    except (csv.Error, StopIteration):  # such as a cell of more than 128 KiB, which pyarrow reads
        return f"row {row + 1}"
    return f"line {line}"


def _records(content: bytes, separator: Separator) -> Iterator[tuple[int, list[str]]]:
    """All records with the line on which each begins, the header first; empty lines are skipped, as pyarrow does."""
    reader = _csv_reader(content, separator)
    begins = separator.line + 1
    for record in reader:
        if record:
            yield begins, record
        begins = separator.line + reader.line_num + 1


def _csv_reader(content: bytes, separator: Separator) -> "Reader":
    source = io.BytesIO(content)
    source.seek(separator.begin)
    return csv.reader(io.TextIOWrapper(source, encoding="utf-8", newline=""), delimiter=separator.character)


def _block(content: bytes) -> int:
    """One block for a small file; a record must fit into a block, whatever its length."""
    return min(max(len(content) + 1, 2**20), 2**26)


def _whole(column: pa.ChunkedArray) -> pa.Array:
    return column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)
