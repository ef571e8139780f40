"""``compare``: how two revisions differ in a metric on the same rows, for people."""

from pathlib import Path
from typing import NamedTuple

from modelservice.artifact.load import Artifact
from modelservice.cluster.errors import ClusterError
from modelservice.comparing.difference import difference
from modelservice.comparing.models import Model, check_alike
from modelservice.comparing.rows import answered
from modelservice.contract.data import Data
from modelservice.contract.metric_names import LOWER_IS_BETTER, KnownMetric
from modelservice.contract.task import Task as AskedTask


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
        tested: whether they are test rows from which neither learned.
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
        kind = "test rows" if self.tested else "given rows"
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


def revision(number: int, artifact: Artifact) -> Model:
    """The model of a revision; for errors see ``Model.of``."""
    return Model.of(f"revision {number}", artifact)


def compare(
    revisions: tuple[int, int],
    models: tuple[Model, Model],
    *,
    file: Path,
    data: Data,
    task: AskedTask | None,
    metric: KnownMetric | None = None,
) -> Comparison:
    """Compare two revisions on the rows of a file; see ``answered`` on which.

    Args:
        revisions: their numbers.
        models: what the difference is taken from, and the other one.
        file: the rows.
        data: ``spec.data``.
        task: ``spec.task``.
        metric: by what; None for the primary one.

    Raises:
        ClusterError: these rows do not tell the metric.
        NotComparableError: they have not one task, or not the same rows.
        DataError, ValueError, OSError: the file cannot be read, or a row holds a class that neither knows.
    """
    first, second = models
    check_alike(first, second)
    rows = answered(models, file, data, task)
    asked = metric or KnownMetric(first.task.primary_metric)
    found = difference(first, second, rows, asked)
    if found is None:
        known = ", ".join(one.name for one in first.tested.metrics)
        raise ClusterError(f"--metric {asked}: these rows do not tell it, or it is none of the task; there are {known}")
    worse, sign = found.worse, 1 if asked in LOWER_IS_BETTER else -1
    low, high = sorted((sign * worse.low, sign * worse.high))
    better = None if worse.low <= 0 <= worse.high else revisions[0 if worse.low > 0 else 1]
    return Comparison(
        metric=str(asked),
        revisions=revisions,
        values=found.values,
        difference=sign * worse.value or 0.0,
        low=low,
        high=high,
        better=better,
        rows=len(rows.values),
        tested=rows.tested,
        dropped=rows.dropped,
    )
