"""Records: what a stage made from what, kept in the data of an immutable ControllerRevision."""

from dataclasses import dataclass
from typing import Any, Literal

from pydantic import Field

from modelservice.contract.base import Sha256, Tolerant
from modelservice.contract.comparison import Comparison
from modelservice.contract.documents import Document
from modelservice.contract.evaluation import Evaluation, Metric
from modelservice.contract.history import History
from modelservice.contract.manifest import ARTIFACT_FORMAT, CompressionSummary, DataSummary, SharedEncoder
from modelservice.contract.report import Success
from modelservice.contract.signature import Signature
from modelservice_operator.objects import Object

_LARGE = 1e9


class Opened(Tolerant):
    """The Secrets that pods open a recorded artifact with: with which they read it, and with which they decrypt it."""

    secret_name: str | None = None
    encryption_secret: str | None = None


class StoredTemplate(Tolerant):
    """A pod template and the hash of the serving inputs that it was built from.

    While the inputs stay the same, this template is served whatever a newer operator would build: an upgrade of the
    operator restarts no model. ``recreate``: its pods start once the old ones ended, whose GPUs they need. ``history``
    is what its pods are told of revisions, the same in each later template of the same revision. Of a template that
    follows the operator, ``inputs`` goes on with a point and the hash of what the operator made of them. ``opened`` is
    there where its pods open the artifact with other Secrets than the recorded ones.
    """

    inputs: str
    template: dict[str, Any]
    recreate: bool | None = None
    history: History | None = None
    opened: Opened | None = None

    @property
    def asked(self) -> str:
        """The hash of what the spec says of its pods, whatever an operator makes of it."""
        return self.inputs.partition(".")[0]


class ArtifactReference(Tolerant):
    """Where an artifact lies, and exactly which one it is.

    ``secret_name`` is the Secret that it was written with, ``encryption_secret`` that with the key that it was
    encrypted with; None where it was not.
    """

    uri: str
    digest: Sha256
    format: str = ARTIFACT_FORMAT
    secret_name: str | None = None
    encryption_secret: str | None = None

    def opened_with(self, secrets: Opened) -> "ArtifactReference":
        """The same artifact, opened with other Secrets."""
        return self.model_copy(update=secrets.model_dump(by_alias=False))


class StageRecord(Document):
    """The result of one stage. ``key`` says what decided it, ``parent`` is the key of what it was made from.

    What only a training knows is optional. ``source`` is where it, or what it was made from, was fetched from;
    ``encoder`` is what a head asks for the numbers of rows; ``seconds`` is how long the stage took; ``onnx_only``: no
    engine but ONNX computes it, whatever its family.
    """

    kind: Literal["StageRecord"] = "StageRecord"
    stage: str
    key: str
    parent: str | None = None
    artifact: ArtifactReference
    data_digest: Sha256 | None = None
    data: DataSummary | None = None
    evaluation: Evaluation | None = None
    family: str
    task: str
    parameters: int | None = None
    artifact_bytes: int
    seconds: float | None = None
    compression: CompressionSummary | None = None
    signature: Signature | None = None
    inputs_digest: Sha256 | None = None
    image: str
    source: str | None = None
    encoder: SharedEncoder | None = None
    onnx_only: bool = Field(default=False, exclude_if=lambda only: not only)
    serving: StoredTemplate | None = None

    @property
    def known_inputs_digest(self) -> Sha256 | None:
        """Of what clients must send; records of before it was written down may tell it by their signature."""
        return self.inputs_digest or (self.signature.inputs_digest if self.signature else None)


class ServingTemplate(Document):
    """A pod template that a key is served with, where it is not the one in the key's record.

    It lies in a ControllerRevision of its own, which only the operator writes and nobody can change: a template that
    were read back from a Deployment would be whatever somebody wrote there. ``failed`` is why its rollout was taken
    back: a document of its own, beside the one that it was rolled out from. So is each step of a canary: ``canary`` is
    its number, from 1, and it began when the document was made.
    """

    kind: Literal["ServingTemplate"] = "ServingTemplate"
    key: str
    serving: StoredTemplate
    failed: str | None = None
    canary: int | None = None

    @property
    def variant(self) -> tuple[str, str]:
        """What is served and how."""
        return self.key, self.serving.inputs

    @property
    def is_rolled_out(self) -> bool:
        """Whether it was written down to be rolled out, rather than as a step of a canary or as what failed."""
        return self.failed is None and self.canary is None


