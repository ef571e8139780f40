"""The models that ``auto`` blends, and what each says of rows that it did not learn."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from modelservice.contract.model import GradientBoosting, KernelRidge, RandomForest
from modelservice.families.base import Observer
from modelservice.families.boosting import fit_boosting
from modelservice.families.component import Component, Fit
from modelservice.families.ensemble import Ensemble, fit_ensemble, plan_for
from modelservice.families.forest import fit_forest
from modelservice.families.kept_back import kept_back
from modelservice.families.kernel_regression import fit_kernel_ridge
from modelservice.families.linear import fit_linear
from modelservice.modalities.base import Features
from modelservice.training.checkpointing import Checkpointing

_FOLDS = 5
_ROWS_FOR_FOLDS = 5000
"""Rows up to which each is predicted out of fold; above, those of one fold say enough."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class LearnedRows:
    """Rows as a ``component.Fit`` takes them; ``weights`` are 1 on the mean, None where all count alike."""

    features: Features
    values: NDArray[Any]
    classes: int
    weights: Floats | None

    def of(self, places: NDArray[np.int64]) -> "LearnedRows":
        """Some of them."""
        weights = None if self.weights is None else self.weights[places]
        return LearnedRows(
            features=self.features[places],
            values=self.values[places],
            classes=self.classes,
            weights=None if weights is None or weights.mean() == 0 else weights / weights.mean(),
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class Judged:
    """A model that learned all rows, and what such models say of rows that they did not learn, float64 [judged, width].

    Classes that no model saw, of which all rows were held back, are not among the judged.
    """

    component: Component
    out_of_fold: Floats


Judge = Callable[[LearnedRows, list[NDArray[np.int64]], int, Observer, Checkpointing], Judged]
"""Fits a model on rows, and on all but each fold; takes rows, folds, seed, observer, and where it goes on from."""


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One kind of model, for so many rows.

    Attributes:
        name: as reports name it.
        fewest: rows from which it is worth its time.
        judge: fits it, and says what it is worth.
    """

    name: str
    fewest: int
    judge: Judge


def folds_of(rows: LearnedRows, *, seed: int) -> list[NDArray[np.int64]]:
    """Places of the rows that are held back together; a class of a single row is always learned."""
    if not rows.classes:
        eligible = np.arange(len(rows.values))
        strata = np.zeros(len(rows.values), np.int64)
    else:
        eligible = np.flatnonzero(np.bincount(rows.values)[rows.values] > 1)
        strata = rows.values[eligible]
    if len(eligible) < 2:  # noqa: PLR2004
        return []
    members = min(_FOLDS, len(eligible))
    folds = [eligible[places] for places in kept_back(strata, members=members, seed=seed)]
    return folds if len(rows.values) <= _ROWS_FOR_FOLDS else folds[:1]


def fitted_by(fit: Fit, settings: Any) -> Judge:
    """Judge a family by fitting it once more for each fold; its fits begin anew."""

    def judge(
        rows: LearnedRows, folds: list[NDArray[np.int64]], seed: int, observe: Observer, _: Checkpointing
    ) -> Judged:
        def learn(some: LearnedRows) -> Component:
            return fit(
                settings,
                some.features,
                some.values,
                classes=some.classes,
                seed=seed,
                observe=observe,
                weights=some.weights,
            )

        said = []
        for held in folds:
            others = np.setdiff1d(np.arange(len(rows.values)), held)
            said.append(learn(rows.of(others)).predict(rows.features[held]))
        return Judged(component=learn(rows), out_of_fold=np.concatenate(said).astype(np.float64))

    return judge


def _judge_ensemble(
    rows: LearnedRows, folds: list[NDArray[np.int64]], seed: int, observe: Observer, checkpointing: Checkpointing
) -> Judged:
    """An ensemble judges itself: each row was kept back by some of its members."""
    ensemble: Ensemble = fit_ensemble(
        plan_for(len(rows.values)),
        rows.features,
        rows.values,
        classes=rows.classes,
        seed=seed,
        observe=observe,
        checkpointing=checkpointing,
        weights=rows.weights,
    )
    return Judged(component=ensemble, out_of_fold=ensemble.sharpened_out_of_fold[np.concatenate(folds)])


CANDIDATES: Final[tuple[Candidate, ...]] = (
    Candidate(name="network", fewest=0, judge=_judge_ensemble),
    Candidate(name="linear", fewest=0, judge=fitted_by(fit_linear, None)),
    Candidate(name="kernelRidge", fewest=0, judge=fitted_by(fit_kernel_ridge, KernelRidge())),
    Candidate(name="randomForest", fewest=100, judge=fitted_by(fit_forest, RandomForest())),
    Candidate(name="gradientBoosting", fewest=2000, judge=fitted_by(fit_boosting, GradientBoosting())),
)
"""In the order of their names in reports."""
