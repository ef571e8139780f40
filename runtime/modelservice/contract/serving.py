"""``spec.serving``: how the trained model answers requests."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Self

from pydantic import Field, model_validator

from modelservice.contract.access import Access
from modelservice.contract.artifact_source import SECRET_OF_STORE, STORES, ArtifactSource
from modelservice.contract.base import Contract, OneOf, Rule, Sha256
from modelservice.contract.locations import ArtifactUri
from modelservice.contract.pods import LabelValue, NameReference, PodSettings, QualifiedName
from modelservice.contract.quantities import quantity_value
from modelservice.contract.rollout import MAX_REPLICAS, Canary, Rollout
from modelservice.contract.serving_metrics import QUEUE_WAIT_SECONDS, REQUESTS_IN_FLIGHT

_MIN_MAX = Rule(
    "!has(self.minReplicas) || self.minReplicas <= self.maxReplicas", "minReplicas must not exceed maxReplicas"
)
_REQUIREMENT_VALUES = Rule(
    "(self.operator in ['In', 'NotIn']) == (has(self.values) && self.values.size() > 0)",
    "values are for In and NotIn, and needed there",
)

_TARGET = "target_"
_DEFAULT_TARGETS: Mapping[str, int] = {"target_cpu_utilization": 70}


class ScalingPace(Contract):
    """How fast the number of replicas follows the load, in one direction."""

    stabilization_seconds: int | None = Field(
        default=None,
        ge=0,
        le=3600,
        description="Seconds that another number must be asked for. Default: 0 up, 300 down.",
    )
    pods_per_minute: int | None = Field(
        default=None,
        ge=1,
        le=MAX_REPLICAS,
        description="Most pods in a minute. Default: as fast as Kubernetes does.",
    )


class Autoscaling(Contract):
    """A HorizontalPodAutoscaler; of several targets the one that asks for the most pods decides."""

    RULES = (_MIN_MAX,)

    min_replicas: int = Field(default=1, ge=1, le=MAX_REPLICAS, description="Fewest replicas. Default 1.")
    max_replicas: int = Field(ge=1, le=MAX_REPLICAS, description="Most replicas.")
    target_cpu_utilization: int | None = Field(
        default=None,
        ge=1,
        le=100,
        alias="targetCPUUtilization",
        description="Percent of the requested CPU that is aimed at. Default 70 where no other target is said, else not"
        " looked at.",
    )
    target_memory_utilization: int | None = Field(
        default=None,
        ge=1,
        le=100,
        description="Percent of the requested memory that is aimed at, which resources.requests or limits has to say."
        " Default: not looked at.",
    )
    target_in_flight: int | None = Field(
        default=None,
        ge=1,
        le=100_000,
        description="Requests of a pod that wait or are computed, on average, which are aimed at. Needs an adapter that"
        f" serves {REQUESTS_IN_FLIGHT} of pods. Default: not looked at.",
    )
    target_queue_milliseconds: int | None = Field(
        default=None,
        ge=1,
        le=30_000,
        description="Milliseconds that requests wait before they are computed, on average, which are aimed at: above"
        " batching.maxDelayMilliseconds, at most half of batching.maxQueueMilliseconds. Needs an adapter that serves"
        f" {QUEUE_WAIT_SECONDS} of pods. Default: not looked at.",
    )
    scale_up: ScalingPace | None = Field(default=None, description="Pace of more pods.")
    scale_down: ScalingPace | None = Field(default=None, description="Pace of fewer pods.")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.min_replicas > self.max_replicas:
            raise ValueError(_MIN_MAX.message)
        return self

    @property
    def targets(self) -> Mapping[str, int]:
        """What is aimed at, by field: what is said, and the default where nothing is."""
        named = (name for name in type(self).model_fields if name.startswith(_TARGET))
        return {name: value for name in named if (value := getattr(self, name)) is not None} or _DEFAULT_TARGETS


class Batching(Contract):
    """How requests that wait at the same time are answered by one forward pass."""

    max_size: int = Field(default=64, ge=1, le=4096, description="Most rows of one forward pass. Default 64.")
    max_delay_milliseconds: int = Field(
        default=0, ge=0, le=1000, description="Wait for a fuller batch. Default 0: take what is queued."
    )
    max_queue_milliseconds: int = Field(
        default=200, ge=1, le=60_000, description="A request that would wait longer gets 429. Default 200."
    )


class UnknownColumns(StrEnum):
    """What a column of a request is that the model does not have."""

    ERROR = "Error"
    IGNORE = "Ignore"


class MissingColumns(StrEnum):
    """What a column of the model is that a request does not have."""

    ERROR = "Error"
    MISSING = "Missing"


class Inputs(Contract):
    """What requests may get wrong about the columns of a table; a request can say it for itself."""

    unknown_columns: UnknownColumns = Field(
        default=UnknownColumns.ERROR,
        description="Columns that the model does not have. Error: the request gets 400. Ignore: they are left out, and"
        " counted. Default Error.",
    )
    missing_columns: MissingColumns = Field(
        default=MissingColumns.ERROR,
        description="Columns that are not there. Error: the request gets 400. Missing: their values are missing ones,"
        " and counted. Default Error.",
    )


class Engine(StrEnum):
    """What computes the model."""

    ONNX = "ONNX"
    TORCH = "Torch"


class RuntimePolicy(StrEnum):
    """What becomes of the server that a revision is served by, once the operator brings a newer one."""

    PINNED = "Pinned"
    FOLLOW_OPERATOR = "FollowOperator"


class Grpc(Contract):
    """The protocols over gRPC, on port 9000 of the pods and the Service."""


class SelectorOperator(StrEnum):
    """Operators of a label selector requirement, as in meta/v1."""

    IN = "In"
    NOT_IN = "NotIn"
    EXISTS = "Exists"
    DOES_NOT_EXIST = "DoesNotExist"


class LabelRequirement(Contract):
    """One requirement of a label selector, as in meta/v1."""

    RULES = (_REQUIREMENT_VALUES,)

    key: QualifiedName = Field(description="Label key.")
    operator: SelectorOperator = Field(description="In, NotIn, Exists or DoesNotExist.")
    values: Annotated[tuple[LabelValue, ...], Field(max_length=16)] = Field(default=(), description="Label values.")

    @model_validator(mode="after")
    def _values_where_needed(self) -> Self:
        if (self.operator in {SelectorOperator.IN, SelectorOperator.NOT_IN}) != bool(self.values):
            raise ValueError(_REQUIREMENT_VALUES.message)
        return self


class LabelSelector(Contract):
    """A label selector, as in meta/v1; an empty one selects everything."""

    match_labels: Annotated[dict[QualifiedName, LabelValue], Field(max_length=16)] = Field(
        default={}, description="Labels that must be there."
    )
    match_expressions: Annotated[tuple[LabelRequirement, ...], Field(max_length=8)] = Field(
        default=(), description="Requirements that must hold."
    )


class Peer(Contract):
    """Pods that may send requests, as in a NetworkPolicy: pods of the selected namespaces, or of this one."""

    namespace_selector: LabelSelector | None = Field(default=None, description="Namespaces. Default: this one.")
    pod_selector: LabelSelector | None = Field(default=None, description="Pods in them. Default: all.")


class Scope(StrEnum):
    """Who may send requests without being named."""

    NAMESPACE = "Namespace"
    CLUSTER = "Cluster"
    NONE = "None"


class AllowFrom(Contract):
    """Who may send requests, kept by a NetworkPolicy; the chart's ingress and Prometheus namespaces always may."""

    scope: Scope = Field(default=Scope.NAMESPACE, description="Namespace, Cluster or None. Default Namespace.")
    peers: Annotated[tuple[Peer, ...], Field(max_length=16)] = Field(default=(), description="Pods besides the scope.")


