"""Shapley values: what each column adds to a model's answer, against a row of reference.

A coalition is a set of columns that are those of the explained row, while the others are those of the reference. The
value of a column is what it adds when it joins, on average over all orders in which columns can join. What all add
together is what the answer differs by, up to rounding: each order begins at the reference and ends at the row.

Sources: L. S. Shapley, "A value for n-person games" (1953); sampled orders after J. Castro et al., "Polynomial
calculation of the Shapley value based on sampling" (2009); each order together with its reverse, which cancels what is
odd in both, after R. Mitchell et al., "Sampling permutations for Shapley value estimation" (2022).
"""

from math import comb
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Masks = NDArray[np.bool_]
"""Coalitions: bool [coalitions, columns], whether a column is that of the explained row."""
Values = NDArray[np.float64]


class Plan(Protocol):
    """The coalitions to ask the model, and what follows from its answers.

    Attributes:
        exact: whether all coalitions are asked.
        masks: the coalitions.
        none: which of them has no column: the reference itself.
        whole: which has all: the explained row itself.
    """

    exact: bool
    masks: Masks
    none: int
    whole: int

    def contributions(self, values: Values) -> Values:
        """Answers float64 [rows, coalitions] to Shapley values float64 [rows, columns]."""


def plan(columns: int, *, evaluations: int, seed: int) -> Plan:
    """All coalitions, where these are few enough, or those of as many orders as there may be.

    Args:
        columns: how many there are, at least one.
        evaluations: most coalitions.
        seed: of the orders.

    Raises:
        ValueError: not even one order and its reverse fit; says how many evaluations do.
    """
    if 2**columns <= evaluations:
        return Exact(columns)
    pairs = (evaluations - 2) // (2 * (columns - 1)) if columns > 1 else 0
    if pairs < 1:
        raise ValueError(f"at least {min(2**columns, 2 * columns)}")
    return Sampled(columns, pairs=pairs, seed=seed)


class Exact:
    """All coalitions: number ``i`` has the columns that are the bits of ``i``."""

    exact = True

    def __init__(self, columns: int) -> None:
        self._columns = columns
        self._codes = np.arange(2**columns)
        self.none, self.whole = 0, 2**columns - 1
        self.masks = np.asarray((self._codes[:, None] >> np.arange(columns)) & 1, dtype=np.bool_)

    def contributions(self, values: Values) -> Values:
        """See ``Plan``."""
        sizes = self.masks.sum(axis=1)
        shares = np.array([1 / (self._columns * comb(self._columns - 1, size)) for size in range(self._columns)])
        found = np.empty((len(values), self._columns))
        for column in range(self._columns):
            without = self._codes[~self.masks[:, column]]
            added = values[:, without | (1 << column)] - values[:, without]
            found[:, column] = added @ shares[sizes[without]]
        return found


class Sampled:
    """Random orders, each with its reverse; the first two coalitions are none and all columns."""

    exact = False
    none, whole = 0, 1

    def __init__(self, columns: int, *, pairs: int, seed: int) -> None:
        random = np.random.default_rng(seed)
        forth = np.array([random.permutation(columns) for _ in range(pairs)])
        self._orders = np.concatenate([forth, forth[:, ::-1]])
        ranks = np.argsort(self._orders, axis=1)
        steps = np.arange(1, columns)
        between = ranks[:, None, :] < steps[None, :, None]
        ends = np.array([[False] * columns, [True] * columns])
        self.masks: Masks = np.concatenate([ends, between.reshape(-1, columns)])
        self._columns = columns

    def contributions(self, values: Values) -> Values:
        """See ``Plan``."""
        rows, orders = len(values), len(self._orders)
        path = np.empty((rows, orders, self._columns + 1))
        path[:, :, 0], path[:, :, -1] = values[:, :1], values[:, 1:2]
        path[:, :, 1:-1] = values[:, 2:].reshape(rows, orders, self._columns - 1)
        found = np.zeros((rows, self._columns))
        for order, added in zip(self._orders, np.diff(path, axis=2).transpose(1, 0, 2), strict=True):
            found[:, order] += added
        return found / orders


def mixed_rows(rows: list[list[Any]], reference: list[Any], masks: Masks) -> list[list[Any]]:
    """The rows of all coalitions, those of the first row first.

    Args:
        rows: to be explained, cells in the order of the columns.
        reference: one row of the same columns.
        masks: the coalitions.
    """
    basis = _cells(reference)
    mixed: list[list[Any]] = []
    for row in rows:
        mixed += np.where(masks, _cells(row), basis).tolist()
    return mixed


def _cells(row: list[Any]) -> NDArray[Any]:
    """As they are: left to itself numpy would make one type of all."""
    cells = np.empty(len(row), dtype=object)
    cells[:] = row
    return cells
