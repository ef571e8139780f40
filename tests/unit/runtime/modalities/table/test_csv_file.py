import csv
import io
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelservice.contract.failure import DataError
from modelservice.contract.formats import CSV
from modelservice.modalities.table.csv_file import check_rows, parse_csv
from modelservice.modalities.table.preprocessing import MAX_COLUMNS
from modelservice.modalities.table.quotes import Layout
from modelservice.modalities.table.table import Table


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
        (b"a,b\n1,\xff\n", "NotUTF8", "line 2: the file is not UTF-8 text (it reads 'ÿ' as Windows-1252 or "),
        ("a,b\n1,grün\n".encode("latin-1"), "NotUTF8", "line 2: the file is not UTF-8 text (it reads 'grün' as Windo"),
        (b"a,b\r1,2\r3,\xff\r", "NotUTF8", "line 3"),
        ("a,b\n1,2\n".encode("utf-32"), "NotUTF8", "line 1: the file is UTF-32"),
        ("\ufeffa,b\n1,2\n".encode("utf-32-be"), "NotUTF8", "line 1: the file is UTF-32"),
        (b"a,b\n1,x\0y\n", "NotUTF8", "line 2: the file has zero bytes"),
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


def rows(count: int, first: int = 0) -> list[str]:
    return [f"{n},name {n},{'pq'[n % 2]}" for n in range(first, first + count)]


STRAYS = [
    ('b,"Smith,q', 'c,"Jones,p', "line 12: a cell begins with a quote, and text follows the next quote, on line 152"),
    (
        'b,"Smith,q',
        'c,Jones",p',
        "line 12: a cell begins with a quote and goes on to line 152, and each of these lines",
    ),
    ('b,"Smith,q', "c,Jones,p", "line 12: a cell begins with a quote that nobody closes: close it, or write each"),
    ('b,"12"" pipe,q', "c,Jones,p", "line 12: a cell begins with a quote that nobody closes"),
    ('b,5" pipe,q', 'c,"Jones,p', "line 152: a cell begins with a quote that nobody closes"),
    ('b,5" pipe,q', 'c,"a "quick" fox",p', "line 152: a cell begins with a quote, and text follows the next quote"),
]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize(("one", "other", "words"), STRAYS)
def test_a_stray_quote_is_named_with_its_line(one: str, other: str, words: str, end: str) -> None:
    """pyarrow reads all of these, but the first, as tables of fewer rows, without a word."""
    lines = ["n,t,y", *rows(10), one, *rows(139), other, *rows(149)]
    error = refused(end.join(lines).encode())
    assert (error.reason, error.message[: len(words)]) == ("StrayQuote", words)


def test_quotes_that_are_closed_or_inside_of_a_cell_are_text() -> None:
    content = b'a,b\n5" pipe,"12"" ""tube"""\n"","x" \n"one, two\nthree\nfour",y"\n'
    table = parse_csv(content)
    assert table.columns["a"].to_pylist() == ['5" pipe', "", "one, two\nthree\nfour"]
    assert [cell.strip() for cell in table.columns["b"].to_pylist()] == ['12" "tube"', "x", 'y"']
    assert table.notes == ("1 quoted cells hold line breaks, the first on line 4",)


def test_a_quoted_cell_of_many_lines_is_one_cell_however_it_quotes() -> None:
    table = parse_csv(b'a,b\n"say ""x""\nand ""y""\n","q"\n')
    assert table.columns["a"].to_pylist() == ['say "x"\nand "y"\n']
    assert table.notes == ("1 quoted cells hold line breaks, the first on line 2",)


def test_rows_that_were_lost_are_no_table() -> None:
    layout = Layout(records=4, broken=np.empty(0, dtype=np.int64))
    check_rows(3, layout, "spec.data")
    with pytest.raises(DataError, match="the file has 3 rows, and 2 were understood") as caught:
        check_rows(2, layout, "spec.data")
    assert caught.value.reason == "NotATable"


def read_unless(content: bytes, *reasons: str) -> Table | None:
    """The table, or None where one of these says why there is none."""
    try:
        return parse_csv(content)
    except DataError as error:
        if error.reason not in reasons:
            raise
        return None


WRITTEN = st.text(alphabet='ab1 ,;"\n\r', max_size=60)
CELLS = st.text(alphabet='ab1 ,;\t|"\n\u00fc', max_size=6)


@given(WRITTEN)
def test_every_record_is_a_row_or_the_file_is_refused(text: str) -> None:
    """Python's reader is the other implementation: what pyarrow made of the bytes is what it makes of them."""
    table = read_unless(f"a,b\n{text}".encode(), "RaggedRow", "StrayQuote", "EmptyTable")
    if table is None:
        return
    records = [record for record in csv.reader(io.StringIO(text, newline="")) if record]
    assert [list(row) for row in zip(*(c.to_pylist() for c in table.columns.values()), strict=True)] == records
    assert table.rows == len(records)


