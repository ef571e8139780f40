"""What each part of a row adds to a model's answer: Shapley values, and occlusion.

A coalition is a set of parts that are shown, while the others are hidden. The Shapley value of a part is what it adds
when it joins, on average over all orders in which parts can join. What all add together is what the answer differs by,
up to rounding: each order begins with all hidden and ends with the row. By occlusion a part adds what is lost where it
alone is hidden: one evaluation for each part, and no sum, since what two parts say alike neither loses alone.

Sources: L. S. Shapley, "A value for n-person games" (1953); sampled orders after J. Castro et al., "Polynomial
calculation of the Shapley value based on sampling" (2009); each order together with its reverse, which cancels what is
odd in both, after R. Mitchell et al., "Sampling permutations for Shapley value estimation" (2022); occlusion after
M. Zeiler and R. Fergus, "Visualizing and understanding convolutional networks" (2014).
"""

from math import comb
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from modelservice.modalities.parts import Masks

Values = NDArray[np.float64]


SHAPLEY: Final = "Shapley"
OCCLUSION: Final = "Occlusion"


class Plan(Protocol):
    """The coalitions to ask the model, and what follows from its answers.

    Attributes:
        method: its name.
        exact: whether all coalitions are asked that the method is made of.
        size: how many coalitions there are.
        masks: the coalitions.
        none: which of them has no part.
        whole: which has all: the explained row itself.
    """

    method: str
    exact: bool
    size: int
    none: int
    whole: int

    @property
    def masks(self) -> Masks:
        """See above."""

    def contributions(self, values: Values) -> Values:
        """Answers float64 [rows, coalitions] to what parts add float64 [rows, parts]."""


def plan(columns: int, *, evaluations: int, seed: int) -> Plan:
    """For Shapley values: all coalitions, where these are few enough, or those of as many orders as there may be.

    Args:
        columns: how many parts there are, at least one.
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


def plan_occlusion(parts: int, *, evaluations: int) -> Plan:
    """For occlusion: each part hidden alone.

    Raises:
        ValueError: these are more than ``evaluations``; says how many there are.
    """
    if parts + 2 > evaluations:
        raise ValueError(f"at least {parts + 2}")
    return Occluded(parts)


class Exact:
    """All coalitions: number ``i`` has the columns that are the bits of ``i``."""

    method = SHAPLEY
    exact = True

    def __init__(self, columns: int) -> None:
        self._columns = columns
        self._codes = np.arange(2**columns)
        self.none, self.whole = 0, 2**columns - 1
        self.size = 2**columns
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

    method = SHAPLEY
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
        self.size = len(self.masks)
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


class Occluded:
    """None, all, and all but each."""

    method = OCCLUSION
    exact = True
    none, whole = 0, 1

    def __init__(self, parts: int) -> None:
        self.size = parts + 2
        self._parts = parts

    @property
    def masks(self) -> Masks:
        """Made only when they are asked for: there may be too many, which is found out by their number."""
        ends = np.array([[False] * self._parts, [True] * self._parts])
        return np.concatenate([ends, ~np.eye(self._parts, dtype=np.bool_)])

    def contributions(self, values: Values) -> Values:
        """See ``Plan``."""
        return values[:, 1:2] - values[:, 2:]
