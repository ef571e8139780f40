"""Running models over all rows of a dataset, scoring what comes out, and how far one model is from another."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final, NamedTuple

import numpy as np

from modelservice.inference.batches import run_batches
from modelservice.modalities.base import Dataset, Features, Side, together
from modelservice.tasks.base import Array, Scores
from modelservice.tasks.metrics_document import MetricsDocument, calibration, confusion_matrix

MAX_OUTPUTS: Final = 2**23
"""Numbers that outputs for test rows which are not held come to at most."""

_ROUNDED_STEPS: Final = 2
"""Of float32 at the largest number: one when each of two models rounds its answer."""


class Sides(NamedTuple):
    """A model's outputs, float32 [rows, width], for each side of a split."""

    train: Array
    validation: Array
    test: Array


def run_sides(run: Callable[[Features], Array], dataset: Dataset) -> Sides:
    """A model's outputs for every row that there is.

    Args:
        run: float32 [batch, *shape] to float32 [batch, width].
        dataset: the rows, encoded.
    """
    return Sides(*(run_batches(run, side.features) for side in (dataset.train, dataset.validation, dataset.test)))


def largest_difference(expected: Sides, found: Sides, *, labels: tuple[str, ...]) -> float:
    """The largest difference between two models' outputs for the same rows.

    In probabilities. For a regression (no ``labels``) as a share of how far the expected numbers go from their mean,
    less what float32 rounds off: numbers around 1,000,000 that differ by 10 agree in five digits whatever a model does.
    Infinite where either is not a number.
    """
    a, b = (np.concatenate(sides).astype(np.float64) for sides in (expected, found))
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        return float("inf")
    differences = np.abs(a - b)
    if not labels:
        rounding = _ROUNDED_STEPS * float(np.spacing(np.abs(a).max().astype(np.float32)))
        reach = float(np.abs(a - a.mean()).max())
        differences = np.maximum(differences - rounding, 0) / (reach or 1.0)
    return float(differences.max())


def measure(raw: Sides, dataset: Dataset, *, kept_apart: bool, **further: Any) -> MetricsDocument:
    """Score a model's outputs on each side of the split.

    Args:
        raw: its outputs.
        dataset: the true values.
        kept_apart: whether validation rows were kept from training; else they count as training rows.
        further: what else the document says, such as ``best_epoch`` and ``curves`` of families that have epochs.
    """
    task, labels = dataset.task, dataset.labels
    train, learned = (
        (raw.train, dataset.train)
        if kept_apart
        else (np.concatenate([raw.train, raw.validation]), together(dataset.train, dataset.validation))
    )

    def scored(outputs: Array, side: Side) -> Scores:
        return task.score(outputs, side.values, labels, side.weights)

    test = scored(raw.test, dataset.test)
    return MetricsDocument(
        train=scored(train, learned).evaluation,
        validation=scored(raw.validation, dataset.validation).evaluation if kept_apart else None,
        test=test.evaluation,
        confusion_matrix=confusion_matrix(test, labels),
        calibration=calibration(test),
        **further,
    )


def with_all_tested(raw: Sides, dataset: Dataset, run: Callable[[Features], Array]) -> tuple[Sides, Dataset]:
    """Outputs and rows of which the test is that of all test rows, where some of them only are held.

    Of so many that their outputs would not be held either, evenly chosen ones are taken.

    Args:
        raw: outputs for the rows that are held.
        dataset: these rows. Those that are not are given without their features.
        run: the model; see ``run_sides``.
    """
    if dataset.stream is None:
        return raw, dataset
    *_, rows = dataset.stream.rows
    step, seen = math.ceil(rows * raw.test.shape[1] / MAX_OUTPUTS), 0
    outputs, values = [], []
    for side in dataset.stream.test():
        taken = slice(-seen % step, None, step)
        seen += len(side.values)
        if len(side.values[taken]):
            outputs.append(run_batches(run, side.features[taken]))
            values.append(side.values[taken])
    tested = Side(features=dataset.test.features[:0], values=np.concatenate(values))
    return raw._replace(test=np.concatenate(outputs)), replace(dataset, test=tested)


def opset_of(model: bytes) -> int:
    """The opset of ai.onnx that a model needs."""
    import onnx  # noqa: PLC0415

    imports = onnx.load_from_string(model).opset_import
    return next(int(used.version) for used in imports if used.domain in {"", "ai.onnx"})
