"""Ridge regressions in a kernel's space with the predictions that each row would get if it were left out.

Rows of one group, see ``Side``, are left out together: a copy of a row tells all of it. Rows of another weight count so
often, as in weighted least squares. Nothing is fitted anew for a row: Rifkin and Lippert, Notes on regularized least
squares (2007), show how one decomposition gives all of it, for every penalty.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from modelservice.families.kept_back import rest_of
from modelservice.modalities.base import Groups

Floats = NDArray[np.float64]

_BLOCK = 4096
"""Rows whose kernels with all landmarks are held at once."""
_NULL = 1e-10
"""Share of the largest eigenvalue under which a direction of landmarks says nothing."""


class Solution(NamedTuple):
    """For one penalty: ``dual`` [vectors, outputs], and ``left_out`` [rows, outputs], each row's without itself."""

    dual: Floats
    left_out: Floats


@dataclass(frozen=True, kw_only=True, eq=False)
class Rbf:
    """The kernel exp(-gamma d^2)."""

    gamma: float

    def __call__(self, rows: Floats, vectors: Floats) -> Floats:
        """Rows [n, width] and vectors [m, width] to [n, m]."""
        squares = np.square(rows).sum(axis=1, keepdims=True) + np.square(vectors).sum(axis=1)
        return np.asarray(np.exp(-self.gamma * (squares - 2 * rows @ vectors.T)))


def solve_all(
    kernel: Rbf,
    rows: Floats,
    targets: Floats,
    weights: Floats,
    penalties: tuple[float, ...],
    *,
    groups: Groups | None = None,
) -> Iterator[Solution]:
    """Every row is a vector: ``dual`` solves (K + penalty / weights) dual = targets.

    Args:
        kernel: of two sets of rows.
        rows: [rows, width].
        targets: [rows, outputs], around 0.
        weights: of the rows, above 0.
        penalties: of the squared norm; each gives a solution.
        groups: rows that are left out together; None where each is alone.
    """
    together = [] if groups is None else [places for places in _places(groups) if len(places) > 1]
    roots = np.sqrt(weights)[:, np.newaxis]
    values, vectors = np.linalg.eigh(roots * kernel(rows, rows) * roots.T)
    # Rounding makes the smallest eigenvalues negative.
    values = np.maximum(values, 0)
    turned, squared = vectors.T @ (roots * targets), np.square(vectors)
    for penalty in penalties:
        shrunk = 1 / (values + penalty)
        dual = vectors @ (shrunk[:, np.newaxis] * turned)
        residual = dual / (squared @ shrunk)[:, np.newaxis]
        for places in together:
            some = vectors[places]
            residual[places] = np.linalg.solve((some * shrunk) @ some.T, dual[places])
        yield Solution(dual=roots * dual, left_out=targets - residual / roots)


def solve_landmarks(
    kernel: Rbf, rows: Floats, targets: Floats, weights: Floats, penalties: tuple[float, ...], *, landmarks: Floats
) -> list[Solution]:
    """Some rows are the vectors: the Nystroem approximation (Williams and Seeger, 2001) of ``solve_all``.

    Memory is that of a block of rows and of the landmarks' own kernel, whatever the number of rows.
    """
    values, vectors = np.linalg.eigh(kernel(landmarks, landmarks))
    kept = values > _NULL * values[-1]
    basis = vectors[:, kept] / np.sqrt(values[kept])
    size = basis.shape[1]
    gram, products = np.zeros((size, size)), np.zeros((size, targets.shape[1]))
    for part in _blocks(len(rows)):
        mapped = kernel(rows[part], landmarks) @ basis
        weighed = mapped * weights[part, np.newaxis]
        gram += mapped.T @ weighed
        products += weighed.T @ targets[part]
    values, vectors = np.linalg.eigh(gram)
    values = np.maximum(values, 0)
    turned, basis = vectors.T @ products, basis @ vectors
    shrunk = [1 / (values + penalty) for penalty in penalties]
    left_out = [np.empty_like(targets) for _ in penalties]
    for part in _blocks(len(rows)):
        mapped = kernel(rows[part], landmarks) @ basis
        squared = np.square(mapped) * weights[part, np.newaxis]
        for one, found in zip(shrunk, left_out, strict=True):
            residual = targets[part] - mapped @ (one[:, np.newaxis] * turned)
            leverage = np.minimum(squared @ one, 1 - 1e-9)[:, np.newaxis]
            found[part] = targets[part] - residual / (1 - leverage)
    duals = [basis @ (one[:, np.newaxis] * turned) for one in shrunk]
    return [Solution(dual=dual, left_out=found) for dual, found in zip(duals, left_out, strict=True)]


def solve_landmarks_apart(
    kernel: Rbf,
    rows: Floats,
    targets: Floats,
    weights: Floats,
    penalties: tuple[float, ...],
    *,
    landmarks: Floats,
    held: NDArray[np.int64],
) -> list[Solution]:
    """As ``solve_landmarks`` of all rows, but ``left_out`` are of the rows ``held``, which were left out together."""
    others = rest_of(len(rows), held)
    apart = solve_landmarks(kernel, rows[others], targets[others], weights[others], penalties, landmarks=landmarks)
    duals = np.stack([one.dual for one in apart])
    parts = [kernel(rows[held[part]], landmarks) @ duals for part in _blocks(len(held))]
    every = solve_landmarks(kernel, rows, targets, weights, penalties, landmarks=landmarks)
    pairs = zip(every, np.concatenate(parts, axis=1), strict=True)
    return [Solution(dual=one.dual, left_out=found) for one, found in pairs]


def _places(groups: Groups) -> list[NDArray[np.int64]]:
    """Of each group the places of its rows."""
    order = np.argsort(groups, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(groups[order])) + 1)


def _blocks(rows: int) -> Iterator[slice]:
    return (slice(start, min(start + _BLOCK, rows)) for start in range(0, rows, _BLOCK))
