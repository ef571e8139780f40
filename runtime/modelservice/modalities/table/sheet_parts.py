"""The parts of an Excel workbook before any is read: how large they are, and whether rows and cells stand in order.

openpyxl leaves out a row or cell that comes after one with a larger number, without a word: no program writes such
workbooks but by a fault, and then rows would be lost.
"""

import re
import zipfile
from typing import IO

from modelservice.contract.failure import DataError

MAX_INFLATED = 2**30
"""Bytes of a workbook's parts without compression."""
_BLOCK = 2**20
_LONGEST = 4096
"""Bytes of the longest tag that is looked for."""
_NUMBERED = re.compile(rb'<(?:\w+:)?(?:row|c)\b[^>]{0,4000}?\sr=["\']([A-Z]*)([0-9]+)["\']')
"""A row with its number, or a cell with its column and row."""
_FORMULA = re.compile(rb"<(?:\w+:)?f[\s/>]")


def inspect_sheets(archive: zipfile.ZipFile, *, field: str) -> bool:
    """Whether a sheet has formulas.

    Args:
        archive: the workbook.
        field: what errors name as the field to change.

    Raises:
        DataError: it would inflate too far, or rows or cells of a sheet are not in order.
    """
    parts = archive.infolist()
    if sum(part.file_size for part in parts) > MAX_INFLATED:
        message = f"the workbook inflates to more than {MAX_INFLATED} bytes: give fewer rows"
        raise DataError("DataTooLarge", message, field=field)
    found = False
    for part in parts:
        if part.filename.startswith("xl/worksheets/"):
            with archive.open(part) as file:
                found |= _inspect(file, field)
    return found


def _inspect(file: IO[bytes], field: str) -> bool:
    rest, found, before = b"", False, (0, (0, b""))
    while block := file.read(_BLOCK):
        text = rest + block
        found = found or _FORMULA.search(text) is not None
        end = 0
        for match in _NUMBERED.finditer(text):
            letters, number, end = match[1], int(match[2]), match.end()
            place = (number, (len(letters), letters))  # AA comes after Z
            if place <= before:
                message = f"row {number} of a sheet comes after row {before[0]}, and one of them would be lost"
                raise DataError("DamagedExcel", f"{message}: save the workbook again in Excel", field=field)
            before = place
        rest = text[end:][-_LONGEST:]
    return found
