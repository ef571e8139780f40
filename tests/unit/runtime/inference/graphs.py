"""ONNX files as others might write them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def value(name: str, shape: Sequence[int | str], kind: int = TensorProto.FLOAT) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, shape)


def tensor(name: str, values: Any) -> onnx.TensorProto:
    return numpy_helper.from_array(np.asarray(values, np.float32), name)


def model(
    nodes: Sequence[onnx.NodeProto],
    *,
    weights: Sequence[onnx.TensorProto] = (),
    inputs: Sequence[onnx.ValueInfoProto] = (),
    outputs: Sequence[onnx.ValueInfoProto] = (),
    domains: Sequence[str] = ("",),
) -> onnx.ModelProto:
    graph = helper.make_graph(
        list(nodes),
        "graph",
        list(inputs) or [value("features", ["rows", 4])],
        list(outputs) or [value("raw", ["rows", 3])],
        list(weights),
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid(name, 21) for name in domains], ir_version=10)


def linear() -> onnx.ModelProto:
    """Raw is features [rows, 4] times a matrix of tenths."""
    weights = tensor("w", np.arange(12).reshape(4, 3) / 10)
    return model([helper.make_node("MatMul", ["features", "w"], ["raw"])], weights=[weights])
