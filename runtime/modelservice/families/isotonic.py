"""Isotonic regression: probabilities that rise with those of a model, by rows that it did not learn from.

Each class is told apart from all others (Zadrozny and Elkan, Transforming classifier scores into accurate multiclass
probability estimates, 2002). Of rows in the order of a class's probability the rising steps with the least squared
error are found; between steps it is linear, as scikit-learn does it.
"""

import numpy as np
from numpy.typing import NDArray

from modelservice.families.architecture import Curve

Floats = NDArray[np.float64]


def fit_curves(probabilities: Floats, codes: NDArray[np.int64], weights: Floats | None = None) -> tuple[Curve, ...]:
    """A curve for each class; of two classes one, for the second.

    No value is below 1 / (rows + 2) or above 1 minus that: so many rows cannot tell more, and a row of the other kind
    would cost a loss without end.

    Args:
        probabilities: of rows that the model did not learn from [rows, classes].
        codes: their classes.
        weights: how much each row counts.
    """
    classes = probabilities.shape[1]
    told = range(classes) if classes > 2 else (1,)  # noqa: PLR2004 - the probabilities of two classes are one number
    return tuple(_fit(probabilities[:, code], codes == code, weights) for code in told)


def follow(curves: tuple[Curve, ...], probabilities: Floats) -> Floats:
    """Probabilities [rows, classes] by their curves, divided by their sum."""
    if len(curves) == 1:
        second = np.interp(probabilities[:, 1], curves[0].knots, curves[0].values)
        return np.stack([1 - second, second], axis=1)
    risen = np.stack(
        [np.interp(column, one.knots, one.values) for one, column in zip(curves, probabilities.T, strict=True)], axis=1
    )
    return np.asarray(risen / risen.sum(axis=1, keepdims=True))


def _fit(scores: Floats, true: NDArray[np.bool_], weights: Floats | None) -> Curve:
    from sklearn.isotonic import IsotonicRegression  # noqa: PLC0415 - scikit-learn takes seconds to import

    least = 1 / (len(scores) + 2)
    fitted = IsotonicRegression(y_min=least, y_max=1 - least).fit(scores, true.astype(np.float64), weights)
    knots, values = fitted.X_thresholds_.tolist(), fitted.y_thresholds_.tolist()
    if len(knots) == 1:
        # One score for all rows: the same for any other.
        knots, values = [knots[0], knots[0] + 1], values * 2
    return Curve(knots=tuple(knots), values=tuple(values))
