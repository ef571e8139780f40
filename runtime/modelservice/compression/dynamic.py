"""Linear layers that compute with 8-bit integers: onnxruntime's dynamic quantisation.

Weights are stored with 8 bits, and inputs are quantised while a request is computed (Jacob et al., "Quantization and
Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference", 2018), each row by a scale of its own (see
``rows``).
"""

from functools import partial
from typing import TYPE_CHECKING

from modelservice.compression.integers import by_way_of_a_file, store_as_integers
from modelservice.compression.rows import scale_each_row

if TYPE_CHECKING:
    import onnx


def quantised_dynamically(graph: "onnx.ModelProto") -> "onnx.ModelProto":
    """The graph with linear layers of integers, and convolutions whose weights are stored as such."""
    from onnxruntime.quantization import QuantType, quantize_dynamic  # noqa: PLC0415

    quantised = by_way_of_a_file(
        graph,
        partial(
            quantize_dynamic,
            op_types_to_quantize=["MatMul"],
            # onnxruntime's product of integers takes no scale for each column of each member of an ensemble.
            per_channel=not has_members(graph),
            # Products of 8 bits overflow the 16 bits in which CPUs without VNNI add two of them; weights of 7 bits do
            # not, so the model answers alike on every CPU, whichever one judged it.
            reduce_range=True,
            weight_type=QuantType.QInt8,
        ),
    )
    scale_each_row(quantised)
    store_as_integers(quantised, ("Conv",), bits=8)
    return quantised


def has_members(graph: "onnx.ModelProto") -> bool:
    """Whether layers are those of an ensemble, with weights [members, inputs, outputs]."""
    products = {name for node in graph.graph.node if node.op_type == "MatMul" for name in node.input}
    return any(len(weights.dims) > 2 for weights in graph.graph.initializer if weights.name in products)  # noqa: PLR2004
