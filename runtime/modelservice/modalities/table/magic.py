"""What the first bytes of a file say that it is: a file under a wrong name is told what it looks like."""

import re
from typing import Final, NamedTuple

from modelservice.contract.data import Format
from modelservice.contract.failure import DataError

OLE: Final = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
"""Old Office documents, and encrypted new ones."""
PARQUET: Final = b"PAR1"
ENCRYPTED_PARQUET: Final = b"PARE"
ZIP: Final = b"PK\x03\x04"
_JSON = re.compile(rb'(?:\xef\xbb\xbf)?\s*\{\s*"(?:[^"\\\r\n]|\\.)*"\s*:')
"""How an object begins, as no header of a CSV file does."""
_ENCRYPTED_PACKAGE = "EncryptedPackage".encode("utf-16-le")


_UNREAD: Final = (
    (
        ENCRYPTED_PARQUET,
        b"",
        "the file is an encrypted Parquet file, which cannot be read: write it without encryption",
    ),
    (ZIP, b"xl/workbook.bin", "the file is a binary workbook (.xlsb), which cannot be read: save it as .xlsx"),
    (
        ZIP,
        b"opendocument.spreadsheet",
        "the file is an OpenDocument sheet (.ods), which cannot be read: save it as .xlsx",
    ),
)
"""How a file begins that no reader knows, what stands in it, and what to say."""


class _Kind(NamedTuple):
    """A kind of file that is a format of ours: in a sentence, and how its name ends."""

    words: str
    format: Format
    suffix: str


_EXCEL = _Kind("an Excel workbook", Format.EXCEL, ".xlsx")
_NPZ = _Kind("a ZIP archive, as NPZ is", Format.NPZ, ".npz")
_JSON_LINES = _Kind("JSON", Format.JSON_LINES, ".jsonl")
_PARQUET = _Kind("a Parquet file", Format.PARQUET, ".parquet")


def check_magic(content: bytes, expected: Format) -> None:
    """Refuse a file that is certainly of another format than the one it is to be read as.

    Raises:
        DataError: names what it is, and the way out.
    """
    if content.startswith(OLE):
        raise DataError("NotATable", _ole(content), field="spec.data")
    for begin, mark, message in _UNREAD:
        if content.startswith(begin) and mark in content:
            raise DataError("NotATable", message, field="spec.data")
    kind = _recognised(content)
    if kind is not None and kind.format is not expected:
        message = f"the file is {kind.words}, and no {expected}: name it {kind.suffix}, or set spec.data.format to"
        raise DataError("NotATable", f"{message} {kind.format}", field="spec.data.format")


def _recognised(content: bytes) -> _Kind | None:
    if content.startswith(PARQUET):
        return _PARQUET
    if content.startswith(ZIP):
        return _EXCEL if b"xl/workbook." in content else _NPZ
    return _JSON_LINES if _JSON.match(content) else None


def _ole(content: bytes) -> str:
    if _ENCRYPTED_PACKAGE in content:
        return "the workbook is protected by a password, and cannot be read: save it without one"
    return "the file is a document of an old Office, such as .xls: save it as .xlsx, or as CSV in UTF-8"
