"""The stage that takes over what was made elsewhere: an artifact, whose key is its digest, or a pretrained model."""

from modelservice.contract.artifact_source import ArtifactSource
from modelservice.contract.keys import fetch_key, pretrained_key
from modelservice.contract.resource import ModelServiceSpec
from modelservice.contract.work_order import FetchWork, WorkOrder
from modelservice_operator.crd.status import ConditionType
from modelservice_operator.crd.status import Stage as StageWord
from modelservice_operator.domain.data import DataState, artifact_data
from modelservice_operator.domain.records import StageRecord, tested_text
from modelservice_operator.domain.stages.base import Assignment, JobSettings, Verdict, settings_on_cpus


class Fetch:
    """Asked for with ``spec.model.artifact`` or ``pretrained``, or a pin that says where its artifact lies."""

    name = "fetch"
    condition = ConditionType.FETCHED
    word = StageWord.FETCHING
    activity = "fetching"

    def asked_for(self, spec: ModelServiceSpec) -> bool:
        """Where the spec names what was made elsewhere."""
        return not spec.is_trained

    def key(self, spec: ModelServiceSpec, parent: str) -> str:
        """From the digest of the artifact, and of the data where that is read later; or from what is pretrained."""
        if spec.pretrained is not None:
            return pretrained_key(spec.pretrained)
        return fetch_key(_source(spec), parent if spec.reads_data else None)

    def job(self, spec: ModelServiceSpec) -> JobSettings:
        """As ``spec.training`` says, without the GPUs that only a training uses."""
        return settings_on_cpus(spec.training)

    def reads(self, spec: ModelServiceSpec, data: DataState) -> DataState:
        """The artifact, whatever data later stages read; a pretrained model is opened with what the pod has anyway."""
        if spec.pretrained is not None:
            return data
        return artifact_data(_source(spec))

    def order(self, spec: ModelServiceSpec, assignment: Assignment) -> WorkOrder:
        """Where it lies, and its digest."""
        work = FetchWork(
            source=spec.fetched, pretrained=spec.pretrained, file=assignment.data.file, field=spec.fetched_field
        )
        return assignment.order(work)

    def verdict(self, record: StageRecord) -> Verdict:
        """Where it came from, and what it says of itself."""
        words = (f"from {record.source}" if record.source else "", tested_text(record))
        return Verdict(status=True, reason="Fetched", message=", ".join(filter(None, words)))


def _source(spec: ModelServiceSpec) -> ArtifactSource:
    assert spec.fetched is not None  # noqa: S101 - asked for
    return spec.fetched
