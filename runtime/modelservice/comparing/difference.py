"""How far two models are from each other in a metric on the same rows, with a paired interval."""

from typing import NamedTuple

import numpy as np

from modelservice.comparing.models import Model
from modelservice.comparing.rows import Answered
from modelservice.contract.metric_names import KnownMetric
from modelservice.tasks.base import Array, Drop, Task
from modelservice.tasks.binary import BINARY
from modelservice.tasks.classification import Classification
from modelservice.tasks.paired import DECIDED, metric_drop


class Difference(NamedTuple):
    """A metric of two models on the same rows.

    Attributes:
        values: that of each.
        worse: how much worse the second is, with the paired 95 % interval; see ``tasks.paired``.
    """

    values: tuple[float, float]
    worse: Drop


def difference(first: Model, second: Model, rows: Answered, metric: KnownMetric) -> Difference | None:
    """Compare two models of one task by a metric; None where these rows do not tell it, or it is none of the task.

    Args:
        first: the one that the second is compared with.
        second: the other one.
        rows: what both answered.
        metric: by what.
    """
    judge, raw = judged(first, second, rows, metric)
    before, after = (judge.measure(metric, outputs, rows.values, rows.weights) for outputs in raw)
    worse = metric_drop(judge, metric, *raw, rows.values, weights=rows.weights)
    if before is None or after is None or worse is None:
        return None
    return Difference((float(before), float(after)), Drop(*map(float, worse)))


def judged(first: Model, second: Model, rows: Answered, metric: KnownMetric) -> tuple[Task, tuple[Array, Array]]:
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
