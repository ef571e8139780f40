from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from modelservice.contract.failure import DataError
from modelservice.modalities.table.columns import read_column
from modelservice.modalities.table.kinds.category import TextColumn
from modelservice.modalities.table.kinds.number import NumericColumn


def read(*cells: str) -> Any:
    return read_column("c", pa.array(cells, type=pa.string()), place=lambda row: f"line {row + 2}")


def test_numbers_with_gaps() -> None:
    column = read("1", "", " 2.5 ", "NA")
    assert isinstance(column, NumericColumn)
    np.testing.assert_array_equal(column.values, [1, np.nan, 2.5, np.nan])
    assert (column.missing, column.distinct) == (2, 2)


def test_text_with_gaps() -> None:
    column = read("b", "", "a", " b ")
    assert isinstance(column, TextColumn)
    assert column.values == ["b", None, "a", "b"]
    assert (column.missing, column.distinct) == (1, 2)


def test_words_for_missing_are_texts_in_a_text_column() -> None:
    assert read("NA", "EU", "NA").values == ["NA", "EU", "NA"]


def test_less_than_half_numbers_is_text() -> None:
    assert isinstance(read("1", "a", "b"), TextColumn)


@pytest.mark.parametrize("cells", [("1", "x"), ("1", "2", "", "x"), ("1", "NA", "x", "2")])
def test_at_least_half_numbers_is_numeric_and_the_rest_an_error_with_its_place(cells: Any) -> None:
    with pytest.raises(DataError) as caught:
        read(*cells)
    assert caught.value.reason == "NotANumber"
    assert f"line {cells.index('x') + 2}, column c: 'x' is not a number" in caught.value.message


@pytest.mark.parametrize("huge", ["1e400", "-1e300"])
def test_numbers_whose_squares_overflow_are_refused(huge: Any) -> None:
    with pytest.raises(DataError, match="line 3, column c: the number is too large"):
        read("1", huge, "2")


def test_no_cells_at_all_is_an_empty_text_column() -> None:
    column = read("", " ")
    assert (column.missing, column.distinct) == (2, 0)


def test_rows_can_be_taken() -> None:
    rows = np.array([2, 0])
    assert read("1", "2", "3").take(rows).values.tolist() == [3, 1]
    assert read("x", "y", "z").take(rows).values == ["z", "x"]
