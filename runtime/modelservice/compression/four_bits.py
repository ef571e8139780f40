"""Linear layers with weights of 4 bits: onnxruntime's operator ``MatMulNBits``.

The inputs of an output come in blocks, each with a step of its own. onnxruntime's own converter of graphs
(``MatMulNBitsQuantizer``) takes no Gemm, and a further package to be imported; the form is a page of its documentation
of contributed operators.
"""

from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from modelservice.compression.integers import LARGEST, is_transposed, store_as_integers

if TYPE_CHECKING:
    import onnx

_BITS: Final = 4
_BLOCK: Final = 32
"""Inputs of a block; a layer with fewer is only stored so."""
_ZERO: Final = 8
"""The integer that stands for 0."""
_DOMAIN: Final = "com.microsoft"
FLOATS, INTEGERS = 1, 4
"""The operator's ``accuracy_level``: what inputs are while it computes; integers have a scale for each block."""


def with_four_bits(model: "onnx.ModelProto", *, level: int) -> None:
    """Give layers weights of 4 bits, in place; convolutions and layers of ensembles are only stored so.

    Args:
        model: with float weights.
        level: ``FLOATS`` or ``INTEGERS``.
    """
    from onnx import helper, numpy_helper  # noqa: PLC0415

    graph = model.graph
    weights = {one.name: one for one in graph.initializer}
    nodes: list[onnx.NodeProto] = []
    for node in graph.node:
        matrix = _matrix(node, weights)
        if matrix is None:
            nodes.append(node)
            continue
        inputs, outputs = matrix.shape
        stored, steps = packed(matrix)
        names = [f"{node.output[0]}_blocks", f"{node.output[0]}_steps"]
        weights.pop(node.input[1], None)
        weights[names[0]] = numpy_helper.from_array(stored, names[0])
        weights[names[1]] = numpy_helper.from_array(steps, names[1])
        biased = len(node.input) > 2  # noqa: PLR2004 - the third of a Gemm
        product = f"{node.output[0]}_product" if biased else node.output[0]
        sizes = {"K": inputs, "N": outputs, "bits": _BITS, "block_size": _BLOCK, "accuracy_level": level}
        nodes.append(helper.make_node("MatMulNBits", [node.input[0], *names], [product], domain=_DOMAIN, **sizes))
        if biased:
            nodes.append(helper.make_node("Add", [product, node.input[2]], [node.output[0]]))
    del graph.node[:], graph.initializer[:]
    graph.node.extend(nodes)
    graph.initializer.extend(weights.values())
    if any(node.domain == _DOMAIN for node in nodes):
        model.opset_import.append(helper.make_opsetid(_DOMAIN, 1))
    store_as_integers(model, ("Conv", "Gemm", "MatMul"), bits=_BITS)


def packed(matrix: NDArray[np.float32]) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """A matrix as the operator takes it.

    Args:
        matrix: [inputs, outputs].

    Returns:
        Pairs of 4-bit integers, the first in the low half, uint8 [outputs, blocks, block / 2]; and steps, float32
        [outputs, blocks].
    """
    inputs, outputs = matrix.shape
    blocks = -(-inputs // _BLOCK)
    whole = np.zeros((outputs, blocks * _BLOCK), np.float32)
    whole[:, :inputs] = matrix.T
    grouped = whole.reshape(outputs, blocks, _BLOCK)
    largest = np.abs(grouped).max(axis=2)
    steps = np.where(largest > 0, largest / LARGEST[_BITS], 1).astype(np.float32)
    integers = (np.rint(grouped / steps[:, :, None]) + _ZERO).astype(np.uint8)
    pairs: NDArray[np.uint8] = integers[..., 0::2] + (integers[..., 1::2] << _BITS).astype(np.uint8)
    return pairs, steps


def _matrix(node: "onnx.NodeProto", weights: dict[str, "onnx.TensorProto"]) -> NDArray[Any] | None:
    """Weights of a linear layer [inputs, outputs]; None where it is none, or has few inputs."""
    from onnx import TensorProto, numpy_helper  # noqa: PLC0415

    if node.op_type not in {"Gemm", "MatMul"} or node.input[1] not in weights:
        return None
    stored = weights[node.input[1]]
    if stored.data_type != TensorProto.FLOAT or len(stored.dims) != 2:  # noqa: PLR2004
        return None
    array = numpy_helper.to_array(stored)
    matrix = array.T if is_transposed(node) else array
    return matrix if len(matrix) >= _BLOCK else None
