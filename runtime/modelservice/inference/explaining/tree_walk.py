"""The paths of rows through trees, and what each column adds on them.

A node's expected answer is the mean over the rows of training that came to it. A row goes from a root, whose expected
answer is that of all rows, to a leaf, whose one is the tree's answer; each condition on the way changes it, and that
is what the column of the condition adds (A. Saabas, "Interpreting random forests", 2014; A. Palczewska et al.,
"Interpreting random forest classification models using a feature contribution method", 2013). What all columns add is
what the answer differs by from the expected one, up to rounding.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from modelservice.inference.explaining.tree_file import Floats, Places, Trees

Paths = Sequence[Places]
"""The nodes [rows, trees] that rows are at after each condition, roots first; who is at a leaf stays there."""


class Output(NamedTuple):
    """What is explained: a target of the trees, and its sign (one logit is of the second of two labels)."""

    target: int
    sign: float = 1.0


class Added(NamedTuple):
    """What trees say of some rows.

    Attributes:
        value: of these [rows].
        base: of no row in particular.
        contributions: what each column adds to it [rows, columns].
    """

    value: Floats
    base: float
    contributions: Floats


def walk(trees: Trees, features: Floats) -> Paths:
    """The paths of encoded rows [rows, width]."""
    at = np.repeat(trees.roots[np.newaxis], len(features), axis=0)
    paths, row = [at], np.arange(len(features))[:, np.newaxis]
    while (inner := trees.left[at] >= 0).any():
        goes_left = features[row, trees.feature[at]] <= trees.threshold[at]
        at = np.where(inner, np.where(goes_left, trees.left[at], trees.right[at]), at)
        paths.append(at)
    return paths


def add_up(
    trees: Trees, paths: Paths, output: Output, *, columns: NDArray[np.int64], expected: Callable[[int], Floats]
) -> Added:
    """What each column adds to an output.

    Args:
        trees: whose file says how many rows came to each node.
        paths: of some rows.
        output: what is explained.
        columns: of each number of an encoded row its column.
        expected: ``trees.expected``.
    """
    nodes, count = expected(output.target), int(columns.max(initial=-1)) + 1
    factor = output.sign * trees.factors[output.target]
    offset = output.sign * trees.offsets[output.target]
    rows = len(paths[0])
    first, added = np.arange(rows)[:, np.newaxis] * count, np.zeros(rows * count)
    for at, after in pairwise(paths):
        cell = first + columns[trees.feature[at]]
        added += np.bincount(cell.ravel(), (nodes[after] - nodes[at]).ravel(), minlength=rows * count)
    return Added(
        value=nodes[paths[-1]].sum(axis=1) * factor + offset,
        base=float(nodes[trees.roots].sum() * factor + offset),
        contributions=added.reshape(rows, count) * factor,
    )
