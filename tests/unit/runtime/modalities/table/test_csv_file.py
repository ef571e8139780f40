from typing import Any

import pytest

from modelservice.contract.failure import DataError
from modelservice.modalities.table.csv_file import parse_csv
from modelservice.modalities.table.preprocessing import MAX_COLUMNS


def cells(content: bytes) -> dict[str, list[str]]:
    return {name: column.to_pylist() for name, column in parse_csv(content).columns.items()}


def refused(content: bytes) -> DataError:
    with pytest.raises(DataError) as caught:
        parse_csv(content)
    return caught.value


def test_cells_stay_text_in_the_order_of_the_file() -> None:
    assert cells(b"b,a\n1,x\n007,\n") == {"b": ["1", "007"], "a": ["x", ""]}


@pytest.mark.parametrize(
    "content", [b"a,b\r\n1,2\r\n", b"\xef\xbb\xbfa,b\n1,2", b"\n\n a , b \n1,2\n\n", b'"a","b"\n"1","2"\n']
)
def test_dialects_that_people_save(content: Any) -> None:
    assert cells(content) == {"a": ["1"], "b": ["2"]}


def test_quotes_keep_commas_and_line_breaks() -> None:
    table = parse_csv(b'a,b\n"x,y","one\ntwo"\n3,4\n')
    assert table.columns["a"].to_pylist() == ["x,y", "3"]
    assert [table.place(0), table.place(1)] == ["line 2", "line 4"]


def test_the_header_may_have_line_breaks() -> None:
    assert cells(b'"a\nb",c\n1,2\n') == {"a\nb": ["1"], "c": ["2"]}


def test_lines_are_counted_as_an_editor_does() -> None:
    table = parse_csv(b"a,b\n1,2\n\n\n3,4\n")
    assert table.place(1) == "line 5"


def test_a_column_without_a_name_is_left_out_and_said_so() -> None:
    table = parse_csv(b",a\n0,5\n1,6\n")
    assert list(table.columns) == ["a"]
    assert table.notes == ("ignored column 1: it has no name in the header",)


@pytest.mark.parametrize(
    ("content", "reason", "words"),
    [
        (b"", "EmptyTable", "empty"),
        (b" \n\n", "EmptyTable", "empty"),
        (b"a,b\n", "EmptyTable", "no rows"),
        (b"a,b\n\n\n", "EmptyTable", "no rows"),
        (b"a,a\n1,2\n", "DuplicateColumn", "'a'"),
        (b"a, a\n1,2\n", "DuplicateColumn", "'a'"),
        (b"a,b\n1,2\n3\n", "RaggedRow", "line 3 has 1 values, the header has 2 columns"),
        (b'a,b\n"1\n",2\n\n3,4,5\n', "RaggedRow", "line 5 has 3 values"),
        (b"a,b\n1,\xff\n", "NotUTF8", "line 2"),
        ("a,b\n1,2\n".encode("utf-16"), "NotUTF8", "UTF-8"),
        (",".join(map(str, range(MAX_COLUMNS + 1))).encode(), "TooManyColumns", str(MAX_COLUMNS)),
    ],
)
def test_what_is_no_table_is_refused_with_its_place(content: Any, reason: str, words: str) -> None:
    error = refused(content)
    assert (error.reason, error.field) == (reason, "spec.data")
    assert words in error.message


def test_an_error_after_a_very_long_cell_has_a_place_all_the_same() -> None:
    assert parse_csv(b"a\n" + b"x" * 200_000 + b"\ny\n").place(1) == "row 2"


def test_an_archive_is_recognised_and_its_format_named() -> None:
    error = refused(b"PK\x03\x04rest")
    assert (error.reason, error.field) == ("NotATable", "spec.data.format")
    assert "set spec.data.format to NPZ" in error.message
