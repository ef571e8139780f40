"""Which rows each member of an ensemble keeps back: a fifth, and after five members each row once.

Rows of one group, such as equal ones, are kept back together: who learned one of them has nearly learned the others.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from modelservice.modalities.base import Groups

FOLDS = 5
_FEWEST = 2

Places = NDArray[np.int64]


def kept_back(strata: Places, *, members: int, seed: int, groups: Groups | None = None) -> list[Places]:
    """Places of the rows that each member keeps back; none is empty, and none holds all rows.

    Five members share a partition of the rows, which is drawn anew for the next five; classes are dealt out evenly.

    Args:
        strata: int64 [rows], at least two: class codes, or all 0.
        members: how many.
        seed: of the partitions.
        groups: rows that are kept back together, see ``Side``, at least two; a group has the class of its first row.
    """
    generator = np.random.default_rng(seed)
    first, group = grouped(groups, len(strata))
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
    _, group = grouped(groups, len(values))
    strata = strata_of(values, classes=classes)
    eligible = _eligible(strata, group)
    members = min(FOLDS, len(np.unique(group[eligible])))
    if members < _FEWEST:
        return []
    kept = kept_back(strata[eligible], members=members, seed=seed, groups=group[eligible])
    parts = [_without_last(eligible[places], strata, group) for places in kept]
    return [part for part in parts if len(part)]


def held_together(values: NDArray[np.generic], *, classes: int, groups: Groups | None) -> Groups | None:
    """The groups, but each row of a class that a single group has is alone; None where every row is.

    So such a class can be both learned and measured, which ``said_of_groups`` says; see ``parts_kept_back``.
    """
    if groups is None:
        return None
    _, group = grouped(groups, len(values))
    alone = _of_single_groups(strata_of(values, classes=classes), group)
    numbers = np.where(alone, len(values) + np.arange(len(values)), group)
    return numbers if len(np.unique(numbers)) < len(numbers) else None


def said_of_groups(family: str, values: NDArray[np.generic], *, classes: int, groups: Groups | None) -> tuple[str, ...]:
    """A sentence for whoever keeps rows back where some cannot be whole groups; for arguments see above."""
    if groups is None:
        return ()
    alone = _of_single_groups(strata_of(values, classes=classes), grouped(groups, len(values))[1])
    return (measured_on_learned(family, classes=classes),) if alone.any() else ()


def measured_on_learned(what: str, *, classes: int) -> str:
    """The sentence on ``what`` rows of learned groups told; for ``classes`` see above."""
    which = "rows of a class" if classes else "rows"
    return (
        f"{what} was measured on groups that it learned from, for all {which} are of one group, or equal: add groups"
        " for a true measure"
    )


def strata_of(values: NDArray[np.generic], *, classes: int) -> Places:
    """What is dealt out evenly, see ``kept_back``; for arguments see ``parts_kept_back``."""
    return values.astype(np.int64) if classes else np.zeros(len(values), np.int64)


def rest_of(rows: int, held: Places) -> Places:
    """Places of all rows but some."""
    return np.setdiff1d(np.arange(rows), held)


def divisions(kept: Sequence[Places], *, rows: int) -> list[tuple[Places, Places]]:
    """Of each part the rows to learn from, and those to measure by, which are kept back."""
    return [(rest_of(rows, places), places) for places in kept]


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


def _eligible(strata: Places, group: Places) -> Places:
    """Rows that may be kept back: those of groups without a class that no other group has."""
    alone = np.zeros(int(group.max()) + 1, np.bool_)
    alone[group[_groups_of_class(strata, group)[strata] < _FEWEST]] = True
    return np.flatnonzero(~alone[group])


def _of_single_groups(strata: Places, group: Places) -> NDArray[np.bool_]:
    """Which rows are of a class of several rows, all of one group."""
    return ((_groups_of_class(strata, group) < _FEWEST) & (np.bincount(strata) >= _FEWEST))[strata]


def _groups_of_class(strata: Places, group: Places) -> Places:
    """How many groups have a row of each class."""
    classes = int(strata.max()) + 1
    return np.bincount(np.unique(group * classes + strata) % classes, minlength=classes)


def _without_last(part: Places, strata: Places, group: Places) -> Places:
    """The part without groups that have a row of a class of which all rows are in it, as rows of mixed groups can."""
    last = ~np.isin(strata[part], strata[rest_of(len(strata), part)])
    return part[~np.isin(group[part], group[part][last])]
