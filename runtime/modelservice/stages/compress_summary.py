"""What is said of a compression: whether the smaller model is taken, at what cost, and what it did not reach."""

from operator import attrgetter

import numpy as np

from modelservice.contract.compression import Compression
from modelservice.contract.evaluation import Evaluation
from modelservice.contract.failure import StageError
from modelservice.contract.manifest import CompressionSummary
from modelservice.contract.metric_names import LOWER_IS_BETTER, KnownMetric
from modelservice.contract.sizes import BATCH, Tried
from modelservice.contract.task import Task
from modelservice.modalities.base import Dataset
from modelservice.modalities.imbalance import JUDGED_BY
from modelservice.stages.recipe import classification_of
from modelservice.tasks.base import Drop
from modelservice.tasks.number_metrics import FEWEST_ROWS
from modelservice.tasks.paired import too_few


def judged_by(asked: Compression, task: Task | None) -> KnownMetric | None:
    """The metric that the budget is of, None for the primary one.

    Where nobody names it, and the training made rare classes as heavy as others, a model that forgets them must not
    pass for a better one, as accuracy would have it.
    """
    return asked.metric or JUDGED_BY[classification_of(task).imbalance]


def summarize(
    drop: Drop,
    metric: KnownMetric | None,
    *,
    asked: Compression,
    tested: Evaluation,
    sizes: tuple[int, int],
    missed: str = "",
) -> CompressionSummary:
    """Whether the smaller model is taken, and a sentence that says so.

    Args:
        drop: of the metric that has the budget, on the test rows.
        metric: which one that is, None for the primary one.
        asked: says the budget.
        tested: says the primary metric, and on how many rows.
        sizes: bytes of the model before and after.
        missed: what else is to be said of a smaller model that is taken.
    """
    (before, after), budget = sizes, asked.budget
    changed, may = changes(drop, metric or tested.primary, rows=tested.rows)
    if after >= before:
        message = f"the model is not smaller for it ({before} bytes before, {after} after): it is kept as it is"
    elif drop.within(budget):
        message = f"{before} bytes became {after}; {changed}, and {may} {budget:g}{missed}"
    else:
        message = (
            f"{changed}, and {may} {asked.budget_field}, {budget:g}: the uncompressed model is kept; allow more, or add"
            " rows, which makes the interval narrower"
        )
    return CompressionSummary(
        applied=after < before and drop.within(budget),
        message=message,
        metric=metric,
        budget=budget,
        drop=drop.value,
        low=drop.low,
        high=drop.high,
        bytes_before=before,
        bytes_after=after,
    )


def changes(drop: Drop, metric: str, *, rows: int) -> tuple[str, str]:
    """How a metric changed, with the interval on so many test rows, and how it may change, before the number."""
    worse, better = ("rises", "falls") if metric in LOWER_IS_BETTER else ("falls", "rises")
    verb, ends = (worse, (drop.low, drop.high)) if drop.value >= 0 else (better, (-drop.high, -drop.low))
    value, low, high = (_written(number, metric) for number in (abs(drop.value), *ends))
    interval = f"paired 95 % interval on {rows} test rows: {low} to {high}"
    return f"{metric} {verb} by {value} ({interval})", f"may {worse.removesuffix('s')} by"


def _written(number: float, metric: str) -> str:
    """Four digits: after the point of shares, and of numbers in the unit of the target the first ones."""
    if metric in {KnownMetric.RMSE, KnownMetric.MAE}:
        return f"{number:.4g}"
    # Adding 0.0 makes a rounded -0.0 an ordinary zero.
    return f"{round(number, 4) + 0.0:g}"


def missed_target(asked: Compression, tried: tuple[Tried, ...]) -> str:
    """The clauses that say that ``auto`` reached less than its targets, and why; nothing where it did not."""
    auto, before = asked.steps[0].auto, tried[0]
    after = next(one for one in tried if one.chosen)
    if auto is None:
        return ""
    made = [one for one in tried if not one.control]
    clauses = []
    for what, counted, target, field in (
        ("parameters", attrgetter("parameters"), auto.target_size_ratio, "auto.targetSizeRatio"),
        ("multiply-adds", attrgetter("multiply_adds"), auto.target_latency_ratio, "auto.targetLatencyRatio"),
    ):
        was, now = counted(before), counted(after)
        if was and now and target and was < target * now:
            smaller = any(counted(one) < now for one in made)
            why = "at which more would be lost" if smaller else "which even single units in each layer do not come to"
            clauses.append(f"; {was / now:.3g} x fewer {what}, and not the {target:g} x of {field}, {why}")
    return "".join(clauses)


def measured_speed(asked: Compression, summary: CompressionSummary) -> str:
    """The clause that says how much faster a model is that was to become so; nothing where no clock told it.

    For reports and the status only: an artifact has the same bytes however fast a machine is.
    """
    auto, before, after = asked.steps[0].auto, summary.before, summary.after
    if not summary.applied or auto is None or auto.target_latency_ratio is None or before is None or after is None:
        return ""
    if not before.seconds_of_batch or not after.seconds_of_batch:
        return ""
    times = before.seconds_of_batch / after.seconds_of_batch
    enough = times >= auto.target_latency_ratio
    rest = "" if enough else f", and not {auto.target_latency_ratio:g} x as auto.targetLatencyRatio asks for"
    return f"; {BATCH} rows were {times:.3g} x faster on the machine that compressed{rest}"


def check_metric(metric: KnownMetric | None, dataset: Dataset) -> None:
    """Refuse a budget of a metric that validation and test rows do not tell; the primary one (None) is always told.

    Raises:
        StageError: they do not.
    """
    if metric is None:
        return
    field = "spec.compression.maxDrop.metric"
    for name, side in (("validation", dataset.validation), ("test", dataset.test)):
        width = len(dataset.labels) or 1
        guess = np.full((len(side.values), width), 1 / width, np.float32)
        if dataset.task.measure(metric, guess, side.values, side.weights) is None:
            told = dataset.task.score(guess, side.values, dataset.labels, side.weights).evaluation.metrics
            known = ", ".join(one.name for one in told)
            message = f"the {name} rows do not tell {metric}, which {field} asks for: take one of {known}"
            raise StageError("MetricNotMeasured", message, field=field)
        if metric != dataset.task.primary_metric and too_few(metric, rows=len(side.values)):
            message = (
                f"{len(side.values)} {name} rows are too few for an interval of {metric}, which needs {FEWEST_ROWS}:"
                f" add rows, or take {dataset.task.primary_metric} in {field}"
            )
            raise StageError("MetricNotMeasured", message, field=field)


def latency(summary: CompressionSummary) -> str:
    """How long the first and the last model take, as a clause."""
    before, after = (
        [1e6 * (taken or 0) for taken in (one.seconds_of_row, one.seconds_of_batch)]
        for one in (summary.before, summary.after)
        if one is not None
    )
    times = [f"{new:.3g} us instead of {old:.3g}" for old, new in zip(before, after, strict=True)]
    return f"on one thread a row takes {times[0]}, {BATCH} rows {times[1]}"
