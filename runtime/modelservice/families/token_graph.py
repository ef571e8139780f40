"""Layers over the tokens of a text in ONNX; ``token_layers`` has them in torch.

The newest value of the graph is float32 [rows, length]: tokens from 1 on, and 0 behind the last.
"""

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from modelservice.contract.networks import Cell
from modelservice.families.architecture import TokenAttention, TokenRecurrence
from modelservice.families.onnx_graph import Graph

HIDDEN = np.array(-1e9, np.float32)
_LSTM_GATES, _GRU_GATES = (0, 3, 1, 2), (1, 0, 2)
"""Places of torch's gates (input, forget, cell, output; reset, update, new) in the order of ONNX."""
_KEEP = 0
"""In a Reshape: the length of this axis as it is."""

Arrays = Mapping[str, NDArray[np.float32]]


def add_recurrence(graph: Graph, layer: TokenRecurrence, arrays: Arrays, *, name: str) -> None:
    """Nodes of a ``TokenRecurrence``; ``arrays`` by the names of ``token_layers.Recurrence``."""
    numbers = graph.add("Cast", graph.value, to=TensorProto.INT64)
    held = graph.add("Cast", graph.add("Greater", numbers, _whole(graph, f"{name}.none", 0)), to=TensorProto.INT32)
    axis = graph.constant(f"{name}.axis", np.array([1], np.int64))
    counted = graph.add("ReduceSum", held, axis, keepdims=0)
    lengths = graph.add("Max", counted, graph.constant(f"{name}.one", np.array(1, np.int32)))
    table = graph.constant(f"{name}.embedding", arrays["embedding.weight"])
    embedded = graph.add("Gather", table, numbers)
    states = graph.add("Transpose", embedded, perm=[1, 0, 2])
    joined = graph.constant(f"{name}.joined", np.array([_KEEP, _KEEP, -1], np.int64))
    for depth in range(layer.layers):
        weights = [
            graph.constant(f"{name}.{part}{depth}", array)
            for part, array in _cell_weights(layer, arrays, depth).items()
        ]
        extra = {} if layer.cell is Cell.LSTM else {"linear_before_reset": 1}
        both = graph.add(
            str(layer.cell),
            states,
            *weights,
            lengths,
            hidden_size=layer.units,
            direction="bidirectional" if layer.bidirectional else "forward",
            **extra,
        )
        states = graph.add("Reshape", graph.add("Transpose", both, perm=[0, 2, 1, 3]), joined)
    total = graph.add("ReduceSum", states, graph.constant(f"{name}.first", np.array([0], np.int64)), keepdims=0)
    count = graph.add("Unsqueeze", graph.add("Cast", lengths, to=TensorProto.FLOAT), axis)
    graph.add("Div", total, count)


def _cell_weights(layer: TokenRecurrence, arrays: Arrays, depth: int) -> dict[str, NDArray[np.float32]]:
    """W, R and B of an ONNX cell, [directions, gates x units, ...]."""
    order = _LSTM_GATES if layer.cell is Cell.LSTM else _GRU_GATES
    suffixes = ("", "_reverse")[: layer.directions]

    def stacked(kind: str) -> list[NDArray[np.float32]]:
        found = (arrays[f"cells.{kind}_l{depth}{suffix}"] for suffix in suffixes)
        return [np.concatenate([np.split(array, len(order))[gate] for gate in order]) for array in found]

    biases = [np.concatenate(pair) for pair in zip(stacked("bias_ih"), stacked("bias_hh"), strict=True)]
    return {"w": np.stack(stacked("weight_ih")), "r": np.stack(stacked("weight_hh")), "b": np.stack(biases)}


def add_attention(graph: Graph, layer: TokenAttention, arrays: Arrays, *, name: str) -> None:
    """Nodes of a ``TokenAttention``; ``arrays`` by the names of ``token_layers.Attention``."""
    numbers = graph.add("Cast", graph.value, to=TensorProto.INT64)
    table = graph.constant(f"{name}.embedding", arrays["embedding.weight"])
    place = graph.constant(f"{name}.place", arrays["place"])
    held, hidden = add_mask(graph, numbers, name=name)
    states = graph.add("Add", graph.add("Gather", table, numbers), place)
    for depth in range(layer.layers):
        own = {key.removeprefix(f"blocks.{depth}."): array for key, array in arrays.items()}
        part = f"{name}.{depth}"
        normal = add_norm(graph, states, own, "norm1", name=part)
        seen = add_heads(graph, normal, own["attend.weight"], own["attend.bias"], hidden, heads=layer.heads, name=part)
        states = graph.add("Add", states, add_dense(graph, seen, own, "join", name=part))
        normal = add_norm(graph, states, own, "norm2", name=part)
        inner = graph.add("Gelu", add_dense(graph, normal, own, "up", name=part))
        states = graph.add("Add", states, add_dense(graph, inner, own, "down", name=part))
    add_mean(graph, add_norm(graph, states, arrays, "norm", name=name), held, name=name)


