"""Compares a result with what serves, before it is promoted; a report is all that it leaves."""

from modelservice.contract.keys import compare_key
from modelservice.contract.metric_names import KnownMetric
from modelservice.contract.resource import ModelServiceSpec
from modelservice.contract.work_order import CompareWork, WorkOrder
from modelservice_operator.crd.status import ConditionType
from modelservice_operator.crd.status import Stage as StageWord
from modelservice_operator.domain.data import DataState
from modelservice_operator.domain.records import Revision
from modelservice_operator.domain.stages.base import Assignment, JobSettings, settings_on_cpus


class Compare:
    """Asked for with ``notWorseThanCurrent``, once there is a result and something that serves."""

    name = "compare"
    condition = ConditionType.PROMOTED
    word = StageWord.COMPARING
    activity = "comparing"

    def job(self, spec: ModelServiceSpec) -> JobSettings:
        """As ``spec.training`` says, without the GPUs that only a training uses."""
        return settings_on_cpus(spec.training)

    def reads(self, spec: ModelServiceSpec, data: DataState) -> DataState:
        """The data, whose test rows judge."""
        del spec
        return data

    def order(self, spec: ModelServiceSpec, assignment: Assignment) -> WorkOrder:
        """Both artifacts, the metrics, and the data whose test rows judge."""
        candidate, current = assignment.parent, assignment.against
        assert candidate is not None  # noqa: S101 - there is a result
        assert current is not None  # noqa: S101 - and something that serves
        work = CompareWork(
            **assignment.data_work(),
            data=spec.known_data,
            task=spec.task,
            candidate=candidate.address,
            candidate_digest=candidate.digest,
            current=current.address,
            current_digest=current.digest,
            revision=current.number,
            metrics=_metrics(spec),
        )
        return assignment.order(work)


def pair_key(spec: ModelServiceSpec, candidate: Revision, current: Revision) -> str:
    """Key of the comparison of two results by the metrics that are asked for."""
    return compare_key(candidate.digest, current.digest, _metrics(spec))


def _metrics(spec: ModelServiceSpec) -> tuple[KnownMetric, ...]:
    return spec.promotion.compared_metrics if spec.promotion is not None else ()
