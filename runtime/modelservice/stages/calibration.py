"""Calibration: how sure the probabilities of a model are to be, by rows that it did not learn from."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from modelservice.artifact.files import document_bytes
from modelservice.contract.documents import read_document
from modelservice.contract.failure import DataError
from modelservice.contract.manifest import ARCHITECTURE_FILE
from modelservice.contract.task import Calibration
from modelservice.families.architecture import Architecture, Isotonic
from modelservice.families.base import Fitted
from modelservice.families.isotonic import fit_curves, follow
from modelservice.families.sharpness import fit_sharpness, sharpen
from modelservice.inference.onnx_engine import OnnxEngine
from modelservice.modalities.base import Dataset, Features
from modelservice.tasks.base import Array

FIELD: Final = "spec.task.classification.calibration"
FEWEST_ROWS: Final = 500
"""Validation rows from which on isotonic regression is possible: it follows the chance of fewer, and a temperature is
better then (Niculescu-Mizil and Caruana, Predicting good probabilities with supervised learning, 2005). Probabilities
that are right already lose 0.02 of log loss by it with 500 rows, 0.01 with 1,000 and 0.03 to 0.1 with 200."""
FEWEST_OF_A_CLASS: Final = 10

Change = Callable[[NDArray[np.float64]], NDArray[np.float64]]
"""Probabilities [rows, classes] to others."""


class Calibrated(NamedTuple):
    """A model, what it gives for the validation rows, and the dataset with a note on what was done."""

    fitted: Fitted
    unseen: Array
    dataset: Dataset


def calibrate(asked: Calibration, fitted: Fitted, unseen: Array, dataset: Dataset) -> Calibrated:
    """Change the probabilities, where that is asked for.

    Args:
        asked: ``spec.task.classification.calibration``.
        fitted: the model.
        unseen: probabilities of a model like it for the validation rows, from which it did not learn [rows, classes].
        dataset: the rows; their weights are the true ones.

    Raises:
        DataError: there are too few validation rows for it.
    """
    return CALIBRATIONS[asked](fitted, unseen, dataset)


def _by_temperature(fitted: Fitted, unseen: Array, dataset: Dataset) -> Calibrated:
    """In the model's own form where it has one, which torch serves, too; else by nodes behind it."""
    side, shape, width = dataset.validation, dataset.shape, len(dataset.labels)
    power = fit_sharpness(unseen.astype(np.float64), side.values, side.relative_weights)

    def change(probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
        return sharpen(probabilities, power)

    if fitted.sharpened is not None:
        scaled = fitted.sharpened(power)
    else:
        from modelservice.families.calibration import sharpened_graph  # noqa: PLC0415 - no first step waits for onnx

        scaled = _behind(fitted, sharpened_graph(fitted.onnx, shape=shape, width=width, power=power), change)
    return _calibrated(scaled, unseen, dataset, change, f"probabilities have the temperature {1 / power:.3g}")


def _by_isotonic_regression(fitted: Fitted, unseen: Array, dataset: Dataset) -> Calibrated:
    """By nodes behind the model; a network that torch serves has the curves in its head."""
    _check_rows(dataset)
    side, shape, width = dataset.validation, dataset.shape, len(dataset.labels)
    curves = fit_curves(unseen.astype(np.float64), side.values, side.relative_weights)

    def change(probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
        return follow(curves, probabilities)

    from modelservice.families.calibration import isotonic_graph  # noqa: PLC0415 - as above

    risen = _behind(fitted, isotonic_graph(fitted.onnx, shape=shape, width=width, curves=curves), change)
    if ARCHITECTURE_FILE in fitted.files:
        network = read_document(ARCHITECTURE_FILE, fitted.files[ARCHITECTURE_FILE], Architecture)
        head = Isotonic.model_validate({"head": network.head, "curves": curves})
        stored = document_bytes(network.model_copy(update={"head": head}))
        risen = replace(risen, files={**fitted.files, ARCHITECTURE_FILE: stored})
    pieces = sum(len(curve.knots) - 1 for curve in curves)
    return _calibrated(risen, unseen, dataset, change, f"probabilities follow rising curves of {pieces} pieces")


CALIBRATIONS: Final[Mapping[Calibration, Callable[[Fitted, Array, Dataset], Calibrated]]] = {
    Calibration.NONE: Calibrated,
    Calibration.TEMPERATURE: _by_temperature,
    Calibration.ISOTONIC: _by_isotonic_regression,
}
"""What is done, by ``spec.task.classification.calibration``."""


def _check_rows(dataset: Dataset) -> None:
    values = dataset.validation.values
    remedy = f"add rows, set {FIELD} to Temperature, or leave it out"
    if len(values) < FEWEST_ROWS:
        message = f"there are {len(values)} validation rows, too few for isotonic regression, which needs {FEWEST_ROWS}"
        raise DataError("TooFewToCalibrate", f"{message}: {remedy}", field=FIELD)
    for code, label in enumerate(dataset.labels):
        if (count := int((values == code).sum())) < FEWEST_OF_A_CLASS:
            message = (
                f"{count} validation rows have the class {label!r}, and isotonic regression needs {FEWEST_OF_A_CLASS}"
            )
            raise DataError("TooFewToCalibrate", f"{message}: {remedy}", field=FIELD)


def _behind(fitted: Fitted, content: bytes, change: Change) -> Fitted:
    run = OnnxEngine(fitted.onnx).run

    def predict(features: Features) -> Array:
        return _changed(run(features), change)

    recalled = fitted.recalled
    return replace(
        fitted,
        onnx=content,
        predict=predict,
        sharpened=None,
        recalled=None if recalled is None else lambda features: _changed(recalled(features), change),
    )


def _calibrated(fitted: Fitted, unseen: Array, dataset: Dataset, change: Change, said: str) -> Calibrated:
    note = f"{said}, by {len(dataset.validation.values)} validation rows"
    return Calibrated(fitted, _changed(unseen, change), replace(dataset, notes=(*dataset.notes, note)))


def _changed(probabilities: Array, change: Change) -> Array:
    return change(probabilities.astype(np.float64)).astype(np.float32)
