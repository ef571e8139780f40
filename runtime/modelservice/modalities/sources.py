"""The modalities for training: how a file, or data in memory, becomes a source. Needs pyarrow."""

from pathlib import Path
from typing import Any, Final

from modelservice.contract.data import Format
from modelservice.contract.failure import DataError
from modelservice.modalities.base import Reader, Source
from modelservice.modalities.files import inflate, read_bytes
from modelservice.modalities.image.reader import IMAGES
from modelservice.modalities.table.reader import TABLES

READERS: Final[tuple[Reader, ...]] = (TABLES, IMAGES)


def read_file(path: Path, *, format: Format, field: str = "spec.data") -> Source:  # noqa: A002 - the field's own word
    """Read a file, plain or gzip.

    Args:
        path: where it is.
        format: how it is written; ``contract.data.Data.format_of`` says it.
        field: what errors name as the field to change.

    Raises:
        DataError: there is no such file, or it is not of that format.
        OSError: the file system fails, as that of a network may for a while.
    """
    reader = _reader(format)
    return reader.read(read_bytes(path, limit=reader.limit, field=field), field=field)


def read_source(content: bytes, *, format: Format, field: str = "spec.data") -> Source:  # noqa: A002
    """Read the content of a file, plain or gzip; for arguments and errors see ``read_file``."""
    reader = _reader(format)
    return reader.read(inflate(content, limit=reader.limit, field=field), field=field)


def from_frame(frame: Any) -> Source:
    """Take data that stands in memory: a pandas frame, an arrow table, an object of columns or of arrays.

    Raises:
        DataError: it is none of these, or nothing can be learned from it.
    """
    for reader in READERS:
        if (source := reader.from_frame(frame)) is not None:
            return source
    message = f"a {type(frame).__name__} is no table: give a DataFrame or the path of a CSV file"
    raise DataError("NotATable", message)


def _reader(format: Format) -> Reader:  # noqa: A002
    return next(reader for reader in READERS if reader.format is format)
