"""How pods run: a curated part of the PodSpec, the same list for training and for serving."""

from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from modelservice.contract.base import Contract, ObjectName, OneOf, Quantity, Rule, in_words

QualifiedName = Annotated[
    str,
    StringConstraints(min_length=1, max_length=317, pattern=r"^([-a-z0-9.]+/)?[-A-Za-z0-9_.]+$"),
    in_words("must be a name such as app or example.com/app: letters, digits, '-', '_' and '.'"),
]
LabelValue = Annotated[
    str,
    StringConstraints(max_length=63, pattern=r"^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$"),
    in_words("must be a label value: letters, digits, '-', '_' and '.', a letter or digit at both ends"),
]
EnvName = Annotated[
    str,
    StringConstraints(min_length=1, max_length=256, pattern=r"^[-._a-zA-Z][-._a-zA-Z0-9]*$"),
    in_words("must be the name of a variable: letters, digits, '-', '_' and '.', no digit in front"),
]
Labels = Annotated[dict[QualifiedName, LabelValue], Field(max_length=64)]

_RESERVED_PREFIX = "MODELSERVICE_"
_RESERVED_ENV = Rule(
    f"!self.name.startsWith('{_RESERVED_PREFIX}')", f"names that start with {_RESERVED_PREFIX} belong to the operator"
)
_VALUE_OR_SOURCE = Rule("!(has(self.value) && has(self.valueFrom))", "value and valueFrom exclude each other")


class Resources(Contract):
    """Requests and limits of the one container, such as cpu, memory and nvidia.com/gpu."""

    requests: Annotated[dict[QualifiedName, Quantity], Field(max_length=16)] = Field(
        default={}, description="What the scheduler reserves."
    )
    limits: Annotated[dict[QualifiedName, Quantity], Field(max_length=16)] = Field(
        default={}, description="What the container may not exceed."
    )


class Toleration(Contract):
    """A taint that the pod accepts, as in core/v1."""

    key: Annotated[str, StringConstraints(max_length=317)] | None = Field(default=None, description="Key of the taint.")
    operator: Literal["Exists", "Equal"] | None = Field(default=None, description="Exists or Equal. Default Equal.")
    value: LabelValue | None = Field(default=None, description="Value of the taint.")
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = Field(
        default=None, description="Effect to tolerate. Default: all."
    )
    toleration_seconds: int | None = Field(default=None, ge=0, description="Seconds to stay under NoExecute.")


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
        default=Resources(), description="Requests and limits; what is left out has a default for a small CPU cluster."
    )
    node_selector: Labels = Field(default={}, description="Labels that a node must have.")
    tolerations: Annotated[tuple[Toleration, ...], Field(max_length=16)] = Field(
        default=(), description="Taints that the pods accept."
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
