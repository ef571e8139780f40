"""Linear models for those who blend: logistic regression, or ridge regression whose penalty leave-one-out chooses."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression, RidgeCV
from threadpoolctl import threadpool_limits

from modelservice.contract.progress import Progress
from modelservice.families.architecture import PlainHead
from modelservice.families.base import Observer
from modelservice.families.heads import head_of, measure_scale, raw_outputs
from modelservice.families.onnx_graph import Graph
from modelservice.modalities.base import Features
from modelservice.tasks.base import Array

_PENALTIES = tuple(10.0 ** (power / 2) for power in range(-4, 9))
_ITERATIONS = 1000

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class LinearModel:
    """A fitted linear model; a ``Component``.

    Attributes:
        weights: [inputs, outputs].
        offsets: [outputs].
        head: what makes raw outputs of them.
    """

    weights: Floats
    offsets: Floats
    head: PlainHead

    @property
    def width(self) -> int:
        """See ``Component``."""
        return self.head.width(len(self.offsets))

    @property
    def parameters(self) -> int:
        """See ``Component``."""
        return self.weights.size + self.offsets.size

    def predict(self, features: Features) -> Array:
        """See ``Component``."""
        scores = features.astype(np.float64) @ self.weights + self.offsets
        return np.asarray(raw_outputs(self.head, scores), dtype=np.float32)

    def append_to(self, graph: Graph) -> str:
        """See ``Component``."""
        graph.to_float64()
        graph.add_linear(self.weights, self.offsets)
        graph.add_head(self.head)
        return graph.value


def fit_linear(
    settings: None,  # noqa: ARG001 - a ``component.Fit``
    features: Features,
    values: NDArray[Any],
    *,
    classes: int,
    seed: int,
    observe: Observer,
    weights: Floats | None = None,
) -> LinearModel:
    """Fit the linear model of the task; see ``component.Fit``."""
    rows = features.astype(np.float64)
    # Several threads wait for each other while others keep the machine busy, and give other last bits.
    with threadpool_limits(1, user_api="blas"):
        if classes:
            estimator = LogisticRegression(max_iter=_ITERATIONS, random_state=seed).fit(rows, values, weights)
            head = head_of(values, classes=classes)
            fitted = LinearModel(weights=estimator.coef_.T, offsets=estimator.intercept_, head=head)
        else:
            scale = measure_scale(values)
            ridge = RidgeCV(alphas=_PENALTIES).fit(rows, (values - scale.mean) / scale.std, weights)
            offsets = np.array([float(ridge.intercept_)])
            fitted = LinearModel(weights=ridge.coef_[:, np.newaxis], offsets=offsets, head=scale)
    observe(Progress(done=1, total=1))
    return fitted
