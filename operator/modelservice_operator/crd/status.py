"""``status``: what the operator says about a ModelService. Everything in it can be made again, so it may be lost."""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, StringConstraints, WithJsonSchema

from modelservice.contract.base import Sha256, ShortText, Tolerant
from modelservice.contract.evaluation import Metric, MetricName

MAX_MESSAGE_LENGTH = 32_768
"""Of a condition, as in meta/v1; longer messages must be cut before they are written, or the write is refused."""

REASON_PATTERN = r"^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$"
MAX_REASON_LENGTH = 1024
"""Both of the reason of a condition, as in meta/v1."""

NOT_OBSERVED = -1
"""The generation that a status was made from, in one that the operator has not written: no object has it."""

Reason = Annotated[str, StringConstraints(min_length=1, max_length=MAX_REASON_LENGTH, pattern=REASON_PATTERN)]
Timestamp = Annotated[str, StringConstraints(max_length=64), Field(json_schema_extra={"format": "date-time"})]

# Not an enumeration in the schema: a newer operator must be able to report its stages under an older CRD.
_OpenText = WithJsonSchema({"type": "string", "maxLength": 64})


class ConditionType(StrEnum):
    """Conditions, all of positive polarity; an optional one that was not asked for is left out."""

    READY = "Ready"
    AVAILABLE = "Available"
    PROGRESSING = "Progressing"
    STALLED = "Stalled"
    DATA_READY = "DataReady"
    ENCODER_READY = "EncoderReady"
    TRAINED = "Trained"
    FETCHED = "Fetched"
    COMPRESSED = "Compressed"
    PROMOTED = "Promoted"
    SERVED = "Served"
    AUTOSCALED = "Autoscaled"
    RUNTIME_CURRENT = "RuntimeCurrent"
    ARTIFACTS_PORTABLE = "ArtifactsPortable"
    RECORDS_READABLE = "RecordsReadable"
    SUSPENDED = "Suspended"


class Condition(Tolerant):
    """One observation, shaped like ``metav1.Condition``."""

    type: Annotated[str, StringConstraints(min_length=1, max_length=316)] = Field(description="Type of the condition.")
    status: Literal["True", "False", "Unknown"] = Field(description="True, False or Unknown.")
    observed_generation: int | None = Field(default=None, ge=0, description="The generation that it was made from.")
    last_transition_time: Timestamp = Field(description="When the status last changed.")
    reason: Reason = Field(description="Why, as one CamelCase word.")
    message: Annotated[str, StringConstraints(max_length=MAX_MESSAGE_LENGTH)] = Field(
        description="Why, with the field to change."
    )


class Stage(StrEnum):
    """What the service is doing now, furthest first."""

    QUEUED = "Queued"
    TRAINING = "Training"
    FETCHING = "Fetching"
    COMPRESSING = "Compressing"
    COMPARING = "Comparing"
    WAITING = "Waiting"
    DEPLOYING = "Deploying"
    SERVING = "Serving"
    SUSPENDED = "Suspended"
    FAILED = "Failed"


class RevisionPhase(StrEnum):
    """What became of a trained revision."""

    DEPLOYING = "Deploying"
    CANARY = "Canary"
    SERVING = "Serving"
    RETIRED = "Retired"
    FAILED = "Failed"


class SizedModel(Tolerant):
    """A model by size, primary metric on validation rows, and latency."""

    name: ShortText = Field(description="What was done.")
    parameters: int | None = Field(default=None, ge=0, description="Stored values.")
    nonzero: int | None = Field(default=None, ge=0, description="Those that are not 0.")
    multiply_adds: int | None = Field(default=None, ge=0, description="Of one row.")
    bytes: int = Field(ge=0, description="Of the file that is served.")
    metric: float = Field(description="Primary metric.")
    low: float | None = Field(default=None, description="Its 95 % interval.")
    high: float | None = None
    seconds_of_row: float | None = Field(default=None, description="One row, one thread.")
    seconds_of_batch: float | None = Field(default=None, description="64 rows.")


class CompressionStatus(Tolerant):
    """What a compression came to."""

    applied: bool = Field(description="Whether the smaller model is served.")
    metric: MetricName | None = Field(default=None, description="What drop is of. Default: the primary metric.")
    drop: float = Field(description="Lost of it on the test rows.")
    low: float = Field(description="Its paired 95 % interval.")
    high: float
    before: SizedModel | None = Field(default=None, description="As it was trained.")
    after: SizedModel | None = Field(default=None, description="The smaller one.")
    controls: Annotated[tuple[SizedModel, ...], Field(max_length=4)] = Field(
        default=(), description="Its layers, learned from initial weights."
    )


