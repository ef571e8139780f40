"""What tasks with classes have in common."""

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modelservice.contract.evaluation import Evaluation, Metric
from modelservice.contract.signature import Output
from modelservice.tasks.base import Array, Drop, Head, Loss, Scores, Target, TargetCells, TargetProfile
from modelservice.tasks.class_metrics import confusion, log_loss, macro_averages, paired_interval, wilson_interval
from modelservice.tasks.labels import MAX_CLASSES, read_labels

LABEL = "label"
PROBABILITIES = "probabilities"
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

    @abstractmethod
    def logits(self, labels: tuple[str, ...]) -> int:
        """Numbers that the last layer of a network gives."""

    def outputs(self, labels: tuple[str, ...]) -> tuple[Output, ...]:
        """The most probable label, and the probabilities of all."""
        return (
            Output(name=LABEL, datatype="BYTES"),
            Output(name=PROBABILITIES, datatype="FP32", shape=(len(labels),), labels=labels),
        )

    def score(self, raw: Array, values: NDArray[Any], labels: tuple[str, ...]) -> Scores:
        """Accuracy (primary, with Wilson's interval), macro precision, recall and F1, and the log loss in nats.

        Args:
            raw: float32 [rows, classes], probabilities.
            values: int64 [rows], true class codes; at least one row.
            labels: class labels by code.
        """
        counts = confusion(raw.argmax(axis=1), values, len(labels))
        right, rows = int(np.trace(counts)), len(values)
        low, high = wilson_interval(right, rows)
        precision, recall, f1 = macro_averages(counts)
        metrics = (
            Metric(name="accuracy", value=right / rows, low=low, high=high),
            Metric(name="precision", value=precision),
            Metric(name="recall", value=recall),
            Metric(name="f1", value=f1),
            Metric(name="logLoss", value=log_loss(raw, values)),
        )
        return Scores(evaluation=Evaluation(primary="accuracy", rows=rows, metrics=metrics), confusion=counts)

    def drop(self, before: Array, after: Array, values: NDArray[Any]) -> Drop:
        """The fall of the accuracy, with Tango's interval."""
        was_right, is_right = before.argmax(axis=1) == values, after.argmax(axis=1) == values
        lost, won = int((was_right & ~is_right).sum()), int((~was_right & is_right).sum())
        low, high = paired_interval(lost, won, len(values))
        return Drop((lost - won) / len(values), low, high)

    def named(self, raw: Array, labels: tuple[str, ...]) -> dict[str, Any]:
        """``label``: a list of texts; ``probabilities``: float32 [rows, classes]."""
        return {LABEL: [labels[code] for code in raw.argmax(axis=1).tolist()], PROBABILITIES: raw}
