"""``spec.data.columns``: what is said of a column goes before what its cells look like."""

import unicodedata
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError
from tests.unit.runtime.modalities.table.tables import ROWS, column, learn, opened, refused, settings

from modelservice.contract.data import Data
from modelservice.contract.failure import DataError
from modelservice.contract.signature import ColumnKind
from modelservice.modalities.dataset import build_dataset
from modelservice.modalities.errors import InputError
from modelservice.modalities.sources import from_frame


def zips(n: int) -> str:
    return f"{n / 7},{['08001', '8001', '4051'][n % 3]}"


def test_codes_of_digits_are_categories_where_it_is_said() -> None:
    assert column(learn({}, "a,zip", zips), 1).type is ColumnKind.NUMBER
    dataset = learn({"zip": "Category"}, "a,zip", zips)
    assert column(dataset, 1).type is ColumnKind.CATEGORY
    assert column(dataset, 1).categories == ("08001", "4051", "8001")
    encoder = opened(dataset)
    as_number, as_text = encoder.encode([[0, 8001], [0, "8001"]])
    assert as_number.tolist() == as_text.tolist()


def test_many_texts_that_look_like_numbers_are_categories_where_it_is_said() -> None:
    def cells(n: int) -> str:
        return f"{n},{1000 + n // 2:_}"

    assert "it looks like numbers" in " ".join(learn({}, "a,code", cells).notes)
    assert column(learn({"code": "Category"}, "a,code", cells), 1).type is ColumnKind.CATEGORY


def test_numbers_of_a_frame_are_categories_where_it_is_said() -> None:
    frame = pd.DataFrame({"n": range(ROWS), "grade": [1.0, 2.0, 3.0] * 20, "y": ["p", "q"] * 30})
    dataset = build_dataset(from_frame(frame), settings({"grade": "Category"}))
    assert column(dataset, 1).categories == ("1", "2", "3")


def test_few_different_texts_are_no_categories_where_numbers_are_said() -> None:
    def cells(n: int) -> str:
        return f"{n},{['5%', '10%', 'low'][n % 3]}"

    assert column(learn({}, "a,rate", cells), 1).type is ColumnKind.CATEGORY
    assert refused({"rate": "Number"}, "a,rate", cells).message.startswith("line 4, column rate: 'low' is not a number")


@pytest.mark.parametrize("slip", ["old", "12 kg", "1_000"])
def test_a_cell_that_is_no_number_is_refused_by_its_line(slip: str) -> None:
    error = refused({"age": "Number"}, "a,age", lambda n: f"{n},{slip if n == 40 else ('' if n % 3 else n)}")
    assert error.reason == "NotANumber"
    assert error.message.startswith(f"line 42, column age: {slip!r} is not a number, but spec.data.columns says Number")


def test_a_column_of_texts_is_no_column_of_numbers_though_it_is_said() -> None:
    error = refused({"t": "Number"}, "a,t", lambda n: f"{n},{'uv'[n % 2]}")
    assert error.message.startswith("line 2, column t: 'u' is not a number, but spec.data.columns says Number")


def test_an_ignored_column_is_no_input_and_moves_no_row() -> None:
    dataset = learn({"b": "Ignore"}, "a,b", lambda n: f"{n % 7},{n}")
    alone = learn({}, "a", lambda n: f"{n % 7}")
    assert [one.name for one in dataset.inputs] == ["a"]
    assert dataset.test.features.tolist() == alone.test.features.tolist()
    with pytest.raises(InputError, match="b: is not a column of this model"):
        opened(dataset).encode([{"a": 1, "b": 2}])


def test_ignored_columns_are_not_read() -> None:
    assert refused({}, "a,b", lambda n: f"{n},{'slip' if n == 7 else n}").reason == "NotANumber"
    assert [one.name for one in learn({"b": "Ignore"}, "a,b", lambda n: f"{n},{'slip' if n == 7 else n}").inputs] == [
        "a"
    ]


def test_nothing_is_left_where_all_are_ignored() -> None:
    assert refused({"a": "Ignore"}, "a", str).reason == "NoFeatures"


@pytest.mark.parametrize(
    ("columns", "reason", "words"),
    [
        ({"Zip": "Category"}, "ColumnNotFound", "the table has no column 'Zip'; it has a, zip, y: did you mean zip?"),
        ({" y": "Category"}, "ColumnNotClear", "column y is the target, which spec.task describes: take it off"),
        ({"a": "Number", " a": "Number"}, "ColumnNotClear", "column a is given twice: take it off"),
    ],
)
def test_what_is_said_of_other_columns_is_refused(columns: Any, reason: str, words: str) -> None:
    error = refused(columns, "a,zip", zips)
    assert (error.reason, error.field) == (reason, "spec.data.columns")
    assert error.message.startswith(words)


def test_a_feature_is_not_ignored_however_it_is_composed() -> None:
    ignored = {unicodedata.normalize("NFD", "größe"): "Ignore"}
    error = refused(ignored, "a,größe", lambda n: f"{n},{n}", features=["größe", "a"])
    assert (error.reason, error.field) == ("ColumnNotClear", "spec.data.columns")


def test_names_are_one_however_unicode_composes_them() -> None:
    dataset = learn({unicodedata.normalize("NFD", "größe"): "Category"}, "größe", lambda n: str(n % 3))
    assert column(dataset).type is ColumnKind.CATEGORY


def test_images_have_no_columns() -> None:
    source = from_frame({"X": np.zeros((4, 2, 2), np.uint8), "y": ["p", "q", "p", "q"]})
    with pytest.raises(
        DataError, match=r"the data holds images, which have no column 'a': leave out spec\.data\.columns"
    ):
        build_dataset(source, settings({"a": "Number"}))


@pytest.mark.parametrize(
    "data",
    [
        {"columns": {"y": {"type": "Number"}}},
        {"columns": {"a": {"type": "Ignore"}}, "features": ["a"]},
        {"columns": {"a": {}}},
        {"columns": {"": {"type": "Number"}}},
        {"columns": {str(n): {"type": "Number"} for n in range(257)}},
    ],
)
def test_the_contract_refuses(data: Any) -> None:
    with pytest.raises(ValidationError):
        Data.model_validate({"configMap": {"name": "d"}, "target": "y", **data})
