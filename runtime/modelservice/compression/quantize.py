"""Weights as small integers: onnxruntime's dynamic quantisation.

The weights of linear layers are stored with 8 bits, and their inputs are quantised while a request is computed (Jacob
et al., "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference", 2018), each row
by a scale of its own (see ``rows``). Those of convolutions are only stored so (see ``convolutions``).
"""

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from modelservice.compression.base import Compressible, StepContext
from modelservice.compression.convolutions import store_as_integers
from modelservice.compression.rows import scale_each_row
from modelservice.contract.compression import Quantize
from modelservice.contract.failure import StageError

if TYPE_CHECKING:
    import onnx

_QUANTISED: Final = ("MatMul", "Gemm", "Conv")
"""Operators with weights that can be quantised; onnxruntime turns a Gemm into a MatMul first."""


class QuantizeStep:
    """The step ``quantize``."""

    name = "quantize"

    def apply(self, settings: Quantize, model: Compressible, context: StepContext) -> Compressible:  # noqa: ARG002 - Int8 is the only weight type so far, and needs no rows
        """Store weights with 8 bits, one scale for each output channel; see ``Step``."""
        import onnx  # noqa: PLC0415

        graph = onnx.load_from_string(model.onnx)
        floats = {weight.name for weight in graph.graph.initializer if weight.data_type == onnx.TensorProto.FLOAT}
        if not any(node.op_type in _QUANTISED and floats & set(node.input) for node in graph.graph.node):
            raise StageError(
                "NothingToQuantize",
                "the model has no layers of weights, as those of scikit-learn have none:"
                " leave spec.compression out, or take spec.model mlp or cnn",
                field="spec.compression.steps",
            )
        quantised = _quantize(graph)
        onnx.checker.check_model(quantised)
        return replace(model, onnx=quantised.SerializeToString(deterministic=True))


QUANTIZE: Final = QuantizeStep()


def _quantize(graph: "onnx.ModelProto") -> "onnx.ModelProto":
    import onnx  # noqa: PLC0415
    from onnxruntime.quantization import QuantType, quantize_dynamic  # noqa: PLC0415
    from onnxruntime.quantization.quant_utils import add_pre_process_metadata  # noqa: PLC0415

    # Without this mark onnxruntime advises to optimise the graph first: ours has nothing to fold.
    add_pre_process_metadata(graph)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        quantize_dynamic(
            graph,
            path,
            op_types_to_quantize=["MatMul"],
            # onnxruntime's product of integers takes no scale for each column of each member of an ensemble.
            per_channel=not _has_members(graph),
            # Products of 8 bits overflow the 16 bits in which CPUs without VNNI add two of them; weights of 7 bits do
            # not, so the model answers alike on every CPU, whichever one judged it.
            reduce_range=True,
            weight_type=QuantType.QInt8,
        )
        quantised = onnx.load(path)
    scale_each_row(quantised)
    store_as_integers(quantised)
    for weights in quantised.graph.initializer:
        # On its way the model was stored with large weights in a file of their own, and they say so until told not to.
        weights.ClearField("data_location")
    return quantised


def _has_members(graph: "onnx.ModelProto") -> bool:
    """Whether layers are those of an ensemble, with weights [members, inputs, outputs]."""
    products = {name for node in graph.graph.node if node.op_type == "MatMul" for name in node.input}
    return any(len(weights.dims) > 2 for weights in graph.graph.initializer if weights.name in products)  # noqa: PLR2004
