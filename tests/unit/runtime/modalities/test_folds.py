"""Folds: each row is tested once, what belongs together stays together, and classes are spread."""

import hashlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelservice.contract.data import ConfigMapSource, Data, Format
from modelservice.contract.failure import DataError
from modelservice.contract.split import Split
from modelservice.modalities.dataset import divide_rows
from modelservice.modalities.folds import deal_folds
from modelservice.modalities.sources import read_source
from modelservice.modalities.split import Split as Sides
from modelservice.tasks.base import Target

# A key belongs to one class; ten different ones of each class to begin with.
KEYS = st.lists(st.integers(0, 59), max_size=60).map(lambda more: [*range(30), *more])
FOLDS = st.integers(2, 10)
SHARES = st.tuples(st.floats(0.05, 0.4), st.floats(0.05, 0.4))


def key(number: int) -> bytes:
    return hashlib.sha256(bytes([number])).digest()


def target_of(codes: Any, labels: tuple[str, ...] = ("a", "b", "c")) -> Target:
    values = np.asarray(codes, dtype=np.int64)
    return Target(name="y", values=values, present=np.ones(len(values), bool), strata=values, labels=labels)


def dealt(numbers: list[int], folds: int, shares: tuple[float, float] = (0.15, 0.15)) -> list[Sides]:
    validation, test = shares
    target = target_of([number % 3 for number in numbers])
    return deal_folds(list(map(key, numbers)), target, Split(validation=validation, test=test), folds=folds)


@given(KEYS, FOLDS, SHARES)
def test_each_row_is_tested_once_and_otherwise_learned_from_or_chosen_by(numbers: Any, folds: int, shares: Any) -> None:
    splits = dealt(numbers, folds, shares)
    assert len(splits) == folds
    assert sorted(np.concatenate([split.test for split in splits]).tolist()) == list(range(len(numbers)))
    for split in splits:
        assert sorted([*split.train, *split.validation, *split.test]) == list(range(len(numbers)))
        assert min(len(split.train), len(split.validation), len(split.test)) > 0


@given(KEYS, FOLDS)
def test_rows_of_one_key_are_on_one_side(numbers: Any, folds: int) -> None:
    for split in dealt(numbers, folds):
        sides = [{numbers[row] for row in side} for side in (split.train, split.validation, split.test)]
        assert sum(map(len, sides)) == len(set(numbers))


@given(KEYS, FOLDS)
def test_classes_are_spread_evenly_and_each_is_learned(numbers: Any, folds: int) -> None:
    splits = dealt(numbers, folds)
    for code in range(3):
        counts = [len({numbers[row] for row in split.test if numbers[row] % 3 == code}) for split in splits]
        assert max(counts) - min(counts) <= 1
        assert all(any(numbers[row] % 3 == code for row in split.train) for split in splits)


@given(KEYS, FOLDS, st.randoms())
def test_the_order_of_the_rows_does_not_matter(numbers: Any, folds: int, random: Any) -> None:
    shuffled = list(numbers)
    random.shuffle(shuffled)
    for before, after in zip(dealt(numbers, folds), dealt(shuffled, folds), strict=True):
        assert {numbers[row] for row in before.test} == {shuffled[row] for row in after.test}
        assert {numbers[row] for row in before.validation} == {shuffled[row] for row in after.validation}


def test_as_many_rows_choose_as_in_the_split() -> None:
    validation, test = 0.2, 0.2
    (first, *_) = dealt(list(range(30)) * 1, 5, (validation, test))
    assert len(first.validation) == pytest.approx(24 * validation / (1 - test), abs=1)


def test_a_class_of_two_rows_is_learned_from_while_one_of_them_is_tested() -> None:
    keys = [key(number) for number in range(30)]
    for split in deal_folds(keys, target_of([0] * 28 + [1] * 2, ("a", "b")), Split(), folds=5):
        assert {28, 29} & set(split.train.tolist())


def test_too_few_rows_for_folds_are_refused() -> None:
    keys = [key(number % 4) for number in range(30)]
    with pytest.raises(
        DataError, match=r"there are 4 different rows or groups, too few for 5 folds: set .* to at most 4"
    ) as few:
        deal_folds(keys, target_of([number % 4 % 2 for number in range(30)], ("a", "b")), Split(), folds=5)
    lonely = target_of([0] * 29 + [1], ("a", "b"))
    with pytest.raises(DataError, match="no row of class 'b' is left to learn from while a fold tests the others"):
        deal_folds([key(number) for number in range(30)], lonely, Split(), folds=5)
    with pytest.raises(DataError, match="no rows are left to choose the best epoch with") as none:
        deal_folds([key(0), key(1)], target_of([0, 0], ("a",)), Split(), folds=2)
    assert few.value.reason == none.value.reason == "TooFewForFolds"


def test_groups_stay_together_in_folds() -> None:
    content = "n,who,y\n" + "".join(f"{n},c{n % 12},{'pq'[n % 2]}\n" for n in range(120))
    data = Data.model_validate(
        {"config_map": ConfigMapSource(name="t"), "target": "y", "split": {"groupBy": "who", "folds": 4}}
    )
    divided = divide_rows(read_source(content.encode(), format=Format.CSV), data)
    assert divided.keys is not None
    for split in deal_folds(divided.keys, divided.target, data.split, folds=4):
        assert len({row % 12 for row in split.test}) == 3
        assert not {row % 12 for row in split.test} & {row % 12 for row in (*split.train, *split.validation)}
