"""The report: what the pod of a stage says in its termination message, at most 4,096 bytes of JSON."""

from typing import Literal

from pydantic import Field

from modelservice.contract.base import Sha256, Tolerant
from modelservice.contract.comparison import Comparison
from modelservice.contract.documents import Document
from modelservice.contract.evaluation import Evaluation, Metric
from modelservice.contract.failure import Failure
from modelservice.contract.manifest import CompressionSummary, DataSummary, SharedEncoder
from modelservice.contract.places import TERMINATION_MESSAGE_LIMIT
from modelservice.contract.signature import Signature


class BlendedModel(Tolerant):
    """A model of ``auto``: how much it counts, its metrics on rows that it did not learn, and what it took."""

    name: str
    weight: float = Field(ge=0, le=1)
    metrics: tuple[Metric, ...] = ()
    seconds: float


class Success(Tolerant):
    """A stage that ended well. ``seconds`` are durations by step name (read, train, evaluate, store).

    ``models`` are those that ``auto`` blended, None for any other family and where the model was found in the store.
    ``inputs_digest`` is that of the signature, which itself may be too long for a message. ``source`` is where it was
    fetched from. ``encoder`` is what a head asks for the numbers of rows. ``stored_as`` is the digest that the store
    knows it by, where that is another one, as of an image. ``onnx_only``: no engine but ONNX computes it, although it
    is of a family whose networks torch serves.
    """

    outcome: Literal["Success"] = "Success"
    stage: str
    key: str
    digest: Sha256
    stored_as: Sha256 | None = None
    family: str
    task: str
    evaluation: Evaluation | None = None
    data: DataSummary | None = None
    parameters: int | None = None
    artifact_bytes: int
    compression: CompressionSummary | None = None
    signature: Signature | None = None
    inputs_digest: Sha256 | None = None
    seconds: dict[str, float] = Field(default={})
    models: tuple[BlendedModel, ...] | None = None
    source: str | None = None
    encoder: SharedEncoder | None = None
    onnx_only: bool = Field(default=False, exclude_if=lambda only: not only)


class Compared(Tolerant):
    """A comparison that ended well, whatever it came to: there is no artifact, this is all that it leaves."""

    outcome: Literal["Compared"] = "Compared"
    stage: str
    key: str
    comparison: Comparison
    seconds: dict[str, float] = Field(default={})


class Report(Document):
    """One of them, told apart by ``outcome``."""

    kind: Literal["Report"] = "Report"
    result: Success | Compared | Failure = Field(discriminator="outcome")

    def to_message(self) -> str:
        """The termination message; where not all fits, digests and metrics matter most.

        Metrics are rounded, and the models of a blend left out, then the signature, then the notes. No metric ever is:
        a model is promoted by any of them, and nobody looks into its artifact for that.
        """
        left = self
        for shorten in (_itself, _with_rounded_metrics, _without_models, _without_signature, _without_notes):
            left = shorten(left)
            message = left.model_dump_json(exclude_none=True)
            if len(message.encode()) <= TERMINATION_MESSAGE_LIMIT:
                return message
        return _short_message(left).model_dump_json(exclude_none=True)


_DIGITS = 6


def _itself(report: Report) -> Report:
    return report


def _with_rounded_metrics(report: Report) -> Report:
    if not isinstance(report.result, Success) or report.result.evaluation is None:
        return report
    evaluation = report.result.evaluation
    changed = evaluation.model_copy(update={"metrics": tuple(map(_rounded, evaluation.metrics))})
    return report.model_copy(update={"result": report.result.model_copy(update={"evaluation": changed})})


def _rounded(metric: Metric) -> Metric:
    numbers = {"value": metric.value, "low": metric.low, "high": metric.high}
    return metric.model_copy(
        update={name: float(f"{number:.{_DIGITS}g}") for name, number in numbers.items() if number is not None}
    )


def _without_signature(report: Report) -> Report:
    if not isinstance(report.result, Success):
        return report
    return report.model_copy(update={"result": report.result.model_copy(update={"signature": None})})


def _without_models(report: Report) -> Report:
    if not isinstance(report.result, Success):
        return report
    return report.model_copy(update={"result": report.result.model_copy(update={"models": None})})


def _without_notes(report: Report) -> Report:
    if not isinstance(report.result, Success) or report.result.data is None:
        return report
    data = report.result.data.model_copy(update={"notes": ()})
    return report.model_copy(update={"result": report.result.model_copy(update={"data": data})})


def _short_message(report: Report) -> Report:
    if not isinstance(report.result, Failure):
        return report
    return report.model_copy(
        update={"result": report.result.model_copy(update={"message": report.result.message[:512]})}
    )
