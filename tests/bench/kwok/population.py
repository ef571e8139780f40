"""What is in the bench's cluster before the first ModelService comes, and the ModelServices."""

import zlib
from collections.abc import Iterable
from typing import Any

import yaml
from tests.bench.kwok.api import Api
from tests.bench.record import ROOT

Object = dict[str, Any]

NAMESPACE = "bench"
OPERATOR_NAMESPACE = "modelservice-operator"
NODES = 10
PODS_OF_A_NODE = 55
"""Half of what a node takes: while a revision is rolled out, a ModelService has two."""

STORAGE_CLASS = "bench"
GIVEN_DIGEST = f"sha256:{'0' * 64}"
"""Of the artifact that is given: what the simulated pods report."""

_CRD = ROOT / "manifests" / "crds" / "modelservice.dev_modelservices.yaml"
_TABLE = ROOT / "tests" / "data" / "iris.csv"
_CORE = "/api/v1"


def prepare(api: Api, *, volumes: int) -> None:
    """Make the CRD, namespaces with Pod Security ``restricted``, nodes for kwok, and volumes that claims are bound to.

    There are nodes for as many pods as volumes, since each may get one.

    The volumes are made beforehand, as an administrator of local disks does; the real scheduler and volume controller
    bind each claim to one when its first pod is placed.
    """
    api.apply(
        "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", yaml.safe_load(_CRD.read_text(encoding="utf-8"))
    )
    for namespace in (NAMESPACE, OPERATOR_NAMESPACE):
        make_namespace(api, namespace)
    make_nodes(api, pods=volumes)
    storage_class = build_object(
        "storage.k8s.io/v1",
        "StorageClass",
        STORAGE_CLASS,
        annotations={"storageclass.kubernetes.io/is-default-class": "true"},
    )
    storage_class |= {"provisioner": "kubernetes.io/no-provisioner", "volumeBindingMode": "WaitForFirstConsumer"}
    api.apply("/apis/storage.k8s.io/v1/storageclasses", storage_class)
    for number in range(volumes):
        api.apply(f"{_CORE}/persistentvolumes", _volume(f"volume-{number}"))


def make_nodes(api: Api, *, pods: int) -> None:
    """Make nodes for kwok: ``NODES``, and more where there are many pods."""
    for number in range(max(NODES, pods // PODS_OF_A_NODE)):
        name = f"node-{number}"
        labels = {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux"}
        api.apply(f"{_CORE}/nodes", build_object("v1", "Node", name, labels=labels))


def make_namespace(api: Api, name: str) -> None:
    """A namespace under Pod Security ``restricted``."""
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    api.apply(f"{_CORE}/namespaces", build_object("v1", "Namespace", name, labels=labels))


def apply_services(api: Api, numbers: Iterable[int], *, extra: Object) -> None:
    """Apply the ModelServices of these numbers, each with a table of its own; ``extra`` is added to each spec."""
    for number in numbers:
        apply_service(api, service_name(number), extra=extra)


def apply_artifact_services(api: Api, numbers: Iterable[int]) -> None:
    """Apply the ModelServices of these numbers, each of which serves an artifact that is given."""
    for number in numbers:
        name = service_name(number)
        service = build_object("modelservice.dev/v1alpha1", "ModelService", name, namespace=NAMESPACE)
        source = {"uri": f"https://models.example/{name}.tar.gz", "digest": GIVEN_DIGEST}
        service["spec"] = {"model": {"artifact": source}}
        api.apply(services_path(), service)


def apply_table(api: Api, name: str, *, namespace: str = NAMESPACE, last_row: str = "") -> None:
    """Apply the table of a ModelService."""
    table = build_object("v1", "ConfigMap", name, namespace=namespace)
    # A row that names it: no two tables, and so no two keys, are alike.
    row = last_row or f"5.0,3.0,1.5,{zlib.crc32(name.encode())},setosa"
    table["data"] = {"iris.csv": f"{_TABLE.read_text()}{row}\n"}
    api.apply(collection("configmaps", namespace), table)


def apply_service(api: Api, name: str, *, namespace: str = NAMESPACE, extra: Object | None = None) -> None:
    """Apply a ModelService and a table of its own; ``extra`` is added to its spec."""
    apply_table(api, name, namespace=namespace)
    service = build_object("modelservice.dev/v1alpha1", "ModelService", name, namespace=namespace)
    service["spec"] = {
        "data": {"configMap": {"name": name}, "target": "species"},
        "model": {"mlp": {}},
        **(extra or {}),
    }
    api.apply(services_path(namespace), service)


def change_service(api: Api, number: int, spec: Object) -> None:
    """Change fields of a ModelService's spec."""
    api.merge(f"{services_path()}/{service_name(number)}", {"spec": spec})


def ready_services(api: Api) -> int:
    """How many ModelServices are Ready."""
    return sum(map(is_ready, api.get(services_path())["items"]))


def service_name(number: int) -> str:
    """Name of a ModelService, and of the ConfigMap with its table."""
    return f"model-{number:04}"


def services_path(namespace: str = NAMESPACE) -> str:
    """URL path of a namespace's ModelServices."""
    return f"/apis/modelservice.dev/v1alpha1/namespaces/{namespace}/modelservices"


def collection(plural: str, namespace: str = NAMESPACE, *, group: str = "") -> str:
    """URL path of a namespace's objects of a kind; ``group`` is the group and version, such as ``apps/v1``."""
    return f"{f'/apis/{group}' if group else _CORE}/namespaces/{namespace}/{plural}"


def condition(service: Object, kind: str) -> Object:
    """A condition of a ModelService, or an empty one."""
    conditions: list[Object] = service.get("status", {}).get("conditions", [])
    return next((one for one in conditions if one["type"] == kind), {})


def is_ready(service: Object) -> bool:
    """Whether the newest spec is served."""
    ready = condition(service, "Ready")
    return (ready.get("status"), ready.get("observedGeneration")) == ("True", service["metadata"]["generation"])


def _volume(name: str) -> Object:
    volume = build_object("v1", "PersistentVolume", name)
    volume["spec"] = {
        "capacity": {"storage": "1Gi"},
        "accessModes": ["ReadWriteOnce"],
        "persistentVolumeReclaimPolicy": "Retain",
        "storageClassName": STORAGE_CLASS,
        "hostPath": {"path": f"/var/lib/{name}"},
    }
    return volume


def build_object(api_version: str, kind: str, name: str, **metadata: Any) -> Object:
    """An object with nothing but its metadata."""
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": name, **metadata}}
