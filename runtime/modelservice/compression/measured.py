"""How large a model is, how well it does on the validation rows, and how long it takes."""

import statistics
from typing import Final

import numpy as np

from modelservice.compression.base import Compressible, StepContext
from modelservice.contract.sizes import BATCH, Tried
from modelservice.inference.batches import run_batches
from modelservice.inference.onnx_engine import OnnxEngine
from modelservice.modalities.base import Features
from modelservice.tasks.base import Array
from modelservice.training.checkpointing import Clock

_CALLS: Final = 15
"""Of a batch; their median tells how long one takes."""


def measured(name: str, model: Compressible, context: StepContext) -> Tried:
    """The model by size, primary metric and latency on one thread."""
    side, network, task = context.dataset.validation, model.network, context.dataset.task
    engine = OnnxEngine(model.onnx)
    outputs = run_batches(engine.run, side.features)
    metric = task.score(outputs, side.values, context.dataset.labels, side.weights).evaluation.primary_metric
    return Tried(
        name=name,
        parameters=None if network is None else network.parameters,
        nonzero=None if network is None else network.nonzero,
        multiply_adds=None if network is None else network.architecture.multiply_adds,
        bytes=len(model.onnx),
        metric=metric.value,
        low=metric.low,
        high=metric.high,
        seconds_of_row=_seconds(engine, side.features, 1, context.clock),
        seconds_of_batch=_seconds(engine, side.features, BATCH, context.clock),
    )


def validation_outputs(model: Compressible, context: StepContext) -> Array:
    """What a model says of the validation rows, float32 [rows, width]."""
    return run_batches(OnnxEngine(model.onnx).run, context.dataset.validation.features)


def _seconds(engine: OnnxEngine, features: Features, rows: int, clock: Clock) -> float:
    batch = np.resize(features, (rows, *features.shape[1:]))
    taken = []
    for _ in range(_CALLS):
        begun = clock()
        engine.run(batch)
        taken.append(clock() - begun)
    return round(statistics.median(taken), 7)
