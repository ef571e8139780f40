"""Columns of yes and no."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from tests.unit.runtime.modalities.table.tables import column, learn, opened, refused, settings

from modelservice.contract.signature import ColumnContent, ColumnKind
from modelservice.modalities.dataset import build_dataset
from modelservice.modalities.errors import InputError
from modelservice.modalities.sources import from_frame
from modelservice.modalities.tensors import Tensor


def cells(yes: str, no: str, gap: str = "") -> Any:
    return lambda n: f"{n},{gap if n % 4 == 3 else (yes if n % 3 else no)}"


@pytest.mark.parametrize(
    ("yes", "no"), [("yes", "no"), ("TRUE", "FALSE"), ("t", "f"), ("Y", "N"), ("Yes", "no"), ("true", "False")]
)
@pytest.mark.parametrize("gap", ["", "NA"])
def test_pairs_are_recognised_in_any_case_and_missing_ones_have_an_indicator(yes: str, no: str, gap: str) -> None:
    dataset = learn({}, "a,b", cells(yes, no, gap))
    assert (column(dataset, 1).type, column(dataset, 1).content) == (ColumnKind.CATEGORY, ColumnContent.BOOLEAN)
    assert dataset.shape == (3,)
    encoded = opened(dataset).encode([[0, yes], [0, no], [0, gap], [0, True], [0, 0], [0, "F"], [0, None]])
    mean = encoded[2, 1]
    assert -1 < mean < 1
    assert encoded[:, 1].tolist() == [1, -1, mean, 1, -1, -1, mean]
    assert encoded[:, 2].tolist() == [0, 0, 1, 0, 0, 0, 1]


def test_the_mean_is_that_of_training_rows() -> None:
    dataset = learn({}, "a,b", cells("yes", "no"))
    stored = dataset.train.features
    present = stored[stored[:, 2] == 0, 1]
    assert opened(dataset).encode([[0, None]])[0, 1] == np.float32(present.astype(np.float64).mean())


def test_few_missing_ones_have_no_indicator() -> None:
    assert learn({}, "a,b", lambda n: f"{n},{'' if n == 5 else 'yn'[n % 2]}").shape == (2,)


@pytest.mark.parametrize("words", [("1", "0"), ("t", "n"), ("yes", "no", "maybe"), ("yes", "no", "y"), ("on", "off")])
def test_what_may_mean_anything_else_stays_what_it_was(words: tuple[str, ...]) -> None:
    dataset = learn({}, "a,b", lambda n: f"{n},{words[n % len(words)]}")
    assert column(dataset, 1).content is None


@pytest.mark.parametrize("words", [("1", "0"), ("1.0", "0.0"), ("yes", "no", "y", "1", ""), ("f", "yes")])
def test_words_of_several_pairs_are_taken_where_it_is_said(words: tuple[str, ...]) -> None:
    words = tuple(word.removesuffix(".0") for word in words)
    dataset = learn({"b": "Boolean"}, "a,b", lambda n: f"{n},{words[n % len(words)]}")
    assert column(dataset, 1).content is ColumnContent.BOOLEAN


def test_a_cell_that_is_neither_is_refused_by_its_line() -> None:
    error = refused({"b": "Boolean"}, "a,b", lambda n: f"{n},{'perhaps' if n == 40 else 'yn'[n % 2]}")
    assert error.reason == "NotABoolean"
    assert error.message.startswith(
        "line 42, column b: 'perhaps' is neither true nor false, but spec.data.columns says"
    )


def test_bools_of_a_frame_are_booleans() -> None:
    frame = pd.DataFrame({"n": range(60), "b": [True, False, True] * 20, "y": ["p", "q"] * 30})
    assert column(build_dataset(from_frame(frame), settings({})), 1).content is ColumnContent.BOOLEAN
    frame["b"] = [1.0, 0.0, 1.0] * 20
    assert column(build_dataset(from_frame(frame), settings({"b": "Boolean"})), 1).content is ColumnContent.BOOLEAN


def test_requests_in_all_forms() -> None:
    encoder = opened(learn({}, "a,b", cells("yes", "no")))
    assert encoder.tensors()[1] == {"name": "b", "datatype": "BOOL", "shape": [-1]}
    a = Tensor("a", "FP64", (2,), np.array([1.0, 2.0]))
    expected = encoder.encode([[1, "yes"], [2, "no"]])
    for tensor in (
        Tensor("b", "BOOL", (2,), [True, False]),
        Tensor("b", "BOOL", (2,), np.array([True, False])),
        Tensor("b", "BYTES", (2,), ["yes", "NO"]),
        Tensor("b", "INT8", (2,), np.array([1, 0], np.int8)),
    ):
        np.testing.assert_array_equal(encoder.encode(encoder.from_tensors([a, tensor])), expected)
    assert encoder.example()["b"] is True
    assert encoder.encode_counted([[1, "yes"]])[1] == {}


@pytest.mark.parametrize(("cell", "words"), [("maybe", "'maybe'"), (2, "2"), ([True], r"\[True\]")])
def test_what_is_neither_is_refused(cell: Any, words: str) -> None:
    with pytest.raises(InputError, match=rf"\[1\]\.b: {words} is neither "):
        opened(learn({}, "a,b", cells("yes", "no"))).encode([[1, "yes"], [1, cell]])


def test_a_constant_says_nothing_and_stays_an_input_where_it_is_listed() -> None:
    assert "ignored column b: every value is the same" in learn({"b": "Boolean"}, "a,b", lambda n: f"{n},yes").notes
    listed = learn({"b": "Boolean"}, "a,b", lambda n: f"{n},yes", features=["b", "a"])
    assert listed.shape == (1,)
    assert [one.name for one in listed.inputs] == ["b", "a"]
    assert opened(listed).example()["b"] == "true"


def test_a_box_that_is_ticked_or_empty_says_something_and_what_was_never_seen_nothing() -> None:
    dataset = learn({"b": "Boolean"}, "a,b", lambda n: f"{n},{'yes' if n % 3 else ''}")
    encoded = opened(dataset).encode([[0, True], [0, False], [0, None]])[:, 1:]
    assert encoded.tolist() == [[1, 0], [1, 0], [1, 1]]


@pytest.mark.parametrize(("yes", "no"), [("yes", "no"), ("Y", "N"), ("TRUE", "False")])
def test_rows_stay_on_their_side_whatever_the_column_is(yes: str, no: str) -> None:
    as_boolean = learn({}, "a,b", cells(yes, no))
    as_category = learn({"b": "Category"}, "a,b", cells(yes, no))
    np.testing.assert_array_equal(as_boolean.test.features[:, 0], as_category.test.features[:, 0])
