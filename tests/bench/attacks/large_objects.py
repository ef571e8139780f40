"""Objects of a megabyte that carry the operator's labels: it meets them all when it starts."""

from pathlib import Path

from tests.bench.attacks.base import (
    ATTACKER,
    HALF_OF_CONTROL,
    LARGE_TEXT,
    Attack,
    Object,
    peak_memory,
    serve_victim,
)
from tests.bench.kwok.api import Api
from tests.bench.kwok.controlplane import ControlPlane
from tests.bench.kwok.population import (
    apply_service,
    build_object,
    collection,
    make_namespace,
    prepare,
    service_name,
    services_path,
)
from tests.bench.kwok.stages import all_stages
from tests.bench.kwok.subject import operator_on
from tests.bench.record import Figure

from modelservice_operator.domain.metadata import Owner

COUNT = 250
"""Of each kind."""

WHAT = f"start beside {4 * COUNT:,} objects of 1 MB"

_ANNOTATION = HALF_OF_CONTROL[:240_000]
"""Annotations may have 256 KiB together, and what is watched as metadata brings them too."""


def _measure(plane: ControlPlane, folder: Path) -> list[Figure]:
    api = plane.api
    prepare(api, volumes=4)
    make_namespace(api, ATTACKER)
    apply_service(api, service_name(0), namespace=ATTACKER)
    for number in range(COUNT):
        _make_config_map(api, number)
        _make_deployment(api, number)
        _make_pod(api, number)
        _make_service(api, number)
    with operator_on(plane, folder, seconds=300) as subject:
        serve_victim(plane, subject.process)
        return [peak_memory(WHAT, subject.process)]


def _labelled(api_version: str, kind: str, number: int) -> Object:
    """An object with all labels of a child of the attacker's own ModelService; every fifth has a large annotation."""
    labels = Owner(name=service_name(0), namespace=ATTACKER, uid="").labels(stage="train", key="attack")
    annotations = {"example.com/large": _ANNOTATION} if _is_annotated(number) else {}
    return build_object(
        api_version, kind, f"large-{number:03}", namespace=ATTACKER, labels=labels, annotations=annotations
    )


def _is_annotated(number: int) -> bool:
    return number % 5 == 0


def _is_text(number: int) -> bool:
    """Whether the content is text: every other one, and those whose annotation leaves no room for more in a request."""
    return number % 2 == 0 or _is_annotated(number)


def _make_config_map(api: Api, number: int) -> None:
    config_map, path = _labelled("v1", "ConfigMap", number), collection("configmaps", ATTACKER)
    api.create(path, {**config_map, "data": {"a": LARGE_TEXT if _is_text(number) else HALF_OF_CONTROL}})
    if not _is_text(number):
        api.append(f"{path}/{config_map['metadata']['name']}", "/data/b", HALF_OF_CONTROL)


def _make_deployment(api: Api, number: int) -> None:
    """A Deployment of no pods; every fifth one has a ReplicaSet, as large as itself, while the others are paused."""
    deployment, path = _labelled("apps/v1", "Deployment", number), collection("deployments", ATTACKER, group="apps/v1")
    labels = deployment["metadata"]["labels"] | {"number": str(number)}
    deployment["spec"] = {
        "replicas": 0,
        "paused": not _is_annotated(number),
        "selector": {"matchLabels": {"number": str(number)}},
        "template": {"metadata": {"labels": labels}, "spec": {"containers": [_container(number)]}},
    }
    api.create(path, deployment)
    if not _is_text(number):
        name = deployment["metadata"]["name"]
        api.append(f"{path}/{name}", "/spec/template/spec/containers/0/args/-", HALF_OF_CONTROL)


def _make_pod(api: Api, number: int) -> None:
    """A pod that waits for ever: no scheduler and no kubelet has to carry it."""
    pod = _labelled("v1", "Pod", number)
    pod["spec"] = {
        "schedulingGates": [{"name": "example.com/never"}],
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [_container(number)],
    }
    api.create(collection("pods", ATTACKER), pod)


def _make_service(api: Api, number: int) -> None:
    """A ModelService with as much beside its spec as it may have, without a table: its status is all that is made."""
    annotations = {"example.com/large": _ANNOTATION}
    service = build_object(
        "modelservice.dev/v1alpha1", "ModelService", f"large-{number:03}", namespace=ATTACKER, annotations=annotations
    )
    service["spec"] = {"data": {"configMap": {"name": "missing"}, "target": "y"}, "model": {"mlp": {}}}
    api.create(services_path(ATTACKER), service)


def _container(number: int) -> Object:
    return {
        "name": "server",
        "image": "registry.example/large",
        "args": [LARGE_TEXT if _is_text(number) else HALF_OF_CONTROL],
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }


LARGE_OBJECTS = Attack(name="large-objects", stages=all_stages(), measure=_measure)
