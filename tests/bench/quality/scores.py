"""How good the predictions of a fold are: accuracy and log loss of classes, R2 of numbers."""

import numpy as np
from numpy.typing import NDArray

Codes = NDArray[np.int64]
Numbers = NDArray[np.float64]

LEAST_PROBABILITY = 1e-7
"""What a float32 can tell from none; a class that was given less counts as if it had been given this much."""


def accuracy(truth: Codes, predicted: Codes) -> float:
    """Share of the rows whose class was predicted."""
    return float(np.mean(truth == predicted))


def bounded(probabilities: Numbers) -> Numbers:
    """Probabilities [rows, classes] that are at least ``LEAST_PROBABILITY``, with rows that sum to 1."""
    raised = np.clip(probabilities, LEAST_PROBABILITY, 1.0)
    return np.asarray(raised / raised.sum(axis=1, keepdims=True), dtype=np.float64)


def log_loss(truth: Codes, probabilities: Numbers) -> float:
    """Mean of -ln of the probability [rows, classes] that each row's class was given, in nats."""
    given = bounded(probabilities)[np.arange(len(truth)), truth]
    return float(-np.mean(np.log(given)))


def r_squared(truth: Numbers, predicted: Numbers) -> float:
    """Coefficient of determination: 1 is perfect, 0 as good as the mean of the rows themselves."""
    residual = np.sum((truth - predicted) ** 2)
    return float(1 - residual / np.sum((truth - truth.mean()) ** 2))
