"""``model.onnx`` with calibrated probabilities: the nodes of a model, and others behind them."""

from collections.abc import Callable, Sequence

import numpy as np
from onnx import TensorProto

from modelservice.families.architecture import Curve
from modelservice.families.onnx_graph import Graph
from modelservice.families.sharpness import LEAST


def sharpened_graph(content: bytes, *, shape: tuple[int, ...], width: int, power: float) -> bytes:
    """The nodes of ``sharpness.sharpen``, in float64: a temperature of 1 / ``power`` (Guo et al., 2017).

    Args:
        content: the ``model.onnx`` that gives probabilities.
        shape: of a row.
        width: number of classes.
        power: of the probabilities.
    """

    def sharpen(graph: Graph) -> None:
        least, most = (graph.constant(name, np.array(bound)) for name, bound in (("least", LEAST), ("most", 1.0)))
        graph.add("Clip", graph.to_float64(), least, most)
        graph.add("Mul", graph.add("Log"), graph.constant("power", np.array([[power]])))
        graph.add("Softmax", axis=1)
        graph.add("Cast", to=TensorProto.FLOAT)

    return _continued(content, sharpen, shape=shape, width=width)


def isotonic_graph(content: bytes, *, shape: tuple[int, ...], width: int, curves: Sequence[Curve]) -> bytes:
    """The nodes of ``isotonic.follow``; for arguments see ``sharpened_graph``."""
    return _continued(content, lambda graph: graph.add_isotonic(curves), shape=shape, width=width)


def _continued(content: bytes, append: Callable[[Graph], None], *, shape: tuple[int, ...], width: int) -> bytes:
    graph = Graph()
    graph.append_model(content)
    append(graph)
    return graph.model(shape=shape, width=width)
