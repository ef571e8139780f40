"""How much each of several models counts in their blend, by what they say of rows that they did not learn.

Stacking with weights that are not negative and add up to 1 (Breiman, Stacked regressions, 1996). Few rows cannot tell
good weights from lucky ones, so the weights are pulled to equal shares, as strongly as ``_PULL`` rows would.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

Floats = NDArray[np.float64]

_PULL = 20.0
_ITERATIONS = 500
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
        counts = (owed * weights).sum(axis=1) + _PULL / models
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
    pull = np.sqrt(_PULL)
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
