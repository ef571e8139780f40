"""The stage that trains a model: its key holds the data, its Job the pod settings of ``spec.training``."""

from modelservice.contract.keys import train_key
from modelservice.contract.resource import ModelServiceSpec
from modelservice.contract.work_order import TrainWork, WorkOrder
from modelservice_operator.crd.status import ConditionType
from modelservice_operator.crd.status import Stage as StageWord
from modelservice_operator.domain.records import StageRecord, interval_text, metric_text
from modelservice_operator.domain.stages.base import Assignment, JobSettings, Verdict, pod_settings


class Train:
    """Always asked for."""

    name = "train"
    condition = ConditionType.TRAINED
    word = StageWord.TRAINING
    activity = "training"

    def asked_for(self, spec: ModelServiceSpec) -> bool:
        """Always."""
        del spec
        return True

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
            workers=training.workers,
            parallelism=training.parallelism,
        )

    def order(self, spec: ModelServiceSpec, assignment: Assignment) -> WorkOrder:
        """Data, task, model and hyperparameters, and how often to keep what was done."""
        work = TrainWork(
            **assignment.data_work(),
            data=spec.data,
            task=spec.task,
            model=spec.model,
            training=spec.training.hyperparameters,
            checkpoint=spec.training.checkpoint,
            compressed=spec.compression is not None,
            workers=spec.training.workers,
            parallelism=spec.training.parallelism,
            compressed_metric=None if spec.compression is None else spec.compression.metric,
        )
        return assignment.order(work)

    def verdict(self, record: StageRecord) -> Verdict:
        """The primary metric with its interval."""
        if record.evaluation is None:
            return Verdict(status=True, reason="Trained", message="")
        metric, rows = record.evaluation.primary_metric, record.evaluation.rows
        details = ", ".join(filter(None, (interval_text(metric), f"{rows} rows")))
        message = f"test {metric_text(metric)} ({details})"
        return Verdict(status=True, reason="Trained", message=message)
