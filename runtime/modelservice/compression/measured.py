"""How large a model is, how well it does on the validation rows, and how long it takes."""

import statistics
from collections.abc import Sequence
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
        seconds_of_row=_seconds([engine], side.features, 1, context.clock)[0],
        seconds_of_batch=_seconds([engine], side.features, BATCH, context.clock)[0],
    )


def validation_outputs(model: Compressible, context: StepContext) -> Array:
    """What a model says of the validation rows, float32 [rows, width]."""
    return run_batches(OnnxEngine(model.onnx).run, context.dataset.validation.features)


def in_turns(tried: Sequence[Tried], models: Sequence[Compressible], context: StepContext) -> list[Tried]:
    """The same with latencies that can be compared: models are asked in turns, so what slows one slows all.

    Args:
        tried: what is known of them.
        models: the models.
        context: rows and clock.
    """
    engines, features = [OnnxEngine(model.onnx) for model in models], context.dataset.validation.features
    rows, batches = (_seconds(engines, features, count, context.clock) for count in (1, BATCH))
    return [
        one.model_copy(update={"seconds_of_row": row, "seconds_of_batch": batch})
        for one, row, batch in zip(tried, rows, batches, strict=True)
    ]


def _seconds(engines: Sequence[OnnxEngine], features: Features, rows: int, clock: Clock) -> list[float]:
    batch = np.resize(features, (rows, *features.shape[1:]))
    taken: list[list[float]] = [[] for _ in engines]
    for _ in range(_CALLS):
        for engine, seconds in zip(engines, taken, strict=True):
            begun = clock()
            engine.run(batch)
            seconds.append(clock() - begun)
    return [round(statistics.median(seconds), 7) for seconds in taken]
