"""``spec.model.logistic``: logistic regression, by scikit-learn."""

from typing import Any

from modelservice.contract.model import LogisticRegression
from modelservice.contract.training import Hyperparameters
from modelservice.families.base import TABLES_ONLY, Fitted, Observer
from modelservice.modalities.base import Dataset

_ITERATIONS = 1000


class Logistic:
    """The family ``logistic``."""

    name = "logistic"

    def unsuited(self, *, modality: str, task: str) -> str | None:
        """It takes tables, and tells classes apart."""
        if modality != "Table":
            return TABLES_ONLY
        return "tells classes apart only: choose mlp, svm or decisionTree for numbers" if task == "Regression" else None

    def fit(
        self, settings: LogisticRegression, dataset: Dataset, training: Hyperparameters, *, observe: Observer
    ) -> Fitted:
        """See ``Family.fit``."""
        from sklearn import linear_model  # noqa: PLC0415 - scikit-learn takes seconds to import

        from modelservice.families.scikit import fit_estimator  # noqa: PLC0415

        estimator = linear_model.LogisticRegression(C=settings.c, max_iter=_ITERATIONS, random_state=training.seed)
        remedy = "a smaller spec.model.logistic.c makes it converge sooner"
        return fit_estimator(estimator, dataset, parameters=_parameters, observe=observe, remedy=remedy)


def _parameters(estimator: Any) -> int:
    return int(estimator.coef_.size + estimator.intercept_.size)