_URI_AND_DIGEST = Rule("!has(self.uri) || has(self.digest)", "uri says where the artifact of a digest lies: set digest")


class PinRevision(OneOf):
    """Exactly one name of a model that was made: its number, or its digest, with where it lies if another made it."""

    COMMON = frozenset({"uri", "secret_ref"})
    RULES = (_URI_AND_DIGEST, SECRET_OF_STORE)

    number: int | None = Field(
        default=None, ge=1, le=2**31 - 1, description="Number of a revision that served before, as in status.revisions."
    )
    digest: Sha256 | None = Field(
        default=None, description="sha256 of an artifact, as in status.revisions, or in Promoted for one that waits."
    )
    uri: ArtifactUri | None = Field(
        default=None,
        description="Where the artifact of the digest lies, if another cluster trained it: it is fetched, and nothing"
        " is trained meanwhile. Default: it was made here.",
    )
    secret_ref: NameReference | None = Field(default=None, description="As of model.artifact, of uri.")

    @model_validator(mode="after")
    def _of_digest(self) -> Self:
        if self.uri is not None and self.digest is None:
            raise ValueError(_URI_AND_DIGEST.message)
        if self.secret_ref is not None and (self.uri is None or not self.uri.startswith(STORES)):
            raise ValueError(SECRET_OF_STORE.message)
        return self

    @property
    def source(self) -> ArtifactSource | None:
        """What is to be fetched; None of what was made here."""
        if self.uri is None or self.digest is None:
            return None
        return ArtifactSource(uri=self.uri, digest=self.digest, secret_ref=self.secret_ref)

    @property
    def words(self) -> str:
        """The name, for messages."""
        return f"revision {self.number}" if self.number is not None else str(self.digest)


_MEMORY_OF = "has(self.resources.{0}) && 'memory' in self.resources.{0} ? self.resources.{0}['memory'] : {1}"
_MEMORY_ASKED = Rule(
    "!has(self.autoscaling) || !has(self.autoscaling.targetMemoryUtilization)"
    " || (has(self.resources) && quantity(string("
    + _MEMORY_OF.format("requests", _MEMORY_OF.format("limits", "'0'"))
    + ")).isGreaterThan(quantity('0')))",
    "autoscaling.targetMemoryUtilization is a share of the memory that a pod asks for: set resources.requests.memory"
    " to what one under load needs",
)


