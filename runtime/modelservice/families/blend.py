"""Fitting all candidates and blending them into one model."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from modelservice.contract.evaluation import Metric
from modelservice.contract.failure import StageError
from modelservice.contract.model import Auto, BlendMetric
from modelservice.contract.progress import Progress
from modelservice.contract.report import BlendedModel
from modelservice.families.base import Observer
from modelservice.families.budget import Budget, Clock
from modelservice.families.candidates import Candidate, Judged, Judging, LearnedRows, folds_of
from modelservice.families.component import Component
from modelservice.families.costs import Size
from modelservice.families.kept_back import said_of_groups
from modelservice.families.onnx_graph import Graph
from modelservice.families.shares import shares_by_selection, shares_of_classes, shares_of_numbers
from modelservice.families.sharpness import LEAST, fit_sharpness, sharpen
from modelservice.modalities.base import Features
from modelservice.tasks.base import Array
from modelservice.training.checkpointing import BEGINS_ANEW, Checkpointing
from modelservice.training.progress import parts_of

_PERCENT = 100
_BOUNDS = (("least", LEAST), ("most", 1.0))
_METRICS_OF_CLASSES = (BlendMetric.LOG_LOSS, BlendMetric.ACCURACY)
_METRICS_OF_NUMBERS = (BlendMetric.SQUARED_ERROR, BlendMetric.ABSOLUTE_ERROR)
_SMALLEST_SHARE = 0.01
"""A model that counts less is not worth the time that it costs each request."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Part:
    """A model in a blend: ``share`` of its answer counts, with probabilities raised to the power ``sharpness``."""

    name: str
    component: Component
    sharpness: float
    share: float

    def predict(self, features: Features) -> Floats:
        """Raw outputs, sharpened, float64 [rows, width]."""
        return _sharpened(self.component.predict(features).astype(np.float64), self.sharpness)


@dataclass(frozen=True, kw_only=True, eq=False)
class Blend:
    """Several fitted models as one; a ``Component``."""

    parts: tuple[Part, ...]

    @property
    def width(self) -> int:
        """See ``Component``."""
        return self.parts[0].component.width

    @property
    def parameters(self) -> int:
        """See ``Component``."""
        return sum(part.component.parameters for part in self.parts)

    def predict(self, features: Features) -> Array:
        """See ``Component``."""
        blended = sum(part.share * part.predict(features) for part in self.parts)
        return np.asarray(blended, dtype=np.float32)

    def append_to(self, graph: Graph) -> str:
        """See ``Component``."""
        weighted = []
        for part in self.parts:
            own = graph.part(part.name)
            own.value = part.component.append_to(own.part("model"))
            if part.sharpness != 1:
                # As ``sharpen`` does: a probability near 0 to a small power is no longer near it.
                bounds = (own.constant(name, np.array(bound, np.float32)) for name, bound in _BOUNDS)
                own.add("Clip", own.value, *bounds)
                own.add_sharpness(part.sharpness)
            weighted.append(own.add("Mul", own.value, own.constant("share", np.array([[part.share]], np.float32))))
        return graph.add("Sum", *weighted)


@dataclass(frozen=True, kw_only=True, eq=False)
class Blended:
    """A blend and what is said of it: a line for each model that was fitted, and sentences."""

    blend: Blend
    models: tuple[BlendedModel, ...]
    notes: tuple[str, ...]


