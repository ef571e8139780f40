"""The limits that ours is held to, over all tables."""

import math
import statistics
from collections.abc import Collection, Sequence
from typing import Final

from tests.bench.quality.fitting import ACCURACY, LOG_LOSS, R_SQUARED
from tests.bench.quality.folds import FOLDS
from tests.bench.quality.summary import Comparison, Standing, Standings, compare
from tests.bench.record import Figure, at_least, at_most, figure

MOST_POINTS_BELOW: Final = 1.5
MOST_R_SQUARED_BELOW: Final = 0.03
MOST_OF_LOGISTIC_LOSS: Final = 0.85
MOST_OF_AUTOGLUON_TIME: Final = 0.25
MOST_CPU_HOURS: Final = 4.0
"""Two hours on two cores."""


def above(name: str, value: float, unit: str, limit: float) -> Figure:
    """A figure that must be above its limit."""
    return Figure(figure=name, value=value, unit=unit, limit=f"> {limit:g}", holds=value > limit)


def auto_figures(standings: Standings, tables: Sequence[str], rivals: Sequence[str]) -> list[Figure]:
    """``auto`` against the best of scikit-learn's, and against logistic regression in log loss."""
    compared = compare(standings, "auto", rivals)
    figures = [_coverage("auto", compared, tables)]
    if compared:
        figures.append(above("auto: mean over the tables, minus the best's", _mean_points(compared), "points", 0))
        figures += _furthest_below(standings, compared)
    return [*figures, *_loss_figures(standings, compared)]


def mlp_figures(
    standings: Standings, tables: Sequence[str], rivals: Sequence[str], *, first: Collection[str]
) -> list[Figure]:
    """``mlp`` alone: on the first tables it must reach the best's mean."""
    compared = compare(standings, "mlp", rivals)
    figures = [_coverage("mlp", compared, tables)]
    here = [one for one in compared if one.table in first]
    if len(here) == len(first):
        figures.append(at_least("mlp: mean over the first five, minus the best's", _mean_points(here), "points", 0))
    if compared:
        figures.append(figure("mlp: mean over the tables, minus the best's", _mean_points(compared), "points"))
    return figures


def autogluon_figures(standings: Standings) -> list[Figure]:
    """``auto`` against AutoGluon on the folds of the first repeat, where both are complete."""
    pairs = [
        (mine, other)
        for (table, candidate), mine in standings.items()
        if candidate == "auto" and mine.complete
        if (other := standings.get((table, "autogluon"))) is not None and other.complete
    ]
    if not pairs:
        return []
    differences = [statistics.fmean(mine.main[:FOLDS]) - statistics.fmean(other.main) for mine, other in pairs]
    times = (sum(mine.cpu_seconds for mine, _ in pairs), sum(other.cpu_seconds for _, other in pairs))
    return [
        figure("auto and AutoGluon: tables with all fits of both", len(pairs), "tables"),
        above("auto: mean over these tables, minus AutoGluon's", 100 * statistics.fmean(differences), "points", 0),
        at_most("auto: its CPU time as a share of AutoGluon's", times[0] / times[1], "ratio", MOST_OF_AUTOGLUON_TIME),
    ]


def time_figures(standings: Standings, candidates: Collection[str]) -> list[Figure]:
    """CPU time of all fits of some candidates."""
    spent = sum(one.cpu_seconds * len(one.main) for one in standings.values() if one.candidate in candidates)
    return [at_most("CPU time of all fits, ours and scikit-learn's", spent / 3600, "h", MOST_CPU_HOURS)]


def _coverage(ours: str, compared: Sequence[Comparison], tables: Sequence[str]) -> Figure:
    return at_least(f"{ours}: tables with all fits of it and of the others", len(compared), "tables", len(tables))


def _mean_points(compared: Sequence[Comparison]) -> float:
    """Mean difference, R2 counted as accuracy, in hundredths."""
    return 100 * statistics.fmean(one.difference for one in compared)


def _furthest_below(standings: Standings, compared: Sequence[Comparison]) -> list[Figure]:
    below: dict[str, list[float]] = {ACCURACY: [], R_SQUARED: []}
    for one in compared:
        score = ACCURACY if ACCURACY in standings[one.table, one.ours].scores else R_SQUARED
        below[score].append(max(0.0, -one.difference))
    figures = []
    if below[ACCURACY]:
        worst = 100 * max(below[ACCURACY])
        figures.append(at_most("auto: furthest below the best, accuracy", worst, "points", MOST_POINTS_BELOW))
    if below[R_SQUARED]:
        figures.append(at_most("auto: furthest below the best, R2", max(below[R_SQUARED]), "R2", MOST_R_SQUARED_BELOW))
    return figures


def _loss_figures(standings: Standings, compared: Sequence[Comparison]) -> list[Figure]:
    """Log loss of classes; both means are over the same tables."""

    def loss(standing: Standing) -> float:
        return statistics.fmean(standing.scores[LOG_LOSS])

    pairs = [
        (loss(standings[one.table, "auto"]), loss(standings[one.table, "logistic"]))
        for one in compared
        if LOG_LOSS in standings[one.table, "auto"].scores
    ]
    if not pairs:
        return []
    mine, logistic = (statistics.fmean(side) for side in zip(*pairs, strict=True))
    typical = math.exp(statistics.fmean(math.log(one / other) for one, other in pairs))
    return [
        at_most("auto: mean log loss, by that of logistic regression", mine / logistic, "ratio", MOST_OF_LOGISTIC_LOSS),
        figure("auto: log loss by that of logistic regression, geometric mean of the tables", typical, "ratio"),
    ]
