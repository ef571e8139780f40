"""Quantised graphs in which each row of a batch has a scale of its own.

``DynamicQuantizeLinear`` scales a whole tensor by its largest value, so the rows that a server happens to answer
together would decide each other's answers: one value far from all others takes every bit of precision away from the
rest of its batch. Here a row is divided by its own largest value, quantised by a constant step, and multiplied again
after the layer, which is linear: it gets the same bits in any company.
"""

from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import onnx

_KEEP_SIGN: Final = frozenset({"Flatten", "MaxPool", "AveragePool"})
_TINY: Final = np.float32(2**-100)
"""Stands in for the largest value of a row of zeros."""
_SIGNED: Final = (np.float32(1 / 127), np.uint8(128))
_POSITIVE: Final = (np.float32(1 / 255), np.uint8(0))
"""Step and zero point for shares within [-1, 1], and within [0, 1]."""


def scale_each_row(model: "onnx.ModelProto") -> None:
    """Replace each ``DynamicQuantizeLinear`` of a chain of layers, in place.

    Args:
        model: as ``onnxruntime.quantization.quantize_dynamic`` leaves it, with matrix products only: what they take is
            [rows, width].
    """
    from onnx import numpy_helper  # noqa: PLC0415

    chain = _Chain(model.graph)
    found: list[onnx.NodeProto] = []
    for node in chain.nodes:
        if node.op_type == "DynamicQuantizeLinear":
            found.extend(chain.quantised(node))
        else:
            found.append(node)
            found.extend(chain.after.pop(node.output[0], ()))
    del model.graph.node[:]
    model.graph.node.extend(found)
    model.graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in chain.constants.items())


class _Chain:
    """The nodes of a graph by what they make and take.

    ``after`` are further nodes by the value that they follow, ``constants`` what they need by name.
    """

    def __init__(self, graph: "onnx.GraphProto") -> None:
        self.nodes = list(graph.node)
        self.after: dict[str, list[onnx.NodeProto]] = {}
        self.constants: dict[str, NDArray[Any]] = {"row": np.array([-1]), "tiny": np.array(_TINY)}
        self._makers = {output: node for node in self.nodes for output in node.output}
        self._users: dict[str, list[onnx.NodeProto]] = {}
        for node in self.nodes:
            for name in node.input:
                self._users.setdefault(name, []).append(node)

    def quantised(self, node: "onnx.NodeProto") -> list["onnx.NodeProto"]:
        """Nodes in the place of a ``DynamicQuantizeLinear``."""
        from onnx import helper  # noqa: PLC0415

        x, (integers, step, zero) = node.input[0], node.output
        positive = self._is_positive(x)
        self.constants[step], self.constants[zero] = map(np.asarray, _POSITIVE if positive else _SIGNED)
        size = x if positive else f"{x}_size"
        made = [] if positive else [helper.make_node("Abs", [x], [size])]
        made += [
            helper.make_node("ReduceMax", [size, "row"], [f"{x}_max"], keepdims=1),
            helper.make_node("Max", [f"{x}_max", "tiny"], [f"{x}_largest"]),
            helper.make_node("Div", [x, f"{x}_largest"], [f"{x}_share"]),
            helper.make_node("QuantizeLinear", [f"{x}_share", step, zero], [integers]),
        ]
        # Queries, keys and values of attention are three layers of one value.
        for layer in self._users[integers]:
            self._multiply(layer, f"{x}_largest")
        return made

    def _multiply(self, layer: "onnx.NodeProto", largest: str) -> None:
        """Let a row be multiplied after the layer.

        Not by way of the layer's own scale, [rows, 1] then: onnxruntime fuses that one, and takes it for a scalar.
        """
        from onnx import helper  # noqa: PLC0415

        (cast,) = self._users[layer.output[0]]
        (scaled,) = self._users[cast.output[0]]
        result, share = scaled.output[0], f"{scaled.output[0]}_share"
        scaled.output[0] = share
        self.after[share] = [helper.make_node("Mul", [share, largest], [result])]

    def _is_positive(self, value: str) -> bool:
        """Whether a value is never below 0, since it comes from a ReLU."""
        maker = self._makers.get(value)
        while maker is not None and maker.op_type in _KEEP_SIGN:
            maker = self._makers.get(maker.input[0])
        return maker is not None and maker.op_type == "Relu"
