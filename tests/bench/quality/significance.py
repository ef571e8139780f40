"""Whether two candidates differ by more than the folds explain.

Folds of repeated cross-validation share most of their training rows, so their scores are not independent, and a plain
t-test finds differences where there are none.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Mean of the paired differences, and the two-sided probability of one as far from 0 if there were none."""

    mean: float
    p_value: float


def corrected_t_test(first: Sequence[float], second: Sequence[float], *, test_by_train: float) -> Comparison:
    """The corrected resampled t-test of Nadeau and Bengio (Inference for the generalization error, 2003).

    The variance of the mean of J differences is taken as (1 / J + test_by_train) times theirs, with J - 1 degrees of
    freedom.

    Args:
        first: scores on the folds, at least two.
        second: scores on the same folds, to be subtracted.
        test_by_train: test rows for each training row of a fold, 0.25 with five folds.
    """
    differences = np.asarray(first, dtype=np.float64) - np.asarray(second, dtype=np.float64)
    count, mean = len(differences), float(differences.mean())
    spread = math.sqrt((1 / count + test_by_train) * float(differences.var(ddof=1)))
    if spread == 0:
        return Comparison(mean=mean, p_value=1.0 if mean == 0 else 0.0)
    return Comparison(mean=mean, p_value=float(2 * stats.t.sf(abs(mean) / spread, df=count - 1)))
