"""Reading a CSV file with a header row: UTF-8, commas, quotes as in RFC 4180, plain or gzip."""

import csv
import errno
import hashlib
import io
import itertools
import os
import stat
import zlib
from collections.abc import Iterator
from functools import partial
from gzip import GzipFile
from pathlib import Path

import pyarrow as pa
import pyarrow.csv

from modelservice.contract.keys import GZIP_MAGIC
from modelservice.data.cells import quoted
from modelservice.data.errors import DataError
from modelservice.data.table import Table, check_column_count

MAX_TABLE_BYTES = 2**30
"""Of the inflated text. pyarrow needs about seven times as much memory."""

_NOT_FOUND = {
    *(errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.ENXIO),
    *(errno.EACCES, errno.EPERM),
}
"""What waits for another path or another mode; any other error of a file system may pass."""


def read_bytes(path: Path, *, limit: int = MAX_TABLE_BYTES, field: str = "spec.data") -> bytes:
    """The inflated content of a plain or gzip file.

    Raises:
        DataError: there is no such file, it is not a plain one, too large, or damaged.
        OSError: the file system fails, as that of a network may for a while.
    """
    try:
        # Without O_NONBLOCK a named pipe would be waited for.
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise DataError("DataNotFound", f"{path} is not a plain file: name a CSV file", field=field)
            return inflate(file.read(limit + 1), limit=limit, field=field)
    except OSError as error:
        if error.errno not in _NOT_FOUND:
            raise OSError(error.errno, error.strerror, str(path)) from None
        raise DataError("DataNotFound", f"{path} cannot be read: {error.strerror}", field=field) from None


def inflate(content: bytes, *, limit: int = MAX_TABLE_BYTES, field: str = "spec.data") -> bytes:
    """The content itself, or what it inflates to if it is gzip, never more than ``limit`` bytes.

    Raises:
        DataError: it is larger, or the gzip data is damaged.
    """
    if content.startswith(GZIP_MAGIC):
        try:
            with GzipFile(fileobj=io.BytesIO(content)) as file:
                content = file.read(limit + 1)
        except (OSError, EOFError, zlib.error) as error:
            raise DataError("DamagedGzip", f"the gzip data cannot be inflated: {error}", field=field) from None
    if len(content) > limit:
        raise DataError("TableTooLarge", f"the table has more than {limit} bytes: give fewer rows", field=field)
    return content


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
