"""Random forests (Breiman, Random forests, 2001) fitted by scikit-learn, as a sum of trees."""

import math
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

from modelservice.contract.estimators import RandomForest
from modelservice.contract.progress import Progress
from modelservice.families.architecture import Scale
from modelservice.families.base import Observer
from modelservice.families.heads import measure_scale
from modelservice.families.onnx_graph import Graph
from modelservice.families.tree_ensemble import MAX_NODES, TreeEnsemble, check_size, grown_tree
from modelservice.modalities.base import Features, Groups
from modelservice.tasks.base import Array

_CHUNK = 20
"""Trees that are grown between two looks at their size."""
_SHARE_FOR_NUMBERS = 1 / 3
"""Of the features, for each split of a regression (Breiman, 2001, advises the same)."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Forest:
    """A fitted forest; a ``Component``.

    Attributes:
        estimator: of scikit-learn; a regressor of the standardised number.
        prior: for classes, their shares [classes], which count as one more tree: what no tree has a row for gets a
            small probability, and not 0.
        scale: gives numbers their unit back, None for classes.
    """

    estimator: Any
    prior: Floats
    scale: Scale | None

    @property
    def width(self) -> int:
        """See ``Component``."""
        return len(self.prior)

    @property
    def parameters(self) -> int:
        """See ``Component``."""
        return self._ensemble().parameters

    def predict(self, features: Features) -> Array:
        """See ``Component``."""
        if self.scale is None:
            trees = len(self.estimator.estimators_)
            raw = (self.estimator.predict_proba(features) * trees + self.prior) / (trees + 1)
        else:
            raw = self.estimator.predict(features)[:, np.newaxis] * self.scale.std + self.scale.mean
        return np.asarray(raw, dtype=np.float32)

    def append_to(self, graph: Graph) -> str:
        """See ``Component``."""
        self._ensemble().append_to(graph)
        if self.scale is not None:
            graph.add_head(self.scale)
        return graph.value

    def _ensemble(self) -> TreeEnsemble:
        grown = [one.tree_ for one in self.estimator.estimators_]
        votes = len(grown) + (self.scale is None)
        return TreeEnsemble(trees=tuple(grown_tree(one, votes=votes) for one in grown), offsets=self.prior / votes)


def fit_forest(
    settings: RandomForest,
    features: Features,
    values: NDArray[Any],
    *,
    classes: int,
    seed: int,
    observe: Observer,
    weights: Floats | None = None,
    groups: Groups | None = None,  # noqa: ARG001 - nothing is held back
) -> Forest:
    """Grow a forest; see ``component.Fit``.

    Raises:
        StageError: it is too large to be served.
    """
    if classes:
        share: Any = settings.max_features or "sqrt"
        counts = np.bincount(values, weights=weights, minlength=classes) + 1.0
        scale, learned, prior = None, values, counts / counts.sum()
    else:
        share = settings.max_features or _SHARE_FOR_NUMBERS
        scale = measure_scale(values)
        # On the standardised target: scikit-learn takes a variance under 2.2e-16 for none.
        learned, prior = (values - scale.mean) / scale.std, np.zeros(1)
    estimator = (RandomForestClassifier if classes else RandomForestRegressor)(
        max_depth=settings.max_depth,
        min_samples_leaf=settings.min_samples_leaf or default_leaf(rows=len(values), trees=settings.trees),
        max_features=share,
        random_state=seed,
        warm_start=True,
        n_jobs=-1,
    )
    _grow(estimator, (features, learned, weights), trees=settings.trees, observe=observe)
    # In one thread, since several add the trees up in any order, and so in other last bits.
    return Forest(estimator=estimator.set_params(n_jobs=1), prior=prior, scale=scale)


def default_leaf(*, rows: int, trees: int) -> int:
    """Fewest rows of a leaf with which trees stay under half of ``MAX_NODES``, even where there is only noise."""
    return max(1, math.ceil(2 * rows * trees / MAX_NODES))


def _grow(estimator: Any, rows: tuple[Any, ...], *, trees: int, observe: Observer) -> None:
    """Grow the trees a few at a time; they are the same as if they were grown at once."""
    observe(Progress(done=0, total=trees))
    for done in (*range(_CHUNK, trees, _CHUNK), trees):
        # Threads of scikit-learn set the filters of warnings and put them back in any order: none may be left, and it
        # warns of that in each further fit of this process.
        with warnings.catch_warnings():
            estimator.set_params(n_estimators=done).fit(*rows)
        sizes = [one.tree_.node_count for one in estimator.estimators_]
        check_size(sizes, family="randomForest", remedy="set maxDepth, a larger minSamplesLeaf or fewer trees")
        observe(Progress(done=done, total=trees))
