"""The part of a pod that stages and servers share: security, resources, scheduling."""

from collections.abc import Mapping, Sequence
from typing import Any

from modelservice.contract.base import Contract
from modelservice.contract.places import CPU_LIMIT_ENV, GPUS_ENV
from modelservice.contract.pods import PodSettings, Resources
from modelservice.contract.quantities import canonical_resources, quantity_value
from modelservice_operator.config import Settings
from modelservice_operator.constants import (
    LABEL_CLAIM,
    LABEL_KEY,
    LABEL_NAME,
    LABEL_STAGE,
    RUNTIME_USER_ID,
)
from modelservice_operator.domain.stores import Access
from modelservice_operator.objects import Object


def plain(model: Contract) -> Any:
    """A contract model as the API spells it, without what was not said."""
    return model.model_dump(mode="json", exclude_defaults=True)


def merged_resources(asked: Resources, defaults: Mapping[str, Mapping[str, str]]) -> Object:
    """Defaults overridden name by name; a request never exceeds its limit.

    A limit without a request is its own request, as Kubernetes has it, so the default request gives way.
    """
    limits = {**defaults["limits"], **asked.limits}
    requests = {name: value for name, value in defaults["requests"].items() if name not in asked.limits}
    requests |= asked.requests
    for name, request in asked.requests.items():
        if name not in asked.limits and name in limits and quantity_value(request) > quantity_value(limits[name]):
            limits[name] = request
    parts = {"requests": canonical_resources(requests), "limits": canonical_resources(limits)}
    return {part: values for part, values in parts.items() if values}


def container_environment(pods: PodSettings) -> list[Object]:
    """CPU limit for torch's thread count, GPUs granted, the user's own variables, and a home that can be written.

    Each name once, the last one wins as in a container: server-side apply answers a second one with 500.
    """
    cpu_limit = {"name": CPU_LIMIT_ENV, "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu", "divisor": "1"}}}
    own = {variable.name: {"name": variable.name, **_env_value(plain(variable))} for variable in pods.env}
    own.setdefault("HOME", {"name": "HOME", "value": "/tmp"})  # noqa: S108 - a mount of its own
    # The downward API knows no extended resources.
    gpus = [{"name": GPUS_ENV, "value": str(pods.resources.gpus)}] if pods.resources.gpus else []
    return [cpu_limit, *gpus, *own.values()]


def _env_value(variable: Object) -> Object:
    """Without an empty value, which the apiserver would leave out of its answer."""
    return {key: value for key, value in variable.items() if key != "name" and value != ""}


def container_security() -> Object:
    """What Pod Security ``restricted`` asks of a container, and a read-only root besides."""
    return {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def build_container(
    pods: PodSettings,
    settings: Settings,
    *,
    name: str,
    image: str,
    args: list[str],
    resources: Object,
    mounts: list[Object],
    access: Sequence[Access],
) -> Object:
    """One container; /tmp is its only writable place besides ``mounts`` and those of ``access``.

    The user's own variables win over those of a store.
    """
    container: Object = {
        "name": name,
        "image": image,
        "imagePullPolicy": settings.image_pull_policy,
        "args": [one.replace("$", "$$") for one in args],  # kubelet reads $(NAME) as a variable, and $$ as $
        "env": [*container_environment(pods), *(variable for one in access for variable in one.env)],
        "resources": resources,
        "securityContext": container_security(),
        "volumeMounts": [
            *mounts,
            *(mount for one in access for mount in one.mounts),
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108
        ],
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }
    of_stores = [source for one in access for source in one.env_from]
    sources = [source for number, source in enumerate(of_stores) if source not in of_stores[:number]]
    if sources or pods.env_from:
        container["envFrom"] = [*sources, *(plain(source) for source in pods.env_from)]
    return container


def build_pod(
    pods: PodSettings,
    settings: Settings,
    *,
    labels: dict[str, str],
    account: str,
    containers: list[Object],
    volumes: list[Object],
    access: Sequence[Access],
) -> Object:
    """A pod template under Pod Security ``restricted``, without a service-account token.

    ``access``: the artifacts that it reaches, the one that it makes or serves first. Pods of a claim that one node
    only can mount are kept together; all others are spread.
    """
    spec: Object = {
        "serviceAccountName": pods.service_account_name or account,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": RUNTIME_USER_ID,
            "runAsGroup": RUNTIME_USER_ID,
            "fsGroup": RUNTIME_USER_ID,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": containers,
        "volumes": [
            *volumes,
            *(volume for one in access for volume in one.volumes),
            {"name": "tmp", "emptyDir": {"sizeLimit": "1Gi"}},
        ],
    }
    if pods.node_selector:
        spec["nodeSelector"] = dict(pods.node_selector)
    if pods.tolerations:
        spec["tolerations"] = [plain(toleration) for toleration in pods.tolerations]
    if pods.runtime_class_name:
        spec["runtimeClassName"] = pods.runtime_class_name
    if pods.priority_class_name:
        spec["priorityClassName"] = pods.priority_class_name
    of_stores = (secret for one in access for secret in one.pull_secrets)
    secrets = [*settings.image_pull_secrets, *(secret.name for secret in pods.image_pull_secrets), *of_stores]
    if secrets:
        spec["imagePullSecrets"] = [{"name": secret} for secret in dict.fromkeys(secrets)]
    labels = {**pods.pod_metadata.labels, **labels}
    claims = [one.claim for one in access if one.claim]
    if claims:
        labels[LABEL_CLAIM] = claims[0]
    bound = [one.claim for one in access if one.claim and one.shares_node]
    if bound:
        spec["affinity"] = {"podAffinity": _together([*claims[:1], *bound])}
    else:
        spec["topologySpreadConstraints"] = [_apart(labels)]
    metadata: Object = {"labels": labels}
    if pods.pod_metadata.annotations:
        metadata["annotations"] = dict(pods.pod_metadata.annotations)
    return {"metadata": metadata, "spec": spec}


def _together(claims: list[str]) -> Object:
    """On the node of the pods that mount one of the claims, of which the first is this pod's own label.

    A pod that selects itself may go anywhere while no other is selected. So one term names all claims: with a term for
    each, no pod could select itself in all of them.
    """
    values = list(dict.fromkeys(claims))
    selector = {"matchExpressions": [{"key": LABEL_CLAIM, "operator": "In", "values": values}]}
    term = {"labelSelector": selector, "topologyKey": "kubernetes.io/hostname"}
    return {"requiredDuringSchedulingIgnoredDuringExecution": [term]}


def _apart(labels: dict[str, str]) -> Object:
    """Pods of one key and stage on different nodes where that can be."""
    own = {name: labels[name] for name in (LABEL_NAME, LABEL_KEY, LABEL_STAGE)}
    return {
        "maxSkew": 1,
        "topologyKey": "kubernetes.io/hostname",
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": own},
    }