def add_mask(graph: Graph, numbers: str, *, name: str) -> tuple[str, str]:
    """Which places hold a token, float32 [rows, length, 1], and what is added to scores, [rows, 1, 1, length]."""
    held = graph.add("Cast", graph.add("Greater", numbers, _whole(graph, f"{name}.none", 0)), to=TensorProto.FLOAT)
    one = graph.constant(f"{name}.one", np.array(1, np.float32))
    absent = graph.add("Mul", graph.add("Sub", one, held), graph.constant(f"{name}.far", HIDDEN))
    hidden = graph.add("Unsqueeze", absent, graph.constant(f"{name}.heads", np.array([1, 2], np.int64)))
    return graph.add("Unsqueeze", held, graph.constant(f"{name}.last", np.array([2], np.int64))), hidden


def add_norm(graph: Graph, states: str, arrays: Arrays, part: str, *, name: str, epsilon: float = 1e-5) -> str:
    """Layer normalisation over the last axis."""
    scale, bias = (graph.constant(f"{name}.{part}.{end}", arrays[f"{part}.{end}"]) for end in ("weight", "bias"))
    return graph.add("LayerNormalization", states, scale, bias, epsilon=epsilon)


def add_dense(graph: Graph, states: str, arrays: Arrays, part: str, *, name: str) -> str:
    """An affine layer of the last axis."""
    weight = graph.constant(f"{name}.{part}.weight", arrays[f"{part}.weight"].T)
    product = graph.add("MatMul", states, weight)
    return graph.add("Add", product, graph.constant(f"{name}.{part}.bias", arrays[f"{part}.bias"]))


def add_heads(
    graph: Graph,
    states: str,
    weight: NDArray[np.float32],
    bias: NDArray[np.float32],
    hidden: str,
    *,
    heads: int,
    name: str,
) -> str:
    """Attention of each place to all others, [rows, length, width], before heads are joined by a further layer.

    Args:
        graph: to write into.
        states: [rows, length, width].
        weight: of queries, keys and values, one below the other, [3 width, width].
        bias: [3 width].
        hidden: what is added to scores.
        heads: that share the width.
        name: of the constants.
    """
    width = weight.shape[1]
    each = width // heads
    apart = graph.constant(f"{name}.apart", np.array([_KEEP, _KEEP, heads, each], np.int64))
    parts = []
    for place, (part, order) in enumerate((("query", [0, 2, 1, 3]), ("key", [0, 2, 3, 1]), ("value", [0, 2, 1, 3]))):
        rows = slice(place * width, (place + 1) * width)
        own = {f"{part}.weight": weight[rows], f"{part}.bias": bias[rows]}
        projected = add_dense(graph, states, own, part, name=name)
        parts.append(graph.add("Transpose", graph.add("Reshape", projected, apart), perm=order))
    query, key, value = parts
    factor = graph.constant(f"{name}.factor", np.array(1 / math.sqrt(each), np.float32))
    scores = graph.add("Add", graph.add("Mul", graph.add("MatMul", query, key), factor), hidden)
    seen = graph.add("MatMul", graph.add("Softmax", scores, axis=-1), value)
    joined = graph.constant(f"{name}.joined", np.array([_KEEP, _KEEP, width], np.int64))
    return graph.add("Reshape", graph.add("Transpose", seen, perm=[0, 2, 1, 3]), joined)


def add_mean(graph: Graph, states: str, held: str, *, name: str) -> str:
    """The mean over the places that hold a token, [rows, width]; 0 where none does."""
    axis = graph.constant(f"{name}.axis", np.array([1], np.int64))
    total = graph.add("ReduceSum", graph.add("Mul", states, held), axis, keepdims=0)
    count = graph.add("ReduceSum", held, axis, keepdims=0)
    return graph.add("Div", total, graph.add("Max", count, graph.constant(f"{name}.least", np.array(1, np.float32))))


def _whole(graph: Graph, name: str, number: int) -> str:
    return graph.constant(name, np.array(number, np.int64))
