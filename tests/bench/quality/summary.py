"""What the stored fits come to: means with deviations, and ours against the best of scikit-learn's."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tests.bench.quality.fitting import ACCURACY, R_SQUARED
from tests.bench.quality.folds import FOLDS
from tests.bench.quality.significance import corrected_t_test
from tests.bench.quality.store import Fit, FitName

TEST_BY_TRAIN = 1 / (FOLDS - 1)


@dataclass(frozen=True, kw_only=True)
class Standing:
    """A candidate on a table.

    Attributes:
        key: of its fits; see ``Fit.key``.
        scores: by name, a value for each fit in the order of repeats and folds.
        cpu_seconds, seconds: of a fit, the mean.
        wanted: how many fits there are to be.
        errors: of fits that failed, each once.
    """

    table: str
    candidate: str
    key: str
    scores: Mapping[str, tuple[float, ...]]
    cpu_seconds: float
    seconds: float
    wanted: int
    errors: tuple[str, ...] = ()

    @property
    def main(self) -> tuple[float, ...]:
        """Accuracy, or R2."""
        return self.scores.get(ACCURACY, self.scores.get(R_SQUARED, ()))

    @property
    def complete(self) -> bool:
        """Whether all fits are there, and none failed."""
        return len(self.main) == self.wanted


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """One of ours against the best of scikit-learn's on a table.

    Attributes:
        best: the rival whose mean is highest, in hindsight; the first of equals.
        difference: of the means of accuracy or R2, ours minus the best.
        p_value: of the corrected resampled t-test, two-sided.
    """

    table: str
    ours: str
    best: str
    difference: float
    p_value: float


Standings = Mapping[tuple[str, str], Standing]
"""By table and candidate."""


def standing_of(names: Sequence[FitName], fits: Mapping[FitName, Fit], *, key: str) -> Standing:
    """What the fits of a candidate on a table come to.

    Args:
        names: of all that there are to be, in order.
        fits: those that are stored.
        key: of fits that count; others were made of something else.
    """
    counted = [fit for name in names if (fit := fits.get(name)) is not None and fit.key == key]
    well = [fit for fit in counted if fit.error is None]
    scores = {score: tuple(fit.scores[score] for fit in well) for score in (well[0].scores if well else ())}
    return Standing(
        table=names[0].table,
        candidate=names[0].candidate,
        key=key,
        scores=scores,
        cpu_seconds=statistics.fmean(fit.cpu_seconds for fit in well) if well else 0.0,
        seconds=statistics.fmean(fit.seconds for fit in well) if well else 0.0,
        wanted=len(names),
        errors=tuple(sorted({fit.error for fit in counted if fit.error is not None})),
    )


def best_of(standings: Standings, table: str, rivals: Sequence[str]) -> Standing | None:
    """The rival whose mean is highest; None while fits of a rival are missing."""
    found = [standings[table, rival] for rival in rivals if (table, rival) in standings]
    if len(found) < len(rivals) or not all(one.complete for one in found):
        return None
    return max(found, key=lambda one: statistics.fmean(one.main))


def compare(standings: Standings, ours: str, rivals: Sequence[str]) -> list[Comparison]:
    """Ours against the best of the rivals, on each table of which all fits of both are there."""
    found = []
    for (table, candidate), mine in standings.items():
        if candidate != ours or not mine.complete:
            continue
        if (best := best_of(standings, table, rivals)) is not None:
            test = corrected_t_test(mine.main, best.main, test_by_train=TEST_BY_TRAIN)
            found.append(
                Comparison(table=table, ours=ours, best=best.candidate, difference=test.mean, p_value=test.p_value)
            )
    return found
