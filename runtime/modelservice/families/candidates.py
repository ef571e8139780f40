"""The models that ``auto`` blends, and what each says of rows that it did not learn."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from modelservice.contract.estimators import GradientBoosting, KernelRidge, RandomForest
from modelservice.families.base import Observer
from modelservice.families.boosting import choose_rounds, fit_boosting
from modelservice.families.component import Component, Fit
from modelservice.families.costs import (
    Size,
    seconds_of_boosting,
    seconds_of_discriminant,
    seconds_of_forest,
    seconds_of_kernel_ridge,
    seconds_of_linear,
    seconds_of_network,
)
from modelservice.families.discriminant import MAX_INPUTS, fit_discriminant
from modelservice.families.ensemble import Ensemble, fit_ensemble, plan_for
from modelservice.families.forest import fit_forest
from modelservice.families.kept_back import divisions, held_together, parts_kept_back
from modelservice.families.kernel_regression import choose_gamma, fit_kernel_ridge
from modelservice.families.linear import choose_strength, fit_linear
from modelservice.modalities.base import Features, Groups
from modelservice.training.checkpointing import BEGINS_ANEW, Checkpointing

_ROWS_FOR_FOLDS = 5000
"""Rows up to which each is predicted out of fold; above, those of one fold say enough."""
_MANY_ROWS = 10_000
"""Above them a forest has so many trees, and a kernel so many landmarks:"""
_FEW_TREES, _FEW_LANDMARKS = 50, 500

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class LearnedRows:
    """Rows as a ``component.Fit`` takes them; ``weights`` are 1 on the mean, None where all count alike.

    ``groups`` are as in ``Side``.
    """

    features: Features
    values: NDArray[Any]
    classes: int
    weights: Floats | None
    groups: Groups | None = None

    def of(self, places: NDArray[np.int64]) -> "LearnedRows":
        """Some of them."""
        weights = None if self.weights is None else self.weights[places]
        return LearnedRows(
            features=self.features[places],
            values=self.values[places],
            classes=self.classes,
            weights=None if weights is None or weights.mean() == 0 else weights / weights.mean(),
            groups=None if self.groups is None else self.groups[places],
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class Judged:
    """A model that learned all rows, and what such models say of rows that they did not learn, float64 [judged, width].

    Classes that no model saw, of which all rows were held back, are not among the judged.
    """

    component: Component
    out_of_fold: Floats


@dataclass(frozen=True, kw_only=True, eq=False)
class Judging:
    """How models are judged.

    Attributes:
        folds: places of the rows that are held back together.
        seed: of all that is drawn.
        observe: is told of progress.
        checkpointing: where it is kept how far those are that learn in steps.
    """

    folds: list[NDArray[np.int64]]
    seed: int
    observe: Observer
    checkpointing: Checkpointing = BEGINS_ANEW


Judge = Callable[[LearnedRows, Judging], Judged]
"""Fits a model on rows, and on all but each fold."""


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One kind of model, for so many rows.

    Attributes:
        name: as reports name it.
        judge: fits it, and says what it is worth.
        seconds: about how long that takes on one core.
        fewest: rows from which it is worth its time.
        most_inputs: features up to which it is; None for any number.
        rows_per_input: rows that there must be for each feature.
        numbers: whether it can learn numbers, too.
    """

    name: str
    judge: Judge
    seconds: Callable[[Size], float]
    fewest: int = 0
    most_inputs: int | None = None
    rows_per_input: int = 0
    numbers: bool = True

    def unsuited(self, rows: LearnedRows) -> str | None:
        """Why it is not worth its time on these rows, None where it is; follows its name in a sentence."""
        count, inputs = rows.features.shape
        if count < self.fewest:
            return f"is for {self.fewest} rows and more, and {count} are learned"
        if self.most_inputs is not None and inputs > self.most_inputs:
            return f"is for at most {self.most_inputs} encoded features, and there are {inputs}"
        if count < self.rows_per_input * inputs:
            return f"is for {self.rows_per_input} rows and more for each encoded feature: {count} rows have {inputs}"
        return None if self.numbers or rows.classes else "is for classes, and a number is predicted"