class RevisionStatus(Tolerant):
    """One revision; its record is the ControllerRevision NAME-KEY."""

    number: int = Field(ge=1, description="Counts up with each revision of this ModelService.")
    key: ShortText = Field(description="Short hash of what decided the result.")
    digest: Sha256 = Field(description="sha256 of the artifact's manifest.")
    data_digest: Sha256 | None = Field(default=None, description="sha256 of the data it was trained on.")
    uri: Annotated[str, StringConstraints(max_length=1024)] | None = Field(
        default=None, description="Where the artifact lies: pvc://CLAIM/KEY, or a URI."
    )
    source: Annotated[str, StringConstraints(max_length=1024)] | None = Field(
        default=None, description="Where it was fetched from, if it was trained elsewhere."
    )
    family: ShortText | None = Field(default=None, description="Family of the model, such as mlp.")
    task: ShortText | None = Field(default=None, description="Task, such as Binary, Multiclass or Regression.")
    rows: int | None = Field(default=None, ge=0, description="Rows of the data.")
    primary_metric: MetricName | None = Field(default=None, description="Name of the metric that decides.")
    metrics: Annotated[tuple[Metric, ...], Field(max_length=32)] = Field(
        default=(),
        description="All metrics on the test rows.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    )
    test_rows: int | None = Field(default=None, ge=0, description="Rows that the metrics were computed on.")
    parameters: int | None = Field(default=None, ge=0, description="Number of trained parameters.")
    size_bytes: int | None = Field(default=None, ge=0, description="Size of the artifact in bytes.")
    compression: CompressionStatus | None = Field(default=None, description="How much smaller it was made.")
    image: Annotated[str, StringConstraints(max_length=1024)] | None = Field(
        default=None, description="Image that made it."
    )
    phase: Annotated[RevisionPhase, _OpenText] | None = Field(
        default=None, description="Deploying, Canary, Serving, Retired or Failed."
    )
    created_at: Timestamp | None = Field(default=None, description="When it was made.")


class EncoderStatus(Tolerant):
    """The encoder of a head."""

    name: ShortText = Field(description="Name of the ModelService.")
    digest: Sha256 = Field(description="sha256 of its artifact.")
    width: int | None = Field(default=None, ge=1, description="Numbers of a text or image.")


class ModelServiceStatus(Tolerant):
    """What the operator observed."""

    observed_generation: int | None = Field(
        default=None,
        ge=NOT_OBSERVED,
        description="The generation that it was made from; -1 until the operator has looked.",
    )
    conditions: Annotated[tuple[Condition, ...], Field(max_length=32)] = Field(
        default=(),
        description="Ready: the desired revision serves with all replicas; else what fails first.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
    )
    stage: Annotated[Stage, _OpenText] | None = Field(
        default=None,
        description="Queued, Training, Fetching, Compressing, Comparing, Waiting, Deploying, Serving, Suspended or"
        " Failed.",
    )
    progress: ShortText | None = Field(default=None, description="How far the stage is, such as 40%.")
    eta: ShortText | None = Field(default=None, description="About how long the stage still takes, such as 3m.")
    key: ShortText | None = Field(default=None, description="Key of the revision that the spec and the data ask for.")
    data_digest: Sha256 | None = Field(default=None, description="sha256 of the data that the spec points at.")
    revision: int | None = Field(default=None, ge=1, description="Number of the revision that answers requests.")
    last_revision: int | None = Field(default=None, ge=1, description="Highest number of a revision so far.")
    digest: Sha256 | None = Field(
        default=None, description="sha256 of the artifact that answers requests, left out for a candidate."
    )
    server_image: Annotated[str, StringConstraints(max_length=1024)] | None = Field(
        default=None, description="Image of the server that answers requests."
    )
    metric: ShortText | None = Field(
        default=None, description="Primary metric of what answers requests, such as accuracy 0.973."
    )
    source: Annotated[str, StringConstraints(max_length=1024)] | None = Field(
        default=None, description="Where what answers requests was fetched from, if it was trained elsewhere."
    )
    encoder: EncoderStatus | None = Field(
        default=None,
        description="What the pods of a head ask for the numbers of texts or images; of several that of the oldest.",
    )
    used_by: Annotated[tuple[ShortText, ...], Field(max_length=64)] = Field(
        default=(),
        description="ModelServices that ask this one for the numbers of texts or images, 64 at most.",
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )
    replicas: int | None = Field(default=None, ge=0, description="Number of serving pods.")
    selector: Annotated[str, StringConstraints(max_length=1024)] | None = Field(
        default=None, description="Label selector of the serving pods, for autoscalers."
    )
    url: Annotated[str, StringConstraints(max_length=1024)] | None = Field(
        default=None, description="Where the model answers inside the cluster."
    )
    example: Annotated[str, StringConstraints(max_length=16_384)] | None = Field(
        default=None,
        description="A curl with this model's inputs, of no real row.",
    )
    revisions: Annotated[tuple[RevisionStatus, ...], Field(max_length=64)] = Field(
        default=(),
        description="Revisions that are kept, the newest first.",
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )
