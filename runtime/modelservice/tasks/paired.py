"""How much worse a second model is by a metric of choice, with a paired interval.

The primary metric has an interval of its own (``Task.drop``); that of any other is a bootstrap over rows (Efron, 1979):
both models are measured on the same resampled rows. Where a metric counts decided classes, two models that decide alike
would differ in no resample, and an interval of no width would say that nothing can be lost. So each class gets one row
more that only the first model decides rightly, and one that only the second does: of n rows of a class without a change
the upper end is about 3 / n then, the rule of three (Hanley and Lippman-Hand, 1983).
"""

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from modelservice.contract.metric_names import LOWER_IS_BETTER, KnownMetric
from modelservice.tasks.base import Array, Drop, Task, Weights
from modelservice.tasks.number_metrics import FEWEST_ROWS

DECIDED: Final = frozenset(
    {
        KnownMetric.ACCURACY,
        KnownMetric.BALANCED_ACCURACY,
        KnownMetric.PRECISION,
        KnownMetric.RECALL,
        KnownMetric.F1,
        KnownMetric.PRECISION_WEIGHTED,
        KnownMetric.RECALL_WEIGHTED,
        KnownMetric.F1_WEIGHTED,
        KnownMetric.PRECISION_POSITIVE,
        KnownMetric.RECALL_POSITIVE,
        KnownMetric.F1_POSITIVE,
    }
)
"""Metrics that count decided classes; the others look at numbers, which a smaller model changes in each row."""
_FEWEST, _MOST, _NUMBERS = 200, 1000, 20_000_000
"""Resamples at least and at most, and how many outputs all of them together may have between."""
_SEED: Final = 20_261_128
"""Fixed, so that equal models have equal intervals."""


def metric_drop(
    task: Task,
    metric: KnownMetric | None,
    before: Array,
    after: Array,
    values: NDArray[Any],
    *,
    weights: Weights | None = None,
) -> Drop | None:
    """Compare two models on the same rows: how much worse the second is, so what is better when lower has risen.

    Args:
        task: of both.
        metric: by what; None for the primary metric, with the interval of its own.
        before: outputs of the first, [rows, width].
        after: outputs of the second, likewise.
        values: what is true, [rows].
        weights: how much each row counts.

    Returns:
        None where these rows do not tell the metric or are too few for its interval, or the task has none of that name.
    """
    if metric is None or metric == task.primary_metric:
        return task.drop(before, after, values, weights)
    value = _worse(task, metric, (before, after), values, weights)
    if value is None or too_few(metric, rows=len(values)):
        return None
    heavy = np.ones(len(values)) if weights is None else weights / weights.mean()
    rows = _Rows(before, after, values, heavy)
    if metric in DECIDED:
        rows = _with_changes(rows)
    resampled = (_worse(task, metric, (one.before, one.after), one.values, one.weights) for one in _resamples(rows))
    low, high = np.percentile([one for one in resampled if one is not None] or [value], [2.5, 97.5])
    return Drop(value, min(float(low), value), max(float(high), value))


def too_few(metric: KnownMetric, *, rows: int) -> bool:
    """Whether a bootstrap of so many rows says nothing; decided classes have rows enough, see above."""
    return metric not in DECIDED and rows < FEWEST_ROWS


class _Rows(NamedTuple):
    """Outputs of both models, what is true, and how much rows count."""

    before: Array
    after: Array
    values: NDArray[Any]
    weights: Weights


def _worse(
    task: Task, metric: KnownMetric, models: tuple[Array, Array], values: NDArray[Any], weights: Weights | None
) -> float | None:
    first, second = (task.measure(metric, raw, values, weights) for raw in models)
    if first is None or second is None:
        return None
    return second - first if metric in LOWER_IS_BETTER else first - second


def _with_changes(rows: _Rows) -> _Rows:
    """One row more for each class that only the first model decides rightly, and one that only the second does."""
    width = rows.before.shape[1]
    true = np.unique(rows.values)
    right, wrong = (np.eye(width, dtype=rows.before.dtype)[codes] for codes in (true, (true + 1) % width))
    return _Rows(
        np.concatenate([rows.before, right, wrong]),
        np.concatenate([rows.after, wrong, right]),
        np.concatenate([rows.values, true, true]),
        np.concatenate([rows.weights, np.ones(2 * len(true))]),
    )


def _resamples(rows: _Rows) -> Iterator[_Rows]:
    """As many rows, drawn with replacement: each once, with the number of times that it was drawn as its weight."""
    count, generator = len(rows.values), np.random.default_rng(_SEED)
    for _ in range(max(_FEWEST, min(_MOST, _NUMBERS // rows.before.size))):
        times = np.bincount(generator.integers(count, size=count), minlength=count)
        drawn = times > 0
        yield _Rows(rows.before[drawn], rows.after[drawn], rows.values[drawn], (rows.weights * times)[drawn])
