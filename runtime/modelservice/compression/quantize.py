"""Weights as small integers, and inputs as integers or floats while a request is computed."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from modelservice.compression.base import Compressible, StepContext
from modelservice.compression.dynamic import quantised_dynamically
from modelservice.compression.four_bits import FLOATS, INTEGERS, with_four_bits
from modelservice.compression.integers import layer_weights, store_as_integers
from modelservice.compression.static import quantised_statically
from modelservice.contract.compression import Activations, Quantize, WeightType
from modelservice.contract.failure import StageError

if TYPE_CHECKING:
    import onnx

_LAYERS: Final = ("MatMul", "Gemm", "Conv")
"""Operators with weights that can be quantised."""


class QuantizeStep:
    """The step ``quantize``."""

    name = "quantize"

    def apply(self, settings: Quantize, model: Compressible, context: StepContext) -> Compressible:
        """Make integers of the weights; see ``Step``."""
        import onnx  # noqa: PLC0415

        graph = onnx.load_from_string(model.onnx)
        if not layer_weights(graph.graph, _LAYERS):
            raise StageError(
                "NothingToQuantize",
                "the model has no layers of weights, as those of scikit-learn have none:"
                " leave spec.compression out, or take spec.model mlp or cnn",
                field="spec.compression.steps",
            )
        quantised = _FORMS[settings.weights, settings.activations](graph, context)
        for weights in quantised.graph.initializer:
            # onnxruntime stores large weights in a file of their own on its way, and they say so until told not to.
            weights.ClearField("data_location")
        onnx.checker.check_model(quantised)
        return replace(model, onnx=quantised.SerializeToString(deterministic=True))


QUANTIZE: Final = QuantizeStep()


def _stored(graph: "onnx.ModelProto", _context: StepContext) -> "onnx.ModelProto":
    store_as_integers(graph, _LAYERS, bits=8)
    return graph


def _dynamic(graph: "onnx.ModelProto", _context: StepContext) -> "onnx.ModelProto":
    return quantised_dynamically(graph)


def _static(graph: "onnx.ModelProto", context: StepContext) -> "onnx.ModelProto":
    return quantised_statically(graph, context.dataset.train.features)


def _four_bits(level: int) -> "_Form":
    def form(graph: "onnx.ModelProto", _context: StepContext) -> "onnx.ModelProto":
        with_four_bits(graph, level=level)
        return graph

    return form


_Form = Callable[["onnx.ModelProto", StepContext], "onnx.ModelProto"]
_FORMS: Final[Mapping[tuple[WeightType, Activations], _Form]] = {
    (WeightType.INT8, Activations.NONE): _stored,
    (WeightType.INT8, Activations.DYNAMIC): _dynamic,
    (WeightType.INT8, Activations.STATIC): _static,
    (WeightType.INT4, Activations.NONE): _four_bits(FLOATS),
    (WeightType.INT4, Activations.DYNAMIC): _four_bits(INTEGERS),
}
"""What the contract allows."""
