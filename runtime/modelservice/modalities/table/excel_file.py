"""Reading a sheet of an Excel workbook: the first row that is not empty is the header, each further one a row."""

import datetime
import io
import itertools
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import closing
from typing import Any, Final

import numpy as np
import openpyxl
import pyarrow as pa
from openpyxl.styles.numbers import is_datetime
from openpyxl.utils import get_column_letter

from modelservice.cells import as_text, quoted
from modelservice.contract.data import Format
from modelservice.contract.digests import sha256
from modelservice.contract.failure import DataError
from modelservice.contract.formats import Excel
from modelservice.modalities.table.magic import ZIP, check_magic
from modelservice.modalities.table.sheet_parts import inspect_sheets
from modelservice.modalities.table.table import Table, check_cells, check_names

SHEET_FIELD = "spec.data.excel.sheet"
MAX_ROWS = 2**20
"""As many as Excel has; a damaged file may number its rows beyond."""
_LISTED = 10
_DATE: Final = "date"

Cells = tuple[Any, ...]
"""One row of cells as openpyxl gives them."""


def parse_excel(content: bytes, excel: Excel | None = None, *, field: str = "spec.data") -> Table:
    """Read a table; numbers become the texts that say them, dates and times texts in ISO 8601.

    Args:
        content: the file.
        excel: which sheet, where that is said; the first that is not hidden otherwise.
        field: what errors name as the field to change.

    Raises:
        DataError: no workbook, protected by a password, damaged, too large, without such a sheet, header or rows, or
            with cells beside the header; names the row.
    """
    check_magic(content, Format.EXCEL)
    if not content.startswith(ZIP):
        message = "the file is no Excel workbook (.xlsx): correct its name, or set spec.data.format"
        raise DataError("NotExcel", message, field="spec.data.format")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what a workbook has beside its cells, such as its style
            reading = _Sheet(field)
            notes = _read(content, excel or Excel(), reading, field)
    except (DataError, MemoryError):
        raise
    except Exception as error:  # openpyxl raises whatever its parsers raise: a dozen types, of which none is its own
        message = f"the workbook is damaged ({type(error).__name__}: {str(error)[:100]}): save it again"
        raise DataError("DamagedExcel", message, field=field) from None
    return reading.table(sha256(content), notes)


def _read(content: bytes, excel: Excel, reading: "_Sheet", field: str) -> list[str]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        has_formulas = inspect_sheets(archive, field=field)
    with closing(openpyxl.load_workbook(io.BytesIO(content), read_only=True, data_only=True)) as book:
        title, notes = _choose(book, excel)
        with closing(openpyxl.load_workbook(io.BytesIO(content), read_only=True)) as written:
            formulas = _rows(written[title]) if has_formulas else itertools.repeat(())
            for number, (cells, formula) in enumerate(zip(_rows(book[title]), formulas, strict=False), start=1):
                if number > MAX_ROWS:
                    raise DataError("DataTooLarge", f"the sheet has more than {MAX_ROWS} rows: give fewer", field=field)
                reading.add(number, cells, formula)
    return notes


def _choose(book: Any, excel: Excel) -> tuple[str, list[str]]:
    """The title of the sheet, and what is worth a word."""
    sheets = [sheet for sheet in book.worksheets if hasattr(sheet, "reset_dimensions")]
    titles = [sheet.title for sheet in sheets]
    listed = ", ".join(map(quoted, titles[:_LISTED]))
    if excel.sheet is not None and excel.sheet in titles:
        return excel.sheet, []
    visible = [sheet.title for sheet in sheets if sheet.sheet_state == "visible"]
    if excel.sheet is not None or not visible:
        hidden = f"no sheet that can be read and is not hidden: set {SHEET_FIELD}"
        missing = f"no sheet {quoted(excel.sheet)}; it has {listed}: name one of them"
        message = f"the workbook has {hidden if excel.sheet is None else missing}"
        raise DataError("SheetNotFound", message, field=SHEET_FIELD)
    if len(titles) == 1:
        return titles[0], []
    return visible[0], [f"the table is sheet {quoted(visible[0])}, the first of {listed}"]


