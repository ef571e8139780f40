"""``metrics.json``: how good a model is on each side of the split, and how it came to that."""

from dataclasses import asdict
from typing import Literal

from pydantic import FiniteFloat

from modelservice.contract.base import Tolerant
from modelservice.contract.documents import Document
from modelservice.contract.evaluation import Evaluation, MetricName
from modelservice.tasks.base import Scores


class ConfusionMatrix(Tolerant):
    """``counts[i][j]``: rows of class ``labels[i]`` that were predicted as ``labels[j]``."""

    labels: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]


class CalibrationBin(Tolerant):
    """Test rows whose most probable class has a probability in ``(low, high]``; means are 0 where there are none.

    ``confidence`` is the mean of that probability, ``accuracy`` how often that class was right.
    """

    low: FiniteFloat
    high: FiniteFloat
    rows: int
    confidence: FiniteFloat
    accuracy: FiniteFloat


class FoldMetric(Tolerant):
    """The mean of a metric over the folds that determine it, and their standard deviation (that of a sample)."""

    name: MetricName
    mean: FiniteFloat
    deviation: FiniteFloat


class CrossValidation(Tolerant):
    """What models come to that are trained like the stored one, each tested on rows that it did not see."""

    folds: int
    metrics: tuple[FoldMetric, ...]


class MetricsDocument(Document):
    """Metrics by side, and of the test rows the confusion matrix and the calibration where there are classes.

    ``curves`` hold what each epoch came to, by name, and ``best_epoch`` is the one whose weights were kept; both are
    there for families that have epochs. ``validation`` is None where no validation rows were kept apart.
    """

    kind: Literal["Metrics"] = "Metrics"
    train: Evaluation
    validation: Evaluation | None = None
    test: Evaluation
    confusion_matrix: ConfusionMatrix | None = None
    calibration: tuple[CalibrationBin, ...] | None = None
    best_epoch: int | None = None
    curves: dict[str, tuple[FiniteFloat, ...]] | None = None
    cross_validation: CrossValidation | None = None

    @property
    def primary(self) -> str:
        """Name of the metric that decides."""
        return self.test.primary


def confusion_matrix(scores: Scores, labels: tuple[str, ...]) -> ConfusionMatrix | None:
    """The stored form of a confusion matrix, None where there is none."""
    if scores.confusion is None:
        return None
    return ConfusionMatrix(labels=labels, counts=tuple(map(tuple, scores.confusion.tolist())))


def calibration(scores: Scores) -> tuple[CalibrationBin, ...] | None:
    """The stored form of the calibration, None where there is none."""
    return tuple(CalibrationBin(**asdict(one)) for one in scores.calibration) or None