@given(
    st.lists(st.lists(CELLS, min_size=2, max_size=2), min_size=1, max_size=8),
    st.sampled_from(",;\t|"),
    st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL]),
    st.sampled_from(["\n", "\r\n"]),
)
def test_what_is_written_as_csv_is_read_whole(written: Any, separator: str, quoting: Any, end: str) -> None:
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, delimiter=separator, quoting=quoting, lineterminator=end)
    writer.writerows([["a", "b"], *written])
    table = read_unless(buffer.getvalue().encode(), "StrayQuote")  # lines of a cell may look like rows
    if table is None:
        return
    assert [list(row) for row in zip(*(c.to_pylist() for c in table.columns.values()), strict=True)] == written


@pytest.mark.parametrize(("separator", "name"), [(";", "semicolons"), ("\t", "tabs"), ("|", "bars")])
@pytest.mark.parametrize("said", [False, True])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_other_separators_are_found_or_said_and_noted(separator: str, name: str, said: bool, mark: bytes) -> None:
    lines = ["a;b", "1,5;x", '"2;5";y'] if separator == ";" else [f"a{separator}b", f"1,5{separator}x"]
    content = mark + "\r\n".join([f"sep={separator}"] * said + lines).encode()
    table = parse_csv(content)
    assert table.columns["a"].to_pylist()[0] == "1,5"
    assert table.rows == len(lines) - 1
    assert table.notes == (f"columns are separated by {name}",)
    assert table.place(0) == f"line {2 + said}"


def test_commas_may_be_said_too() -> None:
    table = parse_csv(b"sep=,\na;x,b\n1,2\n")
    assert (list(table.columns), table.notes) == (["a;x", "b"], ())


@pytest.mark.parametrize(
    ("content", "reason", "words"),
    [
        (b"a;b|c\n1;2\n", "SeparatorNotClear", "divided at semicolons and at bars: set spec.data.csv.separator, or"),
        (b"sep=:\na:b\n1:2\n", "SeparatorNotClear", "the first line says sep=:, and cells are separated by , ; | or"),
        ("sep=\u00a7\na\u00a7b\n".encode(), "SeparatorNotClear", "sep=\u00a7,"),
        (b"a;b\n1;2\n3;4;5\n", "RaggedRow", "line 3 has 3 values, the header has 2 columns: correct the row, and put"),
        (b"a;b\n1;2\n3;4;5\n", "RaggedRow", "quotes around semicolons, by which columns are separated here"),
        (b"a;b,c\n1;2\n", "RaggedRow", "if semicolons separate the columns, say so in spec.data.csv.separator"),
        (b"sep=;\na;b\n1;2\n3\n", "RaggedRow", "line 4 has 1 values"),
        (b"a\n1;2\n1,2\n", "RaggedRow", "line 3 has 2 values, the header has 1 columns: correct the row, and put"),
    ],
)
def test_separators_that_are_not_clear_are_named(content: bytes, reason: str, words: str) -> None:
    error = refused(content)
    assert error.reason == reason
    assert words in error.message


@pytest.mark.parametrize("given", [",", ";", "Tab", "|", ":", "~", "^", "#", "&", "@", "!", " "])
def test_a_separator_that_is_given_divides_the_table_without_a_word(given: str) -> None:
    character = "\t" if given == "Tab" else given
    content = f'"a,;|:"{character}b\n1{character}"x{character}y"\n'.encode()
    table = parse_csv(content, CSV(separator=given))
    assert {name: column.to_pylist() for name, column in table.columns.items()} == {
        "a,;|:": ["1"],
        "b": [f"x{character}y"],
    }
    assert table.notes == ()
    assert parse_csv(f"sep={character}\n".encode() + content, CSV(separator=given)).place(0) == "line 3"


@pytest.mark.parametrize(
    ("content", "separator", "reason", "words"),
    [
        (b"a,b\n1,2\n", ";", "SeparatorNotFound", "semicolons do not divide the header, but commas do: correct spec"),
        (b"a;b|c\n1;2\n", "~", "SeparatorNotFound", "'~' do not divide the header, but semicolons and bars do"),
        (b"a\n1\n", " ", "SeparatorNotFound", "blanks do not divide the header: correct spec.data.csv.separator"),
        (
            b"sep=;\na;b\n1;2\n",
            ",",
            "SeparatorNotClear",
            "the first line says sep=;, and spec.data.csv.separator says ','",
        ),
    ],
)
def test_a_separator_that_is_given_and_does_not_divide_is_refused(
    content: bytes, separator: str, reason: str, words: str
) -> None:
    with pytest.raises(DataError) as caught:
        parse_csv(content, CSV(separator=separator))
    assert (caught.value.reason, caught.value.field) == (reason, "spec.data.csv.separator")
    assert words in caught.value.message


def test_names_are_compared_as_unicode_composes_them() -> None:
    composed, decomposed = "gr\u00f6\u00dfe", "gro\u0308\u00dfe"
    assert list(parse_csv(f"{decomposed},y\n1,2\n".encode()).columns) == [composed, "y"]
    assert refused(f"{decomposed},{composed}\n1,2\n".encode()).reason == "DuplicateColumn"
