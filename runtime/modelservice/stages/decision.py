"""The threshold of a model of two classes: chosen on rows that the fit did not learn from."""

from collections.abc import Callable
from dataclasses import replace

from modelservice.contract.failure import DataError
from modelservice.contract.task import Threshold
from modelservice.families.base import Fitted
from modelservice.inference.batches import run_batches
from modelservice.inference.onnx_engine import OnnxEngine
from modelservice.modalities.base import Dataset
from modelservice.tasks.base import Array
from modelservice.tasks.threshold import BinaryThreshold, best_f1_threshold

FIELD = "spec.task.classification.threshold"


def with_threshold(asked: Threshold | None, dataset: Dataset, unseen: Array) -> Dataset:
    """The dataset with the task that answers by the threshold, as it is where none is asked for.

    Args:
        asked: ``spec.task.classification.threshold``, whose only metric is F1.
        dataset: of two classes, the positive label second.
        unseen: raw outputs of a model for the validation rows, from which it did not learn.

    Raises:
        DataError: no validation row has the positive label.
    """
    if asked is None:
        return dataset
    side, label = dataset.validation, dataset.labels[1]
    if not (side.values == 1).any():
        message = f"no validation row has the class {label!r}, so no threshold can be chosen: add rows of it"
        raise DataError("ThresholdNotClear", f"{message}, or leave {FIELD} out", field=FIELD)
    threshold = best_f1_threshold(unseen[:, 1], side.values, side.weights)
    said = f"the answer is {label} from a probability of {threshold:.3g} on: the highest F1 on {len(side.values)} rows"
    return replace(dataset, task=BinaryThreshold(threshold), notes=(*dataset.notes, said))


def validation_outputs(fitted: Fitted, dataset: Dataset, fit: Callable[[Dataset], Fitted]) -> Array:
    """Raw outputs for the validation rows of a model that did not learn from them.

    A family without epochs learns from training and validation rows together, so it is fitted once more, without the
    latter, or what of it learned so; what is stored stays the one that saw both.

    Args:
        fitted: the model.
        dataset: what it learned from.
        fit: fits a model like it.
    """
    model = fitted if fitted.best_epoch is not None else (fitted.again or fit)(without_validation(dataset))
    return run_batches(OnnxEngine(model.onnx).run, dataset.validation.features)


def without_validation(dataset: Dataset) -> Dataset:
    """The rows without those of validation."""
    return replace(dataset, validation=dataset.validation.take(slice(0)))
