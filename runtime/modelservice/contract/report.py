"""The report: what a training pod says in its termination message, at most 4,096 bytes of JSON."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from modelservice.contract.base import Sha256, Tolerant
from modelservice.contract.manifest import DataSummary, Signature
from modelservice.contract.places import TERMINATION_MESSAGE_LIMIT


class Metrics(Tolerant):
    """Headline metrics on the test rows; precision, recall and f1 are macro averages.

    ``accuracy_interval`` is the 95 % Wilson interval of the accuracy over ``test_rows`` rows.
    """

    accuracy: float
    accuracy_interval: tuple[float, float]
    precision: float
    recall: float
    f1: float
    loss: float
    test_rows: int


class Success(Tolerant):
    """A training that ended well. ``seconds`` are durations by step name (read, train, evaluate, store)."""

    outcome: Literal["Success"] = "Success"
    key: str
    digest: Sha256
    metrics: Metrics
    data: DataSummary
    parameters: int
    artifact_bytes: int
    signature: Signature | None = None
    seconds: dict[str, float] = Field(default={})


class Failure(Tolerant):
    """A training that did not: a CamelCase reason, a sentence with the remedy, and the field to change, if any."""

    outcome: Literal["Failure"] = "Failure"
    reason: Annotated[str, StringConstraints(pattern=r"^[A-Z][A-Za-z]{0,63}$")]
    message: Annotated[str, StringConstraints(max_length=2048)]
    field: str | None = None


class Report(Tolerant):
    """Either of both, told apart by ``outcome``."""

    schema_version: Literal[1] = 1
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
    if isinstance(report.result, Failure):
        return report
    data = report.result.data.model_copy(update={"notes": ()})
    return report.model_copy(update={"result": report.result.model_copy(update={"data": data})})


def _short_message(report: Report) -> Report:
    if isinstance(report.result, Success):
        return report
    return report.model_copy(
        update={"result": report.result.model_copy(update={"message": report.result.message[:512]})}
    )
