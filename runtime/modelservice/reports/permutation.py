"""Permutation importance: how much worse a model gets on test rows whose values of one column are shuffled."""

import math
from typing import Final, NamedTuple

import numpy as np

from modelservice.contract.importance import ColumnImportance, Importance
from modelservice.modalities.base import Features
from modelservice.reports.subject import Subject

MAX_COLUMNS: Final = 512
"""Of a table whose columns are shuffled; with more, one of them hardly matters, and asking takes long."""
_BUDGET: Final = 20_000
"""Rows that are computed in all, which bounds the time on any machine without a look at a clock."""
_FEWEST_ROWS, _MOST_REPEATS = 32, 10


class Effort(NamedTuple):
    """How many test rows are shuffled, and how often each column is."""

    rows: int
    repeats: int


def effort_for(rows: int, columns: int) -> Effort:
    """What the budget allows: first as many test rows as there are, then repeats.

    At 512 columns, where 32 rows are the fewest, 16,384 rows are computed.
    """
    taken = min(rows, max(_FEWEST_ROWS, _BUDGET // columns))
    return Effort(taken, max(1, min(_MOST_REPEATS, _BUDGET // (taken * columns))))


def measure_importance(subject: Subject) -> Importance | None:
    """Shuffle each column in turn, by the seed; None where inputs are no columns, or too many.

    What a column becomes is shuffled after it was encoded, which is the same as before: a column is encoded by itself.
    """
    test, dataset = subject.dataset.test, subject.dataset
    used = [(column, span) for column, span in zip(subject.columns, subject.spans, strict=True) if column.width]
    if not used or len(used) > MAX_COLUMNS:
        return None
    effort = effort_for(len(test.values), len(used))
    draw = np.random.default_rng(subject.seed)
    rows = np.sort(draw.permutation(len(test.values))[: effort.rows])
    features, values = test.features[rows], test.values[rows]
    weights = None if test.weights is None else test.weights[rows]

    def primary(shuffled: Features) -> float:
        return dataset.task.primary(subject.predict(shuffled), values, weights)

    before, found = primary(features), list[ColumnImportance]()
    for column, span in used:
        drops = []
        for _ in range(effort.repeats):
            shuffled = features.copy()
            shuffled[:, span] = features[draw.permutation(len(rows)), span]
            drops.append(before - primary(shuffled))
        mean, deviation = float(np.mean(drops)), float(np.std(drops))
        if not (math.isfinite(mean) and math.isfinite(deviation)):
            return None  # R2 of rows whose target hardly varies
        found.append(ColumnImportance(name=column.name, drop=round(mean, 6), deviation=round(deviation, 6)))
    found.sort(key=lambda one: -one.drop)
    return Importance(metric=subject.metrics.primary, rows=len(rows), repeats=effort.repeats, columns=tuple(found))
