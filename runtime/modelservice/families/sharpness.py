"""How sure probabilities are to be: temperature scaling (Guo et al., 2017) on rows that a model did not learn from."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_STEPS = np.linspace(-2.0, 2.0, 161)
"""Logarithms of the powers that are tried: a seventh to seven times as sure."""
LEAST = 1e-7
"""Probabilities below count as that, since float32 does not tell them from 0 in 1 - p."""


def sharpen(probabilities: Floats, power: float) -> Floats:
    """Probabilities [rows, classes] to that power, divided by their sum."""
    logits = np.log(np.clip(probabilities, LEAST, 1)) * power
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(shares / shares.sum(axis=1, keepdims=True))


def fit_sharpness(probabilities: Floats, classes: NDArray[np.int64], weights: Floats | None = None) -> float:
    """The power with the least log loss, with a standard normal prior on its logarithm: few rows move it little.

    Of probabilities a power of 1 is the likely one. Scores of any scale have no such: see ``temperature.fit_factor``.

    Args:
        probabilities: out of fold [rows, classes].
        classes: true codes [rows].
        weights: how much rows count, 1 on the mean [rows].
    """
    rows = np.arange(len(classes))
    heavy = np.ones(len(classes)) if weights is None else weights

    def cost(step: float) -> float:
        true = sharpen(probabilities, float(np.exp(step)))[rows, classes]
        return float(-(heavy * np.log(np.clip(true, LEAST, 1))).sum() + step**2 / 2)

    return float(np.exp(min(_STEPS.tolist(), key=cost)))
