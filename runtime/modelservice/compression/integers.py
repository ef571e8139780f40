"""Weights stored as integers and computed with in float32: ``DequantizeLinear`` gives the floats back, once, at load.

For convolutions this is all there is with 8 bits: ``ConvInteger`` of onnxruntime has no fast path on a CPU; it took
four to eight times as long as the convolution that it stood for.
"""

import tempfile
from collections.abc import Callable, Collection
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

if TYPE_CHECKING:
    import onnx

LARGEST: Final = {8: 127, 4: 7}
"""Of so many bits with a sign; -128 and -8 are left out, so that weights and their negatives have the same steps."""


class Weights(NamedTuple):
    """Weights of a layer: the axis of its outputs, each of which has a step of its own."""

    name: str
    axis: int


def layer_weights(graph: "onnx.GraphProto", operators: Collection[str]) -> list[Weights]:
    """The stored float weights that nodes of these operators take as their second input.

    Args:
        graph: whose nodes and initializers.
        operators: of Conv, Gemm and MatMul.
    """
    from onnx import TensorProto  # noqa: PLC0415

    ranks = {one.name: len(one.dims) for one in graph.initializer if one.data_type == TensorProto.FLOAT}
    found = []
    for node in graph.node:
        if node.op_type in operators and node.input[1] in ranks:
            rows_first = node.op_type == "Conv" or is_transposed(node)
            found.append(Weights(node.input[1], 0 if rows_first else ranks[node.input[1]] - 1))
    return found


def is_transposed(node: "onnx.NodeProto") -> bool:
    """Whether a Gemm or MatMul takes its weights as [outputs, inputs]."""
    return any(one.name == "transB" and one.i for one in node.attribute)


def store_as_integers(model: "onnx.ModelProto", operators: Collection[str], *, bits: int) -> None:
    """Store the weights of the layers of these operators with a step for each output, in place.

    Args:
        model: with float weights.
        operators: of Conv, Gemm and MatMul.
        bits: 8 or 4.
    """
    from onnx import TensorProto, helper, numpy_helper  # noqa: PLC0415

    kind = helper.tensor_dtype_to_np_dtype(TensorProto.INT8 if bits == 8 else TensorProto.INT4)  # noqa: PLR2004

    graph = model.graph
    axes = dict(layer_weights(graph, operators))
    kept: list[onnx.TensorProto] = []
    restored: list[onnx.NodeProto] = []
    for constant in graph.initializer:
        if constant.name not in axes:
            kept.append(constant)
            continue
        weights, axis = numpy_helper.to_array(constant), axes[constant.name]
        others = tuple(one for one in range(weights.ndim) if one != axis)
        largest = np.abs(weights).max(axis=others)
        steps = np.where(largest > 0, largest / LARGEST[bits], 1).astype(np.float32)
        integers = np.rint(weights / np.expand_dims(steps, others)).astype(np.int8).astype(kind)
        names = [f"{constant.name}_quantized", f"{constant.name}_scale"]
        kept += [numpy_helper.from_array(integers, names[0]), numpy_helper.from_array(steps, names[1])]
        restored.append(helper.make_node("DequantizeLinear", names, [constant.name], axis=axis))
    nodes = [*restored, *graph.node]
    del graph.node[:], graph.initializer[:]
    graph.node.extend(nodes)
    graph.initializer.extend(kept)


def by_way_of_a_file(
    graph: "onnx.ModelProto", quantise: Callable[["onnx.ModelProto", Path], None]
) -> "onnx.ModelProto":
    """What one of onnxruntime's functions makes of a graph: they write files."""
    import onnx  # noqa: PLC0415
    from onnxruntime.quantization.quant_utils import add_pre_process_metadata  # noqa: PLC0415

    # Without this mark onnxruntime advises to optimise the graph first: ours has nothing to fold.
    add_pre_process_metadata(graph)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        quantise(graph, path)
        return onnx.load(path)
