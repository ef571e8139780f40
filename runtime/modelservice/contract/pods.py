"""How pods run: a curated part of the PodSpec, the same list for training and for serving."""

from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from modelservice.contract.base import Contract, ObjectName, OneOf, Quantity, Rule, Worded
from modelservice.contract.quantities import quantity_value

_PREFIX = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/"
_NAME = r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
QualifiedName = Annotated[
    str,
    StringConstraints(min_length=1, max_length=317),
    Worded(
        f"^({_PREFIX})?{_NAME}$",
        "must be a name such as app or example.com/app: letters, digits, '-', '_' and '.', "
        "a letter or digit at both ends",
    ),
]
ResourceName = Annotated[
    str,
    StringConstraints(min_length=1, max_length=317),
    Worded(
        f"^(cpu|memory|ephemeral-storage|hugepages-[1-9][0-9]*(Ki|Mi|Gi)|{_PREFIX}{_NAME})$",
        "must be cpu, memory, ephemeral-storage, hugepages-2Mi or a name such as nvidia.com/gpu",
    ),
]
LabelValue = Annotated[
    str,
    StringConstraints(max_length=63),
    Worded(
        r"^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$",
        "must be a label value: letters, digits, '-', '_' and '.', a letter or digit at both ends",
    ),
]
EnvName = Annotated[
    str,
    StringConstraints(min_length=1, max_length=256),
    Worded(
        r"^[-._a-zA-Z][-._a-zA-Z0-9]*$",
        "must be the name of a variable: letters, digits, '-', '_' and '.', no digit in front",
    ),
]
Labels = Annotated[dict[QualifiedName, LabelValue], Field(max_length=64)]

_RESERVED_PREFIX = "MODELSERVICE_"
_RESERVED_ENV = Rule(
    f"!self.name.startsWith('{_RESERVED_PREFIX}')", f"names that start with {_RESERVED_PREFIX} belong to the operator"
)
_VALUE_OR_SOURCE = Rule("!(has(self.value) && has(self.valueFrom))", "value and valueFrom exclude each other")
SHAREABLE = ("cpu", "memory", "ephemeral-storage")
"""Resources that every node has and pods share; all others come in whole pieces, such as nvidia.com/gpu."""
_BOTH_SAID = "has(self.requests) && has(self.limits) && name in self.requests && name in self.limits"
_COMPARED = "quantity(string(self.requests[name])).compareTo(quantity(string(self.limits[name])))"
_REQUEST_WITHIN_LIMIT = Rule(
    f"{list(SHAREABLE)}.all(name, !({_BOTH_SAID}) || {_COMPARED} <= 0)",
    "a request must not exceed its limit: lower the request, or raise the limit",
)
# A limit alone is its own request, as Kubernetes has it; a request alone is refused when the pod is made.
_NOT_SHARED = Rule(
    f"!has(self.requests) || self.requests.all(name, name in {list(SHAREABLE)} || ({_BOTH_SAID} && {_COMPARED} == 0))",
    "what pods cannot share, such as nvidia.com/gpu, needs a limit that equals its request: set the limit alone",
)
_PIECES = Rule(
    f"!has(self.limits) || self.limits.all(name, name in {list(SHAREABLE)} || name.startsWith('hugepages-')"
    " || !string(self.limits[name]).matches('[.m]'))",
    "what pods cannot share, such as nvidia.com/gpu, comes in whole pieces: write 1, not 500m or 0.5",
)
_KEY_OR_EXISTS = Rule(
    "has(self.key) || (has(self.operator) && self.operator == 'Exists')",
    "without a key, operator must be Exists: it accepts every taint",
)
_EXISTS_OR_VALUE = Rule(
    "!has(self.value) || self.value == '' || !has(self.operator) || self.operator != 'Exists'",
    "value and operator Exists exclude each other",
)
_SECONDS_OF_NO_EXECUTE = Rule(
    "!has(self.tolerationSeconds) || (has(self.effect) && self.effect == 'NoExecute')",
    "tolerationSeconds is for effect NoExecute only",
)


GPU_PREFIX = "nvidia.com/"
"""Of the resources that are GPUs or parts of them, such as nvidia.com/gpu and nvidia.com/mig-1g.10gb."""


