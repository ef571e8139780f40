"""How good decided classes are: counts of right and wrong answers to numbers.

``weights`` float64 [rows] say how much each row counts; without them each counts once. All are tested against
scikit-learn, which takes longer to import than torch and which the server must not reach.
"""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]
Averages = tuple[float, float, float]
"""Precision, recall and F1."""


def confusion(predicted: Codes, true: Codes, classes: int, weights: Floats | None = None) -> NDArray[np.float64]:
    """float64 [classes, classes]: row is the true class, column the predicted one; whole numbers without weights."""
    pairs = np.bincount(true * classes + predicted, weights=weights, minlength=classes * classes)
    return pairs.astype(np.float64).reshape(classes, classes)


def accuracy(counts: Floats) -> float:
    """The share of right answers in a confusion matrix."""
    return float(np.trace(counts) / counts.sum())


def balanced_accuracy(counts: Floats) -> float:
    """The mean recall of the classes that truly occur (Brodersen et al., 2010)."""
    true = counts.sum(axis=1)
    occurs = true > 0
    return float((np.diag(counts)[occurs] / true[occurs]).mean())


def macro_averages(counts: Floats) -> Averages:
    """The means of precision, recall and F1 over classes.

    They are over the classes that occur, truly or as a prediction, and a ratio without a denominator counts as 0, as
    in scikit-learn.
    """
    occurs = counts.sum(axis=0) + counts.sum(axis=1) > 0
    precision, recall, f1 = (float(values[occurs].mean()) for values in _by_class(counts))
    return precision, recall, f1


def weighted_averages(counts: Floats) -> Averages:
    """The means over classes, each as heavy as it truly occurs; that of the recall is the accuracy."""
    shares = counts.sum(axis=1) / counts.sum()
    precision, recall, f1 = (float(values @ shares) for values in _by_class(counts))
    return precision, recall, f1


def positive_class(counts: Floats) -> Averages:
    """Precision, recall and F1 of the second class; a ratio without a denominator counts as 0."""
    precision, recall, f1 = (float(values[1]) for values in _by_class(counts))
    return precision, recall, f1


def _by_class(counts: Floats) -> tuple[Floats, Floats, Floats]:
    hits, predicted, true = np.diag(counts), counts.sum(axis=0), counts.sum(axis=1)
    return _ratio(hits, predicted), _ratio(hits, true), _ratio(2 * hits, predicted + true)


def _ratio(numerator: Floats, denominator: Floats) -> Floats:
    return np.divide(numerator, denominator, out=np.zeros(len(numerator)), where=denominator > 0)
