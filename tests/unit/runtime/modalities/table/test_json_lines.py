"""JSON lines: each line is a row, numbers are the texts of requests, and what is wrong is named with its line."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelservice.cells import as_text
from modelservice.contract.failure import DataError
from modelservice.modalities.table import json_lines, table
from modelservice.modalities.table.json_lines import parse_json_lines


def cells(content: str) -> dict[str, list[Any]]:
    return {name: column.to_pylist() for name, column in parse_json_lines(content.encode()).columns.items()}


def test_whole_numbers_keep_all_digits_and_others_are_the_texts_that_requests_make_of_them() -> None:
    line = '{"a": 12345678901234567890123, "b": 1.10, "c": 1e400, "d": -0, "e": 007, "f": 1.0, "g": 1E2, "h": 1e-7}'
    assert cells(line.replace("007", '"007"')) == {
        "a": ["12345678901234567890123"],
        "b": ["1.1"],
        "c": ["1e400"],
        "d": ["0"],
        "e": ["007"],
        "f": ["1"],
        "g": ["100"],
        "h": ["1e-07"],
    }


def test_truth_and_what_is_no_number_are_as_frames_have_them() -> None:
    assert cells('{"a": true, "b": null, "c": NaN, "d": -Infinity}\n{"a": "x", "b": false, "c": 1, "d": ""}') == {
        "a": ["True", "x"],
        "b": [None, "False"],
        "c": [None, "1"],
        "d": ["-inf", ""],
    }


def test_a_key_that_a_line_lacks_is_missing_and_that_is_said() -> None:
    read = parse_json_lines(b'{"a": 1, "b": 2}\n\n{"b": 3}\r\n{"c": 4, "a": 5}\n')
    assert {name: column.to_pylist() for name, column in read.columns.items()} == {
        "a": ["1", None, "5"],
        "b": ["2", "3", None],
        "c": [None, None, "4"],
    }
    assert read.notes == ("3 columns are not in every line and are missing there, as c in 2 of 3",)
    assert [read.place(row) for row in range(3)] == ["line 1", "line 3", "line 4"]


def test_a_byte_order_mark_blanks_around_names_and_a_name_that_is_empty() -> None:
    read = parse_json_lines(b'\xef\xbb\xbf {" a ": 1, "": 2}\n')
    assert list(read.columns) == ["a"]
    assert read.notes == ("ignored column 2: it has no name",)


@pytest.mark.parametrize(
    ("content", "reason", "words"),
    [
        ("", "EmptyTable", "the file is empty: one object in each line is expected"),
        ("\n \n", "EmptyTable", "the file is empty"),
        ('{"a": 1}\n{"a": 1', "NotJSON", "line 2: Expecting ',' delimiter at character 8: correct it"),
        ('{"a": 1}\n{"a": "x', "NotJSON", "line 2: Unterminated string starting at at character 7"),
        ('{"a": 1}\n{"a": 01}', "NotJSON", "line 2: Expecting ',' delimiter"),
        ('{"a": 1}\n{"a": 1} {"a": 2}', "NotJSON", "line 2: Extra data at character 10"),
        ("a,b\n1,2\n", "NotJSON", "line 1: Expecting value at character 1: correct it; one object in each line"),
        ('[\n{"a": 1}\n]', "NotJSON", "the file is one list or object of JSON: one object in each line"),
        ('{\n"a": 1\n}', "NotJSON", "the file is one list or object of JSON: one object in each line"),
        ('[{"a": 1}]', "NotJSON", "line 1 holds a list: one object in each line is expected"),
        ('{"a": 1}\n3', "NotJSON", "line 2 holds a single value: one object"),
        ("[" * 100_000, "NotJSON", "line 1: objects stand too deep inside of others"),
        ('{"a": 1, "a": 2}', "DuplicateColumn", "line 1 has the key 'a' twice: rename one of them"),
        ('{"a": 1, " a": 2}', "DuplicateColumn", "two columns are named 'a'"),
        ('{"a": "x"}\n{"a": "\\ud800"}', "NotAValue", "line 2, column a: '\\ud800' holds half a character"),
        ("".join(f'{{"c{n}": 1}}\n' for n in range(4097)), "TooManyColumns", "4097 columns"),
    ],
)
def test_what_is_no_table_is_refused_with_its_line(content: str, reason: str, words: str) -> None:
    with pytest.raises(DataError) as caught:
        parse_json_lines(content.encode())
    assert caught.value.reason == reason
    assert words in caught.value.message


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ('{"a": 1}\n{"a": "grün"}'.encode("latin-1"), "line 2: the file is not UTF-8 text, which JSON is"),
        ('{"a": 1}'.encode("utf-16"), "line 1: the file is not UTF-8 text"),
    ],
)
def test_another_encoding_is_refused(content: bytes, words: str) -> None:
    with pytest.raises(DataError) as caught:
        parse_json_lines(content)
    assert caught.value.reason == "NotUTF8"
    assert words in caught.value.message


def test_lists_and_objects_make_a_column_unreadable_and_no_other() -> None:
    read = parse_json_lines(b'{"a": 1, "b": 2, "c": 3}\n{"a": 4, "b": [5], "c": {"d": 6}}\n')
    assert list(read.columns) == ["a"]
    assert read.unreadable == {
        "b": "line 2, column b: it holds a list, and a cell holds one value",
        "c": "line 2, column c: it holds an object, and a cell holds one value",
    }


def test_a_table_that_would_not_fit_into_memory_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "MAX_CELLS", 10)
    lines = '{"a": 1}\n' * 5
    assert parse_json_lines(lines.encode()).rows == 5
    with pytest.raises(DataError, match="more than 10 cells, in 6 rows of 2 columns") as caught:
        parse_json_lines(f'{{"b": 1}}\n{lines}'.encode())
    assert caught.value.reason == "DataTooLarge"


SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text("aü\n ")
)


@given(st.lists(st.dictionaries(st.sampled_from("abc"), SCALARS), min_size=1, max_size=6))
def test_every_line_is_a_row_with_what_stands_in_it(rows: list[dict[str, Any]]) -> None:
    read = parse_json_lines("\n".join(map(json.dumps, rows)).encode())
    texts = {name: column.to_pylist() for name, column in read.columns.items()}
    assert set(texts) == {name for row in rows for name in row}
    for name, column in texts.items():
        given_values = [row.get(name) for row in rows]
        assert column == [value if isinstance(value, str) else as_text(value) for value in given_values]


@given(st.text(alphabet='{}[]":, \n1aentrulfs\\', max_size=40))
def test_whatever_text_there_is_it_is_read_or_refused(text: str) -> None:
    try:
        read = json_lines.parse_json_lines(text.encode())
    except DataError as error:
        if error.reason not in {"NotJSON", "EmptyTable", "DuplicateColumn"}:
            raise
        return
    assert all(
        len(column) == len([line for line in text.split("\n") if line.strip()]) for column in read.columns.values()
    )
