"""What the families of scikit-learn share: the fit."""

import warnings
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import onnx
import sklearn
from sklearn.exceptions import ConvergenceWarning

from modelservice.contract.progress import Progress
from modelservice.families.base import Fitted, Observer
from modelservice.families.fit_rows import FitRows, fit_rows
from modelservice.modalities.base import Dataset, Features
from modelservice.tasks.base import Array


class Export(Protocol):
    """Writes a fitted estimator as ``model.onnx``."""

    def __call__(self, estimator: Any, *, shape: tuple[int, ...], width: int) -> bytes:
        """Write it.

        Args:
            estimator: a classifier of the classes 0 to ``width`` - 1, or a regressor.
            shape: of a row.
            width: raw outputs.
        """


Learn = Callable[[Any, FitRows], None]
"""Fits an estimator."""


def learn_plainly(estimator: Any, rows: FitRows) -> None:
    """By its own ``fit``."""
    estimator.fit(rows.features, rows.values, sample_weight=rows.weights)


def fit_estimator(
    estimator: Any,
    dataset: Dataset,
    *,
    export: Export,
    parameters: Callable[[Any], int],
    observe: Observer,
    learn: Learn = learn_plainly,
    remedy: str = "",
) -> Fitted:
    """Fit an estimator.

    Args:
        estimator: of scikit-learn, with its random state set.
        dataset: the rows.
        export: writes the fitted estimator as ``model.onnx``.
        parameters: counts those of the fitted estimator.
        observe: is told of the begin and the end.
        learn: fits it.
        remedy: of an estimator that iterates: what to do if it did not converge, as the end of a sentence.

    Raises:
        DataError: see ``fit_rows``.
    """
    rows = fit_rows(dataset)
    observe(Progress(done=0, total=1))
    notes = _fit_noting(estimator, rows, learn, remedy)
    classifies = bool(dataset.labels)
    content = export(estimator, shape=dataset.shape, width=len(dataset.labels) if classifies else 1)
    observe(Progress(done=1, total=1))

    def predict(features: Features) -> Array:
        raw = estimator.predict_proba(features) if classifies else estimator.predict(features)[:, np.newaxis]
        return np.asarray(raw, dtype=np.float32)

    return Fitted(
        onnx=content,
        predict=predict,
        parameters=parameters(estimator),
        libraries=libraries(),
        notes=notes,
    )


def _fit_noting(estimator: Any, rows: FitRows, learn: Learn, remedy: str) -> tuple[str, ...]:
    """Fit, and say in a sentence if the estimator stopped before it converged."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ConvergenceWarning)
        learn(estimator, rows)
    if any(issubclass(warning.category, ConvergenceWarning) for warning in caught):
        return (f"the fit stopped before it converged: {remedy}",)
    return ()


def libraries() -> dict[str, str]:
    """Versions of what decides the result, by name."""
    return {"scikit-learn": str(sklearn.__version__), "onnx": str(onnx.__version__)}
