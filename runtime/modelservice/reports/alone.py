"""How well one column alone predicts the target: near 1 it may be the target under another name.

Each row is predicted from rows of other folds: by those of the same text, or by those with the next number on either
side. That follows any relation, straight or not, and no noise. Rows of a group, such as equal ones, are in one fold:
they would else predict each other by any column. So are equal ones of many numbers, where that divides no group: rows
may come twice under other identifiers.
"""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from modelservice.modalities.base import Groups, Variable

SUSPECT: Final = 0.98
"""From this score on a column is worth a look."""
_FOLDS = 5
_FEWEST_ROWS = 20
_MOST_ROWS = 5000
_MANY = 50
"""Different numbers beyond which they are no codes."""


def score_alone(
    variable: Variable, values: NDArray[Any], *, classes: int, groups: Groups | None = None
) -> float | None:
    """The share of the errors of the best constant answer that a column avoids, below 0 where it only misleads.

    For classes that is Goodman and Kruskal's lambda (1954), for numbers R2 of their ranks, which a few large ones do
    not decide; both on rows of other folds.

    Args:
        variable: the column; of more than 5000 rows, evenly chosen ones are looked at.
        values: the target, class codes or numbers [rows].
        classes: number of classes, 0 for numbers.
        groups: what holds rows together, see ``Side``.

    Returns:
        None where there are too few rows, all have the same target, or all are of one group.
    """
    if len(values) < _FEWEST_ROWS:
        return None
    chosen = np.linspace(0, len(values) - 1, min(len(values), _MOST_ROWS)).round().astype(np.int64)
    x = np.where(variable.missing[chosen], np.nan, variable.values[chosen].astype(np.float64))
    y = values[chosen] if classes else _ranks(values[chosen])
    fold = _folds(x, chosen if groups is None else groups[chosen], numbers=variable.texts is None)
    if (fold == fold[0]).all():
        return None
    errors, base = 0.0, 0.0
    for number in range(_FOLDS):
        held = fold == number
        usual = _usual(y[~held], classes)
        found = _predicted(x[~held], y[~held], x[held], classes=classes, numbers=variable.texts is None)
        errors += _error(found, y[held], classes)
        base += _error(np.full(int(held.sum()), usual), y[held], classes)
    return None if base == 0 else 1.0 - errors / base


def _folds(cells: NDArray[np.float64], groups: Groups, *, numbers: bool) -> NDArray[np.int64]:
    """The fold of each row."""
    different_groups, group = np.unique(groups, return_inverse=True)
    fold, present = group % _FOLDS, ~np.isnan(cells)
    different, number = np.unique(cells[present], return_inverse=True)
    if not numbers or len(different) <= _MANY:
        return fold
    by_number = fold.copy()
    by_number[present] = number % _FOLDS
    whole = len(np.unique(group * _FOLDS + by_number)) == len(different_groups)
    return by_number if whole else fold


def _ranks(values: NDArray[Any]) -> NDArray[np.float64]:
    """Ranks from 0, the mean one of equal numbers."""
    _, group, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return np.asarray((last - (counts + 1) / 2)[group], dtype=np.float64)


def _predicted(
    known: NDArray[np.float64],
    values: NDArray[Any],
    asked: NDArray[np.float64],
    *,
    classes: int,
    numbers: bool,
) -> NDArray[np.float64]:
    """Answers for cells, from those of other rows; a missing cell is a cell like the other missing ones."""
    found = np.full(len(asked), _usual(values, classes), dtype=np.float64)
    absent = np.isnan(known)
    if absent.any():
        found[np.isnan(asked)] = _usual(values[absent], classes)
    if absent.all():
        return found
    cells, group = np.unique(known[~absent], return_inverse=True)
    answers = _answers(group, values[~absent], len(cells), classes)
    present = ~np.isnan(asked)
    at = np.clip(np.searchsorted(cells, asked[present]), 0, len(cells) - 1)
    if not numbers:
        found[present] = np.where(cells[at] == asked[present], answers[at], found[present])
    elif classes:
        before = np.maximum(at - 1, 0)
        nearer = np.abs(asked[present] - cells[before]) < np.abs(cells[at] - asked[present])
        found[present] = answers[np.where(nearer, before, at)]
    else:
        found[present] = np.interp(asked[present], cells, answers)
    return found


def _answers(group: NDArray[np.int64], values: NDArray[Any], groups: int, classes: int) -> NDArray[np.float64]:
    """The most frequent class, or the mean, of each group."""
    if not classes:
        means = np.bincount(group, weights=values, minlength=groups) / np.bincount(group, minlength=groups)
        return np.asarray(means, dtype=np.float64)
    pairs = np.bincount(group * classes + values, minlength=groups * classes)
    return np.asarray(pairs.reshape(groups, classes).argmax(axis=1), dtype=np.float64)


def _usual(values: NDArray[Any], classes: int) -> float:
    """The best constant answer."""
    return float(np.bincount(values, minlength=classes).argmax()) if classes else float(values.mean())


def _error(found: NDArray[np.float64], values: NDArray[Any], classes: int) -> float:
    return float((found != values).sum()) if classes else float(np.square(found - values).sum())
