"""Gradient boosting (Friedman, Greedy function approximation, 2001) over histograms, fitted by scikit-learn.

Why ``HistGradientBoosting``: on 50,000 x 20 it takes a tenth of the time of ``GradientBoosting``, and is better there.
The number of rounds is what decides between too little and too much; it is measured on rows that were held back, and
then all rows are learned.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.model_selection import KFold, StratifiedKFold
from threadpoolctl import threadpool_limits

from modelservice.contract.estimators import GradientBoosting
from modelservice.contract.progress import Progress
from modelservice.families.architecture import OutputHead, Scale
from modelservice.families.base import Observer
from modelservice.families.heads import head_of
from modelservice.families.kept_back import FOLDS, divisions, held_together, parts_kept_back
from modelservice.families.onnx_graph import Graph
from modelservice.families.tree_ensemble import MAX_NODES, Tree, TreeEnsemble, check_size
from modelservice.modalities.base import Features, Groups
from modelservice.tasks.base import Array

_SMALL = 5000
"""Rows up to which each fold is held back once, and trees are small; above, one fold says enough."""
_LEAVES, _LEAVES_OF_MANY_ROWS = 5, 31
_MOST_ROUNDS = 1000
_PATIENCE = 20
"""Rounds without a smaller loss after which a fold is done."""
_FEATURE_SHARE = 0.3
"""Of the features, drawn anew for each split."""
_CELLS_FOR_THREADS = 2**23
"""Rows x features from which several threads are worth it: they meet after each node of a tree, and one that is held
up by other processes holds up all of them. On a busy machine small tables took twenty times as long."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class _Rows:
    """Rows to learn from; ``values`` are class codes or the standardised number."""

    features: Features
    values: NDArray[Any]
    weights: Floats | None

    def __getitem__(self, chosen: NDArray[np.int64]) -> "_Rows":
        weights = None if self.weights is None else self.weights[chosen]
        return _Rows(features=self.features[chosen], values=self.values[chosen], weights=weights)


@dataclass(frozen=True, kw_only=True, eq=False)
class Boosted:
    """A fitted sum of trees; a ``Component``.

    Attributes:
        estimator: of scikit-learn; a regressor of the standardised number.
        head: what makes raw outputs of the sums.
    """

    estimator: Any
    head: OutputHead

    @property
    def width(self) -> int:
        """See ``Component``."""
        return self.head.width(self.estimator.n_trees_per_iteration_)

    @property
    def parameters(self) -> int:
        """See ``Component``."""
        return self._ensemble().parameters

    def predict(self, features: Features) -> Array:
        """See ``Component``."""
        with _threads(features):
            match self.head:
                case Scale(mean=mean, std=std):
                    raw = self.estimator.predict(features)[:, np.newaxis] * std + mean
                case _:
                    raw = self.estimator.predict_proba(features)
        return np.asarray(raw, dtype=np.float32)

    def append_to(self, graph: Graph) -> str:
        """See ``Component``."""
        self._ensemble().append_to(graph)
        graph.add_head(self.head)
        return graph.value

    def _ensemble(self) -> TreeEnsemble:
        # What scikit-learn keeps of the trees has no public name; each graph is checked against the estimator.
        grown = [
            _tree(predictor.nodes, output)
            for round_ in self.estimator._predictors
            for output, predictor in enumerate(round_)
        ]
        return TreeEnsemble(trees=tuple(grown), offsets=self.estimator._baseline_prediction[0].astype(np.float64))


def fit_boosting(
    settings: GradientBoosting,
    features: Features,
    values: NDArray[Any],
    *,
    classes: int,
    seed: int,
    observe: Observer,
    weights: Floats | None = None,
    groups: Groups | None = None,
) -> Boosted:
    """Choose the number of rounds, and learn from all rows; see ``component.Fit``.

    Rows of one of the ``groups``, see ``Side``, are held back together.

    Raises:
        StageError: so many rounds make a model that is too large to be served.
    """
    head = head_of(values, classes=classes)
    rows = _rows(features, values, head, weights)
    folds = [] if settings.rounds else _folds(rows, classes=classes, groups=groups, seed=seed)
    rounds = settings.rounds or choose_rounds(
        settings, features, values, classes=classes, folds=folds, seed=seed, observe=observe, weights=weights
    )
    steps = len(folds) + 1
    observe(Progress(done=steps - 1, total=steps))
    estimator = _fit(_plain(settings, rows, seed=seed), rows, classes=classes, rounds=rounds)
    sizes = [len(predictor.nodes) for round_ in estimator._predictors for predictor in round_]
    check_size(sizes, family="gradientBoosting", remedy="set fewer rounds, or a smaller maxLeaves")
    observe(Progress(done=steps, total=steps))
    return Boosted(estimator=estimator, head=head)


