"""The stage that makes a trained model smaller, in a Job of its own with a key of its own."""

from modelservice.contract.keys import compress_key
from modelservice.contract.resource import ModelServiceSpec
from modelservice.contract.work_order import CompressWork, WorkOrder
from modelservice_operator.crd.status import ConditionType
from modelservice_operator.crd.status import Stage as StageWord
from modelservice_operator.domain.data import DataState
from modelservice_operator.domain.records import StageRecord
from modelservice_operator.domain.stages.base import Assignment, JobSettings, Verdict, settings_on_cpus


class Compress:
    """Asked for with ``spec.compression``; runs as a training does, but on CPUs."""

    name = "compress"
    condition = ConditionType.COMPRESSED
    word = StageWord.COMPRESSING
    activity = "compressing"

    def asked_for(self, spec: ModelServiceSpec) -> bool:
        """With ``spec.compression``, but for what is pinned from elsewhere."""
        return spec.compressed

    def key(self, spec: ModelServiceSpec, parent: str) -> str:
        """From the key of the training, the steps and the budget; see ``compress_key``."""
        return compress_key(parent, spec)

    def job(self, spec: ModelServiceSpec) -> JobSettings:
        """As ``spec.training`` says, without the GPUs that only a training uses."""
        return settings_on_cpus(spec.training)

    def reads(self, spec: ModelServiceSpec, data: DataState) -> DataState:
        """The data, whose test rows judge."""
        del spec
        return data

    def order(self, spec: ModelServiceSpec, assignment: Assignment) -> WorkOrder:
        """The trained artifact, the steps, and the data whose test rows judge them."""
        assert spec.compression is not None  # noqa: S101 - asked for
        assert assignment.parent is not None  # noqa: S101 - never the first stage
        work = CompressWork(
            **assignment.data_work(),
            data=spec.known_data,
            task=spec.task,
            parent=assignment.parent.address,
            parent_digest=assignment.parent.digest,
            compression=spec.compression,
        )
        return assignment.order(work)

    def verdict(self, record: StageRecord) -> Verdict:
        """What was gained and lost; where the uncompressed model is kept, that is no failure."""
        found = record.compression
        if found is None:
            return Verdict(status=True, reason="Compressed", message="")
        if found.applied:
            times = found.bytes_before / max(found.bytes_after, 1)
            return Verdict(status=True, reason="Compressed", message=f"{times:.1f} x smaller: {found.message}")
        smaller = found.bytes_after < found.bytes_before
        return Verdict(status=False, reason="BudgetMissed" if smaller else "NotSmaller", message=found.message)
