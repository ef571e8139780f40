"""The stage that trains a model: its key holds the data, its Job the pod settings of ``spec.training``."""

from dataclasses import replace

from modelservice.contract.keys import train_key
from modelservice.contract.resource import ModelServiceSpec
from modelservice.contract.work_order import TrainWork, WorkOrder
from modelservice_operator.crd.status import ConditionType
from modelservice_operator.crd.status import Stage as StageWord
from modelservice_operator.domain.data import DataState
from modelservice_operator.domain.encoders import encoder_url
from modelservice_operator.domain.records import StageRecord, tested_text
from modelservice_operator.domain.stages.base import Assignment, JobSettings, Verdict, pod_settings


class Train:
    """Asked for unless the model was made elsewhere."""

    name = "train"
    condition = ConditionType.TRAINED
    word = StageWord.TRAINING
    activity = "training"

    def asked_for(self, spec: ModelServiceSpec) -> bool:
        """Where nothing is fetched or taken as it is."""
        return spec.is_trained

    def key(self, spec: ModelServiceSpec, parent: str) -> str:
        """From the digest of the data, and what is learned from it in which way."""
        return train_key(spec, parent)

    def job(self, spec: ModelServiceSpec) -> JobSettings:
        """As ``spec.training`` says."""
        training = spec.training
        return JobSettings(
            pods=pod_settings(training),
            section="spec.training",
            timeout_seconds=training.timeout_seconds,
            max_restarts=training.max_restarts,
            queue_name=training.queue_name,
            workers=training.workers,
            parallelism=training.parallelism,
        )

    def reads(self, spec: ModelServiceSpec, data: DataState) -> DataState:
        """The data; addresses of initial weights and of a teacher are in no key, and corrected ones are to be tried."""
        initialize, teacher = spec.training.initialize, spec.training.teacher
        named = (None if initialize is None else initialize.artifact, None if teacher is None else teacher.artifact)
        addresses = [one.uri for one in named if one is not None]
        return replace(data, address=" ".join(addresses)) if addresses else data

    def order(self, spec: ModelServiceSpec, assignment: Assignment) -> WorkOrder:
        """Data, task, model and hyperparameters, and how often to keep what was done."""
        work = TrainWork(
            **assignment.data_work(),
            data=spec.known_data,
            task=spec.task,
            model=spec.model,
            training=spec.training.hyperparameters,
            checkpoint=spec.training.checkpoint,
            compressed=spec.compression is not None,
            workers=spec.training.workers,
            parallelism=spec.training.parallelism,
            encoder=_encoder_url(spec, assignment),
            compressed_metric=None if spec.compression is None else spec.compression.metric,
        )
        return assignment.order(work)

    def verdict(self, record: StageRecord) -> Verdict:
        """The primary metric with its interval."""
        return Verdict(status=True, reason="Trained", message=tested_text(record))


def _encoder_url(spec: ModelServiceSpec, assignment: Assignment) -> str | None:
    """Where the encoder answers that a head is trained for; its digest was settled before."""
    service = spec.shared_encoder
    if service is None or service.digest is None:
        return None
    return encoder_url(service.name, service.digest, assignment.owner.namespace)
