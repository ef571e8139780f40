"""What a training does to a dataset, the same for the model that is stored and for those that only measure it."""

from dataclasses import dataclass, replace
from typing import NamedTuple, Self

import numpy as np

from modelservice.contract.evaluation import Evaluation
from modelservice.contract.failure import StageError
from modelservice.contract.model import GRADIENT_FAMILIES, Model
from modelservice.contract.task import Calibration, Classification, Task
from modelservice.contract.work_order import TrainWork
from modelservice.families import STREAMING, family_named
from modelservice.families.base import Family, Fitted, Observer
from modelservice.families.front import fit_behind
from modelservice.inference.batches import run_batches
from modelservice.inference.onnx_engine import OnnxEngine
from modelservice.modalities.base import Dataset
from modelservice.modalities.imbalance import REMEDIES
from modelservice.stages.calibration import calibrate
from modelservice.stages.decision import validation_outputs, with_threshold, without_validation
from modelservice.training.checkpointing import BEGINS_ANEW, Checkpointing


class Learned(NamedTuple):
    """A model, the dataset with the task that answers for it and notes on how it was learned, and the model as fitted.

    ``plain`` has the probabilities that the family gave it, those of ``fitted`` may be calibrated.
    """

    fitted: Fitted
    dataset: Dataset
    plain: Fitted


class Judged(NamedTuple):
    """What a model comes to on the validation rows, and the epochs that it had; None for families without."""

    evaluation: Evaluation
    epochs: int | None


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A family and all that is asked of it."""

    family: Family
    work: TrainWork
    classification: Classification

    @classmethod
    def of(cls, work: TrainWork, dataset: Dataset) -> Self:
        """The recipe of a work order for a dataset.

        Raises:
            StageError: the family cannot learn what the dataset holds.
        """
        family = family_named(work.model.choice)
        if (why := family.unsuited(modality=dataset.modality, task=dataset.task.name)) is not None:
            raise StageError("ModelUnsuited", f"spec.model.{family.name} {why}", field="spec.model")
        if work.workers > 1:
            _check_workers(family, work)
        if dataset.stream is not None:
            _check_streaming(family, work)
        return cls(family=family, work=work, classification=classification_of(work.task))

    @property
    def decides(self) -> bool:
        """Whether rows that the fit did not learn from decide something after it."""
        asked = self.classification
        return asked.threshold is not None or asked.calibration is not Calibration.NONE

    def learn(self, dataset: Dataset, observe: Observer, checkpointing: Checkpointing = BEGINS_ANEW) -> Learned:
        """Fit the family; for errors see ``Family.fit`` and ``with_threshold``."""
        learned = learned_from(dataset, self.work.task)
        plain = fitted = self._fit(learned, observe, checkpointing)
        dataset = replace(dataset, notes=learned.notes)
        if not self.decides:
            return Learned(fitted, dataset, plain)
        unseen = validation_outputs(fitted, learned, self._fit_again)
        fitted, unseen, dataset = calibrate(self.classification.calibration, fitted, unseen, dataset)
        return Learned(fitted, with_threshold(self.classification.threshold, dataset, unseen), plain)

    def judge(self, dataset: Dataset, observe: Observer) -> Judged:
        """Fit the family, and score what would be served on the validation rows, from which the fit did not learn.

        Raises:
            StageError: its outputs are not all numbers; see also ``learn``.
        """
        learned = learned_from(dataset, self.work.task)
        if _chooses_an_epoch(self.work.model):
            fitted = self._fit(learned, observe)
            unseen = validation_outputs(fitted, learned, self._fit_again)
        else:
            fitted = self._fit(without_validation(learned), observe)
            unseen = run_batches(OnnxEngine(fitted.onnx).run, learned.validation.features)
        if not np.isfinite(unseen).all():
            message = "the model answers what is no number: change spec.model"
            raise StageError("Diverged", message, field="spec.model")
        fitted, unseen, dataset = calibrate(self.classification.calibration, fitted, unseen, dataset)
        dataset, side = with_threshold(self.classification.threshold, dataset, unseen), dataset.validation
        scores = dataset.task.score(unseen, side.values, dataset.labels, side.weights)
        return Judged(scores.evaluation, None if fitted.curves is None else int(fitted.curves["epoch"][-1]))

    def test(self, dataset: Dataset, observe: Observer, checkpointing: Checkpointing = BEGINS_ANEW) -> Evaluation:
        """Fit the family, and score what would be served on the test rows; for errors see ``learn``."""
        fitted, decided, _ = self.learn(dataset, observe, checkpointing)
        raw = run_batches(OnnxEngine(fitted.onnx).run, decided.test.features)
        return decided.task.score(raw, decided.test.values, decided.labels, decided.test.weights).evaluation

    def _fit(self, rows: Dataset, observe: Observer, checkpointing: Checkpointing = BEGINS_ANEW) -> Fitted:
        training = self.work.training

        def fit(numbers: Dataset) -> Fitted:
            chosen = self.work.model.chosen
            return self.family.fit(chosen, numbers, training, observe=observe, checkpointing=checkpointing)

        encoder = self.work.data.encoder
        return fit(rows) if encoder is None else fit_behind(encoder, rows, fit)

    def _fit_again(self, rows: Dataset) -> Fitted:
        """A further fit, and no progress of its own: one that begins anew would look like a training that does."""
        return self._fit(rows, lambda _: None)


def _chooses_an_epoch(model: Model) -> bool:
    """Whether validation rows may choose what is kept, so that a fit needs some."""
    if (encoder := model.encoder) is not None:
        return encoder.fine_tune is not None or encoder.head.mlp is not None
    return model.choice in GRADIENT_FAMILIES


def _check_workers(family: Family, work: TrainWork) -> None:
    """Refuse what several workers cannot share; a ModelService is refused before, a command line is not.

    Raises:
        StageError: the family has no steps, or trials are asked for.
    """
    if family.name not in GRADIENT_FAMILIES or work.training.search is not None:
        field = "spec.training.workers"
        what = "the trials of a search are" if work.training.search is not None else f"spec.model.{family.name} is"
        message = f"{what} trained by one worker, not by {work.workers}: leave {field} out"
        raise StageError("ModelUnsuited", message, field=field)


def _check_streaming(family: Family, work: TrainWork) -> None:
    """Refuse what needs all rows at once.

    Raises:
        StageError: the family or the optimizer does.
    """
    for field, needs in (
        (f"spec.model.{family.name}", family.name not in STREAMING),
        ("spec.training.optimizer.gradientDescent", work.training.optimizer.gradient_descent is not None),
    ):
        if needs:
            message = f"{field} needs all rows at once, and the table is too large to be held"
            raise StageError("ModelUnsuited", f"{message}: take mlp with another optimizer, or fewer rows", field=field)


def learned_from(dataset: Dataset, task: Task | None) -> Dataset:
    """What is learned from where ``spec.task`` says so much, and no more than that: metrics are of rows as they are."""
    loss = None if task is None else task.chosen.loss
    return replace(REMEDIES[classification_of(task).imbalance](dataset), loss=loss)


def classification_of(task: Task | None) -> Classification:
    """What ``spec.task`` says of classes; all is left out where it says nothing of them."""
    return task.classification if task is not None and task.classification is not None else Classification()
