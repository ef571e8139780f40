"""``spec.model.logistic``: logistic regression, by scikit-learn."""

from typing import Any

from modelservice.contract.estimators import LogisticRegression
from modelservice.contract.training import Hyperparameters
from modelservice.families.architecture import Sigmoid, Softmax
from modelservice.families.base import TABLES_ONLY, Fitted, Observer
from modelservice.modalities.base import Dataset
from modelservice.training.checkpointing import BEGINS_ANEW, Checkpointing

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
        self,
        settings: LogisticRegression,
        dataset: Dataset,
        training: Hyperparameters,
        *,
        observe: Observer,
        checkpointing: Checkpointing = BEGINS_ANEW,  # noqa: ARG002 - it has no epochs
    ) -> Fitted:
        """See ``Family.fit``."""
        from sklearn import linear_model  # noqa: PLC0415 - scikit-learn takes seconds to import

        from modelservice.families.scikit import fit_estimator  # noqa: PLC0415

        return fit_estimator(
            linear_model.LogisticRegression(C=settings.c, max_iter=_ITERATIONS, random_state=training.seed),
            dataset,
            export=logistic_graph,
            parameters=_parameters,
            observe=observe,
            remedy="a smaller spec.model.logistic.c makes it converge sooner",
        )


def logistic_graph(estimator: Any, *, shape: tuple[int, ...], width: int) -> bytes:
    """An ``Export`` with logits in float64.

    skl2onnx's operator adds in float32, which a weak penalty on classes that can be told apart (large coefficients)
    makes too coarse: 1e-5 in probabilities.
    """
    from modelservice.families.onnx_graph import Graph  # noqa: PLC0415

    graph = Graph()
    graph.to_float64()
    graph.add_linear(estimator.coef_.T, estimator.intercept_)
    graph.add_head(Sigmoid() if len(estimator.intercept_) == 1 else Softmax())
    return graph.model(shape=shape, width=width)


def _parameters(estimator: Any) -> int:
    return int(estimator.coef_.size + estimator.intercept_.size)
