"""Which rows each member of an ensemble keeps back: a fifth, and after five members each row once."""

import numpy as np
from numpy.typing import NDArray

FOLDS = 5

Places = NDArray[np.int64]


def kept_back(strata: Places, *, members: int, seed: int) -> list[Places]:
    """Places of the rows that each member keeps back; none is empty, and none holds all rows.

    Five members share a partition of the rows, which is drawn anew for the next five; classes are dealt out evenly.

    Args:
        strata: int64 [rows], at least two: class codes, or all 0.
        members: how many.
        seed: of the partitions.
    """
    generator = np.random.default_rng(seed)
    folds = min(FOLDS, len(strata))
    found: list[Places] = []
    while len(found) < members:
        shuffled = generator.permutation(len(strata))
        # A stable sort by class keeps the rows of a class in their drawn order; dealing them out in turn does the rest.
        dealt = shuffled[np.argsort(strata[shuffled], kind="stable")]
        found += [np.sort(dealt[fold::folds]) for fold in range(folds)]
    return found[:members]


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
