"""How good a classifier is: numbers from logits and true classes. numpy only."""

import math

import numpy as np
from numpy.typing import NDArray

from modelservice.contract.base import Tolerant

_Z_95 = 1.959963984540054


class ConfusionMatrix(Tolerant):
    """``counts[i][j]``: rows of class ``labels[i]`` that were predicted as ``labels[j]``."""

    labels: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]


class Scores(Tolerant):
    """Metrics over some rows; precision, recall and f1 are macro averages.

    The averages are over the classes that occur, truly or as a prediction, and a ratio without a denominator counts
    as 0, as in scikit-learn. ``loss`` is the mean cross-entropy in nats, without penalties.
    """

    accuracy: float
    accuracy_interval: tuple[float, float]
    precision: float
    recall: float
    f1: float
    loss: float
    rows: int
    confusion_matrix: ConfusionMatrix


class Curves(Tolerant):
    """What was measured after each epoch, at most ``MAX_POINTS`` of them, evenly spread.

    ``train_loss`` is the running mean over the epoch's batches, dropout and penalties included; the others are
    measured on the validation rows after the epoch.
    """

    epoch: tuple[int, ...]
    train_loss: tuple[float, ...]
    validation_loss: tuple[float, ...]
    validation_accuracy: tuple[float, ...]


class MetricsDocument(Tolerant):
    """``metrics.json``. ``best_epoch`` is the one whose weights were kept."""

    schema_version: str = "1.0"
    train: Scores
    validation: Scores
    test: Scores
    best_epoch: int
    curves: Curves


def score(logits: NDArray[np.floating], classes: NDArray[np.int64], labels: tuple[str, ...]) -> Scores:
    """All metrics at once.

    Args:
        logits: [rows, classes], before softmax.
        classes: [rows], true class codes.
        labels: class labels by code.
    """
    counts = confusion(logits.argmax(axis=1), classes, len(labels))
    rows = len(classes)
    right = int(np.trace(counts))
    predicted, true = counts.sum(axis=0), counts.sum(axis=1)
    occurs = (predicted + true) > 0
    hits = np.diag(counts)[occurs]
    precision = _ratio(hits, predicted[occurs])
    recall = _ratio(hits, true[occurs])
    f1 = _ratio(2 * hits, predicted[occurs] + true[occurs])
    return Scores(
        accuracy=right / rows,
        accuracy_interval=wilson_interval(right, rows),
        precision=float(precision.mean()),
        recall=float(recall.mean()),
        f1=float(f1.mean()),
        loss=cross_entropy(logits, classes),
        rows=rows,
        confusion_matrix=ConfusionMatrix(labels=labels, counts=tuple(map(tuple, counts.tolist()))),
    )


def confusion(predicted: NDArray[np.int64], true: NDArray[np.int64], classes: int) -> NDArray[np.int64]:
    """int64 [classes, classes]: row is the true class, column the predicted one."""
    return np.bincount(true * classes + predicted, minlength=classes * classes).reshape(classes, classes)


def cross_entropy(logits: NDArray[np.floating], classes: NDArray[np.int64]) -> float:
    """Mean negative log-likelihood of the true classes, in nats."""
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    log_sum = np.log(np.exp(shifted).sum(axis=1))
    return float((log_sum - shifted[np.arange(len(classes)), classes]).mean())


def wilson_interval(successes: int, trials: int) -> tuple[float, float]:
    """The 95 % score interval of a proportion (Wilson, 1927): holds for few trials and near 0 and 1."""
    share = successes / trials
    squared = _Z_95**2
    centre = (share + squared / (2 * trials)) / (1 + squared / trials)
    half = _Z_95 * math.sqrt(share * (1 - share) / trials + squared / (4 * trials**2)) / (1 + squared / trials)
    # At the ends the bounds are exact, which rounding would hide.
    return (centre - half if successes else 0.0), (centre + half if successes < trials else 1.0)


def _ratio(numerator: NDArray[np.int64], denominator: NDArray[np.int64]) -> NDArray[np.float64]:
    return np.divide(numerator, denominator, out=np.zeros(len(numerator)), where=denominator > 0)
