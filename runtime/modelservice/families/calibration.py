"""``model.onnx`` with calibrated probabilities: raised to a power, which is 1 / temperature (Guo et al., 2017)."""

import numpy as np
from onnx import TensorProto

from modelservice.families.onnx_graph import Graph
from modelservice.families.sharpness import LEAST


def calibrated_graph(content: bytes, *, shape: tuple[int, ...], width: int, power: float) -> bytes:
    """The nodes of ``sharpness.sharpen`` behind a model, in float64.

    Args:
        content: the ``model.onnx`` that gives probabilities.
        shape: of a row.
        width: number of classes.
        power: of the probabilities.
    """
    graph = Graph()
    graph.append_model(content)
    least, most = (graph.constant(name, np.array(bound)) for name, bound in (("least", LEAST), ("most", 1.0)))
    graph.add("Clip", graph.to_float64(), least, most)
    graph.add("Mul", graph.add("Log"), graph.constant("power", np.array([[power]])))
    graph.add("Softmax", axis=1)
    graph.add("Cast", to=TensorProto.FLOAT)
    return graph.model(shape=shape, width=width)