def fit_blend(
    candidates: Sequence[Candidate],
    rows: LearnedRows,
    settings: Auto,
    *,
    seed: int,
    observe: Observer,
    clock: Clock,
    checkpointing: Checkpointing = BEGINS_ANEW,
) -> Blended:
    """Fit those candidates that suit the rows, and weigh them.

    Args:
        candidates: what may be blended; one that cannot succeed is left out, and said.
        rows: to learn from.
        settings: what ``spec.model.auto`` says.
        seed: of all that is drawn.
        observe: is told of progress, in hundredths of a candidate.
        clock: measures what each costs.
        checkpointing: where it is kept how far those are that learn in steps.

    Raises:
        StageError: no candidate succeeded, as the first of them said it; the settings do not suit the rows; or no row
            can be held back.
    """
    _check_metric(settings.metric, rows)
    suited, notes = _suited(candidates, rows, settings)
    if not (folds := folds_of(rows, seed=seed)):
        message = (
            "auto weighs models by rows that they did not learn, and no row can be held back, for each is the only one"
            " of its class, beside equal ones and its group: add rows, or name one model, such as logistic"
        )
        raise StageError("ModelUnsuited", message, field="spec.model")
    notes += said_of_groups("auto", rows.values, classes=rows.classes, groups=rows.groups)
    notes += _unjudged(rows, np.concatenate(folds))
    budget = Budget(
        size=Size(rows=len(rows.values), inputs=rows.features.shape[1], classes=rows.classes, fits=len(folds) + 1),
        seconds=settings.time_budget_seconds,
        clock=clock,
    )
    parts = parts_of(observe, [_PERCENT] * len(suited))
    judged: list[tuple[str, Judged, float]] = []
    failures: list[StageError] = []
    for place, candidate in enumerate(budget.ordered(suited)):
        if judged and (late := budget.too_late(candidate)) is not None:
            notes.append(late)
            continue
        begun = clock()
        told = _forward(parts[place])
        own = checkpointing.of(f"{checkpointing.name}-{candidate.name.lower()}")
        try:
            found = candidate.judge(rows, Judging(folds=folds, seed=seed, observe=told, checkpointing=own))
        except StageError as error:
            failures.append(error)
            continue
        judged.append((candidate.name, found, clock() - begun))
        budget.spent(candidate, clock() - begun)
    if not judged:
        raise failures[0]
    observe(Progress(done=_PERCENT * len(suited), total=_PERCENT * len(suited)))
    notes += [f"auto left a model out: {one}" for one in failures]
    return _weigh(judged, rows.of(np.concatenate(folds)), settings.metric, (*notes, *budget.notes))


def _check_metric(metric: BlendMetric | None, rows: LearnedRows) -> None:
    possible = _METRICS_OF_CLASSES if rows.classes else _METRICS_OF_NUMBERS
    if metric is not None and metric not in possible:
        what = "classes are" if rows.classes else "a number is"
        raise StageError(
            "ModelUnsuited",
            f"spec.model.auto.metric is {metric}, but {what} predicted: set {' or '.join(possible)}, or leave it out",
            field="spec.model.auto.metric",
        )


def _suited(candidates: Sequence[Candidate], rows: LearnedRows, settings: Auto) -> tuple[list[Candidate], list[str]]:
    """Candidates to fit, and a sentence on each that was named and is not among them."""
    named = [one for one in candidates if settings.candidates is None or one.name in settings.candidates]
    reasons = {one.name: one.unsuited(rows) for one in named}
    suited = [one for one in named if reasons[one.name] is None]
    said = [f"auto left {name} out: it {reason}" for name, reason in reasons.items() if reason is not None]
    if not suited:
        message = (
            f"spec.model.auto.candidates names no model that suits: {'; '.join(said)}: name others, or leave it out"
        )
        raise StageError("ModelUnsuited", message, field="spec.model.auto.candidates")
    return suited, said if settings.candidates is not None else []


def _unjudged(rows: LearnedRows, held: NDArray[np.int64]) -> list[str]:
    """A sentence on classes of several rows none of which is held back: nobody knows what the models say of them."""
    if not rows.classes:
        return []
    several = np.bincount(rows.values, minlength=rows.classes) > 1
    unheld = int((several & (np.bincount(rows.values[held], minlength=rows.classes) == 0)).sum())
    what = f"{unheld} of {rows.classes} classes"
    return [f"auto weighs models by no row of {what}, which are always learned: add rows or groups"] if unheld else []


