"""How large a model is, and how well it does on the validation rows."""

import numpy as np

from modelservice.compression.base import Compressible, StepContext
from modelservice.contract.sizes import Tried
from modelservice.inference.onnx_engine import OnnxEngine
from modelservice.tasks.base import Array

_ROWS = 64
"""That are computed at once, as a server does."""


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
    run, features = OnnxEngine(model.onnx).run, context.dataset.validation.features
    return np.concatenate([run(part) for part in np.split(features, range(_ROWS, len(features), _ROWS))])
