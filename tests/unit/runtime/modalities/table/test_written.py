"""Numbers in text's clothes: read where they can be read in one way only, refused otherwise, in files and requests."""

import math
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelservice.contract.failure import DataError
from modelservice.modalities.errors import InputError
from modelservice.modalities.table.columns import read_column
from modelservice.modalities.table.encoding import RowEncoder
from modelservice.modalities.table.fitting import fit
from modelservice.modalities.table.kinds.category import TextColumn
from modelservice.modalities.table.kinds.number import NumericColumn
from modelservice.modalities.table.kinds.numbers import Numbers
from modelservice.modalities.table.kinds.written_number import WrittenColumn
from modelservice.modalities.table.notation import Decimal, Notation, find_notation, parse
from modelservice.modalities.table.preprocessing import TablePreprocessing


def read(*cells: str, separator: str = ",") -> Any:
    array = pa.array(cells, type=pa.string())
    return read_column("price", array, place=lambda row: f"line {row + 2}", separator=separator)


@pytest.mark.parametrize(
    ("cells", "separator", "numbers", "note"),
    [
        (("1,234", "22,500", "1,000,000"), ",", (1234, 22500, 1e6), "1,234 is read as the number 1234"),
        (("1,234", "999", ""), ",", (1234, 999, math.nan), "1,234 is read as the number 1234"),
        (("999", "5", "1,234.50"), ",", (999, 5, 1234.5), "1,234.50 is read as the number 1234.5"),
        (("$1,234", "$5", "-$7.25"), ",", (1234, 5, -7.25), "$1,234 is read as the number 1234"),
        (("$ 1,234", "NA", "$-5"), ",", (1234, math.nan, -5), "$ 1,234 is read as the number 1234"),
        (("USD 1,234", "USD -5"), ",", (1234, -5), "USD 1,234 is read as the number 1234"),
        (("12.34%", "5 %", "0%"), ",", (12.34, 5, 0), "12.34% is read as the number 12.34"),
        (("12 kg", "7.5 kg", "none"), ",", (12, 7.5, math.nan), "12 kg is read as the number 12"),
        (("1'234.5", "2'000"), ",", (1234.5, 2000), "1'234.5 is read as the number 1234.5"),
        (("1 234,5 €", "7 €"), ",", (1234.5, 7), "1 234,5 € is read as the number 1234.5"),
        (("1,5", "2,75"), ",", (1.5, 2.75), "1,5 is read as the number 1.5"),
        (("1.234.567", "2.345.678", "5"), ",", (1234567, 2345678, 5), "1.234.567 is read as the number 1234567"),
        (("1,5", "2", "3", "4"), ";", (1.5, 2, 3, 4), "1,5 is read as the number 1.5"),
        (("1.234,5", "2.000"), ";", (1234.5, 2000), "1.234,5 is read as the number 1234.5"),
        (("0,125", "12,500"), ";", (0.125, 12.5), "0,125 is read as the number 0.125"),
        (("1,234", "2,345"), ";", (1.234, 2.345), "1,234 is read as the number 1.234"),
        (("1.234", "2.345"), ";", (1.234, 2.345), None),
        (("(1,234)", "5", "6"), ",", (-1234, 5, 6), "(1,234) is read as the number -1234"),
        (("($1,234.50)", "$(7)", "$8"), ",", (-1234.5, -7, 8), "($1,234.50) is read as the number -1234.5"),
        (("(5%)", "(2) %", "3%"), ",", (-5, -2, 3), "(5%) is read as the number -5"),
        (("( 1.234,50 )", "7,00"), ";", (-1234.5, 7), "( 1.234,50 ) is read as the number -1234.5"),
        (("\u22125", "3", "4"), ",", (-5, 3, 4), "\u22125 is read as the number -5"),
        (("\u20131,5", "2,25"), ",", (-1.5, 2.25), "\u20131,5 is read as the number -1.5"),
        (("\u2212$5", "$\u22127"), ",", (-5, -7), "\u2212$5 is read as the number -5"),
        (("1\u2009234,56", "7"), ",", (1234.56, 7), "1\u2009234,56 is read as the number 1234.56"),
        (("1\u202f234", "22\u00a0500", "1 000"), ",", (1234, 22500, 1000), "1\u202f234 is read as the number 1234"),
        (("1\u2007234.5 kg", "7 kg"), ",", (1234.5, 7), "1\u2007234.5 kg is read as the number 1234.5"),
        (("12,34,567.50", "1,234"), ",", (1234567.5, 1234), "12,34,567.50 is read as the number 1234567.5"),
        (("0101", "7"), ",", (101, 7), "0101 is read as the number 101"),
        (("1,234", "5"), "\t", (1234, 5), "1,234 is read as the number 1234"),
    ],
)
def test_numbers_in_one_notation_are_numbers_and_said(cells: Any, separator: str, numbers: Any, note: Any) -> None:
    column = read(*cells, separator=separator)
    assert isinstance(column, Numbers)
    np.testing.assert_array_equal(column.values, numbers)
    assert list(column.notes()) == ([] if note is None else [f"column price: {note}"])


