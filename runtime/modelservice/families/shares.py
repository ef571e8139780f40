"""How much each of several models counts in their blend, by what they say of rows that they did not learn.

Stacking with weights that are not negative and add up to 1 (Breiman, Stacked regressions, 1996). Few rows cannot tell
good weights from lucky ones, so the weights are pulled to equal shares, as strongly as some rows would: by more of them
for numbers, where a few rows that are far off make up most of the squared error.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

Floats = NDArray[np.float64]
Loss = Callable[[Floats], float]
"""Of what a blend says, [rows, width], which is to be small."""

_PULL_OF_CLASSES, _PULL_OF_NUMBERS = 20.0, 50.0
_ITERATIONS = 500
_ROUNDS = 100
"""Of a selection, after each model was taken once."""
_LEAST = 1e-12
_SUM_WEIGHT = 1e4
"""How much heavier than all rows it counts that weights add up to 1."""


def shares_of_classes(probabilities: Floats, weights: Floats) -> Floats:
    """Shares [models] with the least log loss, by expectation maximisation of a mixture with a Dirichlet prior.

    Args:
        probabilities: of the true class, out of fold [models, rows].
        weights: of the rows [rows].
    """
    models = len(probabilities)
    likely = np.maximum(probabilities, _LEAST)
    shares = np.full(models, 1 / models)
    for _ in range(_ITERATIONS):
        owed = shares[:, np.newaxis] * likely
        owed = owed / owed.sum(axis=0)
        counts = (owed * weights).sum(axis=1) + _PULL_OF_CLASSES / models
        shares = counts / counts.sum()
    return shares


def shares_of_numbers(predictions: Floats, values: Floats, weights: Floats) -> Floats:
    """Shares [models] with the least squared error, by non-negative least squares.

    Args:
        predictions: out of fold [models, rows].
        values: true numbers [rows].
        weights: of the rows [rows].
    """
    models = len(predictions)
    roots = np.sqrt(weights)
    errors = (predictions - values) * roots
    # In units of the mean error, so that the pull means the same whatever the target's unit is.
    unit = np.sqrt(np.square(errors).mean()) or 1.0
    pull = np.sqrt(_PULL_OF_NUMBERS)
    # Since shares add up to 1, the blend's error is the blend of errors.
    rows = np.concatenate(
        [
            (errors / unit).T,
            pull * np.eye(models),
            np.full((1, models), _SUM_WEIGHT * roots.sum()),
        ]
    )
    goal = np.concatenate([np.zeros(len(values)), np.full(models, pull / models), [_SUM_WEIGHT * roots.sum()]])
    found, _ = nnls(rows, goal)
    return np.asarray(found / found.sum())


def shares_by_selection(said: Floats, losses: Sequence[Loss]) -> Floats:
    """Shares [models] by what no gradient shows, such as accuracy: greedy selection with replacement.

    Each model is taken once, and then again and again the one with which the blend so far is best (Caruana et al.,
    Ensemble selection from libraries of models, 2004).

    Args:
        said: out of fold [models, rows, width].
        losses: the first decides, the next ones where models are equal.
    """
    counts = np.ones(len(said))
    total = said.sum(axis=0)
    for _ in range(_ROUNDS):
        tried = [(total + one) / (counts.sum() + 1) for one in said]
        best = min(range(len(said)), key=lambda model: tuple(loss(tried[model]) for loss in losses))
        counts[best] += 1
        total = total + said[best]
    return np.asarray(counts / counts.sum())
