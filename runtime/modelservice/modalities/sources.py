"""The modalities for training: how a file, or data in memory, becomes a source. Needs pyarrow."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

from modelservice.contract.data import Data, Format
from modelservice.contract.failure import DataError
from modelservice.contract.task import Task as AskedTask
from modelservice.modalities.base import Dataset, FileOptions, Reader, Source
from modelservice.modalities.dataset import Divided, divide_rows, encode
from modelservice.modalities.files import inflate, matching, read_bytes
from modelservice.modalities.image.reader import IMAGES
from modelservice.modalities.objects import URI_FIELD, Objects
from modelservice.modalities.table.reader import TABLES
from modelservice.modalities.table.streamed import StreamedTable, stream_parquet
from modelservice.modalities.text.source import TextSource

READERS: Final[tuple[Reader, ...]] = (TABLES, IMAGES)
_NO_OPTIONS: Final = FileOptions()


def read_file(
    path: Path,
    *,
    format: Format,  # noqa: A002 - the field's own word
    options: FileOptions = _NO_OPTIONS,
    field: str = "spec.data",
) -> Source:
    """Read a file, plain or gzip; or all files of the same columns whose names fit to a ``*`` in the last part.

    Args:
        path: where it is; of pictures also a folder.
        format: what it is; ``contract.data.Data.format_of`` says it.
        options: how it is written, where that is said.
        field: what errors name as the field to change.

    Raises:
        DataError: there is no such file, it is not of that format, or the options are those of another; or several
            files do not belong together.
        OSError: the file system fails, as that of a network may for a while.
    """
    options.check(format)
    if format is Format.IMAGE_FOLDER and path.is_dir():
        return IMAGES.read_folder(path, options=options, field=field)
    reader = _reader(format)
    several = "*" in path.name and not path.exists()
    paths = {one.name: one for one in matching(path, field=field)} if several else {path.name: path}
    if format is Format.PARQUET and (streamed := stream_parquet(paths, field=field)) is not None:
        return streamed
    if several:
        files = {name: partial(read_bytes, one, field=field) for name, one in paths.items()}
        return _read_several(reader, files, format=format, options=options, field=field)
    return reader.read(read_bytes(path, limit=reader.limit, field=field), format=format, options=options, field=field)


def read_source(
    content: bytes,
    *,
    format: Format,  # noqa: A002
    options: FileOptions = _NO_OPTIONS,
    field: str = "spec.data",
) -> Source:
    """Read the content of a file, plain or gzip; for arguments and errors see ``read_file``."""
    options.check(format)
    reader = _reader(format)
    return reader.read(inflate(content, limit=reader.limit, field=field), format=format, options=options, field=field)


def read_objects(
    objects: Objects,
    *,
    format: Format,  # noqa: A002
    options: FileOptions = _NO_OPTIONS,
) -> Source:
    """Read the objects of ``spec.data.uri``, plain or gzip, as one.

    Args:
        objects: where they are.
        format: what they are.
        options: how they are written, where that is said.

    Raises:
        DataError: there are none, they may not be read, are not of that format, or do not belong together.
        DataUnavailableError: their store fails, as it may for a while.
    """
    options.check(format)
    reader = _reader(format)
    if not objects.many:
        content = objects.read(objects.path, limit=reader.limit)
        return reader.read(content, format=format, options=options, field=URI_FIELD)
    files = {path.rpartition("/")[2]: partial(objects.read, path) for path in objects.paths()}
    return _read_several(reader, files, format=format, options=options, field=URI_FIELD)


def as_texts(source: Source, data: Data, *, tokenizer: str | None = None) -> Source:
    """The texts of the column that ``spec.data.text`` names, the source itself where it names none.

    Args:
        source: a table.
        data: ``spec.data``.
        tokenizer: that of an encoder; without one it is learned.
    """
    return source if data.text is None else TextSource(source, data.text, tokenizer=tokenizer)


def read_rows(
    source: Source, data: Data, task: AskedTask | None, *, tokenizer: str | None = None
) -> tuple[Divided, Dataset]:
    """Rows, divided and encoded: all of them, or some of a source that is not held; see ``build_dataset``.

    For ``tokenizer`` see ``as_texts``.

    Raises:
        DataError, PassingError, OSError: as their names say.
    """
    if isinstance(source, StreamedTable):
        return source.measured(data, task)
    divided = divide_rows(as_texts(source, data, tokenizer=tokenizer), data, task)
    return divided, encode(divided, divided.split)


def from_frame(frame: Any) -> Source:
    """Take data that stands in memory: a pandas frame, an arrow table, an object of columns or of arrays.

    Raises:
        DataError: it is none of these, or nothing can be learned from it.
    """
    for reader in READERS:
        if (source := reader.from_frame(frame)) is not None:
            return source
    message = f"a {type(frame).__name__} is no table: give a DataFrame or the path of a file"
    raise DataError("NotATable", message)


def _read_several(
    reader: Reader,
    files: Mapping[str, Callable[..., bytes]],
    *,
    format: Format,  # noqa: A002
    options: FileOptions,
    field: str,
) -> Source:
    """All files together are bounded as one is; errors say in which file they are.

    ``files`` has what reads and inflates each, given its ``limit``.
    """
    read: dict[str, Source] = {}
    left = reader.limit
    for name, contents in files.items():
        try:
            content = contents(limit=left)
            read[name] = reader.read(content, format=format, options=options, field=field)
        except DataError as error:
            raise DataError(error.reason, f"{name}: {error.message}", field=error.field or field) from None
        left -= len(content)
    return reader.join(read, field=field)


def _reader(format: Format) -> Reader:  # noqa: A002
    return next(reader for reader in READERS if format in reader.formats)