def written_column(notation: Notation | None) -> Numbers:
    values = np.array([0.0, 2.0])
    if notation is None:
        return NumericColumn(name="p", values=values)
    return WrittenColumn(name="p", values=values, notation=notation)


MANY = [f"${n}" for n in range(25)]


@pytest.mark.parametrize(
    ("cells", "separator", "words"),
    [
        ((*MANY, "call us"), ",", "line 27, column price: 'call us' is not a number, but most values of this column"),
        ((*MANY, "5"), ",", "line 27, column price: '5' has another unit than '$0': write all values in one form"),
        ((*MANY, "€5"), ",", "line 27, column price: '€5' has another unit than '$0'"),
        ((*MANY, "$1,5", "$1.25"), ",", "line 27, column price: '$1,5' and '$1.25' have different decimal marks"),
        ((*MANY, "$1,234", "$1.234"), ",", "line 27, column price: '$1,234' and '$1.234' can be read in two ways each"),
        ((*MANY, "$1,234"), ";", "line 27, column price: '$1,234' may be 1234 or 1.234: write it as one of them"),
        ((*MANY, "$1e5"), ",", "line 27, column price: '$1e5' is not a number"),
        (("7", "9", "1.234"), ";", "line 4, column price: '1.234' may be 1.234 or 1234: write it with another number"),
        (("7", "9", "1,5"), ",", "line 4, column price: '1,5' is not a number, but most values of this column are"),
        (("7", "9", "12 kg"), ",", "line 4, column price: '12 kg' "),
        (("$" + "9" * 120, "$5"), ",", "line 2, column price: the number is too large"),
    ],
)
def test_what_can_be_read_in_two_ways_is_refused_with_an_example(cells: Any, separator: str, words: str) -> None:
    with pytest.raises(DataError) as caught:
        read(*cells, separator=separator)
    assert (caught.value.reason, caught.value.message[: len(words)]) == ("NotANumber", words)


@pytest.mark.parametrize(
    "cells",
    [
        ("3a", "5b", "7a"),
        ("1st", "2nd", "3rd"),
        ("A1", "A2", "A3"),
        ("$", "$$", "$$$"),
        ("10%", "$5", "none"),
        ("10.0.0.1", "10.0.0.2"),
        ("12:30", "13:45"),
        ("1-5", "6-10"),
        ("007x", "012x"),
        ("1,2,3", "4,5"),
        ("(555) 123", "(555) 124"),
        ("(555) 1234", "(555) 1235"),
        ("(a)", "(b)"),
        ("((5))", "((6))"),
        ("-(5)", "-(6)"),
        ("(-5)", "(-6)"),
        ("5-", "6-"),
        ("12 (approx)", "13 (approx)"),
        ("",),
    ],
)
def test_texts_with_digits_stay_texts(cells: Any) -> None:
    assert isinstance(read(*cells), TextColumn)


POINT, COMMA = (Notation(decimal=decimal, unit=unit) for decimal, unit in ((Decimal.POINT, "$"), (Decimal.COMMA, "")))


@pytest.mark.parametrize(
    ("notation", "cell", "number"),
    [
        (POINT, " $1,234.5 ", 1234.5),
        (POINT, "1234.5", 1234.5),
        (POINT, 1234.5, 1234.5),
        (POINT, "1e3", 1000),
        (POINT, "n/a", None),
        (POINT, "($1,234)", -1234),
        (POINT, "\u22125", -5),
        (POINT, "", None),
        (COMMA, "1.234,5", 1234.5),
        (COMMA, "1.234", 1234),
        (COMMA, "12", 12),
        (COMMA, 1.5, 1.5),
        (COMMA, None, None),
    ],
)
def test_requests_are_read_by_the_notation_of_the_column(notation: Any, cell: Any, number: Any) -> None:
    column = written_column(notation)
    stored = TablePreprocessing.model_validate_json(fit([column], np.arange(2)).model_dump_json())
    expected = 0 if number is None else number - 1
    for encoded in (RowEncoder(stored).encode_rows([[cell]]), RowEncoder(stored).encode_columns({"p": [cell]})):
        np.testing.assert_array_equal(encoded, [[expected]])