def choose_rounds(
    settings: GradientBoosting,
    features: Features,
    values: NDArray[Any],
    *,
    classes: int,
    folds: Sequence[NDArray[np.int64]],
    seed: int,
    observe: Observer,
    weights: Floats | None = None,
) -> int:
    """The number of rounds with the least loss on rows that are held back, on the mean over the folds.

    Args:
        settings: of the trees.
        features: encoded rows, float32 [rows, inputs].
        values: class codes int64 [rows], or numbers float64 [rows].
        classes: number of classes, 0 for numbers.
        folds: places of the rows that are held back together; none where the rows are too few.
        seed: of all that is drawn.
        observe: is told of each fold.
        weights: how much each row counts, 1 on the mean [rows].
    """
    rows = _rows(features, values, head_of(values, classes=classes), weights)
    plain = _plain(settings, rows, seed=seed)
    trees = classes if classes > 2 else 1  # noqa: PLR2004 - two classes need one logit
    most = min(_MOST_ROUNDS, max(1, MAX_NODES // (2 * plain["max_leaf_nodes"] * trees)))
    curves: list[Floats] = []
    for done, (learned, held) in enumerate(divisions(folds, rows=len(values))):
        observe(Progress(done=done, total=len(folds) + 1))
        estimator = _fit(plain, rows[learned], classes=classes, rounds=most, held=rows[held])
        curves.append(-estimator.validation_score_)
    if not curves:
        return 1
    longest = max(map(len, curves))
    mean = np.mean([np.pad(curve, (0, longest - len(curve)), mode="edge") for curve in curves], axis=0)
    # The first loss is that before any round.
    return max(1, int(mean.argmin()))


def _rows(features: Features, values: NDArray[Any], head: OutputHead, weights: Floats | None) -> _Rows:
    learned = (values - head.mean) / head.std if isinstance(head, Scale) else values
    return _Rows(features=features, values=learned, weights=weights)


def _plain(settings: GradientBoosting, rows: _Rows, *, seed: int) -> dict[str, Any]:
    """What scikit-learn calls the settings of the trees."""
    return {
        "learning_rate": settings.learning_rate,
        "max_leaf_nodes": settings.max_leaves or (_LEAVES if len(rows.values) <= _SMALL else _LEAVES_OF_MANY_ROWS),
        "min_samples_leaf": settings.min_samples_leaf,
        "max_features": _FEATURE_SHARE,
        "random_state": seed,
    }


def _fit(plain: dict[str, Any], rows: _Rows, *, classes: int, rounds: int, held: _Rows | None = None) -> Any:
    """An estimator of so many rounds, or fewer where the loss on the rows that are held back does not fall any more."""
    estimator = (HistGradientBoostingClassifier if classes else HistGradientBoostingRegressor)(
        **plain, max_iter=rounds, early_stopping=held is not None, n_iter_no_change=_PATIENCE, tol=0
    )
    validation: dict[str, Any] = {}
    if held is not None:
        validation = {"X_val": held.features, "y_val": held.values, "sample_weight_val": held.weights}
    with _threads(rows.features):
        return estimator.fit(rows.features, rows.values, rows.weights, **validation)


def _folds(rows: _Rows, *, classes: int, groups: Groups | None, seed: int) -> list[NDArray[np.int64]]:
    """Parts of the rows, each held back once: of groups, see ``held_together``; none where rows are too few."""
    groups = held_together(rows.values, classes=classes, groups=groups)
    parts = [] if groups is None else parts_kept_back(rows.values, classes=classes, groups=groups, seed=seed)
    parts = parts or _single_rows(rows.values, classes=classes, seed=seed)
    return parts if len(rows.values) <= _SMALL else parts[:1]


def _single_rows(values: NDArray[Any], *, classes: int, seed: int) -> list[NDArray[np.int64]]:
    """Classes of fewer rows than there are folds are always learned, for a held row's class must be known."""
    counts = np.bincount(values) if classes else np.array([len(values)])
    folds = min(FOLDS, int(counts.max()))
    held = np.flatnonzero(counts[values] >= folds) if classes else np.arange(len(values))
    if folds < 2:  # noqa: PLR2004
        return []
    splitter = (StratifiedKFold if classes else KFold)(folds, shuffle=True, random_state=seed)
    return [held[test] for _, test in splitter.split(held, values[held])]


def _threads(features: Features) -> AbstractContextManager[Any]:
    """One thread for small tables."""
    return threadpool_limits(1, user_api="openmp") if features.size < _CELLS_FOR_THREADS else nullcontext()


def _tree(nodes: NDArray[Any], output: int) -> Tree:
    """A tree of scikit-learn; its leaves hold the learning rate already."""
    return Tree(
        leaf=nodes["is_leaf"].astype(np.bool_),
        feature=nodes["feature_idx"].astype(np.int64),
        threshold=nodes["num_threshold"],
        left=nodes["left"].astype(np.int64),
        right=nodes["right"].astype(np.int64),
        missing_left=nodes["missing_go_to_left"].astype(np.bool_),
        values=nodes["value"][:, np.newaxis],
        targets=(output,),
        rows=nodes["count"].astype(np.float64),
    )
