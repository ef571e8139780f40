"""The files of a .zip, a .tar or a folder: their names, and their bytes where they are asked for.

Nothing is written to a disk. Links, names that lead out, and files that are neither are refused, hidden ones left out.
"""

import io
import os
import stat
import tarfile
import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from modelservice.contract.failure import DataError
from modelservice.modalities.files import read_bytes
from modelservice.modalities.image.npz_file import FAULTS

MAX_ENTRIES: Final = 200_000
MAX_FILE_BYTES: Final = 2**26
"""Of one picture, as it is stored."""
_ZIP = b"PK"
_ENCRYPTED = 0x1
_UNIX_MODE = 16
"""Bits of a member's attributes before the mode that a Unix gave it."""
_LEFT_OUT = frozenset({"__MACOSX", "Thumbs.db", "desktop.ini"})
"""What systems put beside the files of a person; names that begin with a point are hidden as well."""
_FAULTS = (*FAULTS, tarfile.TarError)
"""What zipfile and tarfile raise for damaged, encrypted or unknown archives."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A file: its path with "/" between the parts, and what reads it.

    ``read`` raises DataError where the file is damaged or larger than ``MAX_FILE_BYTES``.
    """

    path: str
    read: Callable[[], bytes]


def archive_entries(content: bytes, *, field: str) -> list[Entry]:
    """The files of a .zip or .tar, in the order of their paths.

    Args:
        content: of the archive.
        field: what errors name as the field to change.

    Raises:
        DataError: it is neither, is damaged, or holds what is not read.
    """
    try:
        found = _zip(content, field) if content.startswith(_ZIP) else _tar(content, field)
        return _ordered(found, field)
    except _FAULTS as error:
        message = f"the file is no .zip and no .tar of pictures: {str(error)[:200]}: pack it again"
        raise DataError("DamagedArchive", message, field=field) from None


def folder_entries(folder: Path, *, field: str) -> list[Entry]:
    """The files below a folder, in the order of their paths; for errors see ``archive_entries``."""
    return _ordered(_walk(folder, field), field)


def _zip(content: bytes, field: str) -> Iterator[tuple[str, Callable[[], bytes]]]:
    archive = zipfile.ZipFile(io.BytesIO(content))
    for member in archive.infolist():
        mode = member.external_attr >> _UNIX_MODE
        if member.is_dir():
            continue
        if stat.S_IFMT(mode) not in {0, stat.S_IFREG}:
            raise _unsafe(member.filename, "is a link or a device", field)
        if member.flag_bits & _ENCRYPTED:
            message = f"{_shown(member.filename)} is encrypted: pack it without a password"
            raise DataError("DamagedArchive", message, field=field)

        def read(member: zipfile.ZipInfo = member) -> bytes:
            with archive.open(member) as file:
                return file.read(MAX_FILE_BYTES + 1)

        yield member.filename, _guarded(member.filename, read, field)


def _tar(content: bytes, field: str) -> Iterator[tuple[str, Callable[[], bytes]]]:
    archive = tarfile.open(fileobj=io.BytesIO(content), mode="r:")  # noqa: SIM115 - entries are read later
    for member in archive:
        if member.isdir():
            continue
        if not member.isreg() or member.issparse():
            raise _unsafe(member.name, "is a link, a device or a sparse file", field)

        def read(member: tarfile.TarInfo = member) -> bytes:
            file = archive.extractfile(member)
            return b"" if file is None else file.read(MAX_FILE_BYTES + 1)

        yield member.name, _guarded(member.name, read, field)


def _walk(folder: Path, field: str) -> Iterator[tuple[str, Callable[[], bytes]]]:
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not _is_hidden(name))
        for name in (*folders, *files):
            path = Path(place, name)
            if path.is_symlink():
                raise _unsafe(path.relative_to(folder).as_posix(), "is a link", field)
        for name in files:
            path = Path(place, name)

            def read(path: Path = path) -> bytes:
                return read_bytes(path, limit=MAX_FILE_BYTES, field=field)

            yield path.relative_to(folder).as_posix(), read


def _guarded(path: str, read: Callable[[], bytes], field: str) -> Callable[[], bytes]:
    def read_bounded() -> bytes:
        try:
            content = read()
        except _FAULTS as error:
            message = f"{_shown(path)} cannot be unpacked: {str(error)[:200]}: pack it again"
            raise DataError("DamagedArchive", message, field=field) from None
        if len(content) > MAX_FILE_BYTES:
            message = f"{_shown(path)} has more than {MAX_FILE_BYTES} bytes: make the picture smaller"
            raise DataError("DataTooLarge", message, field=field)
        return content

    return read_bounded


def _ordered(found: Iterable[tuple[str, Callable[[], bytes]]], field: str) -> list[Entry]:
    entries: dict[str, Entry] = {}
    for path, read in found:
        parts = [part for part in path.split("/") if part not in {"", "."}]
        if path.startswith("/") or ".." in parts or "\\" in path or not path.isprintable():
            raise _unsafe(path, "has a name that leads out of it, or no plain one", field)
        if any(_is_hidden(part) for part in parts):
            continue
        name = "/".join(parts)
        if name in entries:
            message = f"{_shown(name)} is in it twice: pack it again"
            raise DataError("DamagedArchive", message, field=field)
        entries[name] = Entry(path=name, read=read)
        if len(entries) > MAX_ENTRIES:
            message = f"there are more than {MAX_ENTRIES} files: give fewer pictures"
            raise DataError("DataTooLarge", message, field=field)
    return [entries[name] for name in sorted(entries)]


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name in _LEFT_OUT


def _unsafe(path: str, what: str, field: str) -> DataError:
    message = f"{_shown(path)} {what}, and is not read: put plain files into folders, and nothing else"
    return DataError("UnsafeArchive", message, field=field)


def _shown(path: str) -> str:
    return ascii(path[:200])
