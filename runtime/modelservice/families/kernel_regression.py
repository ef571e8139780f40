"""Kernel ridge regression whose width and penalty are those with the best leave-one-out predictions.

Classes are learned by regression on their codes, -1 and 1, whose scores become probabilities by a temperature that is
fitted on the same leave-one-out predictions.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from modelservice.contract.estimators import KernelRidge
from modelservice.contract.progress import Progress
from modelservice.families.architecture import PlainHead, Scale, Sigmoid, Softmax
from modelservice.families.base import Observer
from modelservice.families.heads import head_of, raw_outputs
from modelservice.families.kept_back import held_together, parts_kept_back
from modelservice.families.leave_one_out import Rbf, Solution, solve_all, solve_landmarks, solve_landmarks_apart
from modelservice.families.onnx_graph import Graph
from modelservice.families.temperature import fit_factor
from modelservice.modalities.base import Features, Groups
from modelservice.tasks.base import Array

_EXACT = 2000
"""Rows up to which every row is a vector of the model: its cost grows with the cube of them."""
_ROWS_FOR_GAMMA = 1000
"""Rows, drawn by the seed, on which the width of the kernel is chosen."""
_GAMMAS = tuple(2.0**power for power in range(-6, 3))
"""Of the kernel, over the mean squared distance of two rows."""
_PENALTIES = tuple(10.0 ** (power / 2) for power in range(-10, 5))
_CLIP = 3.0
"""Where numbers begin to be squeezed; none comes further than this."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class RobustScale:
    """Numbers around the median in units of the interquartile range, squeezed into (-3, 3) by x / sqrt(1 + (x/3)^2).

    A number far out moves a row no further than 3 (Holzmueller et al., Better by default, 2024). ``median`` and
    ``range`` are [width].
    """

    median: Floats
    range: Floats

    def __call__(self, features: Features) -> Floats:
        """Rows [rows, width], in float64."""
        x = (features.astype(np.float64) - self.median) / self.range
        return np.asarray(x / np.sqrt(1 + np.square(x / _CLIP)))

    def append_to(self, graph: Graph) -> None:
        """Nodes from the newest value, float32 rows, to float64."""
        shifted = graph.add("Sub", graph.to_float64(), graph.constant("median", self.median[np.newaxis]))
        x = graph.add("Div", shifted, graph.constant("range", self.range[np.newaxis]))
        part = graph.add("Div", x, graph.constant("clip", np.array([[_CLIP]])))
        squared = graph.add("Mul", part, part)
        graph.add("Div", x, graph.add("Sqrt", graph.add("Add", squared, graph.constant("unit", np.array([[1.0]])))))


@dataclass(frozen=True, kw_only=True, eq=False)
class KernelMachine:
    """A fitted kernel ridge regression; a ``Component``: ``kernel(scale(x), vectors) @ dual + offsets``.

    Attributes:
        scale: of the features.
        kernel: of two rows.
        vectors: scaled rows that were learned [vectors, width].
        dual: [vectors, outputs].
        offsets: [outputs].
        head: what makes raw outputs of it.
    """

    scale: RobustScale
    kernel: Rbf
    vectors: Floats
    dual: Floats
    offsets: Floats
    head: PlainHead

    @property
    def width(self) -> int:
        """See ``Component``."""
        return self.head.width(len(self.offsets))

    @property
    def parameters(self) -> int:
        """See ``Component``."""
        scales = self.scale.median.size + self.scale.range.size
        return scales + self.vectors.size + self.dual.size + self.offsets.size

    def predict(self, features: Features) -> Array:
        """See ``Component``."""
        scores = self.kernel(self.scale(features), self.vectors) @ self.dual + self.offsets
        return np.asarray(raw_outputs(self.head, scores), dtype=np.float32)

    def append_to(self, graph: Graph) -> str:
        """See ``Component``."""
        self.scale.append_to(graph)
        graph.add_rbf(self.vectors, self.kernel.gamma)
        graph.add_linear(self.dual, self.offsets)
        graph.add_head(self.head)
        return graph.value


class _Goal(NamedTuple):
    """What is learned: ``targets`` [rows, outputs] around 0 with their ``offsets``; ``codes`` are None for numbers.

    ``groups`` are left out together, None where each row is alone; see ``held_together``.
    """

    targets: Floats
    offsets: Floats
    codes: NDArray[np.int64] | None
    weights: Floats
    groups: Groups | None

    def of(self, rows: NDArray[np.int64]) -> "_Goal":
        codes = None if self.codes is None else self.codes[rows]
        groups = None if self.groups is None else self.groups[rows]
        return _Goal(self.targets[rows], self.offsets, codes, self.weights[rows], groups)

    def solved(self, kernel: Rbf, rows: Floats, penalties: tuple[float, ...]) -> Iterator[Solution]:
        """See ``solve_all``."""
        return solve_all(kernel, rows, self.targets, self.weights, penalties, groups=self.groups)


class _Choice(NamedTuple):
    """A solution, its loss on rows that were left out, and the factor of its scores; None for numbers."""

    loss: float
    gamma: float
    factor: float
    solution: Solution


