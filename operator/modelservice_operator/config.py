"""Settings of the operator, from the environment that the chart writes."""

import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from modelservice.contract.artifacts import Artifacts
from modelservice.contract.base import ObjectName, problems

_PREFIX = "MODELSERVICE_"


class SettingsError(ValueError):
    """A variable that cannot be used; the text names it, its value and what is expected."""


def _from_json(value: Any) -> Any:
    """JSON text becomes what it says; an empty text stands for what is not set."""
    if not isinstance(value, str):
        return value
    return json.loads(value) if value.strip() else None


def _list_from_json(value: Any) -> Any:
    return _from_json(value) or ()


Image = Annotated[str, Field(min_length=1, max_length=512)]
Names = Annotated[tuple[ObjectName, ...], BeforeValidator(_list_from_json), Field(max_length=256)]


def variable_name(field: str) -> str:
    """The environment variable of a field of ``Settings``."""
    return field.upper() if field.startswith("pod_") else f"{_PREFIX}{field.upper()}"


class Settings(BaseModel):
    """What a platform team decides once for all ModelServices of a cluster.

    A field ``x_y`` is the variable ``MODELSERVICE_X_Y``, but for those of the pod itself, which its downward API gives
    as ``POD_NAME``, ``POD_NAMESPACE`` and ``POD_SERVICE_ACCOUNT``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=variable_name, validate_by_name=True)

    trainer_image: Image = Field(
        description="Image that trains, compresses and serves with torch, such as registry.example/trainer:0.1.0."
    )
    server_image: Image = Field(
        description="Image that serves with onnxruntime, such as registry.example/server:0.1.0."
    )
    image_pull_policy: Literal["Always", "IfNotPresent", "Never"] = Field(
        default="IfNotPresent", description="Pull policy of both images: Always, IfNotPresent or Never."
    )
    image_pull_secrets: Names = Field(
        default=(), description='Names of Secrets to pull both images with, as JSON: ["registry"].'
    )
    default_artifacts: Annotated[Artifacts | None, BeforeValidator(_from_json)] = Field(
        default=None, description="spec.artifacts of ModelServices that have none, as JSON, or empty."
    )
    image_volumes: bool = Field(
        default=True,
        description="Whether nodes can mount images as volumes: true from Kubernetes 1.35 on, or false.",
    )
    watch_namespaces: Names = Field(
        default=(), description='Namespaces to work in, as JSON: ["a", "b"]; empty for all of the cluster.'
    )
    ingress_namespaces: Names = Field(
        default=(), description='Namespaces whose pods may always send requests, as JSON: ["ingress-nginx"].'
    )
    prometheus_namespaces: Names = Field(
        default=(), description='Namespaces whose pods may always scrape metrics, as JSON: ["monitoring"].'
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="debug, info, warning or error."
    )
    workers: int = Field(
        default=4,
        ge=1,
        le=64,
        description="ModelServices reconciled at the same time, 1 to 64, beside one that somebody just changed.",
    )
    follow_at_once: int = Field(
        default=1,
        ge=1,
        le=1000,
        description="ModelServices with runtimePolicy FollowOperator that are rolled out with this release's server at"
        " the same time, 1 to 1000.",
    )
    http_port: int = Field(
        default=8080, ge=1, le=65_535, description="Port of /healthz, /readyz and /metrics, 1 to 65535."
    )
    pod_name: str = Field(
        default="", max_length=253, description="Name of the operator's pod: who holds the Lease. Default: the host's."
    )
    pod_namespace: ObjectName = Field(
        default="default", description="Namespace of the operator's pod: where the Lease is kept."
    )
    pod_service_account: str = Field(
        default="", max_length=253, description="Name of the operator's ServiceAccount, which other releases look at."
    )


def from_environment(environ: Mapping[str, str]) -> Settings:
    """The settings that the environment describes.

    Raises:
        SettingsError: A variable has a value that cannot be used; all such variables are named at once.
    """
    fields = {variable_name(name): field for name, field in Settings.model_fields.items()}
    try:
        return Settings.model_validate({name: environ[name] for name in fields if name in environ})
    except ValidationError as error:
        said = zip(problems(error), error.errors(include_url=False), strict=True)
        lines = [f"{problem}; expected: {fields[str(detail['loc'][0])].description}" for problem, detail in said]
        raise SettingsError("\n".join(lines)) from None
