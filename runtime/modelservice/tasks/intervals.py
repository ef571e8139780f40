"""95 % intervals of proportions and of their differences, which hold for few trials and near 0 and 1."""

import math

import numpy as np
from numpy.typing import NDArray

_Z_95 = 1.959963984540054
_BISECTIONS = 60


def effective_rows(weights: NDArray[np.float64]) -> float:
    """Rows of one weight that tell as much as these do (Kish, 1965): ``sum(w)^2 / sum(w^2)``."""
    return float(weights.sum() ** 2 / np.square(weights).sum())


def wilson_interval(successes: float, trials: float) -> tuple[float, float]:
    """The 95 % score interval of a proportion (Wilson, 1927): holds for few trials and near 0 and 1."""
    share = successes / trials
    squared = _Z_95**2
    centre = (share + squared / (2 * trials)) / (1 + squared / trials)
    half = _Z_95 * math.sqrt(share * (1 - share) / trials + squared / (4 * trials**2)) / (1 + squared / trials)
    # At the ends the bounds are exact, which rounding would hide.
    return (centre - half if successes else 0.0), (centre + half if successes < trials else 1.0)


def paired_interval(lost: float, won: float, trials: float) -> tuple[float, float]:
    """The 95 % score interval of a difference of two paired proportions (Tango, 1998), ``(lost - won) / trials``.

    Holds for few trials and few changes, where a bootstrap or Wald's interval shrinks to a point: without any change
    it reaches z^2 / (trials + z^2), as Wilson's does.

    Args:
        lost: trials in which only the first was a success.
        won: trials in which only the second was one.
        trials: all of them.
    """
    return -_upper_end(won, lost, trials), _upper_end(lost, won, trials)


def _upper_end(lost: float, won: float, trials: float) -> float:
    """The largest difference whose score statistic is within the 95 %, by bisection: the statistic only falls."""
    low, high = (lost - won) / trials, 1.0
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        if _paired_score(lost, won, trials, middle) >= -_Z_95:
            low = middle
        else:
            high = middle
    return high


def _paired_score(lost: float, won: float, trials: float, difference: float) -> float:
    """How many standard errors the observed difference lies above a true one."""
    # The most likely probability of a win, given that a loss is more likely than that by the difference.
    linear = (2 * trials - lost + won) * difference - (lost + won)
    root = math.sqrt(linear**2 + 8 * trials * won * difference * (1 - difference))
    win = (root - linear) / (4 * trials)
    variance = trials * (2 * win + difference * (1 - difference))
    excess = lost - won - trials * difference
    return excess / math.sqrt(variance) if variance > 0 else math.copysign(math.inf, excess) if excess else 0.0
