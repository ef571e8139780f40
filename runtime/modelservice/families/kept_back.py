"""Which rows each member of an ensemble keeps back: a fifth, and after five members each row once.

Rows of one group, such as equal ones, are kept back together: who learned one of them has nearly learned the others.
"""

import numpy as np
from numpy.typing import NDArray

from modelservice.modalities.base import Groups

FOLDS = 5

Places = NDArray[np.int64]


def kept_back(strata: Places, *, members: int, seed: int, groups: Groups | None = None) -> list[Places]:
    """Places of the rows that each member keeps back; none is empty, and none holds all rows.

    Five members share a partition of the rows, which is drawn anew for the next five; classes are dealt out evenly.

    Args:
        strata: int64 [rows], at least two: class codes, or all 0.
        members: how many.
        seed: of the partitions.
        groups: rows that are kept back together, see ``Side``; a group has the class of its first row. Where all rows
            are of one group they are dealt out one by one, for each member needs some to learn from.
    """
    generator = np.random.default_rng(seed)
    first, group = grouped(groups, len(strata))
    if len(first) == 1:
        first, group = grouped(None, len(strata))
    folds = min(FOLDS, len(first))
    classes, sizes = strata[first], np.bincount(group)
    found: list[Places] = []
    while len(found) < members:
        shuffled = generator.permutation(len(first))
        # A stable sort by class keeps the rows of a class in their drawn order; dealing them out in turn does the rest.
        order = shuffled[np.lexsort((-sizes[shuffled], classes[shuffled]))]
        fold_of = np.empty(len(first), dtype=np.int64)
        fold_of[order] = _dealt(classes[order], sizes[order], folds)
        found += [np.flatnonzero(fold_of[group] == fold) for fold in range(folds)]
    return found[:members]


def parts_kept_back(values: NDArray[np.generic], *, classes: int, groups: Groups | None, seed: int) -> list[Places]:
    """Five or fewer parts of the rows, outside of each of which is a row of each class; none where there can be none.

    A class of a single row, or of a single group, is always learned, and so are all rows of its group.

    Args:
        values: class codes int64 [rows], or numbers.
        classes: number of classes, 0 for numbers.
        groups: see ``kept_back``.
        seed: of the parts.
    """
    first, group = grouped(groups, len(values))
    strata = values.astype(np.int64) if classes else np.zeros(len(values), np.int64)
    groups_of_class = np.bincount(np.unique(group * max(1, classes) + strata) % max(1, classes))
    alone = np.zeros(len(first), np.bool_)
    alone[group[groups_of_class[strata] < 2]] = True  # noqa: PLR2004
    eligible = np.flatnonzero(~alone[group])
    members = min(FOLDS, len(np.unique(group[eligible])))
    if members < 2:  # noqa: PLR2004
        return []
    kept = kept_back(strata[eligible], members=members, seed=seed, groups=group[eligible])
    parts = [_without_last(eligible[places], strata, group) for places in kept]
    return [part for part in parts if len(part)]


def divisions(kept: list[Places], *, rows: int) -> list[tuple[Places, Places]]:
    """Of each part the rows to learn from, and those to measure by, which are kept back."""
    return [(np.setdiff1d(np.arange(rows), places), places) for places in kept]


def grouped(groups: Groups | None, rows: int) -> tuple[Places, Places]:
    """The first row of each group, ascending, and which of these groups each row has."""
    if groups is None:
        return np.arange(rows), np.arange(rows)
    _, first, group = np.unique(groups, return_index=True, return_inverse=True)
    order = np.argsort(first)
    return first[order], np.argsort(order)[group]


def out_of_fold(outputs: NDArray[np.float64], kept: list[Places]) -> NDArray[np.float64]:
    """What members say of rows that they kept back, mean over those that did; NaN where none did.

    Args:
        outputs: of each member for all rows [members, rows, width].
        kept: see ``kept_back``; with five members each row is in one list.
    """
    total, count = np.zeros(outputs.shape[1:]), np.zeros((outputs.shape[1], 1))
    for member, places in enumerate(kept):
        total[places] += outputs[member, places]
        count[places] += 1
    return np.divide(total, count, out=np.full_like(total, np.nan), where=count > 0)


def _dealt(classes: Places, sizes: Places, folds: int) -> Places:
    """A fold for each group: one with fewest rows of its class, and of those the first with fewest rows."""
    if (sizes == 1).all():
        return np.arange(len(sizes)) % folds  # the same, of millions of rows
    rows, own, code = [0] * folds, [0] * folds, None
    found = np.empty(len(sizes), dtype=np.int64)
    for place, (label, size) in enumerate(zip(classes.tolist(), sizes.tolist(), strict=True)):
        if label != code:
            own, code = [0] * folds, label
        fold = min(range(folds), key=lambda one: (own[one], rows[one]))
        own[fold] += size
        rows[fold] += size
        found[place] = fold
    return found


def _without_last(part: Places, strata: Places, group: Places) -> Places:
    """The part without groups that have a row of a class of which all rows are in it, as rows of mixed groups can."""
    others = np.setdiff1d(np.arange(len(strata)), part)
    last = ~np.isin(strata[part], strata[others])
    return part[~np.isin(group[part], group[part][last])]
