"""The trees of a served model, as the nodes of its ONNX file have them.

What is read is what ``families.tree_ensemble`` writes: one sum of trees of the encoded rows, offsets, and whatever
makes answers of these: nothing, a scale, the shares of logits, a calibration. All else is refused in words.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from modelservice.contract.manifest import INPUT_NAME, OUTPUT_NAME
from modelservice.inference.onnx_nodes import Node, OnnxNodes

Floats = NDArray[np.float64]
Places = NDArray[np.int32]

REGRESSOR: Final = "TreeEnsembleRegressor"
"""The operator that sums of trees are written as."""
_TREES: Final = "TreeEnsemble"
_REMEDY: Final = "leave method out, which explains by Shapley values"
_ELSEWHERE: Final = (
    "the trees of this model were written elsewhere, or by an earlier release, in a form that is not read"
)
_UNCOUNTED: Final = (
    "the file of this model does not say how many rows of training came to each node of its trees, which this release"
    " writes: train again"
)
_LEAF: Final = -1
_COUNTED: Final = 1e-3
"""What the rows of two nodes may differ by from those of the node above them: counts are stored as float32."""


class Scale(StrEnum):
    """What the sums of the trees are."""

    ANSWER = "Answer"
    """What the model answers with: a number, or probabilities."""
    UNCALIBRATED = "Uncalibrated"
    """Probabilities, from which a calibration makes those of the answer."""
    LOG_ODDS = "LogOdds"
    """The logarithm of the odds of a label, before a calibration where there is one."""
    LOGIT = "Logit"
    """The logarithm of the probability of a label, up to a summand that all labels share; before a calibration."""


class NoTreesError(ValueError):
    """Why nothing is explained by trees, with a remedy."""

    def __init__(self, why: str) -> None:
        super().__init__(f"{why}; {_REMEDY}")


@dataclass(frozen=True, kw_only=True, eq=False)
class Trees:
    """A sum of trees; arrays have an entry for each node of all of them.

    Attributes:
        roots: of each tree.
        feature: that a split looks at.
        threshold: rows go to ``left`` where the feature is at most this.
        left: node of those rows, -1 of a leaf.
        right: node of the other rows.
        above: the node above, -1 of a root.
        levels: nodes by their distance from a root, roots first.
        rows: of training that came to a node.
        nodes: places of leaves, in order, with an entry for each target that one adds to.
        targets: what these add to.
        weights: what they add.
        factors: what sums are multiplied by, [targets].
        offsets: what is added then, [targets].
        scale: what comes out.
        rest: ``model.onnx`` from there on to the answer; None where it is the answer.
    """

    roots: Places
    feature: Places
    threshold: Floats
    left: Places
    right: Places
    above: Places
    levels: tuple[Places, ...]
    rows: Floats
    nodes: Places
    targets: Places
    weights: Floats
    factors: Floats
    offsets: Floats
    scale: Scale
    rest: bytes | None

    @property
    def single(self) -> bool:
        """Whether there is one tree, which may be told as it is."""
        return len(self.roots) == 1

    def expected(self, target: int) -> Floats:
        """What is added to a target at each node on average over the rows of training that came to it.

        It is of leaves what they add, and of others the mean of the two nodes below, by their rows.
        """
        found = np.zeros(len(self.left))
        own = self.targets == target
        np.add.at(found, self.nodes[own], self.weights[own])
        for level in reversed(self.levels):
            inner = level[self.left[level] != _LEAF]
            left, right = self.left[inner], self.right[inner]
            both = self.rows[left] + self.rows[right]
            # Rows may count nothing, and trees part them nevertheless.
            share = np.divide(self.rows[left], both, out=np.full(len(inner), 0.5), where=both > 0)
            found[inner] = share * found[left] + (1 - share) * found[right]
        return found

    def sums(self, leaves: Places) -> Floats:
        """What comes out of the trees, given the leaves [rows, trees] of some rows: [rows, targets]."""
        starts, stops = (np.searchsorted(self.nodes, leaves, side) for side in ("left", "right"))
        found = np.zeros((len(leaves), len(self.factors)))
        for place in range(int((stops - starts).max(initial=0))):
            row, tree = np.nonzero(stops - starts > place)
            entry = starts[row, tree] + place
            np.add.at(found, (row, self.targets[entry]), self.weights[entry])
        return found * self.factors + self.offsets


def holds_trees(content: bytes) -> bool:
    """Whether a ``model.onnx`` may hold trees; what ``read_trees`` makes of it, is another question."""
    return _TREES.encode() in content


def read_trees(content: bytes, *, labels: int) -> Trees:
    """The trees of a ``model.onnx`` that ``check_onnx`` passed.

    Args:
        content: the file.
        labels: how many the model has, 0 of one that predicts a number.

    Raises:
        NoTreesError: there are none, or they do not make up the model.
    """
    graph = OnnxNodes(content)
    node = _only_trees(graph)
    attributes = node.attributes()
    if not _is_ours(attributes):
        raise NoTreesError(_ELSEWHERE)
    arrays = _arrays(attributes)
    width = int(attributes["n_targets"])
    end, factors, offsets = _scaled(graph, node.outputs[0], width)
    scale = _scale(graph, end, width=width, labels=labels)
    return Trees(
        **arrays,
        factors=factors,
        offsets=offsets,
        scale=scale,
        rest=None if end == OUTPUT_NAME else graph.rest(end, width=width),
    )


def _only_trees(graph: OnnxNodes) -> Node:
    """The node of the trees, from which all comes that the model says."""
    found = [node for node in graph.nodes if node.operator.startswith(_TREES)]
    if not found:
        raise NoTreesError("this model is no decision tree, forest or boosting")
    node, first = found[0], graph.consumers(INPUT_NAME)
    if len(found) > 1 or len(first) > 1:
        raise NoTreesError("this model blends trees with others, whose answers are no sum of what its columns add")
    if node.operator != REGRESSOR:
        raise NoTreesError(_ELSEWHERE)
    passed = {INPUT_NAME, *(first[0].outputs if first[0].operator == "Cast" else ())}
    if node.inputs[0] not in passed:
        raise NoTreesError("the trees of this model do not look at its columns, but at what is computed of them")
    return node


def _is_ours(attributes: dict[str, Any]) -> bool:
    """Whether it is a plain sum, with thresholds and leaves in float64."""
    known = {"n_targets", "target_weights_as_tensor", "nodes_values_as_tensor"} <= attributes.keys()
    others = {"base_values", "base_values_as_tensor", "aggregate_function", "post_transform"} & attributes.keys()
    modes = attributes.get("nodes_modes", np.array([b""]))
    return known and not others and bool(((modes == b"LEAF") | (modes == b"BRANCH_LEQ")).all())


def _arrays(attributes: dict[str, Any]) -> dict[str, Any]:
    """The fields of ``Trees`` that the node says."""
    tree, own = attributes["nodes_treeids"], attributes["nodes_nodeids"]
    size = len(own)
    key = tree * (int(own.max()) + 1) + own
    order = np.argsort(key, kind="stable")

    def place(trees: NDArray[Any], nodes: NDArray[Any]) -> Places:
        """Where nodes stand, by their numbers in their trees."""
        wanted = trees * (int(own.max()) + 1) + nodes
        at = np.minimum(np.searchsorted(key, wanted, sorter=order), size - 1)
        if (key[order[at]] != wanted).any():
            raise NoTreesError("the trees of this model name nodes that are not there")
        found: Places = order[at].astype(np.int32)
        return found

    leaf = attributes["nodes_modes"] == b"LEAF"
    left, right, above = (np.full(size, _LEAF, np.int32) for _ in range(3))
    inner = np.flatnonzero(~leaf)
    left[inner] = place(tree[inner], attributes["nodes_truenodeids"][inner])
    right[inner] = place(tree[inner], attributes["nodes_falsenodeids"][inner])
    above[left[inner]] = above[right[inner]] = inner
    roots = np.flatnonzero(above == _LEAF).astype(np.int32)
    nodes = place(attributes["target_treeids"], attributes["target_nodeids"])
    by_node = np.argsort(nodes, kind="stable")
    return {
        "roots": roots,
        "feature": attributes["nodes_featureids"].astype(np.int32),
        "threshold": attributes["nodes_values_as_tensor"],
        "left": left,
        "right": right,
        "above": above,
        "levels": _levels(roots, left, right),
        "rows": _counted(attributes.get("nodes_hitrates"), left, right),
        "nodes": nodes[by_node],
        "targets": attributes["target_ids"][by_node].astype(np.int32),
        "weights": attributes["target_weights_as_tensor"][by_node],
    }


def _levels(roots: Places, left: Places, right: Places) -> tuple[Places, ...]:
    levels, seen, level = [], 0, roots
    while len(level):
        levels.append(level)
        seen += len(level)
        if seen > len(left):
            break
        inner = level[left[level] != _LEAF]
        level = np.concatenate([left[inner], right[inner]])
    if seen != len(left):
        raise NoTreesError("the trees of this model have nodes that several lead to")
    return tuple(levels)


def _counted(rows: Any, left: Places, right: Places) -> Floats:
    """Rows of each node, where they are counts: some converters write a 1 for each."""
    if rows is None or len(rows) != len(left):
        raise NoTreesError(_UNCOUNTED)
    counts = np.asarray(rows, dtype=np.float64)
    inner = left != _LEAF
    below = counts[left[inner]] + counts[right[inner]]
    same = np.abs(below - counts[inner]) <= _COUNTED * counts[inner]
    if not (np.isfinite(counts).all() and (counts >= 0).all() and same.all()):
        raise NoTreesError(_UNCOUNTED)
    return counts


def _scaled(graph: OnnxNodes, name: str, width: int) -> tuple[str, Floats, Floats]:
    """The value that is the last of those that sums are linear in, and what it is of them."""
    factors, offsets = np.ones(width), np.zeros(width)
    while name != OUTPUT_NAME:
        after = graph.consumers(name)
        if len(after) != 1 or after[0].operator not in {"Add", "Mul", "Sum"}:
            break
        others = [graph.constant(other) for other in after[0].inputs if other != name]
        if any(other is None or other.size not in {1, width} for other in others):
            break
        for other in others:
            number = np.broadcast_to(np.asarray(other, np.float64).reshape(-1), width)
            if after[0].operator == "Mul":
                factors, offsets = factors * number, offsets * number
            else:
                offsets = offsets + number
        name = after[0].outputs[0]
    return name, factors, offsets


def _scale(graph: OnnxNodes, end: str, *, width: int, labels: int) -> Scale:
    """What the value is, by what is made of it."""
    if end == OUTPUT_NAME and width == (labels or 1):
        return Scale.ANSWER
    if labels:
        following = {node.operator for node in graph.consumers(end)}
        if following == {"Sigmoid"} and (width, labels) == (1, 2):
            return Scale.LOG_ODDS
        if width == labels:
            return Scale.LOGIT if following == {"Softmax"} else Scale.UNCALIBRATED
    raise NoTreesError("what this model answers with is no sum over its trees")
