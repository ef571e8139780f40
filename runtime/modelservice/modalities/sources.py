"""The modalities for training: how a file, or data in memory, becomes a source. Needs pyarrow."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from modelservice.contract.data import Data, Format
from modelservice.contract.failure import DataError
from modelservice.contract.task import Task as AskedTask
from modelservice.modalities.base import Dataset, FileOptions, Reader, Source
from modelservice.modalities.data_files import (
    FILES_FIELD,
    DataFile,
    file_of_bytes,
    files_in_store,
    files_on_disk,
    named_apart,
)
from modelservice.modalities.dataset import Divided, divide_rows, encode
from modelservice.modalities.image.reader import IMAGES
from modelservice.modalities.image.source import ImageSource
from modelservice.modalities.objects import Objects
from modelservice.modalities.shared import SharedRows
from modelservice.modalities.split import SIDES_OF_FILES, TRAIN
from modelservice.modalities.table.kinds.base import TextTokens
from modelservice.modalities.table.reader import TABLES
from modelservice.modalities.table.source import TableSource
from modelservice.modalities.table.streamed import StreamedTable, stream_parquet
from modelservice.modalities.text.source import TextSource

READERS: Final[tuple[Reader, ...]] = (TABLES, IMAGES)
_NO_OPTIONS: Final = FileOptions()
_NOTHING: Final[Mapping[str, Any]] = {}


def read_files(
    files: Sequence[DataFile],
    *,
    format: Format,  # noqa: A002 - the field's own word
    options: FileOptions = _NO_OPTIONS,
) -> Source:
    """Read files, plain or gzip, as one; all together are bounded as one is.

    Args:
        files: at least one, those of the data before those of single sides.
        format: what they are; ``contract.data.Data.format_of`` says it.
        options: how they are written, where that is said.

    Raises:
        DataError: a file is not there, not of that format, or named twice; the options are those of another format;
            or several files do not belong together.
        DataUnavailableError: their store fails, as it may for a while.
        OSError: the file system fails, as that of a network may for a while.
    """
    options.check(format)
    reader, files = _reader(format), named_apart(files)
    field = FILES_FIELD if any(file.side for file in files) else files[0].field
    sides = {file.name: file.side for file in files}
    if format is Format.PARQUET:
        parts = {file.name: file.parts() for file in files if file.parts is not None}
        if len(parts) == len(files) and (streamed := stream_parquet(parts, sides=sides, field=field)) is not None:
            return streamed
    if len(files) == 1:
        (file,) = files
        return reader.read(file.read(limit=reader.limit), format=format, options=options, field=file.field)
    read: dict[str, Source] = {}
    left = reader.limit
    for file in files:
        try:
            content = file.read(limit=left)
            read[file.name] = reader.read(content, format=format, options=options, field=file.field)
        except DataError as error:
            raise DataError(error.reason, f"{file.name}: {error.message}", field=error.field or file.field) from None
        left -= len(content)
    return reader.join(read, sides=[*sides.values()], field=field)


def read_file(
    path: Path,
    *,
    format: Format,  # noqa: A002
    options: FileOptions = _NO_OPTIONS,
    field: str = "spec.data",
    beside: Sequence[DataFile] = (),
) -> Source:
    """Read a file, plain or gzip; or all files of the same columns whose names fit to a ``*`` in the last part.

    Args:
        path: where it is; of pictures also a folder.
        format: what it is.
        options: how it is written, where that is said.
        field: what errors name as the field to change.
        beside: files of single sides.

    Raises:
        DataError, OSError: as ``read_files``.
    """
    if format is Format.IMAGE_FOLDER and path.is_dir():
        options.check(format)
        if beside:
            return IMAGES.join({}, sides=(), field=FILES_FIELD)
        return IMAGES.read_folder(path, options=options, field=field)
    return read_files([*files_on_disk(path, field=field), *beside], format=format, options=options)


def read_source(
    content: bytes,
    *,
    format: Format,  # noqa: A002
    options: FileOptions = _NO_OPTIONS,
    field: str = "spec.data",
) -> Source:
    """Read the content of a file, plain or gzip; for arguments and errors see ``read_file``."""
    return read_files([file_of_bytes("", content, field=field)], format=format, options=options)


def read_objects(
    objects: Objects,
    *,
    format: Format,  # noqa: A002
    options: FileOptions = _NO_OPTIONS,
    beside: Sequence[DataFile] = (),
) -> Source:
    """Read the objects of a URI, plain or gzip, as one; for arguments and errors see ``read_file``."""
    return read_files([*files_in_store(objects), *beside], format=format, options=options)


def read_rows(
    source: Source,
    data: Data,
    task: AskedTask | None,
    *,
    tokenizer: str | None = None,
    asked: SharedRows | None = None,
) -> tuple[Divided, Dataset]:
    """Rows, divided and encoded: all of them, or some of a source that is not held; see ``build_dataset``.

    ``tokenizer`` is that of an encoder, for ``spec.data.text`` or ``spec.data.encoder``; without one that of the first
    is learned. ``asked`` is a shared encoder, which makes numbers of texts or images, in place of tokens and pixels.

    Raises:
        StageError, PassingError, OSError: as their names say.
    """
    source = read_as(source, data, tokenizer=tokenizer, asked=asked)
    if isinstance(source, StreamedTable):
        return source.measured(data, task)
    divided = divide_rows(source, data, task)
    return divided, encode(divided, divided.split)


def read_as(source: Source, data: Data, *, tokenizer: str | None = None, asked: SharedRows | None = None) -> Source:
    """The source as ``spec.data`` wants it read: as texts, or with columns of tokens; for arguments see ``read_rows``.

    Raises:
        StageError: it is not held, has no such columns, or holds what a shared encoder does not read.
    """
    if data.text is not None:
        check_held(source, field="spec.data.text")
        source = TextSource(source, data.text, tokenizer=tokenizer, asked=asked)
    if asked is not None and isinstance(source, ImageSource):
        source = source.asking(asked)
    if data.encoder is not None:
        check_held(source, field="spec.data.encoder")
        if isinstance(source, TableSource) and tokenizer is not None:
            source = source.read_by(TextTokens(tokenizer, data.encoder.max_length))
    return source


def check_held(source: Source, *, field: str) -> None:
    """Refuse a source that is not held, for a field that needs all rows at once.

    Raises:
        DataError: it is read piece by piece.
    """
    if isinstance(source, StreamedTable):
        source.refuse(field)


def from_frame(frame: Any, beside: Mapping[str, Any] = _NOTHING) -> Source:
    """Take data that stands in memory: a pandas frame, an arrow table, an object of columns or of arrays.

    ``beside`` has the same of single sides, by their names, validation and test.

    Raises:
        DataError: it is none of these, nothing can be learned from it, or they do not belong together.
    """
    for reader in READERS:
        if (source := reader.from_frame(frame)) is not None:
            if not beside:
                return source
            read = {side: reader.from_frame(one) for side, one in beside.items()}
            if (wrong := next((side for side, one in read.items() if one is None), None)) is not None:
                raise _not_a_table(beside[wrong])
            sides = [TRAIN, *(SIDES_OF_FILES[side] for side in read)]
            return reader.join({"data": source, **read}, sides=sides, field=FILES_FIELD)
    raise _not_a_table(frame)


def _not_a_table(frame: Any) -> DataError:
    message = f"a {type(frame).__name__} is no table: give a DataFrame or the path of a file"
    return DataError("NotATable", message)


def _reader(format: Format) -> Reader:  # noqa: A002
    return next(reader for reader in READERS if format in reader.formats)
