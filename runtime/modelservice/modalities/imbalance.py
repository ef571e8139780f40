"""What is learned from where classes are of different sizes; what is measured stays as it is."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

import numpy as np

from modelservice.contract.metric_names import KnownMetric
from modelservice.contract.task import Imbalance
from modelservice.modalities.base import Dataset, Side, together


def by_class_weight(dataset: Dataset) -> Dataset:
    """The dataset with all classes equally heavy among training and validation rows together.

    A row counts by ``rows / (classes x rows of its class)`` (King and Zeng, 2001; scikit-learn's "balanced"), times its
    own weight where it has one; rows are then added up by their weights.
    """
    learned = together(dataset.train, dataset.validation)
    heavy = np.ones(len(learned.values)) if learned.weights is None else learned.weights
    sizes = np.bincount(learned.values, weights=heavy, minlength=len(dataset.labels))
    factors = heavy.sum() / (len(sizes) * sizes)

    def weighed(side: Side) -> Side:
        own = np.ones(len(side.values)) if side.weights is None else side.weights
        return replace(side, weights=own * factors[side.values])

    listed = ", ".join(f"{label} by {factor:.3g}" for label, factor in zip(dataset.labels, factors, strict=True))
    said = f"classes count alike in training, {listed}"
    notes = (*dataset.notes, said)
    return replace(dataset, train=weighed(dataset.train), validation=weighed(dataset.validation), notes=notes)


REMEDIES: Final[Mapping[Imbalance, Callable[[Dataset], Dataset]]] = {
    Imbalance.NONE: lambda dataset: dataset,
    Imbalance.CLASS_WEIGHT: by_class_weight,
}
"""What a family learns from, by ``spec.task.classification.imbalance``."""
JUDGED_BY: Final[Mapping[Imbalance, KnownMetric | None]] = {
    Imbalance.NONE: None,
    Imbalance.CLASS_WEIGHT: KnownMetric.BALANCED_ACCURACY,
}
"""By what two models are compared where nobody says it: classes are as heavy as they were in training.

None stands for the primary metric.
"""
