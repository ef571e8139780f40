"""Sums of decision trees, and their nodes in a graph, with thresholds and sums in float64.

Why not by a converter: skl2onnx (1.20) does not convert histogram-based boosting, and it rounds thresholds and adds
leaves in float32. Here a row's float32 numbers are compared as float64, as scikit-learn compares them, so that no row
takes another way. And nodes say how many rows of training came to them, which ``inference.explaining`` goes by.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import numpy_helper

from modelservice.contract.failure import StageError
from modelservice.families.onnx_graph import TREES, Graph

MAX_NODES = 2_000_000
"""Of all trees: some 100 MB of ``model.onnx``, and several times as much in the memory of a server."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Tree:
    """A decision tree; arrays have an entry for each node, the root first.

    Attributes:
        leaf: whether a node is a leaf, bool.
        feature: that a split looks at, int64; the rest is undefined for leaves.
        threshold: rows go to ``left`` where the feature is at most this, float64.
        left: node of those rows, int64.
        right: node of the other rows, int64.
        missing_left: whether NaN goes to the left, bool.
        values: what a leaf adds to each of ``targets``, float64 [nodes, targets].
        targets: outputs that the tree adds to.
        rows: how many rows of training came to a node, float64; weighted, where rows do not count alike.
    """

    leaf: NDArray[np.bool_]
    feature: NDArray[np.int64]
    threshold: Floats
    left: NDArray[np.int64]
    right: NDArray[np.int64]
    missing_left: NDArray[np.bool_]
    values: Floats
    targets: tuple[int, ...]
    rows: Floats


@dataclass(frozen=True, kw_only=True, eq=False)
class TreeEnsemble:
    """Outputs are the sums over all trees, plus ``offsets`` [outputs]."""

    trees: tuple[Tree, ...]
    offsets: Floats

    @property
    def parameters(self) -> int:
        """A feature and a threshold for each split, the values of each leaf, the offsets."""
        splits = sum(int((~tree.leaf).sum()) for tree in self.trees)
        values = sum(int(tree.leaf.sum()) * len(tree.targets) for tree in self.trees)
        return 2 * splits + values + len(self.offsets)

    def append_to(self, graph: Graph) -> str:
        """Nodes from the newest value, float32 rows, to the outputs, float32 [rows, outputs]."""
        sizes = [len(tree.leaf) for tree in self.trees]
        leaf = np.concatenate([tree.leaf for tree in self.trees])

        def split(name: str) -> NDArray[Any]:
            return np.where(leaf, 0, np.concatenate([getattr(tree, name) for tree in self.trees]))

        graph.to_float64()
        graph.add(
            "TreeEnsembleRegressor",
            domain=TREES,
            n_targets=len(self.offsets),
            nodes_treeids=np.repeat(np.arange(len(sizes)), sizes).tolist(),
            nodes_nodeids=np.concatenate([np.arange(size) for size in sizes]).tolist(),
            nodes_modes=np.where(leaf, "LEAF", "BRANCH_LEQ").tolist(),
            nodes_featureids=split("feature").tolist(),
            nodes_values_as_tensor=numpy_helper.from_array(split("threshold")),
            nodes_truenodeids=split("left").tolist(),
            nodes_falsenodeids=split("right").tolist(),
            nodes_missing_value_tracks_true=split("missing_left").tolist(),
            # Floats, and no tensor: that would have to be of float64, as the thresholds are, and no smaller.
            nodes_hitrates=np.concatenate([tree.rows for tree in self.trees]).tolist(),
            **self._targets(),
        )
        # Not as base values of the operator: onnxruntime 1.32 adds them only to outputs that a leaf adds to, too.
        return graph.add("Add", graph.value, graph.constant("offsets", self.offsets[np.newaxis].astype(np.float32)))

    def _targets(self) -> dict[str, Any]:
        """What leaves add; a forest's pure leaves are short, since nothing stands here for a 0."""
        found: list[tuple[NDArray[np.int64], ...]] = []
        weights: list[Floats] = []
        for place, tree in enumerate(self.trees):
            adds = tree.leaf[:, np.newaxis] & (tree.values != 0)
            # A leaf without any weight is refused by onnxruntime.
            adds[:, 0] |= tree.leaf & ~adds.any(axis=1)
            nodes, columns = np.nonzero(adds)
            found.append((np.full(len(nodes), place), nodes, np.asarray(tree.targets)[columns]))
            weights.append(tree.values[nodes, columns])
        trees, nodes, targets = (np.concatenate(part).tolist() for part in zip(*found, strict=True))
        return {
            "target_treeids": trees,
            "target_nodeids": nodes,
            "target_ids": targets,
            "target_weights_as_tensor": numpy_helper.from_array(np.concatenate(weights)),
        }


def grown_tree(grown: Any, *, votes: int = 1) -> Tree:
    """A ``tree_`` of scikit-learn, whose leaves hold probabilities or numbers, as one of so many votes."""
    values = grown.value[:, 0, :]
    return Tree(
        leaf=grown.children_left < 0,
        feature=grown.feature,
        threshold=grown.threshold,
        left=grown.children_left,
        right=grown.children_right,
        missing_left=grown.missing_go_to_left.astype(np.bool_),
        values=values / votes,
        targets=tuple(range(values.shape[1])),
        rows=grown.weighted_n_node_samples,
    )


def check_size(sizes: Sequence[int], *, family: str, remedy: str) -> None:
    """Refuse what would be too large to serve.

    Args:
        sizes: nodes of each tree.
        family: as ``spec.model`` spells it.
        remedy: what makes trees smaller, as the end of a sentence.

    Raises:
        StageError: there are more than ``MAX_NODES``.
    """
    if (nodes := sum(sizes)) > MAX_NODES:
        field = f"spec.model.{family}"
        trees = f"{len(sizes)} tree{'s' if len(sizes) > 1 else ''}"
        message = f"{field} grew {trees} of {nodes} nodes, at most {MAX_NODES} are possible: {remedy}"
        raise StageError("ModelTooLarge", message, field=field)