def fit_kernel_ridge(
    settings: KernelRidge,
    features: Features,
    values: NDArray[Any],
    *,
    classes: int,
    seed: int,
    observe: Observer,
    weights: Floats | None = None,
    groups: Groups | None = None,
) -> KernelMachine:
    """Choose width and penalty, and learn from all rows; see ``component.Fit``.

    Rows of one of the ``groups``, see ``Side``, are left out together.
    """
    head = head_of(values, classes=classes)
    goal = _goal(values, head, classes=classes, weights=weights, groups=groups)
    scale = _measure(features)
    rows = scale(features)
    generator = np.random.default_rng(seed)
    penalties = (settings.penalty,) if settings.penalty else _PENALTIES
    # Several threads wait for each other while others keep the machine busy, and give other last bits.
    with threadpool_limits(1 if len(rows) <= _EXACT else None, user_api="blas"):
        gamma = settings.gamma or _best_gamma(rows, goal, penalties, generator, observe)
        kernel = Rbf(gamma=gamma)
        if len(rows) <= _EXACT:
            vectors, solutions, measured = rows, goal.solved(kernel, rows, penalties), goal
        else:
            vectors = rows[np.sort(generator.choice(len(rows), settings.landmarks, replace=False))]
            given = (kernel, rows, goal.targets, goal.weights, penalties)
            together = goal.groups
            parts = [] if together is None else parts_kept_back(values, classes=classes, groups=together, seed=seed)
            if parts:
                solutions = iter(solve_landmarks_apart(*given, landmarks=vectors, held=parts[0]))
            else:
                solutions = iter(solve_landmarks(*given, landmarks=vectors))
            measured = goal.of(parts[0]) if parts else goal
        best = _best(gamma, solutions, measured)
    observe(Progress(done=len(_GAMMAS) + 1, total=len(_GAMMAS) + 1))
    return KernelMachine(
        scale=scale,
        kernel=kernel,
        vectors=vectors,
        dual=best.solution.dual * best.factor,
        offsets=goal.offsets * best.factor,
        head=head,
    )


def choose_gamma(
    settings: KernelRidge,
    features: Features,
    values: NDArray[Any],
    *,
    classes: int,
    seed: int,
    observe: Observer,
    weights: Floats | None = None,
    groups: Groups | None = None,
) -> float:
    """The width of the kernel that ``fit_kernel_ridge`` would choose."""
    goal = _goal(values, head_of(values, classes=classes), classes=classes, weights=weights, groups=groups)
    penalties = (settings.penalty,) if settings.penalty else _PENALTIES
    with threadpool_limits(1 if len(values) <= _EXACT else None, user_api="blas"):
        rows = _measure(features)(features)
        return _best_gamma(rows, goal, penalties, np.random.default_rng(seed), observe)


def _goal(
    values: NDArray[Any], head: PlainHead, *, classes: int, weights: Floats | None, groups: Groups | None
) -> _Goal:
    groups = held_together(values, classes=classes, groups=groups)
    weights = np.ones(len(values)) if weights is None else weights
    codes = None
    match head:
        case Scale():
            targets = ((values - head.mean) / head.std)[:, np.newaxis]
        case Sigmoid():
            codes, targets = values, np.where(values[:, np.newaxis] == 1, 1.0, -1.0)
        case Softmax():
            codes, targets = values, np.where(values[:, np.newaxis] == np.arange(classes), 1.0, -1.0)
    offsets = np.average(targets, axis=0, weights=weights)
    return _Goal(targets - offsets, offsets, codes, weights, groups)


def _measure(features: Features) -> RobustScale:
    """Median and interquartile range; where that is 0, half the range from the smallest to the largest."""
    low, median, high = np.percentile(features.astype(np.float64), (25, 50, 75), axis=0)
    reach = np.ptp(features.astype(np.float64), axis=0) / 2
    spread = np.where(high > low, high - low, np.where(reach > 0, reach, 1.0))
    return RobustScale(median=median, range=spread)


def _best_gamma(
    rows: Floats, goal: _Goal, penalties: tuple[float, ...], generator: np.random.Generator, observe: Observer
) -> float:
    """The width with the best leave-one-out predictions at its best penalty."""
    if len(rows) > _ROWS_FOR_GAMMA:
        chosen = np.sort(generator.choice(len(rows), _ROWS_FOR_GAMMA, replace=False))
        rows, goal = rows[chosen], goal.of(chosen)
    # Of two rows, on the mean; 0 where all are the same.
    distance = 2 * float(rows.var(axis=0).sum()) or 1.0
    found: list[_Choice] = []
    for done, share in enumerate(_GAMMAS):
        observe(Progress(done=done, total=len(_GAMMAS) + 1))
        gamma = share / distance
        found.append(_best(gamma, goal.solved(Rbf(gamma=gamma), rows, penalties), goal))
    return min(found, key=lambda choice: choice.loss).gamma


def _best(gamma: float, solutions: Iterable[Solution], goal: _Goal) -> _Choice:
    """The solution whose left-out predictions are best: cross-entropy after temperature for classes, else squares."""

    def judge(solution: Solution) -> _Choice:
        if goal.codes is None:
            squares = np.square(solution.left_out - goal.targets).mean(axis=1)
            return _Choice(float(np.average(squares, weights=goal.weights)), gamma, 1.0, solution)
        scores = solution.left_out + goal.offsets
        if scores.shape[1] == 1:
            scores = np.concatenate([np.zeros_like(scores), scores], axis=1)
        factor, loss = fit_factor(scores, goal.codes, goal.weights)
        return _Choice(loss, gamma, factor, solution)

    return min((judge(solution) for solution in solutions), key=lambda choice: choice.loss)
