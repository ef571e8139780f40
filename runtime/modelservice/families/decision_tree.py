"""``spec.model.decisionTree``: classification and regression trees, by scikit-learn."""

from typing import TYPE_CHECKING, Any

import numpy as np

from modelservice.contract.estimators import DecisionTree
from modelservice.contract.training import Hyperparameters
from modelservice.families.base import TABLES_ONLY, Fitted, Observer
from modelservice.modalities.base import Dataset
from modelservice.training.checkpointing import BEGINS_ANEW, Checkpointing

if TYPE_CHECKING:
    from modelservice.families.fit_rows import FitRows


class Tree:
    """The family ``decisionTree``."""

    name = "decisionTree"

    def unsuited(self, *, modality: str, task: str) -> str | None:  # noqa: ARG002 - a member of the seam
        """It takes tables."""
        return None if modality == "Table" else TABLES_ONLY

    def fit(
        self,
        settings: DecisionTree,
        dataset: Dataset,
        training: Hyperparameters,
        *,
        observe: Observer,
        checkpointing: Checkpointing = BEGINS_ANEW,  # noqa: ARG002 - it has no epochs
    ) -> Fitted:
        """See ``Family.fit``."""
        from sklearn import tree  # noqa: PLC0415 - scikit-learn takes seconds to import

        from modelservice.families.scikit import fit_estimator, learn_plainly  # noqa: PLC0415

        kind = tree.DecisionTreeClassifier if dataset.labels else tree.DecisionTreeRegressor
        return fit_estimator(
            kind(max_depth=settings.max_depth, min_samples_leaf=settings.min_samples_leaf, random_state=training.seed),
            dataset,
            export=_export,
            parameters=_parameters,
            observe=observe,
            learn=learn_plainly if dataset.labels else _learn_numbers,
        )


def _learn_numbers(estimator: Any, rows: "FitRows") -> None:
    """On the standardised target, whose unit the leaves get back.

    scikit-learn takes a variance under 2.2e-16 for none, so a target of some 1e-8 would grow a single leaf.
    """
    from modelservice.families.heads import measure_scale  # noqa: PLC0415

    scale = measure_scale(rows.values)
    estimator.fit(rows.features, (rows.values - scale.mean) / scale.std, sample_weight=rows.weights)
    leaves = estimator.tree_.value
    leaves *= scale.std
    leaves += scale.mean


def _export(estimator: Any, *, shape: tuple[int, ...], width: int) -> bytes:
    """An ``Export``.

    Raises:
        StageError: the tree is too large to be served.
    """
    from modelservice.families.onnx_graph import Graph  # noqa: PLC0415
    from modelservice.families.tree_ensemble import TreeEnsemble, check_size, grown_tree  # noqa: PLC0415

    check_size([estimator.tree_.node_count], family="decisionTree", remedy="set maxDepth, or a larger minSamplesLeaf")
    graph = Graph()
    TreeEnsemble(trees=(grown_tree(estimator.tree_),), offsets=np.zeros(width)).append_to(graph)
    return graph.model(shape=shape, width=width)


def _parameters(estimator: Any) -> int:
    """A feature and a threshold for each split, the values for each leaf."""
    grown = estimator.tree_
    splits = grown.node_count - grown.n_leaves
    return int(2 * splits + grown.n_leaves * grown.value.shape[-1])