def folds_of(rows: LearnedRows, *, seed: int) -> list[NDArray[np.int64]]:
    """Places of the rows that are held back together, see ``held_together``; none where no two groups can be.

    A class of a single row is always learned.
    """

    def parts(groups: Groups | None) -> list[NDArray[np.int64]]:
        return parts_kept_back(rows.values, classes=rows.classes, groups=groups, seed=seed)

    folds = parts(rows.groups)
    if folds and rows.groups is not None:
        folds = parts(held_together(rows.values, classes=rows.classes, groups=rows.groups))
    return folds if len(rows.values) <= _ROWS_FOR_FOLDS else folds[:1]


def fitted_by(fit: Fit, settings: Any) -> Judge:
    """Judge a family by fitting it once more for each fold; its fits begin anew."""

    def judge(rows: LearnedRows, how: Judging) -> Judged:
        def learn(some: LearnedRows) -> Component:
            return fit(
                settings,
                some.features,
                some.values,
                classes=some.classes,
                seed=how.seed,
                observe=how.observe,
                weights=some.weights,
                groups=some.groups,
            )

        said = []
        for others, held in divisions(how.folds, rows=len(rows.values)):
            said.append(learn(rows.of(others)).predict(rows.features[held]))
        return Judged(component=learn(rows), out_of_fold=np.concatenate(said).astype(np.float64))

    return judge


def _judge_linear(rows: LearnedRows, how: Judging) -> Judged:
    """The penalty is chosen once, on the folds that judge; so are width and rounds below.

    Chosen in each fold anew they would take some times as long, and one number for all rows says little of any.
    """
    strength = choose_strength(rows.features, rows.values, classes=rows.classes, folds=how.folds, weights=rows.weights)
    return fitted_by(fit_linear, strength)(rows, how)


def _judge_kernel_ridge(rows: LearnedRows, how: Judging) -> Judged:
    settings = KernelRidge() if len(rows.values) <= _MANY_ROWS else KernelRidge(landmarks=_FEW_LANDMARKS)
    gamma = choose_gamma(
        settings,
        rows.features,
        rows.values,
        classes=rows.classes,
        seed=how.seed,
        observe=how.observe,
        weights=rows.weights,
        groups=rows.groups,
    )
    return fitted_by(fit_kernel_ridge, settings.model_copy(update={"gamma": gamma}))(rows, how)


def _judge_forest(rows: LearnedRows, how: Judging) -> Judged:
    """Many rows make trees slow, and alike."""
    settings = RandomForest() if len(rows.values) <= _MANY_ROWS else RandomForest(trees=_FEW_TREES)
    return fitted_by(fit_forest, settings)(rows, how)


def _judge_boosting(rows: LearnedRows, how: Judging) -> Judged:
    settings = GradientBoosting()
    rounds = choose_rounds(
        settings,
        rows.features,
        rows.values,
        classes=rows.classes,
        folds=how.folds,
        seed=how.seed,
        observe=how.observe,
        weights=rows.weights,
    )
    return fitted_by(fit_boosting, settings.model_copy(update={"rounds": rounds}))(rows, how)


def _judge_ensemble(rows: LearnedRows, how: Judging) -> Judged:
    """An ensemble judges itself: each row was kept back by some of its members."""
    ensemble: Ensemble = fit_ensemble(
        plan_for(len(rows.values)),
        rows.features,
        rows.values,
        classes=rows.classes,
        seed=how.seed,
        observe=how.observe,
        checkpointing=how.checkpointing,
        weights=rows.weights,
        groups=rows.groups,
    )
    return Judged(component=ensemble, out_of_fold=ensemble.sharpened_out_of_fold[np.concatenate(how.folds)])


CANDIDATES: Final[tuple[Candidate, ...]] = (
    Candidate(name="network", judge=_judge_ensemble, seconds=seconds_of_network),
    Candidate(name="linear", judge=_judge_linear, seconds=seconds_of_linear),
    Candidate(
        name="discriminant",
        judge=fitted_by(fit_discriminant, None),
        seconds=seconds_of_discriminant,
        most_inputs=MAX_INPUTS,
        rows_per_input=2,
        numbers=False,
    ),
    Candidate(name="kernelRidge", judge=_judge_kernel_ridge, seconds=seconds_of_kernel_ridge),
    Candidate(name="randomForest", judge=_judge_forest, seconds=seconds_of_forest, fewest=100),
    Candidate(name="gradientBoosting", judge=_judge_boosting, seconds=seconds_of_boosting, fewest=500),
)
"""In the order of their names in reports."""
