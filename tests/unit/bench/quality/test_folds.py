"""Folds of the quality bench."""

import numpy as np
from tests.bench.quality.folds import FOLDS, repeated_folds


def test_each_repeat_tests_each_row_once_and_trains_with_the_others() -> None:
    target = np.repeat(np.arange(3), 20)
    folds = list(repeated_folds(target, stratified=True, repeats=2))
    assert [(fold.repeat, fold.number) for fold in folds] == [(r, n) for r in range(2) for n in range(FOLDS)]
    for repeat in range(2):
        tested = np.concatenate([fold.test for fold in folds if fold.repeat == repeat])
        assert sorted(tested.tolist()) == list(range(60))
    for fold in folds:
        assert sorted([*fold.train.tolist(), *fold.test.tolist()]) == list(range(60))
        assert np.bincount(target[fold.test]).tolist() == [4, 4, 4]


def test_repeats_differ_and_are_the_same_again() -> None:
    target = np.linspace(0, 1, 30)
    first = [fold.test.tolist() for fold in repeated_folds(target, stratified=False, repeats=2)]
    assert first == [fold.test.tolist() for fold in repeated_folds(target, stratified=False, repeats=2)]
    assert first[:FOLDS] != first[FOLDS:]


def test_a_class_of_fewer_rows_than_folds_is_divided_without_a_warning() -> None:
    target = np.array([0] * 20 + [1] * 4)
    folds = list(repeated_folds(target, stratified=True, repeats=1))
    assert sorted(int((target[fold.test] == 1).sum()) for fold in folds) == [0, 1, 1, 1, 1]
