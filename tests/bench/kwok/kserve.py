"""KServe's controller in the operator's place: the same control plane, its own kind of service.

It runs as its manifests say: Deployments, Services and autoscalers without Knative (its mode ``Standard``), the CRDs
and the configuration that its module ships. Two things are in its favour: its admission webhooks, which would take CPU
time of the same process, are not asked, and it is built with the controller-runtime that its go.mod requires, which
leaves it to the apiserver to slow clients down. (A replacement in that file, which counts for its own builds only,
names an older one that takes 20 requests a second, and with it 1,000 services 10 minutes.)
"""

import json
import subprocess
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from tests.bench.kwok.api import Api, ApiError
from tests.bench.kwok.controlplane import ControlPlane
from tests.bench.kwok.population import build_object, condition, service_name
from tests.bench.kwok.process import BenchError, free_port, running
from tests.bench.kwok.subject import OPERATOR, Controller
from tests.cluster.toolchain import binary, sources

Object = dict[str, Any]

NAMESPACE = "inference"
LABEL, CONTAINER = "serving.kserve.io/inferenceservice", "kserve-container"
"""By the label its pods are known, which have this container."""

_SYSTEM = "kserve"
_RUNTIME = "kserve-sklearnserver"
_GROUP = "/apis/serving.kserve.io"
_SERVICES = f"{_GROUP}/v1beta1/namespaces/{NAMESPACE}/inferenceservices"
_KINDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
_SHIPPED = ("serving.kserve.io_*.yaml", "clusterstoragecontainer/serving.kserve.io_*.yaml")
_START_SECONDS = 60.0


def prepare_kserve(api: Api) -> None:
    """Make its CRDs, its configuration, a serving runtime, and the namespace of the services."""
    config = sources("kserve", "github.com/kserve/kserve") / "config"
    shipped = config / "crd" / "full"
    kinds = [_read(path) for pattern in _SHIPPED for path in sorted(shipped.glob(pattern))]
    for kind in kinds:
        api.apply(_KINDS, kind)
    _wait_until_served(api, kinds)
    for name in (_SYSTEM, NAMESPACE):
        api.apply("/api/v1/namespaces", build_object("v1", "Namespace", name))
    api.apply(f"/api/v1/namespaces/{_SYSTEM}/configmaps", _settings(_read(config / "configmap/inferenceservice.yaml")))
    api.apply(f"{_GROUP}/v1alpha1/clusterservingruntimes", _read(config / f"runtimes/{_RUNTIME}.yaml"))
    api.apply(f"{_GROUP}/v1alpha1/clusterstoragecontainers", _read(config / "storagecontainers/default.yaml"))


@contextmanager
def kserve_on(plane: ControlPlane, folder: Path, *, name: str = "kserve") -> Iterator[Controller]:
    """A controller that is ready; ``name`` is that of its log."""
    metrics, webhook, health = free_port(), free_port(), free_port()
    _make_certificate(folder)
    argv = [
        binary("kserve"),
        f"--metrics-addr=127.0.0.1:{metrics}",
        f"--webhook-port={webhook}",
        f"--health-probe-addr=127.0.0.1:{health}",
    ]
    env = {"KUBECONFIG": str(plane.kubeconfigs[OPERATOR]), "POD_NAMESPACE": _SYSTEM, "TMPDIR": str(folder)}
    with running(name, argv, folder=folder, env=env) as process:
        controller = Controller(plane=plane, process=process, port=health)
        process.wait_until(controller.is_synced, what="KServe", seconds=_START_SECONDS)
        yield controller


def apply_inference_services(api: Api, numbers: Iterable[int]) -> None:
    """Apply the InferenceServices of these numbers, each of which serves a model that is given."""
    for number in numbers:
        name = service_name(number)
        service = build_object("serving.kserve.io/v1beta1", "InferenceService", name, namespace=NAMESPACE)
        model = {"modelFormat": {"name": "sklearn"}, "runtime": _RUNTIME, "storageUri": _uri(name, revision=1)}
        service["spec"] = {"predictor": {"model": model}}
        api.apply(_SERVICES, service)


def change_inference_service(api: Api, number: int) -> None:
    """Ask one to serve another model."""
    name = service_name(number)
    api.merge(f"{_SERVICES}/{name}", {"spec": {"predictor": {"model": {"storageUri": _uri(name, revision=2)}}}})


def ready_inference_services(api: Api) -> int:
    """How many InferenceServices are Ready."""
    return sum(condition(service, "Ready").get("status") == "True" for service in api.get(_SERVICES)["items"])


def _wait_until_served(api: Api, kinds: Iterable[Object]) -> None:
    """The controller ends where a kind that it watches is not there yet."""
    deadline = time.monotonic() + _START_SECONDS
    for kind in kinds:
        spec = kind["spec"]
        path = f"/apis/{spec['group']}/{spec['versions'][0]['name']}/{spec['names']['plural']}"
        while not _is_served(api, path):
            if time.monotonic() > deadline:
                raise BenchError(f"{path} is not served after {_START_SECONDS:.0f} s")
            time.sleep(0.1)


def _is_served(api: Api, path: str) -> bool:
    try:
        api.get(path)
    except ApiError:  # not there yet, or its storage is being made
        return False
    return True


def _uri(name: str, *, revision: int) -> str:
    return f"https://models.example/{name}/{revision}/model.joblib"


def _settings(shipped: Object) -> Object:
    """As shipped, but without Knative and, as our services, without an Ingress."""
    data: dict[str, str] = {key: value for key, value in shipped["data"].items() if key != "_example"}
    data["deploy"] = json.dumps({"defaultDeploymentMode": "Standard"})
    data["ingress"] = json.dumps({**json.loads(data["ingress"]), "disableIngressCreation": True})
    return {**shipped, "data": data}


def _read(path: Path) -> Object:
    obj: Object = yaml.safe_load(path.read_text(encoding="utf-8"))
    return obj


def _make_certificate(folder: Path) -> None:
    """Keys of the webhook server, without which the controller does not start; nobody asks it."""
    place = folder / "k8s-webhook-server" / "serving-certs"
    place.mkdir(parents=True, exist_ok=True)
    key, certificate = place / "tls.key", place / "tls.crt"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost"]
    subprocess.run([*command, "-keyout", key, "-out", certificate], check=True, capture_output=True)
