"""About how long each model of a blend takes, with all its fits on rows and folds, before it is fitted.

Counts of what is computed, over rates that one core of 2020 reached on small tables. Another machine is faster or
slower by some factor, which those who ask measure; see ``blend``.
"""

import math
from itertools import pairwise
from typing import NamedTuple

from modelservice.families.ensemble import HIDDEN, plan_for

_FLOPS = 2e10
"""Of float32 a second."""
_SLOW_FLOPS = 1e10
"""Of float64 a second, in decompositions."""
_STEP = 5e-4
"""Seconds of a step however few rows are in it."""
_MANY_ROWS = 10_000
"""As in ``candidates``."""
_CALL = 0.03
"""Seconds that a fit takes however few rows there are."""


class Size(NamedTuple):
    """Of what is learned: rows, features, classes (0 for numbers), and fits, one for each fold and one for all."""

    rows: int
    inputs: int
    classes: int
    fits: int


def seconds_of_network(size: Size) -> float:
    """Three products for each weight and row, forward and twice backward; members hold rows back by themselves."""
    plan = plan_for(size.rows)
    widths = (size.inputs, *HIDDEN, max(1, size.classes))
    weights = sum(before * after for before, after in pairwise(widths))
    steps = plan.epochs * size.rows / plan.batch
    return _CALL + _STEP * steps + plan.members * plan.epochs * size.rows * weights * 6 / _FLOPS


def seconds_of_linear(size: Size) -> float:
    """Some hundred passes over the rows for each fit, five penalties included."""
    return _CALL * size.fits + size.fits * 200 * size.rows * size.inputs * max(1, size.classes) / _SLOW_FLOPS


def seconds_of_discriminant(size: Size) -> float:
    """A covariance, twice, and its solution."""
    inputs = size.inputs
    return size.fits * (_CALL / 5 + (4 * size.rows + inputs) * inputs**2 / _SLOW_FLOPS)


def seconds_of_kernel_ridge(size: Size) -> float:
    """A decomposition for each width, and one for all rows or for its landmarks."""
    count = size.rows
    landmarks = 1000 if count <= _MANY_ROWS else 500
    last = count**3 if count <= 2000 else 3 * count * landmarks**2  # noqa: PLR2004 - as ``kernel_regression`` does it
    return _CALL * size.fits + (9 * min(count, 1000) ** 3 + size.fits * last) / _SLOW_FLOPS


def seconds_of_forest(size: Size) -> float:
    """Sorting, for each tree, level and feature that is looked at."""
    count, looked_at = size.rows, math.sqrt(size.inputs)
    trees = 200 if count <= _MANY_ROWS else 50
    return size.fits * trees * (1e-3 + 2e-8 * count * math.log2(count + 1) * looked_at)


def seconds_of_boosting(size: Size) -> float:
    """A tree for each class and round; rounds are chosen by as many fits again."""
    trees = (150 if size.rows <= 5000 else 1000) * (size.classes if size.classes > 2 else 1)  # noqa: PLR2004
    return 2 * size.fits * trees * (1.5e-4 + 7e-9 * size.rows * size.inputs)
