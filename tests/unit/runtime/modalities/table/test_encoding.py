import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelservice.modalities.errors import InputError
from modelservice.modalities.table.encoding import RowEncoder
from modelservice.modalities.table.kinds.category import CategoricalPreprocessing
from modelservice.modalities.table.kinds.number import NumericPreprocessing
from modelservice.modalities.table.preprocessing import TablePreprocessing

NUMERIC = TablePreprocessing(
    columns=(
        NumericPreprocessing(name="a", mean=1.0, std=2.0, fill=5.0, example=1.5),
        NumericPreprocessing(name="b", mean=0.0, std=1.0, fill=0.0, example=0.5),
    )
)
MIXED = TablePreprocessing(
    columns=(
        CategoricalPreprocessing(name="t", categories=("x", "y"), example="x"),
        NumericPreprocessing(name="a", mean=1.0, std=2.0, fill=5.0, example=1.5),
        CategoricalPreprocessing(name="f", categories=("False", "True"), example="True"),
    )
)


@pytest.mark.parametrize(
    "rows",
    [
        [[3, 7.5], [None, 1]],
        [(3, 7.5), (math.nan, 1)],
        [{"a": 3, "b": 7.5}, {"b": 1, "a": None}],
        [{"a": 3, "b": 7.5}, [None, 1]],
        [["3", " 7.5 "], ["", "1"]],
        np.array([[3, 7.5], [np.nan, 1]]),
    ],
)
def test_rows_of_numbers_in_all_their_forms(rows: Any) -> None:
    encoded = RowEncoder(NUMERIC).encode_rows(rows)
    assert encoded.dtype == np.float32
    np.testing.assert_array_equal(encoded, [[1, 7.5], [2, 1]])


@pytest.mark.parametrize(
    "rows",
    [
        [["y", 3, True], ["new", None, None]],
        [{"t": " y ", "a": 3, "f": "TRUE"}, {"t": None, "a": "", "f": ""}],
    ],
)
def test_categories_become_codes_and_unseen_or_missing_ones_zeros(rows: Any) -> None:
    np.testing.assert_array_equal(RowEncoder(MIXED).encode_rows(rows), [[0, 1, 1, 0, 1], [0, 0, 2, 0, 0]])


def test_columns_are_rows_on_their_side() -> None:
    encoder = RowEncoder(MIXED)
    by_column = encoder.encode_columns({"f": [True, None], "t": np.array(["y", "x"]), "a": np.array([3, np.nan])})
    np.testing.assert_array_equal(by_column, encoder.encode_rows([["y", 3, True], ["x", None, None]]))


@pytest.mark.parametrize("preprocessing", [NUMERIC, MIXED])
def test_no_rows_are_no_rows(preprocessing: Any) -> None:
    encoder = RowEncoder(preprocessing)
    assert encoder.encode_rows([]).shape == (0, encoder.width)


@pytest.mark.parametrize(
    ("rows", "text"),
    [
        ([[1, 2], [1]], "[1]: has 1 values, expected 2 (a, b)"),
        ([[1, 2, 3]], "[0]: has 3 values, expected 2 (a, b)"),
        ([[1, "x"]], "[0].b: 'x' is not a number"),
        ([[1, 2], [1, math.inf]], "[1].b: inf is not a finite number"),
        ([[1, "inf"]], "[0].b: 'inf' is not a number"),
        ([[1, [2]]], "[0].b: [2] is not a number"),
        ([[1, 10**400]], "[0].b: 1000000000000000000000000000000000000... is not a finite number"),
        ([[1e200, 1]], "[0].a: 1e+200 is too far from the training data"),
        ([{"a": 1}], "[0].b: is missing; null stands for an unknown value"),
        ([{"a": 1, "b": 2}, {"a": 1, "b": 2, "c": 3}], "[1].c: is not a column of this model, which has a, b"),
        ([{"a": 1, "B": 2}], "[0].B: is not a column of this model, which has a, b"),
        ([5], "[0]: is neither an array of values nor an object of column names and values"),
        (["ab"], "[0]: is neither an array of values nor an object of column names and values"),
        ([[1, 2], None], "[1]: is neither an array of values nor an object of column names and values"),
        ([[[1, 2], [3, 4]]], "[0].a: [1, 2] is not a number"),
    ],
)
def test_the_first_wrong_cell_is_named(rows: Any, text: Any) -> None:
    with pytest.raises(InputError) as caught:
        RowEncoder(NUMERIC).encode_rows(rows)
    assert str(caught.value) == text


def test_the_place_can_be_read_apart() -> None:
    with pytest.raises(InputError) as caught:
        RowEncoder(MIXED).encode_rows([["x", 1, True], ["x", "one", True]])
    error = caught.value
    assert (error.row, error.column, error.message) == (1, "a", "'one' is not a number")


@pytest.mark.parametrize(
    ("columns", "text"),
    [
        ({"a": [1]}, "b: is missing; null stands for an unknown value"),
        ({"a": [1], "b": [1], "c": [1]}, "c: is not a column of this model, which has a, b"),
        ({"a": [1, 2], "b": [1]}, "b: has 1 values, but a has 2"),
        ({"a": [1, 2], "b": [1, "x"]}, "[1].b: 'x' is not a number"),
        ({"a": [1], "b": np.array([np.inf])}, "[0].b: np.float64(inf) is not a finite number"),
        ({"a": [1], "b": np.array([[1.0]])}, "[0].b: array([1.]) is not a number"),
    ],
)
def test_the_first_wrong_column_is_named(columns: Any, text: Any) -> None:
    with pytest.raises(InputError) as caught:
        RowEncoder(NUMERIC).encode_columns(columns)
    assert str(caught.value) == text


def test_a_structure_is_no_category() -> None:
    with pytest.raises(InputError, match=r"\[0\]\.t: \{\} is neither text nor a number"):
        RowEncoder(MIXED).encode_rows([[{}, 1, True]])


@given(st.lists(st.tuples(*[st.none() | st.floats(-1e6, 1e6) | st.integers(-(10**6), 10**6)] * 2), min_size=1))
def test_fast_and_careful_path_agree(rows: Any) -> None:
    """Texts take the careful path, numbers the fast one."""
    encoder = RowEncoder(NUMERIC)
    careful = [["" if cell is None else repr(cell) for cell in row] for row in rows]
    np.testing.assert_array_equal(encoder.encode_rows(rows), encoder.encode_rows(careful))


JSON_CELLS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["a", "b", "z"]), inner, max_size=2),
    max_leaves=4,
)


@given(st.lists(JSON_CELLS | st.lists(JSON_CELLS, max_size=4), max_size=3))
@pytest.mark.parametrize("preprocessing", [NUMERIC, MIXED])
def test_whatever_json_holds_is_encoded_or_refused(preprocessing: Any, rows: Any) -> None:
    encoder = RowEncoder(preprocessing)
    try:
        encoded = encoder.encode_rows(rows)
    except InputError:
        return
    assert encoded.shape == (len(rows), encoder.width)
    assert np.isfinite(encoded).all()
