"""Scores to probabilities by one number (Guo et al., On calibration of modern neural networks, 2017)."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

Floats = NDArray[np.float64]

_SMALLEST, _LARGEST = -4.0, 7.0
"""Bounds of the factor's logarithm."""


def fit_factor(scores: Floats, codes: NDArray[np.int64], weights: Floats) -> tuple[float, float]:
    """The factor of the scores (1 / temperature) with the least cross-entropy, and that loss on the mean.

    Every row counts to a part of 1 / (rows + 1) as if it were of any class, else scores without a wrong row would ask
    for a factor without end.

    Args:
        scores: of rows that the scores were not learned from [rows, classes].
        codes: their classes.
        weights: of the rows.
    """
    rows = len(scores)
    own = scores[np.arange(rows), codes]
    share = 1 / (rows + 1)
    expected = (1 - share) * own + share * scores.mean(axis=1)

    def loss(logarithm: float) -> Any:
        factor = np.exp(logarithm)
        scaled = factor * scores
        largest = scaled.max(axis=1)
        normalizers = largest + np.log(np.exp(scaled - largest[:, np.newaxis]).sum(axis=1))
        return np.average(normalizers - factor * expected, weights=weights)

    found = minimize_scalar(loss, bounds=(_SMALLEST, _LARGEST), method="bounded", options={"xatol": 1e-4})
    return float(np.exp(found.x)), float(found.fun)
