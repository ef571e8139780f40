"""Cross-validation: every row is tested once, by a model that did not learn from it."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from modelservice.cells import quoted
from modelservice.contract.failure import DataError
from modelservice.contract.split import Split as Shares
from modelservice.modalities.split import Split
from modelservice.tasks.base import Target

FIELD = "spec.data.split.folds"


def deal_folds(keys: Sequence[bytes], target: Target, shares: Shares, *, folds: int) -> list[Split]:
    """The sides of each fold: its rows test, a part of the others chooses, and the rest learns.

    Keys of a class are dealt out in their own order, so classes are as frequent in each fold as they are in all rows,
    and rows with one key, such as equal ones or those of a group, are in one fold. The order of the rows does not
    matter.

    Args:
        keys: what holds rows together, uniformly distributed.
        target: of these rows.
        shares: ``spec.data.split``; of rows that do not test, as many choose as would with the split that it asks for.
        folds: how many.

    Raises:
        DataError: there are fewer keys than folds, or a fold leaves nothing of a class to learn from.
    """
    classes, place = _different(keys, target)
    if len(classes) < folds:
        message = f"there are {len(classes)} different rows or groups, too few for {folds} folds"
        raise DataError("TooFewForFolds", f"{message}: set {FIELD} to at most {len(classes)}, or add rows", field=FIELD)
    dealt = _deal(classes, folds)
    parts = round((1 - shares.test) / shares.validation)
    splits = [_sides(dealt == fold, classes, place, parts=parts) for fold in range(folds)]
    for split in splits:
        _check(split, target)
    return splits


def _different(keys: Sequence[bytes], target: Target) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The class of each different key, that of its first row, by rising key; and which of them each row has."""
    class_of: dict[bytes, int] = {}
    for key, code in zip(keys, target.strata.tolist(), strict=True):
        class_of.setdefault(key, code)
    different = sorted(class_of)
    places = {key: place for place, key in enumerate(different)}
    return np.array([class_of[key] for key in different]), np.array([places[key] for key in keys])


def _check(split: Split, target: Target) -> None:
    learned = set(target.strata[split.train].tolist())
    unknown = [code for code in range(len(target.labels)) if code not in learned]
    if unknown:
        message = (
            f"no row of class {quoted(target.labels[unknown[0]])} is left to learn from while a fold tests the others"
        )
        raise DataError("TooFewForFolds", f"{message}: add rows of it, remove it, or leave {FIELD} out", field=FIELD)
    if not len(split.validation):
        message = "no rows are left to choose the best epoch with while a fold tests the others"
        raise DataError("TooFewForFolds", f"{message}: add rows, or leave {FIELD} out", field=FIELD)


def _deal(classes: NDArray[np.int64], parts: int) -> NDArray[np.int64]:
    """A part for each key, one after the other through the classes, so that parts differ by one key at most."""
    dealt = np.empty(len(classes), dtype=np.int64)
    dealt[np.argsort(classes, kind="stable")] = np.arange(len(classes)) % parts
    return dealt


def _sides(tests: NDArray[np.bool_], classes: NDArray[np.int64], place: NDArray[np.int64], *, parts: int) -> Split:
    """The sides of one fold, of which ``tests`` are the keys that test; one part of the others chooses."""
    others = np.flatnonzero(~tests)
    parts = max(2, min(parts, len(others)))
    chooses = np.zeros(len(classes), dtype=np.bool_)
    chooses[others] = _deal(classes[others], parts) == parts - 1
    for code in np.unique(classes[others]):
        belongs = others[classes[others] == code]
        # A class with one key left is learned from, and not only measured.
        chooses[belongs[0]] &= not chooses[belongs].all()
    return Split(
        train=np.flatnonzero((~tests & ~chooses)[place]),
        validation=np.flatnonzero(chooses[place]),
        test=np.flatnonzero(tests[place]),
    )
