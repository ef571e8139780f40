"""Convolutions whose weights are stored with 8 bits and computed with in float32.

``ConvInteger`` of onnxruntime has no fast path on a CPU: it took four to eight times as long as the convolution that it
stood for. So only what is stored becomes smaller: ``DequantizeLinear`` gives the floats back.
"""

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    import onnx

_LARGEST: Final = 127
"""Of 8 bits with a sign; -128 is left out, so that weights and their negatives have the same steps."""


def store_as_integers(model: "onnx.ModelProto") -> None:
    """Store the weights of each ``Conv`` with a step for each output channel, in place."""
    from onnx import TensorProto, helper, numpy_helper  # noqa: PLC0415

    graph = model.graph
    convolved = {node.input[1] for node in graph.node if node.op_type == "Conv"}
    kept: list[onnx.TensorProto] = []
    restored: list[onnx.NodeProto] = []
    for constant in graph.initializer:
        if constant.name not in convolved or constant.data_type != TensorProto.FLOAT:
            kept.append(constant)
            continue
        weights = numpy_helper.to_array(constant)
        largest = np.abs(weights).max(axis=(1, 2, 3))
        steps = np.where(largest > 0, largest / _LARGEST, 1).astype(np.float32)
        integers = np.rint(weights / steps[:, None, None, None]).astype(np.int8)
        names = [f"{constant.name}_quantized", f"{constant.name}_scale"]
        kept += [numpy_helper.from_array(integers, names[0]), numpy_helper.from_array(steps, names[1])]
        restored.append(helper.make_node("DequantizeLinear", names, [constant.name], axis=0))
    nodes = [*restored, *graph.node]
    del graph.node[:], graph.initializer[:]
    graph.node.extend(nodes)
    graph.initializer.extend(kept)
