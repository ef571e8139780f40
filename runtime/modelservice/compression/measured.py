"""How large a model is, and how well it does on the validation rows."""

from modelservice.compression.base import Compressible, StepContext
from modelservice.contract.sizes import Tried
from modelservice.inference.batches import run_batches
from modelservice.inference.onnx_engine import OnnxEngine
from modelservice.tasks.base import Array


def measured(name: str, model: Compressible, context: StepContext) -> Tried:
    """The model by size and primary metric."""
    side, network = context.dataset.validation, model.network
    return Tried(
        name=name,
        parameters=None if network is None else network.parameters,
        nonzero=None if network is None else network.nonzero,
        multiply_adds=None if network is None else network.architecture.multiply_adds,
        bytes=len(model.onnx),
        metric=context.dataset.task.primary(validation_outputs(model, context), side.values, side.weights),
    )


def validation_outputs(model: Compressible, context: StepContext) -> Array:
    """What a model says of the validation rows, float32 [rows, width]."""
    return run_batches(OnnxEngine(model.onnx).run, context.dataset.validation.features)
