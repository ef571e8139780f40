"""How good probabilities of classes are: how they rank rows, and whether they can be believed.

``weights`` float64 [rows] say how much each row counts; without them each counts once.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from modelservice.tasks.base import Array, Bin

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]
BINS = 10
"""Of equal width, from 0 to 1."""
_TWO = 2


def log_loss(probabilities: Array, classes: Codes, weights: Floats | None = None) -> float:
    """Mean negative log-likelihood of the true classes, in nats.

    A probability of 0 counts as the spacing of float32 at 1, since less cannot be told from it in 1 - p.
    """
    true = probabilities[np.arange(len(classes)), classes].astype(np.float64)
    return float(np.average(-np.log(np.clip(true, np.finfo(np.float32).eps, 1.0)), weights=weights))


def brier_score(probabilities: Array, classes: Codes, weights: Floats | None = None) -> float:
    """Mean squared error of probabilities (Brier, 1950).

    Of two classes that of the second one, from 0 to 1; of more the sum over classes, from 0 to 2. So scikit-learn has
    it.
    """
    errors = probabilities.astype(np.float64)
    errors[np.arange(len(classes)), classes] -= 1
    squares = np.square(errors).sum(axis=1)
    return float(np.average(squares, weights=weights)) / (_TWO if probabilities.shape[1] == _TWO else 1)


def roc_auc(probabilities: Array, classes: Codes, weights: Floats | None = None) -> float | None:
    """The probability that a row of a class is ranked above one of the others, ties counting half.

    Of two classes that of the second one; of more the mean over the classes that occur, each against all others.
    None where all rows are of one class.
    """
    return _mean_over_classes(_roc_auc, probabilities, classes, weights)


def average_precision(probabilities: Array, classes: Codes, weights: Floats | None = None) -> float | None:
    """The area under the steps of precision over recall; classes and None as for ``roc_auc``."""
    return _mean_over_classes(_average_precision, probabilities, classes, weights)


def calibration_bins(probabilities: Array, classes: Codes, weights: Floats | None = None) -> tuple[Bin, ...]:
    """Rows by the probability of their most probable class, in ``BINS`` bins; means are weighted, ``rows`` are not."""
    heavy, confidence, place = _confident(probabilities, weights)
    right = probabilities.argmax(axis=1) == classes
    totals = np.bincount(place, weights=heavy, minlength=BINS)
    # A bin whose rows all weigh nothing says as little as an empty one.
    per = np.where(totals > 0, totals, 1)
    confidences = np.bincount(place, weights=heavy * confidence, minlength=BINS) / per
    accuracies = np.bincount(place, weights=heavy * right, minlength=BINS) / per
    rows = np.bincount(place, minlength=BINS)
    return tuple(
        Bin(
            low=number / BINS,
            high=(number + 1) / BINS,
            rows=int(rows[number]),
            confidence=float(confidences[number]),
            accuracy=float(accuracies[number]),
        )
        for number in range(BINS)
    )


def calibration_error(probabilities: Array, classes: Codes, weights: Floats | None = None) -> float:
    """Expected calibration error (Guo et al., 2017): how far confidence and accuracy differ, over bins of rows."""
    heavy, _, place = _confident(probabilities, weights)
    shares = np.bincount(place, weights=heavy, minlength=BINS) / heavy.sum()
    bins = calibration_bins(probabilities, classes, weights)
    return float(sum(share * abs(one.confidence - one.accuracy) for share, one in zip(shares, bins, strict=True)))


def _confident(probabilities: Array, weights: Floats | None) -> tuple[Floats, Floats, Codes]:
    """Weight, highest probability and bin of each row."""
    confidence = probabilities.max(axis=1).astype(np.float64)
    place = np.clip(np.ceil(confidence * BINS).astype(np.int64) - 1, 0, BINS - 1)
    return np.ones(len(confidence)) if weights is None else weights, confidence, place


_OneClass = Callable[[Floats, Floats], float]
"""Weights of the rows of a class and of all others, both [steps], by falling probability."""


def _mean_over_classes(metric: _OneClass, probabilities: Array, classes: Codes, weights: Floats | None) -> float | None:
    heavy = np.ones(len(classes)) if weights is None else weights
    count = probabilities.shape[1]
    found = []
    for code in [1] if count == _TWO else range(count):
        inside = np.where(classes == code, heavy, 0.0)
        if inside.sum() > 0 and (heavy - inside).sum() > 0:
            found.append(metric(*_steps(probabilities[:, code], inside, heavy - inside)))
    return float(np.mean(found)) if found else None


def _steps(scores: Array, inside: Floats, outside: Floats) -> tuple[Floats, Floats]:
    """The weights of equal scores added up, by falling score."""
    _, place = np.unique(-scores, return_inverse=True)
    return _totals(place, inside), _totals(place, outside)


def _totals(place: Codes, weights: Floats) -> Floats:
    return np.bincount(place, weights=weights).astype(np.float64)


def _roc_auc(inside: Floats, outside: Floats) -> float:
    below = outside.sum() - np.cumsum(outside)
    return float((inside * (below + outside / 2)).sum() / (inside.sum() * outside.sum()))


def _average_precision(inside: Floats, outside: Floats) -> float:
    hits = np.cumsum(inside)
    taken = hits + np.cumsum(outside)
    precision = np.divide(hits, taken, out=np.zeros(len(hits)), where=taken > 0)
    return float((inside * precision).sum() / inside.sum())