@pytest.mark.parametrize(
    ("notation", "cell", "words"),
    [
        (POINT, "€5", "'€5' is not a number"),
        (POINT, "1,23", "'1,23' is not a number"),
        (POINT, "inf", "'inf' is not a number"),
        (POINT, "9" * 400, "is not a finite number"),
        (COMMA, "1.5", "'1.5' is not a number as this column has them, with a decimal comma"),
        (None, "1,234", "'1,234' is not a number"),
    ],
)
def test_requests_in_another_notation_are_refused(notation: Any, cell: str, words: str) -> None:
    encoder = RowEncoder(fit([written_column(notation)], np.arange(2)))
    with pytest.raises(InputError, match=r"^\[0\]\.p: ") as caught:
        encoder.encode_rows([[cell]])
    assert words in caught.value.message


NUMBERS = st.decimals(min_value=-(10**9), max_value=10**9, places=2, allow_nan=False, allow_infinity=False)


@given(st.lists(NUMBERS, min_size=2, max_size=8), st.sampled_from(["", "$", "€"]), st.sampled_from([",", "."]))
def test_what_a_spreadsheet_writes_is_what_was_meant_or_refused(values: Any, unit: str, group: str) -> None:
    """Two decimals everywhere say which mark is which."""
    texts = [f"{value:,.2f}" for value in values]
    if group == ".":
        texts = [text.translate(str.maketrans(",.", ".,")) for text in texts]
    texts = [text.replace("-", f"-{unit}") if text.startswith("-") else unit + text for text in texts]
    found = find_notation(texts, separator=",")
    assert isinstance(found, Notation)
    assert [parse(text, found) for text in texts] == [float(value) for value in values]


@given(
    st.lists(st.text(alphabet="019.,$%'- ak", min_size=1, max_size=7), min_size=1, max_size=30), st.sampled_from(",;\t")
)
def test_a_column_of_anything_is_read_or_refused(cells: Any, separator: str) -> None:
    try:
        column = read(*cells, separator=separator)
    except DataError as error:
        if error.reason != "NotANumber":
            raise
        return
    assert column.rows == len(cells)
    if isinstance(column, Numbers):
        encoder = RowEncoder(fit([column], np.arange(len(cells))))
        np.testing.assert_array_equal(
            encoder.encode_columns({"price": cells}), encoder.encode_columns({"price": column.values})
        )


UNREAD = st.sampled_from(["{:_}", "{},-", "{}k ", "~{}", "<{}", "{} kg.", "{}CR", "\u2248 {}", "{}*", "Rs {}"])


@given(st.lists(st.integers(1000, 10**6), min_size=21, max_size=60, unique=True), UNREAD, st.integers(1, 2))
def test_numbers_in_no_known_form_are_never_one_category_each(numbers: Any, form: str, times: int) -> None:
    """Read by a notation and said, or useless and said."""
    column = read(*[form.format(number) for number in numbers * times])
    if isinstance(column, Numbers):
        assert column.values.tolist() == numbers * times
        assert list(column.notes())
        return
    useless = column.useless()
    assert useless is not None
    assert "looks like numbers in no form that can be read, as '" in useless.reason
    assert useless.names_rows == (times == 1)


@pytest.mark.parametrize(
    "cells",
    [
        [f"{n % 100}{'ab'[n % 2]}" for n in range(300)],
        [f"10.0.0.{n}" for n in range(25)] * 2,
        [f"{n} Main Street" for n in range(25)] * 2,
        [f"A{n}" for n in range(25)] * 2,
        [f"1{n}-{n}" for n in range(25)] * 2,
        [f"~{n}" for n in range(20)] * 2,
    ],
)
def test_categories_with_digits_stay_categories(cells: Any) -> None:
    column = read(*cells)
    assert isinstance(column, TextColumn)
    assert column.useless() is None
