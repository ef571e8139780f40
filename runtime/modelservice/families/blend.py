"""Fitting all candidates and blending them into one model."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from modelservice.contract.evaluation import Metric
from modelservice.contract.failure import StageError
from modelservice.contract.progress import Progress
from modelservice.contract.report import BlendedModel
from modelservice.families.base import Observer
from modelservice.families.candidates import Candidate, Judged, LearnedRows, folds_of
from modelservice.families.component import Component
from modelservice.families.onnx_graph import Graph
from modelservice.families.shares import shares_of_classes, shares_of_numbers
from modelservice.families.sharpness import fit_sharpness, sharpen
from modelservice.modalities.base import Features
from modelservice.tasks.base import Array
from modelservice.training.checkpointing import BEGINS_ANEW, Checkpointing

_PERCENT = 100
_SMALLEST_SHARE = 0.01
"""A model that counts less is not worth the time that it costs each request."""

Floats = NDArray[np.float64]
Clock = Callable[[], float]
"""Monotonic seconds."""


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
        seed: of all that is drawn.
        observe: is told of progress, in hundredths of a candidate.
        clock: measures what each costs.
        checkpointing: where it is kept how far those are that learn in steps.

    Raises:
        StageError: no candidate succeeded; as the first of them said it.
    """
    suited = [one for one in candidates if len(rows.values) >= one.fewest]
    folds = folds_of(rows, seed=seed)
    if not folds:
        folds = [np.arange(len(rows.values))]
    judged: list[tuple[str, Judged, float]] = []
    failures: list[StageError] = []
    for place, candidate in enumerate(suited):
        begun = clock()
        told = _part_of(observe, place=place, of=len(suited))
        try:
            found = candidate.judge(
                rows, folds, seed, told, checkpointing.of(f"{checkpointing.name}-{candidate.name.lower()}")
            )
        except StageError as error:
            failures.append(error)
            continue
        judged.append((candidate.name, found, clock() - begun))
    if not judged:
        raise failures[0]
    observe(Progress(done=_PERCENT * len(suited), total=_PERCENT * len(suited)))
    return _weigh(judged, rows.of(np.concatenate(folds)), tuple(f"auto left a model out: {one}" for one in failures))


def _weigh(judged: list[tuple[str, Judged, float]], held: LearnedRows, notes: tuple[str, ...]) -> Blended:
    """Shares and sharpness by the rows that were held back, in the order of the folds."""
    heavy = np.ones(len(held.values)) if held.weights is None else held.weights
    powers = [
        fit_sharpness(one.out_of_fold, held.values, held.weights) if held.classes else 1.0 for _, one, _ in judged
    ]
    said = np.stack([_sharpened(one.out_of_fold, power) for (_, one, _), power in zip(judged, powers, strict=True)])
    if held.classes:
        shares = shares_of_classes(said[:, np.arange(len(held.values)), held.values], heavy)
    else:
        shares = shares_of_numbers(said[:, :, 0], held.values, heavy)
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


def _part_of(observe: Observer, *, place: int, of: int) -> Observer:
    """An observer of one candidate, whose fits begin anew: only what is further than before is told."""
    furthest = 0

    def told(progress: Progress) -> None:
        nonlocal furthest
        reached = min(progress.percent, _PERCENT - 1)
        if reached <= furthest:
            return
        furthest = reached
        observe(progress.model_copy(update={"done": _PERCENT * place + furthest, "total": _PERCENT * of}))

    return told
