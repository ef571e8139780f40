"""The files of data, wherever they lie: what each is called, how it is read, and on which side its rows are."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

from modelservice.contract.failure import DataError
from modelservice.modalities.files import inflate, matching, read_bytes
from modelservice.modalities.objects import Objects
from modelservice.modalities.random_access import FileOnDisk, RandomAccess
from modelservice.modalities.split import SIDES_OF_FILES, TRAIN
from modelservice.modalities.split_columns import SPLIT_FIELD

FILES_FIELD: Final = f"{SPLIT_FIELD}.files"
Named = TypeVar("Named")


@dataclass(frozen=True, kw_only=True)
class DataFile:
    """A file.

    Attributes:
        place: where it lies; of two files not the same.
        name: what people call it.
        read: gives the inflated content, given the ``limit`` of its bytes.
        parts: opens it to read parts of it, None where it is read whole.
        side: that of all its rows; ``TRAIN`` where rows may be chosen from it for sides that have no files.
        field: what names it, for errors.
    """

    place: str
    name: str
    read: Callable[..., bytes]
    parts: Callable[[], RandomAccess] | None = None
    side: int = TRAIN
    field: str = "spec.data"


def side_field(side: str) -> str:
    """The field that names the files of a side, validation or test."""
    return f"{FILES_FIELD}.{side}"


def files_of_sides(given: Mapping[str, Named], find: Callable[[Named, str], list[DataFile]]) -> list[DataFile]:
    """The files of single sides.

    Args:
        given: what names those of validation and test, by the side.
        find: gives the files that something names, and is told the side.
    """
    return [replace(file, side=SIDES_OF_FILES[side]) for side, named in given.items() for file in find(named, side)]


def files_on_disk(path: Path, *, field: str) -> list[DataFile]:
    """A file; or all whose names fit to a ``*`` in the last part.

    Raises:
        DataError: no file fits, or too many do.
        OSError: the file system fails, as that of a network may for a while.
    """
    several = "*" in path.name and not path.exists()
    return [
        DataFile(
            place=str(one),
            name=one.name,
            read=partial(read_bytes, one, field=field),
            parts=partial(FileOnDisk, one),
            field=field,
        )
        for one in (matching(path, field=field) if several else [path])
    ]


def files_in_store(objects: Objects) -> list[DataFile]:
    """The objects of a URI; those of a web server are read whole.

    Raises:
        DataError: there are none, or they may not be listed.
        DataUnavailableError: the store fails.
    """
    return [
        DataFile(
            place=objects.address(path),
            name=objects.address(path).rpartition("/")[2],
            read=partial(objects.read, path),
            parts=None if objects.web else partial(objects.random_access, path),
            field=objects.field,
        )
        for path in objects.paths()
    ]


def file_of_bytes(key: str, content: bytes, *, field: str) -> DataFile:
    """A file that was read already, plain or gzip."""
    return DataFile(place=key, name=key, read=partial(inflate, content, field=field), field=field)


def named_apart(files: Sequence[DataFile]) -> list[DataFile]:
    """The same files, each with another name: as few of the last parts of its place as it takes.

    Raises:
        DataError: a file is there twice, so its rows would be on two sides.
    """
    known: dict[str, DataFile] = {}
    for file in files:
        if (other := known.setdefault(file.place, file)) is not file:
            message = f"{file.name} is named by {other.field} and by {file.field}, and a row is on one side only"
            raise DataError("FileOnTwoSides", f"{message}: name other files", field=file.field)
    parts = 1
    while len(names := [_last(file, parts) for file in files]) > len(set(names)):
        parts += 1
    return [replace(file, name=name) for file, name in zip(files, names, strict=True)]


def _last(file: DataFile, parts: int) -> str:
    return file.name if parts == 1 else "/".join(file.place.split("/")[-parts:])
