"""How texts become classes: what is one label, what is missing, and what is refused."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelservice.contract.failure import DataError
from modelservice.tasks.base import TargetCells
from modelservice.tasks.labels import codes_among, profile_of, read_labels


def cells(*texts: str) -> TargetCells:
    """One row for each text; an empty one is missing."""
    known = tuple(dict.fromkeys(text for text in texts if text))
    codes = np.array([known.index(text) if text else -1 for text in texts], dtype=np.int32)
    return TargetCells(name="y", codes=codes, texts=known)


@pytest.mark.parametrize(
    ("texts", "labels"),
    [
        (("b", "a10", "a9"), ("a10", "a9", "b")),
        (("10", "9", "-1"), ("-1", "9", "10")),
        (("0101", "101"), ("0101", "101")),
        (("1", "1.0", "2"), ("1", "2")),
        (("0.0", "1.", "-0"), ("0", "1")),
        (("1.0", "x"), ("1.0", "x")),
        (("1.0", "007"), ("007", "1.0")),
        (("+1", "1", "1e0"), ("+1", "1", "1e0")),
        (("2.5", "10.5", "1"), ("1", "2.5", "10.5")),
        (("12345678901234567890", "12345678901234567891.0"), ("12345678901234567890", "12345678901234567891")),
        (("EU", "NA", "null"), ("EU", "NA", "null")),
        (("1", "NA", "2", "NaN", "null", "None", "N/A"), ("1", "2")),
        (("--5", "7"), ("--5", "7")),
        (("7", "1" * 5000), ("7", "1" * 5000)),
        (("True", "False"), ("False", "True")),
    ],
)
def test_labels_are_the_texts_of_the_file_in_order(texts: Any, labels: Any) -> None:
    target = read_labels(cells(*texts, *texts))
    assert target.labels == labels
    for text, code, present in zip(texts, target.values, target.present, strict=False):
        if text in labels:
            assert present
            assert target.labels[code] == text


def test_what_is_read_as_another_text_is_said() -> None:
    target = read_labels(cells(*["1", "1.0", "2.00", "3"] * 2))
    assert target.notes == ("labels of y are whole numbers: read 1.0 as 1, 2.00 as 2",)
    assert target.values[:4].tolist() == [0, 0, 1, 2]
    many = read_labels(cells(*[f"{n}.0" for n in range(9)] * 2))
    assert many.notes == ("labels of y are whole numbers: read 0.0 as 0, 1.0 as 1, 2.0 as 2 and 6 more",)
    assert read_labels(cells("0101", "101", "0101", "101")).notes == ()


def test_missing_rows_have_no_class() -> None:
    target = read_labels(cells("1", "", "NA", "0", "1", "0"))
    assert target.present.tolist() == [True, False, False, True, True, True]
    assert target.strata[target.present].tolist() == target.values[target.present].tolist() == [1, 0, 1, 0]


@given(st.lists(st.sampled_from(["a", "b", "NA", "1", "01", ""]), min_size=1, max_size=20))
def test_rows_keep_their_own_text_unless_all_are_numbers(texts: Any) -> None:
    try:
        target = read_labels(cells(*texts))
    except DataError:
        return
    if "a" in texts or "b" in texts:
        read = [target.labels[code] if code >= 0 else "" for code in target.values]
        assert read == texts


@pytest.mark.parametrize(
    ("texts", "reason", "field", "words"),
    [
        (tuple(f"c{n}" for n in range(101)) * 2, "TooManyClasses", "spec.data.target", "101 different values, and at"),
        (tuple(str(n) for n in range(101)) * 2, "TooManyClasses", "spec.data.target", "set spec.task to regression"),
        (("p",) * 6, "SingleClass", "spec.data.target", "only the class 'p', so there is nothing to tell apart"),
        (("p", "p", "q"), "ClassTooSmall", "spec.data.target", "'q' in one row only"),
        (("1", "1", "2"), "ClassTooSmall", "spec.data.target", "set spec.task to regression"),
        (("",) * 4, "EmptyTarget", "spec.data.target", "empty in every row: fill in the classes"),
        (("0.5", "1.5", "2"), "ContinuousTarget", "spec.task", "measurements such as 0.5, which are no classes"),
        (tuple(f"{n}.5" for n in range(101)) * 2, "ContinuousTarget", "spec.task", "set spec.task to regression"),
    ],
)
def test_targets_that_are_no_classes(texts: Any, reason: str, field: str, words: str) -> None:
    with pytest.raises(DataError) as caught:
        read_labels(cells(*texts))
    assert (caught.value.reason, caught.value.field) == (reason, field)
    assert words in caught.value.message


def test_a_few_measured_values_are_classes_where_that_is_asked_for() -> None:
    assert read_labels(cells(*["0.5", "1.5"] * 3)).labels == ("0.5", "1.5")


@pytest.mark.parametrize(
    ("texts", "distinct", "numbers", "whole"),
    [
        (("1", "1.0", "2"), 2, True, True),
        (("1.5", "2", "NA"), 2, True, False),
        (("0101", "12"), 2, False, False),
        (("a", "1"), 2, False, False),
        (("",), 0, False, False),
    ],
)
def test_the_profile_of_a_target(texts: Any, distinct: int, numbers: bool, whole: bool) -> None:
    profile = profile_of(cells(*texts))
    assert (profile.distinct, profile.numbers, profile.whole) == (distinct, numbers, whole)


def test_rows_of_known_classes_need_not_hold_all_of_them() -> None:
    assert codes_among(cells("b", "", "b"), ("a", "b")).tolist() == [1, -1, 1]
    # Whole numbers are one label however they are written, and no label is a number and missing.
    assert codes_among(cells("1.0", "2", "NA"), ("1", "2")).tolist() == [0, 1, -1]
    assert codes_among(cells("NA"), ("1", "2")).tolist() == [-1]
    assert codes_among(cells("NA", "EU"), ("EU", "NA")).tolist() == [1, 0]
    # The order is that of the model, such as with a positive label.
    assert codes_among(cells("no", "yes"), ("yes", "no")).tolist() == [1, 0]


def test_a_class_that_the_model_does_not_know_is_named_with_its_place() -> None:
    with pytest.raises(
        ValueError, match=r"row 1, column y: 'c' is no class of the model, which knows 'a', 'b': correct"
    ):
        codes_among(cells("a", "c"), ("a", "b"))
