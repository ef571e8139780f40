"""Estimators of scikit-learn to ``model.onnx`` by skl2onnx, cut to the one output that all models have."""

from typing import Any

import onnx
import skl2onnx
from onnx import TensorProto, helper
from skl2onnx.common.data_types import FloatTensorType

from modelservice.families.base import INPUT_NAME, OUTPUT_NAME
from modelservice.families.onnx_graph import DOMAINS, IR_VERSION, ROWS


def convert(estimator: Any, *, shape: tuple[int, ...], width: int) -> bytes:
    """An ``Export``: probabilities, or the value, and nothing else."""
    is_classifier = hasattr(estimator, "predict_proba")
    model = skl2onnx.convert_sklearn(
        estimator,
        name="model",
        initial_types=[(INPUT_NAME, FloatTensorType([None, *shape]))],
        target_opset=DOMAINS,
        options={id(estimator): {"zipmap": False}} if is_classifier else None,
    )
    # A classifier's outputs are the label and the probabilities, a regressor's only one is the value.
    _cut(model.graph, model.graph.output[-1].name, shape=shape, width=width)
    versions = {opset.domain: opset.version for opset in model.opset_import}
    if not versions.keys() <= DOMAINS.keys():
        raise ValueError(f"skl2onnx used operators of {sorted(versions.keys() - DOMAINS.keys())}")
    del model.opset_import[:]
    model.opset_import.extend(helper.make_opsetid(domain, versions[domain]) for domain in sorted(versions))
    model.ir_version = IR_VERSION
    onnx.checker.check_model(model)
    content: bytes = model.SerializeToString(deterministic=True)
    return content


def _cut(graph: onnx.GraphProto, output: str, *, shape: tuple[int, ...], width: int) -> None:
    """Keep what one output needs, under the name that all models have for theirs."""
    needed, nodes = {output}, []
    for node in reversed(graph.node):
        if needed & set(node.output):
            needed |= set(node.input)
            nodes.append(node)
    for node in nodes:
        for names in (node.input, node.output):
            names[:] = [OUTPUT_NAME if name == output else name for name in names]
    kept = [constant for constant in graph.initializer if constant.name in needed]
    cut = helper.make_graph(
        nodes[::-1],
        "model",
        [helper.make_tensor_value_info(INPUT_NAME, TensorProto.FLOAT, [ROWS, *shape])],
        [helper.make_tensor_value_info(OUTPUT_NAME, TensorProto.FLOAT, [ROWS, width])],
        kept,
    )
    graph.CopyFrom(cut)
