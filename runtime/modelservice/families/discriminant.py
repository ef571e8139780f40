"""Linear discriminant analysis (Fisher, 1936) for those who blend: classes as normal clouds of one common shape.

Where rows are few it is surer of the plane between two classes than logistic regression, which looks only at rows
near it. The common covariance is shrunk as Ledoit and Wolf advise (A well-conditioned estimator for large-dimensional
covariance matrices, 2004), so that there may be more features than rows.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.covariance import ledoit_wolf
from threadpoolctl import threadpool_limits

from modelservice.contract.progress import Progress
from modelservice.families.base import Observer
from modelservice.families.heads import head_of
from modelservice.families.linear import LinearModel
from modelservice.modalities.base import Features, Groups

MAX_INPUTS = 500
"""Features up to which it is worth its time, which grows with their cube."""
_LEAST_VARIANCE = 1e-3
"""Within classes, over that of all rows: a feature that is constant in each class decides, but not alone."""

Floats = NDArray[np.float64]


def fit_discriminant(
    settings: None,  # noqa: ARG001 - a ``component.Fit``
    features: Features,
    values: NDArray[Any],
    *,
    classes: int,
    seed: int,  # noqa: ARG001 - nothing is drawn
    observe: Observer,
    weights: Floats | None = None,
    groups: Groups | None = None,  # noqa: ARG001 - nothing is held back
) -> LinearModel:
    """Fit the discriminant of classes; see ``component.Fit``."""
    rows = features.astype(np.float64)
    heavy = np.ones(len(rows)) if weights is None else weights
    belongs = np.where(values[:, np.newaxis] == np.arange(classes), heavy[:, np.newaxis], 0.0)
    counts = belongs.sum(axis=0)
    center = np.average(rows, axis=0, weights=heavy)
    spread = np.sqrt(np.average(np.square(rows - center), axis=0, weights=heavy))
    scaled = (rows - center) / np.where(spread > 0, spread, 1)
    # Several threads wait for each other while others keep the machine busy, and give other last bits.
    with threadpool_limits(1, user_api="blas"):
        # A class whose rows all weigh nothing stands in the middle of all.
        means = belongs.T @ scaled / np.maximum(counts, np.finfo(np.float64).tiny)[:, np.newaxis]
        covariance, _ = ledoit_wolf((scaled - means[values]) * np.sqrt(heavy)[:, np.newaxis], assume_centered=True)
        directions = np.linalg.solve(covariance + _LEAST_VARIANCE * np.eye(len(covariance)), means.T).T
    priors = np.log((counts + 1) / (counts + 1).sum())
    offsets = priors - (directions * means).sum(axis=1) / 2
    directions = directions / np.where(spread > 0, spread, 1)
    offsets = offsets - directions @ center
    observe(Progress(done=1, total=1))
    if classes == 2:  # noqa: PLR2004 - two classes need one logit
        directions, offsets = directions[1:] - directions[:1], offsets[1:] - offsets[:1]
    return LinearModel(weights=directions.T, offsets=offsets, head=head_of(values, classes=classes))
