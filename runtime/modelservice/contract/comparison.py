"""What came of scoring a candidate and the model that serves on the same rows."""

from typing import Annotated

from pydantic import Field, FiniteFloat, StringConstraints

from modelservice.contract.base import Tolerant
from modelservice.contract.evaluation import MetricName

MAX_WORDS = 1024


class ComparedMetric(Tolerant):
    """A metric of both, and how much worse the candidate is: ``worse``, with its paired 95 % interval.

    ``worse`` is in the metric's units and above 0 where the candidate is worse, whichever way is better.
    """

    name: MetricName
    candidate: FiniteFloat
    current: FiniteFloat
    worse: FiniteFloat
    low: FiniteFloat
    high: FiniteFloat


class Comparison(Tolerant):
    """The metrics that were asked for, on ``rows`` rows from which neither learned.

    ``incomparable`` is a sentence that says why there are none, which no other try would change.
    """

    rows: int = Field(default=0, ge=0)
    metrics: Annotated[tuple[ComparedMetric, ...], Field(max_length=32)] = ()
    incomparable: Annotated[str, StringConstraints(max_length=MAX_WORDS)] | None = None

    def metric(self, name: str) -> ComparedMetric | None:
        """A metric by name."""
        return next((metric for metric in self.metrics if metric.name == name), None)
