"""What is found out about a model and its data, before it is written down."""

from dataclasses import dataclass

from modelservice.contract.baseline import Baseline
from modelservice.contract.data_report import DataReport
from modelservice.contract.importance import Importance
from modelservice.contract.manifest import DATA_REPORT_FILE
from modelservice.reports.data import report_data
from modelservice.reports.histograms import measure_baseline
from modelservice.reports.permutation import measure_importance
from modelservice.reports.subject import Subject

_SAID = 3


@dataclass(frozen=True, kw_only=True)
class Findings:
    """The documents of a model; ``importance`` is None where inputs are no columns, or too many."""

    data: DataReport
    baseline: Baseline
    importance: Importance | None

    @property
    def notes(self) -> tuple[str, ...]:
        """What a person has to see who only looks whether a training succeeded: a few sentences, for room is short."""
        said, more = self.data.suspects[:_SAID], len(self.data.suspects) - _SAID
        rest = (f"{more} more columns predict {self.data.target} alone: see {DATA_REPORT_FILE}",) if more > 0 else ()
        return (*(suspect.message for suspect in said), *rest)


def examine(subject: Subject) -> Findings:
    """Find out all that reports say."""
    return Findings(
        data=report_data(subject),
        baseline=measure_baseline(subject),
        importance=measure_importance(subject),
    )
