"""What a stage of the pipeline answers to the operator; its pod runs the member of ``modelservice.stages``."""

from dataclasses import dataclass
from typing import Any, Protocol

from modelservice.contract.base import Sha256
from modelservice.contract.pods import SHAREABLE, PodSettings, Resources
from modelservice.contract.resource import ModelServiceSpec
from modelservice.contract.training import Parallelism, Training
from modelservice.contract.work_order import WorkOrder
from modelservice_operator.domain.data import DataState
from modelservice_operator.domain.metadata import Owner
from modelservice_operator.domain.records import StageRecord


@dataclass(frozen=True, kw_only=True)
class JobSettings:
    """How the Job of a stage runs.

    ``section`` is where the spec says how its pods do, for messages; ``workers`` are pods that work together, and
    ``parallelism`` is how; ``queue_name`` is the queue that they wait in.
    """

    pods: PodSettings
    section: str
    timeout_seconds: int
    max_restarts: int
    queue_name: str | None = None
    workers: int = 1
    parallelism: Parallelism = Parallelism.DATA


@dataclass(frozen=True, kw_only=True)
class Parent:
    """The artifact that a stage starts from, as its pod reaches it; ``number`` is that of a revision."""

    address: str
    digest: Sha256
    number: int = 0


@dataclass(frozen=True, kw_only=True)
class Assignment:
    """What a work order needs besides the spec.

    ``address`` is where the result is to be stored, empty where there is none but a report; ``against`` what the parent
    is compared with.
    """

    owner: Owner
    key: str
    address: str
    data: DataState
    parent: Parent | None = None
    against: Parent | None = None

    def data_work(self) -> dict[str, Any]:
        """The fields of ``DataWork`` that tell what is mounted, if anything is."""
        return {"data_file": self.data.file, "data_sha256": self.data.content_digest}

    def order(self, work: Any) -> WorkOrder:
        """The order to do this work."""
        return WorkOrder(
            name=self.owner.name, namespace=self.owner.namespace, key=self.key, artifact=self.address, work=work
        )


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What the condition of a stage says of its result; False is no failure, the pipeline goes on."""

    status: bool
    reason: str
    message: str


class Work(Protocol):
    """What a Job does, and what is said of it meanwhile."""

    @property
    def name(self) -> str:
        """In work orders, labels and records; at most 8 characters, so that names of Jobs fit (see ``names``)."""

    @property
    def condition(self) -> str:
        """Type of its condition."""

    @property
    def word(self) -> str:
        """What ``status.stage`` and the reason of Ready say while it runs."""

    @property
    def activity(self) -> str:
        """The noun for sentences, such as training."""

    def job(self, spec: ModelServiceSpec) -> JobSettings:
        """How its Job runs."""

    def reads(self, spec: ModelServiceSpec, data: DataState) -> DataState:
        """What its pod reads, mounted or fetched: the data, or something else."""

    def order(self, spec: ModelServiceSpec, assignment: Assignment) -> WorkOrder:
        """What its pod is told."""


class Stage(Work, Protocol):
    """Makes an artifact; registered in ``stages.STAGES``, in the order in which the results build on each other."""

    def asked_for(self, spec: ModelServiceSpec) -> bool:
        """Whether the spec asks for this stage."""

    def key(self, spec: ModelServiceSpec, parent: str) -> str:
        """Key of its result; ``parent`` is the key of the stage before, for the first one the digest of the data."""

    def verdict(self, record: StageRecord) -> Verdict:
        """What its result means."""


def pod_settings(training: Training) -> PodSettings:
    """The part of ``spec.training`` that says how pods run; it was validated with the rest."""
    return PodSettings.model_construct(**{name: getattr(training, name) for name in PodSettings.model_fields})


def settings_on_cpus(training: Training) -> JobSettings:
    """How a lone pod runs as ``spec.training`` says, without extended resources such as nvidia.com/gpu."""
    pods = pod_settings(training)
    asked = pods.resources
    requests, limits = (
        {name: amount for name, amount in said.items() if name in SHAREABLE} for said in (asked.requests, asked.limits)
    )
    return JobSettings(
        pods=pods.model_copy(update={"resources": Resources(requests=requests, limits=limits)}),
        section="spec.training",
        timeout_seconds=training.timeout_seconds,
        max_restarts=training.max_restarts,
        queue_name=training.queue_name,
    )
