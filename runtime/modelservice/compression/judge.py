"""What a compression costs: the drop of the primary metric on the same rows, with a paired interval."""

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from modelservice.tasks.base import Array, Task

RESAMPLES: Final = 2000
SEED: Final = 0
"""Fixed, so that the same two models get the same judgement."""

_INTERVAL: Final = (2.5, 97.5)
_CHUNK: Final = 2**22
"""Most numbers that are drawn at a time."""


class Drop(NamedTuple):
    """How much of the primary metric is lost, and the bounds of its 95 % interval; negative is a gain."""

    value: float
    low: float
    high: float

    def within(self, budget: float) -> bool:
        """Whether even the upper end of the interval is no more than what may be lost."""
        return self.high <= budget


def judge(task: Task, before: Array, after: Array, values: NDArray[Any]) -> Drop:
    """Compare two models on the same rows.

    Rows are resampled with both of their scores (percentile bootstrap; Efron and Tibshirani, "An Introduction to the
    Bootstrap", 1993), so what is hard for both models adds nothing to the width. Two models that are right on the
    same rows get [0, 0].

    Args:
        task: knows what each row adds to the primary metric.
        before: raw outputs [rows, width] of the model as trained.
        after: of the smaller one.
        values: true values [rows].
    """
    lost = task.row_scores(before, values) - task.row_scores(after, values)
    low, high = np.percentile(_resampled_means(lost), _INTERVAL)
    return Drop(float(lost.mean()), float(low), float(high))


def _resampled_means(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Means [RESAMPLES] of as many rows, drawn with replacement; equal values are drawn as one with their count."""
    rows = len(values)
    distinct, counts = np.unique(values, return_counts=True)
    random = np.random.default_rng(SEED)
    means = np.empty(RESAMPLES)
    size = max(1, _CHUNK // len(distinct))
    for start in range(0, RESAMPLES, size):
        drawn = random.multinomial(rows, counts / rows, size=min(size, RESAMPLES - start))
        means[start : start + len(drawn)] = drawn @ distinct / rows
    return means