def _rows(sheet: Any) -> Iterator[Cells]:
    sheet.reset_dimensions()  # those that are written down may be wrong, and would cut rows off
    return iter(sheet.iter_rows())


class _Sheet:
    """A sheet while it is read, row by row."""

    def __init__(self, field: str) -> None:
        self._field = field
        self._header = 0
        self._names: list[str] = []
        self._columns: list[list[str | None]] = []
        self._numbers: list[int] = []
        self._errors: list[str] = []
        self._unsaved: list[str] = []

    def add(self, number: int, cells: Cells, formulas: Cells) -> None:
        """Take a row; ``number`` is Excel's, ``formulas`` the same cells with formulas in place of their values."""
        gaps = len(self._errors) + len(self._unsaved)
        texts = [self._text(number, at, cell) for at, cell in enumerate(cells)]
        for at, (cell, formula) in enumerate(zip(cells, formulas, strict=False)):
            if formula.data_type == "f" and cell.value is None and cell.data_type != "str":
                self._unsaved.append(_place(number, at))
        while texts and texts[-1] is None:
            texts.pop()
        if not self._header:
            if texts:
                self._header = number
                self._names = check_names([text or "" for text in texts], field=self._field)
                self._columns = [[] for _ in texts]
        elif texts or len(self._errors) + len(self._unsaved) > gaps:
            self._add_row(number, texts)

    def _add_row(self, number: int, texts: list[str | None]) -> None:
        width = len(self._columns)
        if len(texts) > width:
            beside = f"{_place(number, len(texts) - 1)} holds {quoted(texts[-1])}, and the header in row {self._header}"
            message = f"{beside} ends at column {get_column_letter(width)}: name that column, or empty the cell"
            title = "" if width > 1 else "; if the first row is a title, delete it"
            raise DataError("RaggedRow", f"{message}{title}", field=self._field)
        check_cells(len(self._numbers) + 1, width, field=self._field)
        self._numbers.append(number)
        for column, text in itertools.zip_longest(self._columns, texts):
            column.append(text)

    def _text(self, number: int, at: int, cell: Any) -> str | None:
        value = cell.value
        if value is None:
            return None
        if cell.data_type == "e":
            self._errors.append(f"{value} in {_place(number, at)}")
            return None
        if isinstance(value, datetime.datetime):
            is_day = value.time() == datetime.time() and is_datetime(cell.number_format.lower()) == _DATE
            value = value.date() if is_day else value
        try:
            return as_text(value)
        except ValueError:
            message = f"{_place(number, at)} holds a duration ({value}): write it as a number, such as hours"
            raise DataError("NotAValue", message, field=self._field) from None

    def table(self, sha256: str, notes: list[str]) -> Table:
        """What was read.

        Raises:
            DataError: there is no header, or there are no rows.
        """
        if not self._numbers:
            found = "a header but no rows" if self._header else "no cells"
            raise DataError("EmptyTable", f"the sheet has {found}: add at least three of each class", field=self._field)
        numbers = np.array(self._numbers)
        arrays = {name: pa.array(column, pa.string()) for name, column in zip(self._names, self._columns, strict=True)}
        arrays.pop("", None)
        return Table(
            columns=arrays,
            sha256=sha256,
            notes=(*notes, *self._notes()),
            place=lambda row: f"row {numbers[row]}",
        )

    def _notes(self) -> Iterator[str]:
        for at, (name, column) in enumerate(zip(self._names, self._columns, strict=True)):
            if not name and any(text is not None for text in column):
                yield f"ignored column {get_column_letter(at + 1)}: it has no name in the header"
        if self._errors:
            yield f"{len(self._errors)} cells hold errors and count as missing, as {self._errors[0]}"
        if self._unsaved:
            saved = "open the workbook in Excel and save it, so that it holds their values"
            yield f"{len(self._unsaved)} formulas have no value and count as missing, as in {self._unsaved[0]}: {saved}"


def _place(number: int, at: int) -> str:
    return f"row {number}, column {get_column_letter(at + 1)}"
