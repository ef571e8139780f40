"""What tasks with classes have in common."""

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modelservice.contract.evaluation import Evaluation, Metric
from modelservice.contract.signature import Output
from modelservice.tasks.base import Array, Drop, Head, Loss, Scores, Target, TargetCells, TargetProfile, Weights
from modelservice.tasks.class_metrics import (
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


class Classification(ABC):
    """One of the target's classes; models give float32 [rows, classes], probabilities in the order of the labels."""

    name: str
    choice = "classification"
    loss: Loss
    head: Head

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
        further = _further(counts, raw, values, weights)
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


def _further(
    counts: NDArray[np.float64], raw: Array, values: NDArray[np.int64], weights: Weights | None
) -> tuple[tuple[str, float | None], ...]:
    """All metrics but the primary one, None where the rows do not determine it."""
    precision, recall, f1 = macro_averages(counts)
    precision_weighted, recall_weighted, f1_weighted = weighted_averages(counts)
    positive = positive_class(counts) if len(counts) == _TWO else (None, None, None)
    return (
        ("balancedAccuracy", balanced_accuracy(counts)),
        ("precision", precision),
        ("recall", recall),
        ("f1", f1),
        ("precisionWeighted", precision_weighted),
        ("recallWeighted", recall_weighted),
        ("f1Weighted", f1_weighted),
        ("precisionPositive", positive[0]),
        ("recallPositive", positive[1]),
        ("f1Positive", positive[2]),
        ("rocAuc", roc_auc(raw, values, weights)),
        ("averagePrecision", average_precision(raw, values, weights)),
        ("logLoss", log_loss(raw, values, weights)),
        ("brier", brier_score(raw, values, weights)),
        ("calibrationError", calibration_error(raw, values, weights)),
    )
