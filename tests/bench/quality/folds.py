"""Repeated folds: each repeat divides all rows anew, and tests each row once."""

import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import KFold, StratifiedKFold

FOLDS = 5

Rows = NDArray[np.int64]
Target = NDArray[np.int64] | NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Fold:
    """Rows to train with and rows to test, of one fold of one repeat; both count from 0."""

    repeat: int
    number: int
    train: Rows
    test: Rows


def repeated_folds(target: Target, *, stratified: bool, repeats: int) -> Iterator[Fold]:
    """Divide rows into five folds, ``repeats`` times; the number of the repeat is the seed.

    Args:
        target: codes of classes, or numbers.
        stratified: whether each fold shall have its share of each class. A class of fewer rows than folds is missing
            in the test rows of some.
        repeats: how often.
    """
    kind = StratifiedKFold if stratified else KFold
    for repeat in range(repeats):
        splitter = kind(n_splits=FOLDS, shuffle=True, random_state=repeat)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "The least populated class", UserWarning)
            divided = list(splitter.split(np.zeros(len(target)), target))
        for number, (train, test) in enumerate(divided):
            yield Fold(repeat=repeat, number=number, train=np.sort(train), test=np.sort(test))
