"""What is in the bench's cluster before the first ModelService comes, and the ModelServices."""

from typing import Any

import yaml
from tests.bench.kwok.api import Api
from tests.bench.record import ROOT

Object = dict[str, Any]

NAMESPACE = "bench"
OPERATOR_NAMESPACE = "modelservice-operator"
NODES = 10
STORAGE_CLASS = "bench"

_CRD = ROOT / "manifests" / "crds" / "modelservice.dev_modelservices.yaml"
_TABLE = ROOT / "tests" / "data" / "iris.csv"
_CORE = "/api/v1"
_SERVICES = f"/apis/modelservice.dev/v1alpha1/namespaces/{NAMESPACE}/modelservices"


def prepare(api: Api, *, volumes: int) -> None:
    """Make the CRD, namespaces with Pod Security ``restricted``, nodes for kwok, and volumes that claims are bound to.

    The volumes are made beforehand, as an administrator of local disks does; the real scheduler and volume controller
    bind each claim to one when its first pod is placed.
    """
    api.apply(
        "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", yaml.safe_load(_CRD.read_text(encoding="utf-8"))
    )
    for namespace in (NAMESPACE, OPERATOR_NAMESPACE):
        labels = {"pod-security.kubernetes.io/enforce": "restricted"}
        api.apply(f"{_CORE}/namespaces", _object("v1", "Namespace", namespace, labels=labels))
    for number in range(NODES):
        name = f"node-{number}"
        labels = {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux"}
        api.apply(f"{_CORE}/nodes", _object("v1", "Node", name, labels=labels))
    storage_class = _object(
        "storage.k8s.io/v1",
        "StorageClass",
        STORAGE_CLASS,
        annotations={"storageclass.kubernetes.io/is-default-class": "true"},
    )
    storage_class |= {"provisioner": "kubernetes.io/no-provisioner", "volumeBindingMode": "WaitForFirstConsumer"}
    api.apply("/apis/storage.k8s.io/v1/storageclasses", storage_class)
    for number in range(volumes):
        api.apply(f"{_CORE}/persistentvolumes", _volume(f"volume-{number}"))


def apply_services(api: Api, count: int, *, extra: Object) -> None:
    """Apply that many ModelServices, each with a table of its own; ``extra`` is added to each spec."""
    for number in range(count):
        name = service_name(number)
        table = _object("v1", "ConfigMap", name, namespace=NAMESPACE)
        # One row more for each: no two tables, and so no two keys, are alike.
        table["data"] = {"iris.csv": f"{_TABLE.read_text()}5.0,3.0,1.5,{number / 1000},setosa\n"}
        api.apply(f"{_CORE}/namespaces/{NAMESPACE}/configmaps", table)
        service = _object("modelservice.dev/v1alpha1", "ModelService", name, namespace=NAMESPACE)
        service["spec"] = {"data": {"configMap": {"name": name}, "target": "species"}, "model": {"mlp": {}}, **extra}
        api.apply(_SERVICES, service)


def change_service(api: Api, number: int, spec: Object) -> None:
    """Change fields of a ModelService's spec."""
    api.merge(f"{_SERVICES}/{service_name(number)}", {"spec": spec})


def ready_services(api: Api) -> int:
    """How many ModelServices are Ready."""
    return sum(map(_is_ready, api.get(_SERVICES)["items"]))


def service_name(number: int) -> str:
    """Name of a ModelService, and of the ConfigMap with its table."""
    return f"model-{number:03}"


def _is_ready(service: Object) -> bool:
    conditions = service.get("status", {}).get("conditions", [])
    return any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)


def _volume(name: str) -> Object:
    volume = _object("v1", "PersistentVolume", name)
    volume["spec"] = {
        "capacity": {"storage": "1Gi"},
        "accessModes": ["ReadWriteOnce"],
        "persistentVolumeReclaimPolicy": "Retain",
        "storageClassName": STORAGE_CLASS,
        "hostPath": {"path": f"/var/lib/{name}"},
    }
    return volume


def _object(api_version: str, kind: str, name: str, **metadata: Any) -> Object:
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": name, **metadata}}