def _weigh(
    judged: list[tuple[str, Judged, float]], held: LearnedRows, metric: BlendMetric | None, notes: tuple[str, ...]
) -> Blended:
    """Shares and sharpness by the rows that were held back, in the order of the folds."""
    powers = [
        fit_sharpness(one.out_of_fold, held.values, held.weights) if held.classes else 1.0 for _, one, _ in judged
    ]
    said = np.stack([_sharpened(one.out_of_fold, power) for (_, one, _), power in zip(judged, powers, strict=True)])
    shares = _shares(said, held, metric)
    shares = np.where(shares < _SMALLEST_SHARE, 0, shares)
    shares = shares / shares.sum()
    parts = tuple(
        Part(name=name, component=one.component, sharpness=power, share=float(share))
        for (name, one, _), power, share in zip(judged, powers, shares, strict=True)
        if share > 0
    )
    models = tuple(
        BlendedModel(name=name, weight=round(float(share), 4), seconds=round(seconds, 2), metrics=_metrics(own, held))
        for (name, _, seconds), share, own in zip(judged, shares, said, strict=True)
    )
    together = _metrics(np.tensordot(shares, said, axes=1), held)
    return Blended(blend=Blend(parts=parts), models=models, notes=(_sentence(models, together), *notes))


def _shares(said: Floats, held: LearnedRows, metric: BlendMetric | None) -> Floats:
    """Shares of the models by what they say, [models, rows, width]."""
    heavy = np.ones(len(held.values)) if held.weights is None else held.weights
    rows = np.arange(len(held.values))
    match metric:
        case BlendMetric.ACCURACY:

            def wrong(blended: Floats) -> float:
                return float(np.average(blended.argmax(axis=1) != held.values, weights=heavy))

            def unsure(blended: Floats) -> float:
                return float(np.average(-np.log(np.maximum(blended[rows, held.values], LEAST)), weights=heavy))

            return shares_by_selection(said, (wrong, unsure))
        case BlendMetric.ABSOLUTE_ERROR:

            def off(blended: Floats) -> float:
                return float(np.average(np.abs(blended[:, 0] - held.values), weights=heavy))

            return shares_by_selection(said, (off,))
        case _ if held.classes:
            return shares_of_classes(said[:, rows, held.values], heavy)
        case _:
            return shares_of_numbers(said[:, :, 0], held.values, heavy)


def _sharpened(raw: Floats, power: float) -> Floats:
    return raw if power == 1 else sharpen(raw, power)


def _metrics(said: Floats, held: LearnedRows) -> tuple[Metric, ...]:
    heavy = np.ones(len(held.values)) if held.weights is None else held.weights
    if held.classes:
        true = np.clip(said[np.arange(len(held.values)), held.values], np.finfo(np.float32).eps, 1)
        found = {
            "accuracy": np.average(said.argmax(axis=1) == held.values, weights=heavy),
            "logLoss": np.average(-np.log(true), weights=heavy),
        }
    else:
        error = np.average(np.square(said[:, 0] - held.values), weights=heavy)
        spread = np.average(np.square(held.values - np.average(held.values, weights=heavy)), weights=heavy)
        found = {"r2": 1 - error / spread if spread > 0 else float(error == 0), "rmse": np.sqrt(error)}
    return tuple(Metric(name=name, value=float(f"{value:.4g}")) for name, value in found.items())


def _sentence(models: Sequence[BlendedModel], together: tuple[Metric, ...]) -> str:
    def figures(metrics: tuple[Metric, ...]) -> str:
        return ", ".join(f"{metric.name} {metric.value:g}" for metric in metrics)

    listed = "; ".join(f"{one.name} {one.weight:.0%} ({figures(one.metrics)})" for one in models)
    return f"auto blends {listed}; together {figures(together)}, all measured on rows that the models had not learned"


def _forward(observe: Observer) -> Observer:
    """An observer of one candidate, whose fits begin anew: only what is further than before is told, in percent."""
    furthest = 0

    def told(progress: Progress) -> None:
        nonlocal furthest
        reached = min(progress.percent, _PERCENT - 1)
        if reached > furthest:
            furthest = reached
            observe(progress.model_copy(update={"done": furthest, "total": _PERCENT}))

    return told
