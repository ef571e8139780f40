"""What is found out about a model and its data, before it is written down."""

from dataclasses import dataclass

from modelservice.contract.baseline import Baseline
from modelservice.contract.data_report import DataReport
from modelservice.contract.importance import Importance
from modelservice.reports.data import report_data
from modelservice.reports.histograms import measure_baseline
from modelservice.reports.permutation import measure_importance
from modelservice.reports.subject import Subject


@dataclass(frozen=True, kw_only=True)
class Findings:
    """The documents of a model; ``importance`` is None where inputs are no columns, or too many."""

    data: DataReport
    baseline: Baseline
    importance: Importance | None

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences that a person has to see who only looks whether the training succeeded."""
        return tuple(suspect.message for suspect in self.data.suspects)


def examine(subject: Subject) -> Findings:
    """Find out all that reports say."""
    return Findings(
        data=report_data(subject),
        baseline=measure_baseline(subject),
        importance=measure_importance(subject),
    )
