"""``compare``: how two revisions differ in a metric on the same rows, with a paired interval."""

from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from modelservice.cluster.compared_rows import Answered, Model, answered
from modelservice.cluster.errors import ClusterError
from modelservice.contract.data import Data
from modelservice.contract.metric_names import LOWER_IS_BETTER, KnownMetric
from modelservice.contract.task import Task as AskedTask
from modelservice.tasks.base import Array, Task
from modelservice.tasks.binary import BINARY
from modelservice.tasks.classification import Classification
from modelservice.tasks.paired import DECIDED, metric_drop
from modelservice.tasks.threshold import BINARY_THRESHOLD

_TWO_CLASSES: Final = frozenset({BINARY.name, BINARY_THRESHOLD.name})
"""One task to people: a threshold is a setting of it."""


class Comparison(NamedTuple):
    """A metric of two revisions on the same rows.

    Attributes:
        metric: its name.
        revisions: their numbers.
        values: the metric of each.
        difference: the second less the first.
        low: lower end of the paired 95 % interval of the difference.
        high: its upper end.
        better: the number of the better one, None where the interval holds 0.
        rows: how many there are.
        tested: whether they are the test rows of both.
        dropped: rows of the file that do not count: without a value of the target, or of weight 0.
    """

    metric: str
    revisions: tuple[int, int]
    values: tuple[float, float]
    difference: float
    low: float
    high: float
    better: int | None
    rows: int
    tested: bool
    dropped: int

    @property
    def said(self) -> str:
        """For people."""
        first, second = self.revisions
        kind = "test rows of both" if self.tested else "given rows"
        interval = f"95 % interval {self.low:+.4g} to {self.high:+.4g}, paired"
        if self.better is None:
            verdict = f"these {self.rows} rows tell neither of them better"
        else:
            verdict = f"revision {self.better} is better"
        return (
            f"{self.metric} on {self.rows} {kind}\n"
            f"  revision {first}   {self.values[0]:.4g}\n"
            f"  revision {second}   {self.values[1]:.4g}\n"
            f"  difference   {self.difference:+.4g} ({interval})\n"
            f"{verdict}"
        )


def compare(
    first: Model, second: Model, *, file: Path, data: Data, task: AskedTask | None, metric: KnownMetric | None = None
) -> Comparison:
    """Compare two revisions on the rows of a file; see ``answered`` on which.

    Args:
        first: the one that the difference is taken from.
        second: the other one.
        file: the rows.
        data: ``spec.data``.
        task: ``spec.task``.
        metric: by what; None for the primary one.

    Raises:
        ClusterError: they have not one task, or not the same rows; or these do not tell the metric.
        DataError, ValueError, OSError: the file cannot be read, or a row holds a class that neither knows.
    """
    check_alike(first, second)
    rows = answered((first, second), file, data, task)
    asked = metric or KnownMetric(first.task.primary_metric)
    judge, raw = _judged(first, second, rows, asked)
    before, after = (judge.measure(asked, outputs, rows.values, rows.weights) for outputs in raw)
    worse = metric_drop(judge, asked, *raw, rows.values, weights=rows.weights)
    if before is None or after is None or worse is None:
        known = ", ".join(one.name for one in first.tested.metrics)
        raise ClusterError(f"--metric {asked}: these rows do not tell it, or it is none of the task; there are {known}")
    sign = 1 if asked in LOWER_IS_BETTER else -1
    low, high = sorted((sign * worse.low, sign * worse.high))
    better = None if worse.low <= 0 <= worse.high else (first if worse.low > 0 else second).number
    return Comparison(
        metric=str(asked),
        revisions=(first.number, second.number),
        values=(float(before), float(after)),
        difference=float(sign * worse.value) or 0.0,
        low=float(low),
        high=float(high),
        better=better,
        rows=len(rows.values),
        tested=rows.tested,
        dropped=rows.dropped,
    )


def check_alike(first: Model, second: Model) -> None:
    """Refuse two revisions that answer different questions.

    Raises:
        ClusterError: names what differs.
    """
    one, other = first.artifact.signature, second.artifact.signature
    same_task = one.task == other.task or {one.task, other.task} <= _TWO_CLASSES
    for what, values, same in (
        ("the target differs", (one.target, other.target), one.target == other.target),
        ("the task differs", (one.task, other.task), same_task),
        ("the kind of data differs", (one.modality, other.modality), one.modality == other.modality),
        ("the classes differ", tuple(", ".join(each.labels) for each in (one, other)), one.labels == other.labels),
    ):
        if not same:
            said = f"{values[0]} of revision {first.number}, {values[1]} of revision {second.number}"
            raise ClusterError(f"{what}, so nothing can be compared: {said}")


def _judged(first: Model, second: Model, rows: Answered, metric: KnownMetric) -> tuple[Task, tuple[Array, Array]]:
    """One task for both, and outputs that it reads as each model's own task does.

    Two thresholds decide differently: where classes are decided each decides by its own, and is certain of it then.
    """
    tasks = first.task, second.task
    if tasks[0] == tasks[1] or metric not in DECIDED:
        return tasks[0], rows.raw
    decided = []
    for task, raw in zip(tasks, rows.raw, strict=True):
        assert isinstance(task, Classification)  # noqa: S101 - only of two classes there are two tasks
        decided.append(np.eye(raw.shape[1], dtype=np.float32)[task.decide(raw)])
    return BINARY, (decided[0], decided[1])