def _batching(alias: str, default: int) -> str:
    return f"(has(self.batching) && has(self.batching.{alias}) ? self.batching.{alias} : {default})"


_LEAST_WAIT = _batching("maxDelayMilliseconds", Batching().max_delay_milliseconds)
_MOST_WAIT = _batching("maxQueueMilliseconds", Batching().max_queue_milliseconds)
_QUEUE_BETWEEN = Rule(
    "!has(self.autoscaling) || !has(self.autoscaling.targetQueueMilliseconds)"
    f" || (self.autoscaling.targetQueueMilliseconds > {_LEAST_WAIT}"
    f" && 2 * self.autoscaling.targetQueueMilliseconds <= {_MOST_WAIT})",
    "autoscaling.targetQueueMilliseconds must be above batching.maxDelayMilliseconds, which requests wait without any"
    f" load, and at most half of batching.maxQueueMilliseconds ({Batching().max_queue_milliseconds} by default), beyond"
    " which they are refused",
)


class Serving(PodSettings, Access):
    """How the model is served; a change rolls the pods and trains nothing."""

    RULES = (_MEMORY_ASKED, _QUEUE_BETWEEN)

    replicas: int = Field(
        default=1,
        ge=0,
        le=MAX_REPLICAS,
        description="Number of pods. Default 1, stored so that kubectl scale works: leave it out of Git where that sets"
        " it. Not used while there is autoscaling, which goes on from the pods that run, and whose last"
        " number is stored here when it is taken away, unless another is said then.",
        json_schema_extra={"x-stored-default": True},
    )
    autoscaling: Autoscaling | None = Field(default=None, description="Scales between two bounds, instead of replicas.")
    batching: Batching = Field(default=Batching(), description="Batching of concurrent requests.")
    inputs: Inputs = Field(default=Inputs(), description="What requests may get wrong. Default: nothing.")
    engine: Engine | None = Field(
        default=None,
        description="ONNX: onnxruntime on CPUs, in the small server image. Torch: torch, in the trainer image, for mlp,"
        " cnn, rnn and transformer. Default: Torch where limits name nvidia.com/gpu, else ONNX.",
    )
    grpc: Grpc | None = Field(default=None, description="{}: also answers over gRPC, on port 9000. Default: not.")
    pin_revision: PinRevision | None = Field(
        default=None,
        description="Serves this model, whatever is trained meanwhile and whatever promotion requires: a rollback, or"
        " the promotion of one that waits. Default: the newest that is promoted.",
    )
    rollout: Rollout | None = Field(
        default=None,
        description="How new pods take over. Default: rollingUpdate; recreate for a revision whose surge pod waits for"
        " a GPU that the old pod holds.",
    )
    progress_deadline_seconds: int = Field(
        default=600,
        ge=10,
        le=86_400,
        description="Seconds without progress after which a rollout has failed, and what served before serves again."
        " Default 600.",
    )
    paused: bool = Field(
        default=False,
        description="Keeps what is deployed as it is: no other revision, a pinned one included, and no other settings"
        " of pods are rolled out. Default false.",
    )
    runtime_policy: RuntimePolicy = Field(
        default=RuntimePolicy.PINNED,
        description="Pinned: a revision keeps the server image and pod template that it came to serve with, whatever"
        " operator is installed; a change of other fields here rolls its pods on the same image. FollowOperator: those"
        " of a newer operator are rolled out as rollout says, and taken back if they fail; a few ModelServices of the"
        " cluster at a time. Default Pinned.",
    )
    allow_from: AllowFrom = Field(default=AllowFrom(), description="Who may send requests. Default: this namespace.")

    @model_validator(mode="after")
    def _scalable(self) -> Self:
        if (scaling := self.autoscaling) is None:
            return self
        memory = self.resources.requests.get("memory", self.resources.limits.get("memory", "0"))
        if scaling.target_memory_utilization is not None and not quantity_value(memory):
            raise ValueError(_MEMORY_ASKED.message)
        low, high = self.batching.max_delay_milliseconds, self.batching.max_queue_milliseconds
        if (target := scaling.target_queue_milliseconds) is not None and not low < target <= high / 2:
            raise ValueError(_QUEUE_BETWEEN.message)
        return self

    @property
    def follows_operator(self) -> bool:
        """Whether a newer operator's server is rolled out by itself."""
        return self.runtime_policy is RuntimePolicy.FOLLOW_OPERATOR

    @property
    def canary(self) -> Canary | None:
        """How new pods are tried beside the old ones, where that is asked for."""
        return self.rollout.canary if self.rollout else None

    @property
    def access(self) -> Access:
        """The part that a server is told as it stands."""
        return Access(**{name: getattr(self, name) for name in Access.model_fields})
