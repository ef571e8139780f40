"""What is hardly seen: rare categories, those that training did not see, and missing values."""

import math
from typing import Any

import numpy as np
import pytest
from tests.unit.runtime.modalities.table.tables import column, learn, opened

from modelservice.contract.documents import DocumentError
from modelservice.modalities.encoders import open_encoder
from modelservice.modalities.table.encoding import RowEncoder
from modelservice.modalities.table.fitting import fit
from modelservice.modalities.table.kinds.category import MOST_PLACES, CategoricalPreprocessing, TextColumn
from modelservice.modalities.table.kinds.number import NumericColumn, NumericPreprocessing
from modelservice.modalities.table.preprocessing import TablePreprocessing


def texts(*cells: str | None) -> TextColumn:
    known = tuple(dict.fromkeys(cell for cell in cells if cell is not None))
    codes = np.array([-1 if cell is None else known.index(cell) for cell in cells], dtype=np.int32)
    return TextColumn(name="t", codes=codes, texts=known)


def fitted(*cells: str | None) -> CategoricalPreprocessing:
    return texts(*cells).fit()


def encode(measured: Any, *cells: Any) -> Any:
    encoder = RowEncoder(TablePreprocessing(columns=(measured,)))
    return encoder.encode_counted([[cell] for cell in cells])


def test_rare_categories_share_a_place_with_those_that_training_did_not_see() -> None:
    measured = fitted(*"aaaabbbccd")
    assert (measured.categories, measured.rare) == (("a", "b"), ("c", "d"))
    assert measured.input.categories == ("a", "b", "c", "d")
    features, unseen = encode(measured, "a", "c", " d ", "new", None)
    np.testing.assert_array_equal(
        features, np.array([[1, 0, 0], [0, 0, 1], [0, 0, 1], [0, 0, 1], [0.4, 0.3, 0.3]], np.float32)
    )
    assert unseen == {"t": 1}


def test_without_rare_ones_what_was_not_seen_is_the_mean() -> None:
    measured = fitted(*"aaaabbbb", *"cccccccc")
    features, unseen = encode(measured, "b", "new", None, "newer")
    mean = [0.25, 0.25, 0.5]
    assert features.tolist() == [[0, 1, 0], mean, mean, mean]
    assert unseen == {"t": 2}


def test_missing_ones_have_an_indicator_if_training_has_enough_of_them() -> None:
    measured = fitted(*"aaaabbb", None, None, None)
    assert measured.indicator
    features, unseen = encode(measured, None, "", "a", "new")
    assert features[:3].tolist() == [[0, 0, 1], [0, 0, 1], [1, 0, 0]]
    assert features[3].tolist() == pytest.approx([0.4, 0.3, 0.3])
    assert unseen == {"t": 1}
    assert not fitted(*"aaaabbb", None, None).indicator


def test_where_all_are_rare_each_keeps_its_place() -> None:
    assert fitted(*"aabbcd").categories == ("a", "b", "c", "d")
    assert fitted(*"aabbcd").rare == ()
    many = fitted(*(str(n) for n in range(2 * MOST_PLACES)))
    assert (len(many.categories), len(many.rare)) == (MOST_PLACES, MOST_PLACES)


def test_all_but_the_most_frequent_are_rare() -> None:
    cells = [f"c{n:03}" for n in range(MOST_PLACES + 5) for _ in range(4 if n % 21 else 3)]
    measured = fitted(*cells)
    assert measured.rare == tuple(f"c{n:03}" for n in range(0, MOST_PLACES + 5, 21))
    assert len(measured.categories) == MOST_PLACES


def test_an_empty_column_has_no_place() -> None:
    assert fitted(None, None, None, None).width == 0


def test_missing_numbers_have_an_indicator_if_training_has_enough_of_them() -> None:
    def measured(*values: float) -> NumericPreprocessing:
        return NumericColumn(name="n", values=np.array(values)).fit()

    few, enough = measured(1, 3, np.nan, np.nan), measured(1, 3, np.nan, np.nan, np.nan)
    assert encode(few, 3, None).features.tolist() == [[1], [0]]
    assert encode(enough, 3, None, "NA").features.tolist() == [[1, 0], [0, 1], [0, 1]]
    assert measured(np.nan, np.nan, np.nan).width == 1


@pytest.mark.parametrize("unused", [False, True])
def test_the_fast_path_has_indicators_too(unused: bool) -> None:
    values = np.array([[1.0, np.nan, 5.0], [2.0, 4.0, np.nan], [3.0, np.nan, 7.0], [4.0, np.nan, 8.0], [6.0, 2.0, 9.0]])
    columns = [NumericColumn(name=name, values=values[:, at]) for at, name in enumerate("abc")]
    encoder = RowEncoder(fit(columns, np.arange(5), unused={"a"} if unused else set()))
    fast = encoder.encode_rows(values)
    slow = encoder.encode_columns({name: values[:, at].tolist() for at, name in enumerate("abc")})
    np.testing.assert_array_equal(fast, slow)
    careful = [["" if math.isnan(number) else str(number) for number in row] for row in values.tolist()]
    np.testing.assert_array_equal(fast, encoder.encode_rows(careful))
    assert fast[:, -2].tolist() == [1, 0, 1, 1, 0]


def test_what_was_stored_before_is_read_and_means_what_it_meant() -> None:
    stored = (
        '{"kind":"TablePreprocessing","schemaVersion":"1.0","columns":['
        '{"kind":"Category","name":"t","categories":["x","y"],"example":"x"},'
        '{"kind":"Number","name":"a","mean":1.0,"std":2.0,"fill":5.0,"example":1.5}]}'
    )
    encoder = open_encoder("Table", stored.encode())
    assert encoder.encode([["y", 3], ["new", None], [None, 1]]).tolist() == [[0, 1, 1], [0, 0, 2], [0, 0, 0]]
    written = TablePreprocessing.model_validate_json(stored).model_dump_json()
    assert written == stored


def test_shares_that_do_not_fit_are_refused() -> None:
    stored = {"kind": "Category", "name": "t", "categories": ["x"], "shares": [0.5, 0.5], "example": "x"}
    document = {"kind": "TablePreprocessing", "schemaVersion": "1.0", "columns": [stored]}
    with pytest.raises(DocumentError, match="shares has 2 numbers, expected 1"):
        open_encoder("Table", str(document).replace("'", '"').encode())


def test_signatures_name_all_that_training_saw() -> None:
    dataset = learn({}, "a,t", lambda n: f"{n},{'xy'[n % 2] if n > 4 else f'r{n}'}")
    assert set(column(dataset, 1).categories) - {"x", "y"} <= {f"r{n}" for n in range(5)}
    assert opened(dataset).encode_counted([[0, "x"], [0, "never"]])[1] == {"t": 1}
