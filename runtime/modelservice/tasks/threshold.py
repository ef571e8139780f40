"""Two classes with a threshold: the second one is the answer from some probability on, which need not be 0.5.

A task of its own, since a server that does not know of thresholds would answer with the more probable class: it refuses
what it has no name for.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from modelservice.contract.documents import DocumentError
from modelservice.contract.signature import Output
from modelservice.tasks.base import Array, Head, Loss, TargetProfile, Weights
from modelservice.tasks.classification import LABEL, Classification


@dataclass(frozen=True)
class BinaryThreshold(Classification):
    """One of two classes; a model gives [1 - p, p], and the second label is the answer from ``threshold`` on."""

    threshold: float = 0.5

    name = "BinaryThreshold"
    loss = Loss.BINARY_CROSS_ENTROPY
    head = Head.SIGMOID

    def suits(self, profile: TargetProfile, *, asked: bool) -> str | None:  # noqa: ARG002 - the seam's signature
        """No target by itself: a training makes it of ``Binary`` when it has chosen the threshold."""
        return None

    def logits(self, labels: tuple[str, ...]) -> int:  # noqa: ARG002 - the seam's signature
        """One, that of the second label."""
        return 1

    def outputs(self, labels: tuple[str, ...]) -> tuple[Output, ...]:
        """As for two classes; the label says its threshold."""
        label, *others = super().outputs(labels)
        return (label.model_copy(update={"threshold": self.threshold}), *others)

    def of_outputs(self, outputs: tuple[Output, ...]) -> "BinaryThreshold":
        """With the threshold of a signature.

        Raises:
            DocumentError: it has none.
        """
        threshold = next((output.threshold for output in outputs if output.name == LABEL), None)
        if threshold is None:
            raise DocumentError(f"the signature's outputs are not those of task {self.name}: {LABEL} has no threshold")
        return BinaryThreshold(threshold)

    def decide(self, raw: Array) -> NDArray[np.int64]:
        """Codes of the labels that are the answers, int64 [rows]."""
        return (raw[:, 1] >= self.threshold).astype(np.int64)


BINARY_THRESHOLD = BinaryThreshold()


def best_f1_threshold(positive: NDArray[np.float32], true: NDArray[np.int64], weights: Weights | None = None) -> float:
    """The threshold with the highest F1 of the second class, half-way between the probabilities around it.

    Of several that are equally good the one nearest to 0.5 is taken.

    Args:
        positive: probabilities of the second class [rows].
        true: class codes [rows], of which at least one is 1.
        weights: how much each row counts.
    """
    heavy = np.ones(len(true)) if weights is None else weights
    scores, place = np.unique(positive.astype(np.float64), return_inverse=True)
    taken = np.cumsum(np.bincount(place, weights=heavy)[::-1])[::-1]
    hits = np.cumsum(np.bincount(place, weights=heavy * (true == 1))[::-1])[::-1]
    f1 = 2 * hits / (taken + float(heavy[true == 1].sum()))
    between = np.concatenate([[scores[0] / 2], (scores[:-1] + scores[1:]) / 2])
    best = np.flatnonzero(f1 >= f1.max() * (1 - 1e-12))
    return float(between[best[np.abs(between[best] - 0.5).argmin()]])
