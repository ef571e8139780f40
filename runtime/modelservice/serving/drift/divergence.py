"""How far two histograms of the same bins lie apart."""

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.float64]
"""float64 [bins]: values in each bin."""


def stability_index(expected: Counts, found: Counts) -> float:
    """The population stability index, 0 of equal shares: sum of (q - p) * ln(q / p) over the bins.

    It is the Jeffreys divergence; the name, and the custom of calling 0.1 a small and 0.25 a large change, are of
    credit scoring (N. Siddiqi, "Credit Risk Scorecards", 2006). Each bin is given half a value more on both sides: an
    empty one would make it infinite.

    Args:
        expected: counts of training.
        found: counts since.
    """
    p = (expected + 0.5) / (expected.sum() + 0.5 * len(expected))
    q = (found + 0.5) / (found.sum() + 0.5 * len(found))
    return float(((q - p) * np.log(q / p)).sum())


def largest_difference(expected: Counts, found: Counts) -> float:
    """The statistic of Kolmogorov and Smirnov, 0 to 1: the largest difference of the shares up to any edge of a bin.

    Between edges it may be larger. 0 where either holds nothing.

    Args:
        expected: counts of training, in the order of the numbers.
        found: counts since.
    """
    if not expected.sum() or not found.sum():
        return 0.0
    difference = np.cumsum(expected) / expected.sum() - np.cumsum(found) / found.sum()
    return float(np.abs(difference).max())
