"""Excel: a sheet is a table whose first row is the header; what is no cell, or no workbook, is named."""

import datetime
import io
import zipfile
from typing import Any

import numpy as np
import openpyxl
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelservice.contract.failure import DataError
from modelservice.contract.formats import Excel
from modelservice.modalities.table import sheet_parts, table
from modelservice.modalities.table.excel_file import parse_excel

OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"


def saved(book: Any) -> bytes:
    buffer = io.BytesIO()
    book.save(buffer)
    return buffer.getvalue()


def workbook(*rows: Any, title: str = "Data") -> Any:
    book = openpyxl.Workbook()
    book.active.title = title
    for row in rows:
        book.active.append(row)
    return book


def cells(*rows: Any) -> dict[str, list[str | None]]:
    return {name: column.to_pylist() for name, column in parse_excel(saved(workbook(*rows))).columns.items()}


def with_part(content: bytes, name: str, change: Any) -> bytes:
    """The workbook with one part rewritten; None leaves it out."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as given_, zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for part in given_.namelist():
            raw = given_.read(part)
            if (raw := change(raw) if part == name else raw) is not None:
                archive.writestr(part, raw)
    return buffer.getvalue()


SHEET = "xl/worksheets/sheet1.xml"


def test_numbers_texts_and_truth_are_as_they_stand_in_a_table() -> None:
    assert cells(["a", "b", " c "], [1, 0.1, "007"], [2.0, None, True], [1e20, -3, " x "]) == {
        "a": ["1", "2", "1e+20"],
        "b": ["0.1", None, "-3"],
        "c": ["007", "True", "x"],
    }


def test_dates_and_times_are_iso_8601_as_their_format_shows_them() -> None:
    day = datetime.datetime(2024, 1, 5)  # noqa: DTZ001 - workbooks know no zone
    book = workbook(["a", "b", "c"], [day, day, datetime.time(9, 5)], [day.replace(hour=12), day.date(), None])
    book.active["A2"].number_format = "dd.mm.yyyy"
    book.active["A3"].number_format = "dd.mm.yyyy"
    book.active["B2"].number_format = "yyyy-mm-dd hh:mm"
    read = parse_excel(saved(book))
    assert {name: column.to_pylist() for name, column in read.columns.items()} == {
        "a": ["2024-01-05", "2024-01-05T12:00:00"],
        "b": ["2024-01-05T00:00:00", "2024-01-05"],
        "c": ["09:05:00", None],
    }


def test_empty_rows_are_skipped_and_rows_are_counted_as_excel_does() -> None:
    read = parse_excel(saved(workbook([], ["a", "b"], [], [1, 2], [None, None], [3, None])))
    assert read.columns["a"].to_pylist() == ["1", "3"]
    assert [read.place(0), read.place(1)] == ["row 4", "row 6"]


def test_a_column_without_a_name_is_left_out_and_said_where_it_holds_something() -> None:
    read = parse_excel(saved(workbook([None, "a", None, "b"], [None, 1, "x", 2])))
    assert list(read.columns) == ["a", "b"]
    assert read.notes == ("ignored column C: it has no name in the header",)


def test_the_first_sheet_that_is_not_hidden_is_taken_and_said() -> None:
    book = workbook(["a"], ["x"], title="Hidden")
    book.active.sheet_state = "hidden"
    book.create_sheet("Mine").append(["b"])
    book["Mine"].append(["y"])
    book.create_sheet("Other").append(["c"])
    read = parse_excel(saved(book))
    assert list(read.columns) == ["b"]
    assert read.notes == ("the table is sheet 'Mine', the first of 'Hidden', 'Mine', 'Other'",)
    named = parse_excel(saved(book), Excel(sheet="Hidden"))
    assert (list(named.columns), named.notes) == (["a"], ())


@pytest.mark.parametrize("sheet", ["data", "Sheet1"])
def test_a_sheet_that_is_not_there_is_refused(sheet: str) -> None:
    with pytest.raises(DataError, match=f"the workbook has no sheet '{sheet}'; it has 'Data': name one") as caught:
        parse_excel(saved(workbook(["a"], [1])), Excel(sheet=sheet))
    assert (caught.value.reason, caught.value.field) == ("SheetNotFound", "spec.data.excel.sheet")


def test_errors_count_as_missing_and_are_said() -> None:
    book = workbook(["a", "b"], [1, 2], [3, 4])
    book.active["A2"].value, book.active["A2"].data_type = "#DIV/0!", "e"
    book.active["B3"].value, book.active["B3"].data_type = "#N/A", "e"
    book.active["A4"].value, book.active["A4"].data_type = "#REF!", "e"
    read = parse_excel(saved(book))
    assert read.columns["a"].to_pylist() == [None, "3", None]  # a row of nothing else is a row all the same
    assert read.notes == ("3 cells hold errors and count as missing, as #DIV/0! in row 2, column A",)


def test_formulas_without_a_value_count_as_missing_and_are_said() -> None:
    content = saved(workbook(["a", "b"], [1, "=A2+1"], [2, "=A3+1"], [3, "=A4"]))
    stored = with_part(
        content,
        SHEET,
        lambda raw: raw.replace(b"<f>A3+1</f><v />", b"<f>A3+1</f><v>3</v>").replace(
            b'<c r="B4"><f>A4</f><v />', b'<c r="B4" t="str"><f>A4</f><v />'
        ),
    )
    read = parse_excel(stored)
    assert read.columns["b"].to_pylist() == [None, "3", None]
    assert read.notes == (
        "1 formulas have no value and count as missing, as in row 2, column B: open the workbook in Excel and save it,"
        " so that it holds their values",
    )


def test_dimensions_that_are_too_small_cut_nothing_off() -> None:
    content = with_part(saved(workbook(["a", "b"], [1, 2], [3, 4])), SHEET, lambda raw: raw.replace(b"A1:B3", b"A1:A2"))
    assert b"A1:A2" in zipfile.ZipFile(io.BytesIO(content)).read(SHEET)
    read = parse_excel(content)
    assert {name: column.to_pylist() for name, column in read.columns.items()} == {"a": ["1", "3"], "b": ["2", "4"]}


WHOLE = saved(workbook(["a", "b"], *([n, f"t{n}"] for n in range(50))))


@pytest.mark.parametrize(
    ("content", "reason", "words"),
    [
        (b"a,b\n1,2\n", "NotExcel", "the file is no Excel workbook (.xlsx): correct its name, or set spec.data.format"),
        (
            OLE + b"x" * 100 + "EncryptedPackage".encode("utf-16-le"),
            "NotATable",
            "the workbook is protected by a password, and cannot be read: save it without one",
        ),
        (
            b"PK\x03\x04..xl/workbook.bin",
            "NotATable",
            "the file is a binary workbook (.xlsb), which cannot be read: save",
        ),
        (
            b"PK\x03\x04..application/vnd.oasis.opendocument.spreadsheet",
            "NotATable",
            "the file is an OpenDocument sheet",
        ),
        (OLE + b"x" * 100, "NotATable", "the file is a document of an old Office, such as .xls: save it as .xlsx"),
        (WHOLE[: len(WHOLE) // 2], "NotATable", "the file is a ZIP archive, as NPZ is, and no Excel"),
        (WHOLE[:-30], "DamagedExcel", "the workbook is damaged (BadZipFile: "),
        (with_part(WHOLE, SHEET, lambda raw: raw[:500]), "DamagedExcel", "the workbook is damaged (ParseError: "),
        (with_part(WHOLE, SHEET, lambda _: None), "SheetNotFound", "the workbook has no sheet that can be read"),
        (saved(workbook()), "EmptyTable", "the sheet has no cells"),
        (saved(workbook(["a", "b"])), "EmptyTable", "the sheet has a header but no rows"),
        (saved(workbook(["a", "a "], [1, 2])), "DuplicateColumn", "two columns are named 'a'"),
        (
            saved(workbook(["a", "b"], [1, 2], [1, 2, None, "x"])),
            "RaggedRow",
            "row 3, column D holds 'x', and the header in row 1 ends at column B: name that column, or empty the cell",
        ),
        (
            saved(workbook(["Sales 2024"], [], ["a", "b"], [1, 2])),
            "RaggedRow",
            "row 3, column B holds 'b', and the header in row 1 ends at column A: name that column, or empty the cell;"
            " if the first row is a title, delete it",
        ),
        (
            saved(workbook(["a"], [datetime.timedelta(hours=30)])),
            "NotAValue",
            "row 2, column A holds a duration (1 day, 6:00:00): write it as a number, such as hours",
        ),
    ],
)
def test_what_is_no_table_is_refused(content: bytes, reason: str, words: str) -> None:
    with pytest.raises(DataError) as caught:
        parse_excel(content)
    assert caught.value.reason == reason
    assert words in caught.value.message


def test_sheets_that_are_all_hidden_or_of_charts_are_refused() -> None:
    content = with_part(WHOLE, "xl/workbook.xml", lambda raw: raw.replace(b'state="visible"', b'state="hidden"'))
    with pytest.raises(DataError, match=r"is not hidden: set spec\.data\.excel\.sheet"):
        parse_excel(content)


def test_a_workbook_that_inflates_too_far_or_has_too_many_rows_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    numbered = with_part(WHOLE, SHEET, lambda raw: raw.replace(b'51"', b'2000000"'))
    with pytest.raises(DataError, match="the sheet has more than 1048576 rows: give fewer") as caught:
        parse_excel(numbered)
    assert caught.value.reason == "DataTooLarge"
    monkeypatch.setattr(table, "MAX_CELLS", 99)
    with pytest.raises(DataError, match="more than 99 cells, in 50 rows of 2 columns"):
        parse_excel(WHOLE)
    monkeypatch.setattr(sheet_parts, "MAX_INFLATED", 5000)
    with pytest.raises(DataError, match="the workbook inflates to more than 5000 bytes: give fewer rows"):
        parse_excel(WHOLE)


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        (b'<row r="7"', b'<row r="5"', "row 5 of a sheet comes after row 6, and one of them would be lost: save the"),
        (b'<row r="7"', b'<row r="6"', "row 6 of a sheet comes after row 6"),
        (b'<c r="A7"', b'<c r="C7"', "row 7 of a sheet comes after row 7"),
        (b'<c r="A7"', b'<c s="0" r="AA7"', "row 7 of a sheet comes after row 7"),
    ],
)
def test_rows_and_cells_that_are_not_in_order_are_refused(before: bytes, after: bytes, words: str) -> None:
    """openpyxl leaves out what comes late."""
    content = with_part(WHOLE, SHEET, lambda raw: raw.replace(before, after))
    with pytest.raises(DataError, match=words) as caught:
        parse_excel(content)
    assert caught.value.reason == "DamagedExcel"


def test_order_is_seen_across_the_blocks_in_which_a_sheet_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sheet_parts, "_BLOCK", 50)
    assert parse_excel(WHOLE).rows == 50
    with pytest.raises(DataError, match="row 40 of a sheet comes after row 50"):
        parse_excel(with_part(WHOLE, SHEET, lambda raw: raw.replace(b'<row r="51"', b'<row r="40"')))
    formula = with_part(WHOLE, SHEET, lambda raw: raw.replace(b"<v>49</v>", b"<f>A1</f><v />"))
    assert parse_excel(formula).notes[0].startswith("1 formulas have no value")


def test_entities_are_not_expanded() -> None:
    lots = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10 if n else "x" * 100}">' for n in range(9))
    bomb = with_part(
        WHOLE,
        SHEET,
        lambda raw: raw.replace(b"<worksheet", f"<!DOCTYPE w [{lots}]><worksheet".encode(), 1).replace(b"t49", b"&e8;"),
    )
    bomb = with_part(
        bomb, "xl/sharedStrings.xml", lambda raw: f"<!DOCTYPE w [{lots}]>".encode() + raw.replace(b"t49", b"&e8;")
    )
    with pytest.raises(DataError) as caught:
        parse_excel(bomb)
    assert caught.value.reason == "DamagedExcel"


@settings(max_examples=60)
@given(st.integers(0, len(WHOLE) - 1), st.binary(min_size=1, max_size=8))
def test_a_damaged_workbook_is_read_or_refused(at: int, noise: bytes) -> None:
    content = WHOLE[:at] + noise + WHOLE[at + len(noise) :]
    try:
        read = parse_excel(content)
    except DataError as error:
        if error.reason not in {"DamagedExcel", "NotExcel", "NotATable", "DataTooLarge", "RaggedRow", "SheetNotFound"}:
            raise
        return
    assert read.rows == 50


def test_a_frame_that_pandas_wrote_is_read_as_it_was() -> None:
    frame = pd.DataFrame({"n": np.linspace(0, 1, 30), "t": ["x", "y", None] * 10})
    buffer = io.BytesIO()
    frame.to_excel(buffer, index=False)
    read = parse_excel(buffer.getvalue())
    assert [float(text) for text in read.columns["n"].to_pylist()] == pytest.approx(frame["n"].tolist(), rel=1e-15)
    assert read.columns["t"].to_pylist() == ["x", "y", None] * 10
