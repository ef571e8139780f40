"""Support vector machines fitted by scikit-learn, and their ``model.onnx``, written node by node in float64.

Why not by skl2onnx: its operators sum kernels in float32, which at C = 100 is off by 1e-4 and more in probabilities,
and its one-vs-one votes jump where a machine cannot decide. Here each class has a machine against all others, and all
machines share their support vectors, so a kernel is computed once.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.calibration import CalibratedClassifierCV
from sklearn.model_selection import StratifiedKFold
from sklearn.svm import SVC, SVR

from modelservice.contract.estimators import Kernel, SupportVectorMachine
from modelservice.contract.failure import DataError
from modelservice.contract.progress import Progress
from modelservice.families.architecture import PlainHead, Scale, Softmax
from modelservice.families.base import Fitted, Observer
from modelservice.families.fit_rows import FitRows, fit_rows
from modelservice.families.heads import head_of, raw_outputs
from modelservice.families.kept_back import FOLDS, divisions, kept_back, measured_on_learned
from modelservice.families.onnx_graph import Graph
from modelservice.families.scikit import libraries
from modelservice.modalities.base import Dataset, Features, Groups
from modelservice.tasks.base import Array

_KERNELS = {Kernel.LINEAR: "linear", Kernel.RBF: "rbf"}

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Machines:
    """Decision functions of one or several machines, scaled: ``k(x, vectors) @ weights + offsets``.

    Attributes:
        gamma: of the kernel exp(-gamma d^2); None is the linear kernel, whose ``weights`` belong to the features.
        vectors: support vectors of all machines [vectors, width].
        weights: [vectors or width, machines].
        offsets: [machines].
        head: what makes raw outputs of them. Probabilities are sigmoids of the decision functions (Platt, 2000), for
            more than two classes divided by their sum.
    """

    gamma: float | None
    vectors: Floats
    weights: Floats
    offsets: Floats
    head: PlainHead

    @property
    def parameters(self) -> int:
        """Numbers that were fitted."""
        return self.vectors.size + self.weights.size + self.offsets.size

    @property
    def width(self) -> int:
        """Raw outputs."""
        return self.head.width(len(self.offsets))

    def __call__(self, features: Features) -> Array:
        """Encoded rows float32 [rows, width] to raw outputs, in float64 up to the last step."""
        x = features.astype(np.float64)
        if self.gamma is not None:
            squares = np.square(x).sum(axis=1, keepdims=True) + np.square(self.vectors).sum(axis=1)
            x = np.exp(-self.gamma * (squares - 2 * x @ self.vectors.T))
        scores = x @ self.weights + self.offsets
        if isinstance(self.head, Softmax):
            scores = -np.logaddexp(0, -scores)  # see ``machine_graph``
        return np.asarray(raw_outputs(self.head, scores), dtype=np.float32)


def fit(settings: SupportVectorMachine, dataset: Dataset, *, seed: int, observe: Observer) -> Fitted:
    """Fit a machine for each class (one for two classes, or for a number).

    Args:
        settings: what ``spec.model.svm`` says.
        dataset: the rows.
        seed: of the folds that calibrate probabilities.
        observe: is told of each machine.

    Raises:
        DataError: a class has too few rows for calibrated probabilities.
    """
    rows = fit_rows(dataset)
    gamma = settings.gamma or _default_gamma(rows.features)
    kernel = {"kernel": _KERNELS[settings.kernel], "C": settings.c, "gamma": gamma}
    head = head_of(rows.values, classes=len(dataset.labels))
    notes: tuple[str, ...] = ()
    if isinstance(head, Scale):
        found = [_regressor(kernel, rows, head, observe)]
    else:
        found = list(_classifiers(kernel, rows, dataset, seed, observe))
        if turned := sum(one.slope <= 0 for one in found):
            found = _turned_back(found)
            notes = (f"there are too few rows to measure how sure svm may be of {turned} of {len(found)} decisions",)
        if alike := sum(not one.apart for one in found):
            what = f"how sure svm may be of {alike} of {len(found)} decisions"
            notes = (*notes, measured_on_learned(what, classes=len(dataset.labels)))
    machines = _together(found, head, gamma if settings.kernel is Kernel.RBF else None)
    return Fitted(
        onnx=machine_graph(machines, shape=dataset.shape),
        predict=machines,
        parameters=machines.parameters,
        libraries=libraries(),
        notes=notes,
    )


def machine_graph(machines: Machines, *, shape: tuple[int, ...]) -> bytes:
    """``model.onnx``: float64 from the features to the decision functions."""
    graph = Graph()
    graph.to_float64()
    if machines.gamma is not None:
        graph.add_rbf(machines.vectors, machines.gamma)
    graph.add_linear(machines.weights, machines.offsets)
    if isinstance(machines.head, Softmax):
        # A softmax of logarithms of sigmoids divides sigmoids by their sum, and never 0 by 0.
        graph.add("Neg", graph.add("Softplus", graph.add("Neg")))
    graph.add_head(machines.head)
    return graph.model(shape=shape, width=machines.width)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Machine:
    """One fitted machine: decision function ``dual @ k(vectors, x) + intercept``, then ``slope * f + offset``.

    ``apart`` says whether those were measured on groups from which nothing was learned.
    """

    support: NDArray[np.int64]
    vectors: Floats
    dual: Floats
    intercept: float
    slope: float = 1.0
    offset: float = 0.0
    apart: bool = True


def _classifiers(
    kernel: dict[str, Any], rows: FitRows, dataset: Dataset, seed: int, observe: Observer
) -> Iterator[_Machine]:
    codes = [1] if len(dataset.labels) == 2 else list(range(len(dataset.labels)))  # noqa: PLR2004
    counts = np.bincount(rows.values)
    smallest = int(counts.argmin())
    if counts[smallest] < 2:  # noqa: PLR2004
        raise DataError(
            "ClassTooSmall",
            f"{dataset.target} has the class {dataset.labels[smallest]!r} in one row besides the test rows, and svm"
            " measures probabilities on rows that it did not learn from: add rows of it, remove it, or choose"
            " another family",
            field="spec.data.target",
        )
    for done, code in enumerate(codes):
        observe(Progress(done=done, total=len(codes)))
        belongs = rows.values == code
        parts = _parts_apart(belongs, rows.groups, seed)
        calibrated = CalibratedClassifierCV(
            SVC(**kernel),
            method="sigmoid",
            ensemble=False,
            cv=_dealt(belongs, seed) if parts is None else parts,
        ).fit(rows.features, belongs.astype(np.int64), sample_weight=rows.weights)
        (final,) = calibrated.calibrated_classifiers_
        (sigmoid,) = final.calibrators
        # Platt's sigmoid is 1 / (1 + exp(a f + b)).
        machine = _machine(final.estimator, slope=-float(sigmoid.a_), offset=-float(sigmoid.b_))
        yield replace(machine, apart=parts is not None or rows.groups is None)
    observe(Progress(done=len(codes), total=len(codes)))


def _dealt(belongs: NDArray[np.bool_], seed: int) -> StratifiedKFold:
    """Folds of single rows."""
    folds = min(FOLDS, int(belongs.sum()), int((~belongs).sum()))
    return StratifiedKFold(folds, shuffle=True, random_state=seed)


def _parts_apart(
    belongs: NDArray[np.bool_], groups: Groups | None, seed: int
) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]] | None:
    """Rows to learn and to measure by, for each fold of whole groups; None where there are none, or too few of them."""
    count = 0 if groups is None else len(np.unique(groups))
    if count < 2:  # noqa: PLR2004
        return None
    kept = kept_back(belongs.astype(np.int64), members=min(FOLDS, count), seed=seed, groups=groups)
    parts = divisions(kept, rows=len(belongs))
    return parts if all(0 < belongs[learned].mean() < 1 for learned, _ in parts) else None


def _turned_back(found: list[_Machine]) -> list[_Machine]:
    """The machines, none of whose sigmoids falls: such a one has the median of those that rise, or is the plain one.

    Of a handful of rows, each that is held out leaves its class smaller, so that decisions on these rows may be worse
    than none, and a sigmoid that is fitted to them would turn the machine's own decisions around.
    """
    rising = [(one.slope, one.offset) for one in found if one.slope > 0] or [(1.0, 0.0)]
    slope, offset = (float(np.median(values)) for values in zip(*rising, strict=True))
    return [one if one.slope > 0 else replace(one, slope=slope, offset=offset) for one in found]


def _regressor(kernel: dict[str, Any], rows: FitRows, scale: Scale, observe: Observer) -> _Machine:
    observe(Progress(done=0, total=1))
    machine = SVR(**kernel)
    machine.fit(rows.features, (rows.values - scale.mean) / scale.std, sample_weight=rows.weights)
    observe(Progress(done=1, total=1))
    return _machine(machine)


def _machine(fitted: Any, *, slope: float = 1.0, offset: float = 0.0) -> _Machine:
    return _Machine(
        support=fitted.support_.astype(np.int64),
        vectors=fitted.support_vectors_,
        dual=fitted.dual_coef_[0],
        intercept=float(fitted.intercept_[0]),
        slope=slope,
        offset=offset,
    )


def _together(found: list[_Machine], head: PlainHead, gamma: float | None) -> Machines:
    """One matrix of all machines over the vectors that any of them needs."""
    support, first = np.unique(np.concatenate([machine.support for machine in found]), return_index=True)
    vectors = np.concatenate([machine.vectors for machine in found])[first]
    weights = np.zeros((len(support), len(found)))
    for column, machine in enumerate(found):
        weights[np.searchsorted(support, machine.support), column] = machine.dual * machine.slope
    if gamma is None:
        weights, vectors = vectors.T @ weights, vectors[:0]
    offsets = np.array([machine.intercept * machine.slope + machine.offset for machine in found])
    return Machines(gamma=gamma, vectors=vectors, weights=weights, offsets=offsets, head=head)


def _default_gamma(features: Floats) -> float:
    """What scikit-learn calls scale, 1 / (width x variance), of all rows, so that all machines and folds agree."""
    variance = float(features.var())
    return 1.0 / (features.shape[1] * variance) if variance > 0 else 1.0
