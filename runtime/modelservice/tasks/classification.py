"""What tasks with classes have in common."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from modelservice.contract.evaluation import Evaluation, Metric
from modelservice.contract.metric_names import KnownMetric
from modelservice.contract.signature import Output
from modelservice.tasks.base import Array, Drop, Head, Loss, Scores, Target, TargetCells, TargetProfile, Weights
from modelservice.tasks.class_metrics import (
    Averages,
    accuracy,
    balanced_accuracy,
    confusion,
    macro_averages,
    positive_class,
    weighted_averages,
)
from modelservice.tasks.intervals import effective_rows, paired_interval, wilson_interval
from modelservice.tasks.labels import MAX_CLASSES, read_labels
from modelservice.tasks.probability_metrics import (
    average_precision,
    brier_score,
    calibration_bins,
    calibration_error,
    log_loss,
    roc_auc,
)

LABEL = "label"
PROBABILITIES = "probabilities"
_TWO = 2
MAX_INFERRED_CLASSES = 20
"""Different whole numbers up to which they are taken for classes unless ``spec.task`` says otherwise."""
_Counts = NDArray[np.float64]
_Codes = NDArray[np.int64]
_Measure = Callable[[_Counts, Array, _Codes, Weights | None], float | None]
"""The confusion matrix, the outputs, what is true and how much rows count, to a metric."""


class Classification(ABC):
    """One of the target's classes; models give float32 [rows, classes], probabilities in the order of the labels."""

    name: str
    choice = "classification"
    loss: Loss
    head: Head
    primary_metric: str = KnownMetric.ACCURACY

    def suits(self, profile: TargetProfile, *, asked: bool) -> str | None:
        """Texts, and a few whole numbers; when asked, whatever it is."""
        if profile.numbers and not asked and (not profile.whole or profile.distinct > MAX_INFERRED_CLASSES):
            return None
        if not profile.numbers and not asked and profile.mostly_numbers and profile.distinct > MAX_CLASSES:
            return None  # numbers with a slip among them: reading them as such names its place
        return f"{profile.name} holds {f'{profile.distinct} different whole numbers' if profile.whole else 'texts'}"

    def read(self, cells: TargetCells) -> Target:
        """The target as class codes; for errors see ``read_labels``."""
        return read_labels(cells)

    def of_outputs(self, outputs: tuple[Output, ...]) -> "Classification":  # noqa: ARG002 - the seam's signature
        """Itself."""
        return self

    def decide(self, raw: Array) -> NDArray[np.int64]:
        """Codes of the labels that are the answers, int64 [rows]: the most probable ones."""
        return np.asarray(raw.argmax(axis=1), dtype=np.int64)

    @abstractmethod
    def logits(self, labels: tuple[str, ...]) -> int:
        """Numbers that the last layer of a network gives."""

    def outputs(self, labels: tuple[str, ...]) -> tuple[Output, ...]:
        """The most probable label, and the probabilities of all."""
        return (
            Output(name=LABEL, datatype="BYTES"),
            Output(name=PROBABILITIES, datatype="FP32", shape=(len(labels),), labels=labels),
        )

    def score(
        self, raw: Array, values: NDArray[Any], labels: tuple[str, ...], weights: Weights | None = None
    ) -> Scores:
        """Accuracy (primary, with Wilson's interval), and the metrics that docs/tables.md lists for classes.

        Args:
            raw: float32 [rows, classes], probabilities.
            values: int64 [rows], true class codes; at least one row.
            labels: class labels by code.
            weights: how much each row counts; the confusion matrix has whole rows all the same.
        """
        predicted = self.decide(raw)
        counts = confusion(predicted, values, len(labels), weights)
        right, trials = accuracy(counts), len(values) if weights is None else effective_rows(weights)
        low, high = wilson_interval(right * trials, trials)
        further = ((name, measure(counts, raw, values, weights)) for name, measure in _FURTHER.items())
        metrics = (
            Metric(name="accuracy", value=right, low=low, high=high),
            *(Metric(name=name, value=value) for name, value in further if value is not None),
        )
        return Scores(
            evaluation=Evaluation(primary="accuracy", rows=len(values), metrics=metrics),
            confusion=confusion(predicted, values, len(labels)).astype(np.int64),
            calibration=calibration_bins(raw, values, weights),
        )

    def primary(self, raw: Array, values: NDArray[Any], weights: Weights | None = None) -> float:
        """The accuracy."""
        return float(np.average(self.decide(raw) == values, weights=weights))

    def measure(
        self, metric: KnownMetric, raw: Array, values: NDArray[Any], weights: Weights | None = None
    ) -> float | None:
        """See ``Task``."""
        if metric is KnownMetric.ACCURACY:
            return self.primary(raw, values, weights)
        measure = _FURTHER.get(metric)
        if measure is None:
            return None
        return measure(confusion(self.decide(raw), values, raw.shape[1], weights), raw, values, weights)

    def drop(self, before: Array, after: Array, values: NDArray[Any], weights: Weights | None = None) -> Drop:
        """The fall of the accuracy, with Tango's interval."""
        was_right, is_right = self.decide(before) == values, self.decide(after) == values
        heavy = np.ones(len(values)) if weights is None else weights
        trials = effective_rows(heavy)
        lost, won = (
            float(heavy[rows].sum() / heavy.sum() * trials) for rows in (was_right & ~is_right, ~was_right & is_right)
        )
        low, high = paired_interval(lost, won, trials)
        return Drop((lost - won) / trials, low, high)

    def named(self, raw: Array, labels: tuple[str, ...]) -> dict[str, Any]:
        """``label``: a list of texts; ``probabilities``: float32 [rows, classes]."""
        return {LABEL: [labels[code] for code in self.decide(raw).tolist()], PROBABILITIES: raw}


