"""Temperature scaling: how sure the probabilities of a model are to be, by rows that it did not learn from."""

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from modelservice.contract.task import Calibration
from modelservice.families.base import Fitted
from modelservice.families.calibration import calibrated_graph
from modelservice.families.sharpness import fit_sharpness, sharpen
from modelservice.inference.onnx_engine import OnnxEngine
from modelservice.modalities.base import Dataset, Features
from modelservice.tasks.base import Array


class Calibrated(NamedTuple):
    """A model, what it gives for the validation rows, and the dataset with a note on what was done."""

    fitted: Fitted
    unseen: Array
    dataset: Dataset


def calibrate(asked: Calibration, fitted: Fitted, unseen: Array, dataset: Dataset) -> Calibrated:
    """Scale the probabilities, where that is asked for.

    Args:
        asked: ``spec.task.classification.calibration``.
        fitted: the model.
        unseen: probabilities of a model like it for the validation rows, from which it did not learn [rows, classes].
        dataset: the rows; their weights are the true ones.
    """
    if asked is Calibration.NONE:
        return Calibrated(fitted, unseen, dataset)
    side = dataset.validation
    power = fit_sharpness(unseen.astype(np.float64), side.values, side.relative_weights)
    said = f"probabilities have the temperature {1 / power:.3g}, by {len(side.values)} validation rows"
    return Calibrated(
        fitted=_sharpened(fitted, power, dataset),
        unseen=_sharpen(unseen, power),
        dataset=replace(dataset, notes=(*dataset.notes, said)),
    )


def _sharpened(fitted: Fitted, power: float, dataset: Dataset) -> Fitted:
    """The model in its own form where it has one, which torch serves, too; else with nodes behind it."""
    if fitted.sharpened is not None:
        return fitted.sharpened(power)
    run = OnnxEngine(fitted.onnx).run

    def predict(features: Features) -> Array:
        return _sharpen(run(features), power)

    content = calibrated_graph(fitted.onnx, shape=dataset.shape, width=len(dataset.labels), power=power)
    return replace(fitted, onnx=content, predict=predict)


def _sharpen(probabilities: Array, power: float) -> Array:
    return sharpen(probabilities.astype(np.float64), power).astype(np.float32)