class Resources(Contract):
    """Requests and limits of the one container, such as cpu, memory and nvidia.com/gpu."""

    RULES = (_REQUEST_WITHIN_LIMIT, _NOT_SHARED, _PIECES)

    requests: Annotated[dict[ResourceName, Quantity], Field(max_length=16)] = Field(
        default={}, description="What the scheduler reserves; what is not whole as 500m, or in quotes."
    )
    limits: Annotated[dict[ResourceName, Quantity], Field(max_length=16)] = Field(
        default={}, description="What the container may not exceed; what is not whole as 500m, or in quotes."
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        both = self.requests.keys() & self.limits.keys()
        request, limit = ({name: quantity_value(said[name]) for name in both} for said in (self.requests, self.limits))
        if any(request[name] > limit[name] for name in both.intersection(SHAREABLE)):
            raise ValueError(_REQUEST_WITHIN_LIMIT.message)
        whole = self.requests.keys() - set(SHAREABLE)
        if any(name not in both or request[name] != limit[name] for name in whole):
            raise ValueError(_NOT_SHARED.message)
        if any(_in_pieces(name) and set(quantity) & set(".m") for name, quantity in self.limits.items()):
            raise ValueError(_PIECES.message)
        return self

    @property
    def gpus(self) -> int:
        """Number of GPUs, or of parts of them."""
        return sum(int(quantity_value(number)) for name, number in self.limits.items() if name.startswith(GPU_PREFIX))


def _in_pieces(name: str) -> bool:
    return name not in SHAREABLE and not name.startswith("hugepages-")


class Toleration(Contract):
    """A taint that the pod accepts, as in core/v1."""

    RULES = (_KEY_OR_EXISTS, _EXISTS_OR_VALUE, _SECONDS_OF_NO_EXECUTE)

    key: QualifiedName | None = Field(default=None, description="Key of the taint. Default, with Exists: every taint.")
    operator: Literal["Exists", "Equal"] | None = Field(default=None, description="Exists or Equal. Default Equal.")
    value: LabelValue | None = Field(default=None, description="Value of the taint.")
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = Field(
        default=None, description="Effect to tolerate. Default: all."
    )
    toleration_seconds: int | None = Field(default=None, ge=0, description="Seconds to stay under NoExecute.")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.key is None and self.operator != "Exists":
            raise ValueError(_KEY_OR_EXISTS.message)
        if self.value and self.operator == "Exists":
            raise ValueError(_EXISTS_OR_VALUE.message)
        if self.toleration_seconds is not None and self.effect != "NoExecute":
            raise ValueError(_SECONDS_OF_NO_EXECUTE.message)
        return self


class KeySelector(Contract):
    """One key of a ConfigMap or a Secret."""

    name: ObjectName = Field(description="Name of the object.")
    key: Annotated[str, StringConstraints(min_length=1, max_length=253)] = Field(description="Key in it.")
    optional: bool | None = Field(default=None, description="Whether it may be missing.")


class EnvSource(OneOf):
    """Where the value of a variable comes from; Secrets are referenced by name and never read by the operator."""

    config_map_key_ref: KeySelector | None = Field(default=None, description="A key of a ConfigMap.")
    secret_key_ref: KeySelector | None = Field(default=None, description="A key of a Secret.")


class EnvVar(Contract):
    """An environment variable of the container."""

    RULES = (_RESERVED_ENV, _VALUE_OR_SOURCE)

    name: EnvName = Field(description="Name of the variable.")
    value: Annotated[str, StringConstraints(max_length=4096)] | None = Field(default=None, description="Its value.")
    value_from: EnvSource | None = Field(default=None, description="Where its value comes from.")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.name.startswith(_RESERVED_PREFIX):
            raise ValueError(_RESERVED_ENV.message)
        if self.value is not None and self.value_from is not None:
            raise ValueError(_VALUE_OR_SOURCE.message)
        return self


class NameReference(Contract):
    """The name of an object of the same namespace."""

    name: ObjectName = Field(description="Name of the object.")


class EnvFrom(OneOf):
    """All keys of a ConfigMap or a Secret as environment variables."""

    COMMON = frozenset({"prefix"})

    config_map_ref: NameReference | None = Field(default=None, description="A ConfigMap.")
    secret_ref: NameReference | None = Field(default=None, description="A Secret.")
    prefix: Annotated[str, StringConstraints(max_length=128)] | None = Field(
        default=None, description="Put before each name."
    )


class PodMetadata(Contract):
    """Labels and annotations for the pods; those of the operator win."""

    labels: Labels = Field(default={}, description="Labels of the pods.")
    annotations: Annotated[
        dict[QualifiedName, Annotated[str, StringConstraints(max_length=4096)]], Field(max_length=64)
    ] = Field(default={}, description="Annotations of the pods.")


class PodSettings(Contract):
    """How the pods of a stage run."""

    resources: Resources = Field(
        default=Resources(),
        description="Requests and limits. Default of a Job: 250m of CPU and 1Gi requested, at most 2 CPUs and 2Gi; of "
        "a server: 100m and 160Mi, at most 1Gi; of one with engine Torch: 250m and 640Mi, at most 2Gi.",
    )
    node_selector: Labels = Field(default={}, description="Labels that a node must have.")
    tolerations: Annotated[tuple[Toleration, ...], Field(max_length=16)] = Field(
        default=(), description="Taints that the pods accept."
    )
    runtime_class_name: ObjectName | None = Field(
        default=None,
        description="RuntimeClass of the pods. GPUs need one, such as nvidia, where it is not the default of nodes.",
    )
    priority_class_name: ObjectName | None = Field(default=None, description="PriorityClass of the pods.")
    env: Annotated[tuple[EnvVar, ...], Field(max_length=64)] = Field(default=(), description="Environment variables.")
    env_from: Annotated[tuple[EnvFrom, ...], Field(max_length=16)] = Field(
        default=(), description="Environment variables from ConfigMaps and Secrets."
    )
    image_pull_secrets: Annotated[tuple[NameReference, ...], Field(max_length=16)] = Field(
        default=(), description="Secrets to pull the image with, besides those of the chart."
    )
    service_account_name: ObjectName | None = Field(
        default=None, description="ServiceAccount of the pods. Default: one of their own, without a token."
    )
    pod_metadata: PodMetadata = Field(default=PodMetadata(), description="Labels and annotations of the pods.")
