"""The search of a training: one trial after the other, each kept as soon as it has ended, and the best of them.

What comes of it are settings and a report. The model is trained with the settings as if they had been written, so that
it depends on no process that came before.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, NamedTuple

import numpy as np

from modelservice import __version__
from modelservice.artifact.files import document_bytes
from modelservice.artifact.stores import Checkpoints
from modelservice.contract.documents import DocumentError, read_document
from modelservice.contract.failure import About, StageError
from modelservice.contract.metric_names import LOWER_IS_BETTER, KnownMetric
from modelservice.contract.progress import Progress
from modelservice.contract.search import Search
from modelservice.contract.search_report import Outcome, SearchReport, StoredTrial, Trial
from modelservice.contract.training import Hyperparameters
from modelservice.contract.trials import Point, at_point, draw_points, named, rungs
from modelservice.contract.work_order import TrainWork
from modelservice.families.base import Observer
from modelservice.modalities.base import Dataset
from modelservice.stages.base import Context
from modelservice.stages.halving import ranked, run_trials
from modelservice.stages.recipe import Recipe

FIELD: Final = "spec.training.search"
MAX_TRIAL_BYTES: Final = 2**16
_TRIED = ("spec.model", *(f"spec.training.{field.alias}" for field in Hyperparameters.model_fields.values()))
"""What may differ between trials: a failure that names another field would meet the next trial, too."""
_EPOCHS = "training.epochs"


class Found(NamedTuple):
    """The work with the settings of the best trial, and what was tried."""

    work: TrainWork
    report: SearchReport


@dataclass(frozen=True, kw_only=True)
class TrialStore:
    """Where trials that have ended are kept, until their search has.

    Attributes:
        checkpoints: the place. A tenant can write it: a trial of another search is left where it is, and made again.
        say: is told in sentences what became of trials.
        key: of the training.
        data: the digest of what was read.
        metric: what decides.
    """

    checkpoints: Checkpoints
    say: Callable[[str], None]
    key: str
    data: str
    metric: KnownMetric

    def find(self, number: int, point: Point, budget: int | None) -> Trial | None:
        """What came of a trial in a process before; None where it did not end, or what is kept is of another one."""
        name = _name(number, budget)
        if (content := self.checkpoints.read(name, limit=MAX_TRIAL_BYTES)) is None:
            return None
        try:
            stored = read_document(name, content, StoredTrial)
        except DocumentError as error:
            self.say(f"trial {number} is made again, since what was kept of it cannot be used: {error}")
            return None
        trial = stored.trial
        expected = (__version__, self.key, self.data, self.metric, budget, number, dict(point))
        found = (stored.modelservice, stored.key, stored.data, stored.metric, stored.budget, trial.number)
        if (*found, trial.parameters) != expected:
            self.say(f"trial {number} is made again, since what was kept as {name} is of another search")
            return None
        self.say(f"trial {number} was made before: {self._came_to(trial)}")
        return trial

    def keep(self, trial: Trial, budget: int | None, seconds: float) -> None:
        """Keep a trial that has ended."""
        epochs = "" if budget is None else f" with {budget} epochs"
        took = f"trial {trial.number} ({named(trial.parameters)}){epochs} took {seconds:.3g} s"
        self.say(f"{took}: {self._came_to(trial)}")
        stored = StoredTrial(
            modelservice=__version__, key=self.key, data=self.data, metric=self.metric, budget=budget, trial=trial
        )
        self.checkpoints.write(_name(trial.number, budget), document_bytes(stored))

    def _came_to(self, trial: Trial) -> str:
        return f"{trial.reason}" if trial.value is None else f"validation {self.metric} {trial.value:.4g}"


def search(key: str, work: TrainWork, dataset: Dataset, context: Context, observers: Sequence[Observer]) -> Found:
    """Make all trials that ``spec.training.search`` asks for, and choose the best.

    Args:
        key: of the training.
        work: what is asked for.
        dataset: the rows; those of validation decide.
        context: keeps trials that have ended, is told of them, and has the clock.
        observers: are told of the progress of each training, ``trainings`` of them.

    Raises:
        StageError: no trial could be trained, or none ever can.
    """
    asked = work.training.search
    assert asked is not None  # noqa: S101 - there are ``trainings``
    metric = _metric_of(asked, dataset)
    store = TrialStore(checkpoints=context.checkpoints, say=context.say, key=key, data=dataset.sha256, metric=metric)
    points = draw_points(work.model, work.training, asked)
    untold = iter(observers)

    def settled(number: int, budget: int | None) -> TrainWork:
        return _settled(work, points[number] if number else {}, budget)

    def train(number: int, budget: int | None) -> Trial:
        observe = _under(f"trial {number} of {len(points)}", next(untold))
        if (found := store.find(number, points[number], budget)) is not None:
            return found
        begun = context.watch.clock()
        as_trial = partial(Trial, number=number, parameters=dict(points[number]))
        trial = _try(as_trial, settled(number, budget), dataset, metric, observe)
        store.keep(trial, budget, context.watch.clock() - begun)
        return trial

    lower, rounds = metric in LOWER_IS_BETTER, rungs(asked, work.training.epochs)
    trials = run_trials(len(points), rounds, train, lower_is_better=lower)
    best = ranked((one for one in trials if one.outcome is Outcome.FINISHED), lower_is_better=lower)
    if not best:
        raise _nothing_came_of(trials)
    rows = len(dataset.validation.values)
    report = SearchReport(metric=metric, rows=rows, asked=asked.trials, best=best[0], trials=trials)
    return Found(settled(best[0], None), report)


def trainings(training: Hyperparameters) -> list[int]:
    """Epochs of each training that a search has at most, in their order; none where none is asked for."""
    if training.search is None:
        return []
    rounds = rungs(training.search, training.epochs)
    return [training.epochs, *(rung.epochs or training.epochs for rung in rounds for _ in range(rung.trials))]


def _metric_of(asked: Search, dataset: Dataset) -> KnownMetric:
    """What decides, once it is known that the validation rows tell it.

    Raises:
        StageError: they do not.
    """
    side, width = dataset.validation, len(dataset.labels) or 1
    guess = np.full((len(side.values), width), 1 / width, np.float32)
    told = dataset.task.score(guess, side.values, dataset.labels, side.weights).evaluation
    metric = asked.metric or KnownMetric(told.primary)
    if told.metric(metric) is None:
        known = ", ".join(one.name for one in told.metrics)
        message = f"the validation rows do not tell {metric}, which {FIELD}.metric asks for: take one of {known}"
        raise StageError("MetricNotMeasured", message, field=f"{FIELD}.metric")
    return metric


def sentence(report: SearchReport) -> str:
    """What is said of a search."""
    written, winner = report.trials[0], report.winner
    said = f"search: the best of {len(report.trials)} trials"
    if len(report.trials) < report.asked:
        said += ", which are all that there are,"
    came = f"validation {report.metric} {winner.value:.3g}"
    if not winner.number:
        return f"{said} is the spec as written, {came}"
    other = f"{written.value:.3g}" if written.value is not None else f"{written.reason}"
    return f"{said} is {winner.number} ({named(winner.parameters)}), {came} against {other} of the spec as written"


def _try(
    trial: Callable[..., Trial], work: TrainWork, dataset: Dataset, metric: KnownMetric, observe: Observer
) -> Trial:
    """Train with the settings of a trial; one that these make impossible has failed, and the next may not."""
    try:
        found = Recipe.of(work, dataset).judge(dataset, observe)
    except StageError as error:
        if error.ABOUT is not About.STAGE or error.field is None or not error.field.startswith(_TRIED):
            raise
        failure = error.failure()
        return trial(outcome=Outcome.FAILED, reason=failure.reason, message=failure.message)
    measured = found.evaluation.metric(metric)
    assert measured is not None  # noqa: S101 - ``_metric_of`` asked the same rows
    return trial(outcome=Outcome.FINISHED, epochs=found.epochs, value=measured.value)


def _settled(work: TrainWork, point: Point, budget: int | None) -> TrainWork:
    """The work without a search, with the values of a point and, where they are limited, so many epochs."""
    model, training = at_point(work.model, work.training, point if budget is None else {**point, _EPOCHS: budget})
    return work.model_copy(update={"model": model, "training": training})


def _under(stage: str, observe: Observer) -> Observer:
    def told(progress: Progress) -> None:
        observe(progress.model_copy(update={"stage": stage}))

    return told


def _name(number: int, budget: int | None) -> str:
    return f"trial-{number}" if budget is None else f"trial-{number}-{budget}"


def _nothing_came_of(trials: Sequence[Trial]) -> StageError:
    first = trials[0]
    message = f"none of the {len(trials)} trials could be trained; the spec as written: {first.reason}: {first.message}"
    return StageError("AllTrialsFailed", message, field=FIELD)
