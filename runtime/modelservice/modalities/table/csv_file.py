"""Reading a CSV file with a header row: UTF-8, commas, quotes as in RFC 4180."""

import csv
import hashlib
import io
import itertools
from collections.abc import Iterator
from functools import partial

import pyarrow as pa
import pyarrow.csv

from modelservice.cells import quoted
from modelservice.contract.failure import DataError
from modelservice.modalities.table.table import Table, check_column_count

_ZIP_MAGIC = b"PK\x03\x04"


def parse_csv(content: bytes, *, field: str = "spec.data") -> Table:
    """Read a table; every cell stays text.

    Args:
        content: the inflated file.
        field: what errors name as the field to change.

    Raises:
        DataError: not UTF-8, no header, no rows, duplicate names, or a row of another length; names the line.
    """
    _check_text(content, field)
    names, header_lines = _header(content, field)
    kept = [index for index, name in enumerate(names) if name]
    notes = tuple(
        f"ignored column {index + 1}: it has no name in the header" for index, name in enumerate(names) if not name
    )
    ids = [str(index) for index in range(len(names))]
    try:
        read = pyarrow.csv.read_csv(
            pa.BufferReader(content),
            read_options=pyarrow.csv.ReadOptions(column_names=ids, skip_rows=header_lines, block_size=_block(content)),
            parse_options=pyarrow.csv.ParseOptions(newlines_in_values=True),
            convert_options=pyarrow.csv.ConvertOptions(
                column_types=dict.fromkeys(ids, pa.string()), strings_can_be_null=False, include_columns=ids
            ),
        )
    except pa.ArrowInvalid as error:
        raise _parse_error(content, names, error, field) from None
    if read.num_rows == 0:
        raise DataError(
            "EmptyTable", "the table has a header but no rows: add at least three of each class", field=field
        )
    columns = {names[index]: _whole(read.column(index)) for index in kept}
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    return Table(columns=columns, sha256=digest, notes=notes, place=partial(_line_of, content))


def _check_text(content: bytes, field: str) -> None:
    if content.startswith(_ZIP_MAGIC):
        message = "the file is a ZIP archive, as NPZ is, and no CSV: name it .npz, or set spec.data.format to NPZ"
        raise DataError("NotATable", message, field="spec.data.format")
    if not content.strip():
        raise DataError("EmptyTable", "the file is empty: give a CSV table with a header row", field=field)
    try:
        content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        message = f"line {line}: the file is not UTF-8 text: save it as CSV in UTF-8"
        raise DataError("NotUTF8", message, field=field) from None


def _header(content: bytes, field: str) -> tuple[list[str], int]:
    """Column names, and how many lines of the file they and what precedes them take."""
    reader = csv.reader(_lines(content))
    try:
        names = [name.strip() for name in next(record for record in reader if record)]
    except (csv.Error, StopIteration) as error:
        raise DataError("NotATable", f"the header row cannot be read: {error}", field=field) from None
    check_column_count(len(names))
    seen: set[str] = set()
    for name in filter(None, names):
        if name in seen:
            raise DataError("DuplicateColumn", f"two columns are named {quoted(name)}: rename one of them", field=field)
        seen.add(name)
    return names, reader.line_num


def _parse_error(content: bytes, names: list[str], error: Exception, field: str) -> DataError:
    """Find what pyarrow refused, with its line as an editor counts it."""
    try:
        for line, record in _records(content):
            if len(record) != len(names):
                found = f"line {line} has {len(record)} values, the header has {len(names)} columns"
                return DataError("RaggedRow", f"{found}: correct the row, and put quotes around commas", field=field)
    except csv.Error as inner:
        return DataError("NotATable", f"the table cannot be read: {inner}", field=field)
    return DataError("NotATable", f"the table cannot be read: {error}", field=field)


def _line_of(content: bytes, row: int) -> str:
    try:
        line, _ = next(itertools.islice(_records(content), row + 1, None))
    except (csv.Error, StopIteration):  # such as a cell of more than 128 KiB, which pyarrow reads
        return f"row {row + 1}"
    return f"line {line}"


def _records(content: bytes) -> Iterator[tuple[int, list[str]]]:
    """All records with the line on which each begins, the header first; empty lines are skipped, as pyarrow does."""
    reader = csv.reader(_lines(content))
    begins = 1
    for record in reader:
        if record:
            yield begins, record
        begins = reader.line_num + 1


def _lines(content: bytes) -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(content), encoding="utf-8-sig", newline="")


def _block(content: bytes) -> int:
    """One block for a small file; a record must fit into a block, whatever its length."""
    return min(max(len(content) + 1, 2**20), 2**26)


def _whole(column: pa.ChunkedArray) -> pa.Array:
    return column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)
