"""Ridge regressions in a kernel's space with the predictions that each row would get if it were left out.

Rows of another weight count so often, as in weighted least squares. Nothing is fitted anew for a row: Rifkin and
Lippert, Notes on regularized least squares (2007), show how one decomposition gives all of it, for every penalty.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

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
    kernel: Rbf, rows: Floats, targets: Floats, weights: Floats, penalties: tuple[float, ...]
) -> Iterator[Solution]:
    """Every row is a vector: ``dual`` solves (K + penalty / weights) dual = targets.

    Args:
        kernel: of two sets of rows.
        rows: [rows, width].
        targets: [rows, outputs], around 0.
        weights: of the rows, above 0.
        penalties: of the squared norm; each gives a solution.
    """
    roots = np.sqrt(weights)[:, np.newaxis]
    values, vectors = np.linalg.eigh(roots * kernel(rows, rows) * roots.T)
    # Rounding makes the smallest eigenvalues negative.
    values = np.maximum(values, 0)
    turned, squared = vectors.T @ (roots * targets), np.square(vectors)
    for penalty in penalties:
        shrunk = 1 / (values + penalty)
        dual = vectors @ (shrunk[:, np.newaxis] * turned)
        diagonal = squared @ shrunk
        yield Solution(dual=roots * dual, left_out=targets - dual / (roots * diagonal[:, np.newaxis]))


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


def _blocks(rows: int) -> Iterator[slice]:
    return (slice(start, min(start + _BLOCK, rows)) for start in range(0, rows, _BLOCK))
