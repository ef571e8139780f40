"""Linear models for those who blend: logistic regression, or ridge regression whose penalty leave-one-out chooses."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, RidgeCV
from threadpoolctl import threadpool_limits

from modelservice.contract.progress import Progress
from modelservice.families.architecture import PlainHead
from modelservice.families.base import Observer
from modelservice.families.heads import head_of, measure_scale, raw_outputs
from modelservice.families.kept_back import divisions, parts_kept_back
from modelservice.families.onnx_graph import Graph
from modelservice.families.sharpness import LEAST
from modelservice.modalities.base import Features, Groups
from modelservice.tasks.base import Array

_PENALTIES = tuple(10.0 ** (power / 2) for power in range(-4, 9))
_STRENGTHS = (0.01, 0.1, 1.0, 10.0, 100.0)
"""Inverse penalties of logistic regression, of which rows that are held back choose."""
_ITERATIONS = 1000
_ITERATIONS_TO_CHOOSE = 200

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


def choose_strength(
    features: Features,
    values: NDArray[Any],
    *,
    classes: int,
    folds: Sequence[NDArray[np.int64]],
    weights: Floats | None = None,
) -> float:
    """The inverse penalty of logistic regression with the least log loss on rows that are held back.

    Args:
        features: encoded rows, float32 [rows, inputs].
        values: class codes int64 [rows].
        classes: their number; 0 is for numbers, whose penalty ``fit_linear`` chooses itself.
        folds: places of the rows that are held back together; each class has a row outside of each.
        weights: how much each row counts [rows].
    """
    if not classes:
        return 1.0
    rows, losses = features.astype(np.float64), np.zeros(len(_STRENGTHS))
    heavy = np.ones(len(rows)) if weights is None else weights
    with threadpool_limits(1, user_api="blas"), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        for others, held in divisions(folds, rows=len(rows)):
            estimator = LogisticRegression(max_iter=_ITERATIONS_TO_CHOOSE, warm_start=True)
            for place, strength in enumerate(_STRENGTHS):
                estimator.set_params(C=strength).fit(rows[others], values[others], heavy[others])
                true = estimator.predict_proba(rows[held])[np.arange(len(held)), values[held]]
                losses[place] -= (heavy[held] * np.log(np.maximum(true, LEAST))).sum()
    return _STRENGTHS[int(losses.argmin())]


def fit_linear(
    settings: float | None,
    features: Features,
    values: NDArray[Any],
    *,
    classes: int,
    seed: int,
    observe: Observer,
    weights: Floats | None = None,
    groups: Groups | None = None,
) -> LinearModel:
    """Fit the linear model of the task; see ``component.Fit``.

    ``settings`` is the inverse penalty of logistic regression, None for 1; that of numbers is chosen here.
    """
    rows = features.astype(np.float64)
    # Several threads wait for each other while others keep the machine busy, and give other last bits.
    with threadpool_limits(1, user_api="blas"):
        if classes:
            estimator = LogisticRegression(C=settings or 1.0, max_iter=_ITERATIONS, random_state=seed).fit(
                rows, values, weights
            )
            head = head_of(values, classes=classes)
            fitted = LinearModel(weights=estimator.coef_.T, offsets=estimator.intercept_, head=head)
        else:
            scale = measure_scale(values)
            ridge = _ridge(values, groups, seed=seed).fit(rows, (values - scale.mean) / scale.std, weights)
            offsets = np.array([float(ridge.intercept_)])
            fitted = LinearModel(weights=ridge.coef_[:, np.newaxis], offsets=offsets, head=scale)
    observe(Progress(done=1, total=1))
    return fitted


def _ridge(values: Floats, groups: Groups | None, *, seed: int) -> Any:
    """A regression whose penalty each row chooses that is left out alone, in closed form; else each fifth of groups."""
    parts = [] if groups is None else parts_kept_back(values, classes=0, groups=groups, seed=seed)
    if not parts:
        return RidgeCV(alphas=_PENALTIES)
    return RidgeCV(alphas=_PENALTIES, scoring="neg_mean_squared_error", cv=divisions(parts, rows=len(values)))
