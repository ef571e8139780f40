"""``model.onnx`` of an architecture, layer by layer.

The nodes are the forms that onnxruntime's dynamic quantisation knows: Gemm with a stored matrix, and Conv.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modelservice.contract.networks import Activation
from modelservice.contract.networks import Pooling as PoolingFunction
from modelservice.families.architecture import (
    Architecture,
    Convolution,
    Dropout,
    Elementwise,
    Flatten,
    Layer,
    Linear,
    MemberLinear,
    MemberScale,
    Pooling,
    SmoothClip,
    TokenAttention,
    TokenRecurrence,
)
from modelservice.families.onnx_graph import Graph
from modelservice.families.token_graph import add_attention, add_recurrence

_OPERATORS = {
    Activation.RELU: "Relu",
    Activation.GELU: "Gelu",  # the exact form, by the error function, is the default of both
    Activation.TANH: "Tanh",
    PoolingFunction.MAX: "MaxPool",
    PoolingFunction.AVERAGE: "AveragePool",
}
_WEIGHTS = ("weight", "bias", "center", "factor")


def architecture_graph(architecture: Architecture, weights: Mapping[str, NDArray[np.float32]]) -> bytes:
    """``model.onnx`` of a network.

    Args:
        architecture: its layers and head; dropout leaves no trace.
        weights: float32 arrays by the names of ``families.modules.build``.
    """
    graph = Graph()
    add_architecture(graph, architecture, weights)
    return graph.model(shape=architecture.shape, width=architecture.width)


def add_architecture(graph: Graph, architecture: Architecture, weights: Mapping[str, NDArray[np.float32]]) -> None:
    """Nodes from the newest value, rows of the architecture's shape, to raw outputs."""
    for position, layer in enumerate(architecture.layers):
        if isinstance(layer, TokenRecurrence | TokenAttention):
            _add_token_layer(graph, layer, weights, position)
        else:
            _add_layer(graph, layer, {name: weights.get(f"{position}.{name}") for name in _WEIGHTS}, position)
    graph.add_head(architecture.head)


def _add_token_layer(
    graph: Graph, layer: TokenRecurrence | TokenAttention, weights: Mapping[str, NDArray[np.float32]], position: int
) -> None:
    start = f"{position}."
    arrays = {name.removeprefix(start): array for name, array in weights.items() if name.startswith(start)}
    if isinstance(layer, TokenRecurrence):
        add_recurrence(graph, layer, arrays, name=str(position))
    else:
        add_attention(graph, layer, arrays, name=str(position))


def _add_layer(graph: Graph, layer: Layer, arrays: Mapping[str, Any], position: int) -> None:
    constants = [graph.constant(f"{position}.{name}", array) for name, array in arrays.items() if array is not None]
    match layer:
        case Flatten():
            graph.add("Flatten", axis=1)
        case Linear():
            graph.add("Gemm", graph.value, *constants, transB=1)
        case Convolution(kernel_size=size):
            graph.add("Conv", graph.value, *constants, kernel_shape=[size, size], pads=[size // 2] * 4)
        case Pooling(function=function):
            graph.add(_OPERATORS[function], kernel_shape=[2, 2], strides=[2, 2])
        case Elementwise(function=Activation.SILU):
            graph.add("Mul", graph.value, graph.add("Sigmoid"))
        case SmoothClip() | MemberScale() | MemberLinear():
            _add_member_layer(graph, layer, constants, position)
        case Elementwise(function=function):
            graph.add(_OPERATORS[function])
        case Dropout():
            pass


def _add_member_layer(
    graph: Graph, layer: SmoothClip | MemberScale | MemberLinear, constants: Sequence[str], position: int
) -> None:
    match layer:
        case SmoothClip(limit=limit):
            center, factor = constants
            bound = graph.constant(f"{position}.limit", np.array(limit, np.float32))
            one = graph.constant(f"{position}.one", np.array(1, np.float32))
            scaled = graph.add("Mul", graph.add("Sub", graph.value, center), factor)
            share = graph.add("Div", scaled, bound)
            graph.add("Div", scaled, graph.add("Sqrt", graph.add("Add", graph.add("Mul", share, share), one)))
        case MemberScale():
            graph.add("Mul", graph.value, *constants)
        case MemberLinear():
            weight, bias = constants
            graph.add("Add", graph.add("MatMul", graph.value, weight), bias)