def _balanced(counts: _Counts, _raw: Array, _values: _Codes, _weights: Weights | None) -> float:
    return balanced_accuracy(counts)


def _average(of: Callable[[_Counts], Averages], place: int, *, of_two: bool = False) -> _Measure:
    """Precision, recall or F1 (by its place) of classes that were decided; None of more than two where of two only."""

    def measure(counts: _Counts, _raw: Array, _values: _Codes, _weights: Weights | None) -> float | None:
        return None if of_two and len(counts) != _TWO else of(counts)[place]

    return measure


def _of_probabilities(of: Callable[[Array, _Codes, Weights | None], float | None]) -> _Measure:
    def measure(_counts: _Counts, raw: Array, values: _Codes, weights: Weights | None) -> float | None:
        return of(raw, values, weights)

    return measure


_FURTHER: Final[Mapping[KnownMetric, _Measure]] = {
    KnownMetric.BALANCED_ACCURACY: _balanced,
    KnownMetric.PRECISION: _average(macro_averages, 0),
    KnownMetric.RECALL: _average(macro_averages, 1),
    KnownMetric.F1: _average(macro_averages, 2),
    KnownMetric.PRECISION_WEIGHTED: _average(weighted_averages, 0),
    KnownMetric.RECALL_WEIGHTED: _average(weighted_averages, 1),
    KnownMetric.F1_WEIGHTED: _average(weighted_averages, 2),
    KnownMetric.PRECISION_POSITIVE: _average(positive_class, 0, of_two=True),
    KnownMetric.RECALL_POSITIVE: _average(positive_class, 1, of_two=True),
    KnownMetric.F1_POSITIVE: _average(positive_class, 2, of_two=True),
    KnownMetric.ROC_AUC: _of_probabilities(roc_auc),
    KnownMetric.AVERAGE_PRECISION: _of_probabilities(average_precision),
    KnownMetric.LOG_LOSS: _of_probabilities(log_loss),
    KnownMetric.BRIER: _of_probabilities(brier_score),
    KnownMetric.CALIBRATION_ERROR: _of_probabilities(calibration_error),
}
"""All metrics but the primary one, in the order of reports; None where the rows do not tell one."""