class ComparedArtifact(Tolerant):
    """One side of a comparison; ``number`` is that of a revision, 0 of what was none yet."""

    key: str
    digest: Sha256
    number: int = 0


class ComparisonRecord(Document):
    """What came of comparing a candidate with what served then; ``key`` is that of the pair and its metrics."""

    kind: Literal["ComparisonRecord"] = "ComparisonRecord"
    key: str
    candidate: ComparedArtifact
    current: ComparedArtifact
    comparison: Comparison
    image: str


def metric_text(metric: Metric) -> str:
    """Such as accuracy 0.973; of bounded length, whatever a pod reported."""
    return f"{metric.name} {number_text(metric.value)}"


def interval_text(metric: Metric) -> str:
    """Such as 95 % interval 0.900 to 0.980; nothing where none was computed."""
    if metric.low is None or metric.high is None:
        return ""
    return f"95 % interval {number_text(metric.low)} to {number_text(metric.high)}"


def tested_text(record: StageRecord) -> str:
    """The primary metric with its interval; nothing where none was measured."""
    if record.evaluation is None:
        return ""
    metric, rows = record.evaluation.primary_metric, record.evaluation.rows
    details = ", ".join(filter(None, (interval_text(metric), f"{rows} rows")))
    return f"test {metric_text(metric)} ({details})"


def number_text(number: float) -> str:
    """Three decimals; a very large number with its exponent."""
    return f"{number:.3f}" if abs(number) < _LARGE else f"{number:.3e}"


def record_of(
    success: Success,
    *,
    parent: str | None,
    uri: str,
    secret: str | None,
    data_digest: str | None,
    image: str,
    source: str | None = None,
    encryption_secret: str | None = None,
) -> StageRecord:
    """The record of a stage that ended well, stored at ``uri``; ``source`` is that of what it was made from."""
    return StageRecord(
        stage=success.stage,
        key=success.key,
        parent=parent,
        artifact=ArtifactReference(
            uri=uri, digest=success.digest, secret_name=secret, encryption_secret=encryption_secret
        ),
        data_digest=data_digest,
        data=success.data,
        evaluation=success.evaluation,
        family=success.family,
        task=success.task,
        parameters=success.parameters,
        artifact_bytes=success.artifact_bytes,
        seconds=round(sum(success.seconds.values()), 3) if success.seconds else None,
        compression=success.compression,
        signature=success.signature,
        inputs_digest=success.inputs_digest,
        image=image,
        source=success.source or source,
        encoder=success.encoder,
        onnx_only=success.onnx_only,
    )


@dataclass(frozen=True, kw_only=True)
class Revision:
    """A record with its number: revisions count from 1, and 0 is the result of a stage that never was the last one.

    ``obj`` is the ControllerRevision, None while it is not written. ``turn`` orders revisions by when each began to
    serve the last time; it is the number of one that never came to serve again.
    """

    number: int
    record: StageRecord
    obj: Object | None = None
    turn: int = 0

    @property
    def key(self) -> str:
        """What decided the result."""
        return self.record.key

    @property
    def digest(self) -> str:
        """Digest of the artifact."""
        return self.record.artifact.digest

    @property
    def created(self) -> str:
        """When its record was written, by the apiserver's clock; empty while it is not."""
        return str(self.obj["metadata"].get("creationTimestamp", "")) if self.obj else ""


def compared_artifact(revision: Revision) -> ComparedArtifact:
    """How a comparison names a result."""
    return ComparedArtifact(key=revision.key, digest=revision.digest, number=revision.number)


@dataclass(frozen=True, kw_only=True)
class TemplateRevision:
    """A stored template with the number that orders it among those of its ModelService, and its ControllerRevision."""

    number: int
    document: ServingTemplate
    obj: Object


@dataclass(frozen=True, kw_only=True)
class UnreadableRecord:
    """A record that this release cannot read, such as one of a newer release; it is left as it is."""

    key: str
    number: int
    message: str
