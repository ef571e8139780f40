"""The report: what the pod of a stage says in its termination message, at most 4,096 bytes of JSON."""

from typing import Literal

from pydantic import Field

from modelservice.contract.base import Sha256, Tolerant
from modelservice.contract.documents import Document
from modelservice.contract.evaluation import Evaluation
from modelservice.contract.failure import Failure
from modelservice.contract.manifest import CompressionSummary, DataSummary
from modelservice.contract.places import TERMINATION_MESSAGE_LIMIT
from modelservice.contract.signature import Signature


class Success(Tolerant):
    """A stage that ended well. ``seconds`` are durations by step name (read, train, evaluate, store)."""

    outcome: Literal["Success"] = "Success"
    stage: str
    key: str
    digest: Sha256
    family: str
    task: str
    evaluation: Evaluation | None = None
    data: DataSummary | None = None
    parameters: int | None = None
    artifact_bytes: int
    compression: CompressionSummary | None = None
    signature: Signature | None = None
    seconds: dict[str, float] = Field(default={})


class Report(Document):
    """Either of both, told apart by ``outcome``."""

    kind: Literal["Report"] = "Report"
    result: Success | Failure = Field(discriminator="outcome")

    def to_message(self) -> str:
        """The termination message; a signature that does not fit is left out, then notes, since digests matter more."""
        candidate = self
        for slimmer in (_without_signature, _without_notes, _short_message):
            message = candidate.model_dump_json(exclude_none=True)
            if len(message.encode()) <= TERMINATION_MESSAGE_LIMIT:
                return message
            candidate = slimmer(candidate)
        return candidate.model_dump_json(exclude_none=True)


def _without_signature(report: Report) -> Report:
    if isinstance(report.result, Failure):
        return report
    return report.model_copy(update={"result": report.result.model_copy(update={"signature": None})})


def _without_notes(report: Report) -> Report:
    if isinstance(report.result, Failure) or report.result.data is None:
        return report
    data = report.result.data.model_copy(update={"notes": ()})
    return report.model_copy(update={"result": report.result.model_copy(update={"data": data})})


def _short_message(report: Report) -> Report:
    if isinstance(report.result, Success):
        return report
    return report.model_copy(
        update={"result": report.result.model_copy(update={"message": report.result.message[:512]})}
    )
