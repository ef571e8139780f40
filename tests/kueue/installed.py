"""Kueue as it is installed: its CRDs and webhooks from its own Go module, and its manager as a process of this machine.

Only Jobs are its matter here. Webhooks are at an address of the loopback, which spares a Service and a pod.
"""

import base64
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from tests.bench.kwok.api import Api
from tests.bench.kwok.population import build_object
from tests.bench.kwok.process import Process, free_port, running
from tests.bench.kwok.subject import Subject
from tests.cluster.toolchain import binary, sources

Object = dict[str, Any]

GROUP = "kueue.x-k8s.io/v1beta2"
USER = "kueue"
_SECONDS = 600.0
_OURS = {"kueue.x-k8s.io", "batch"}
"""API groups whose webhooks are registered; the others are of kinds that are not there."""

_WITH_ETC = ("unshare", "--mount", "sh", "-c", 'mount -t overlay -o "lowerdir=$0:/etc" overlay /etc && exec "$@"')
"""A command that sees a folder within /etc, from where Kueue reads a certificate of its metrics, asked for or not."""


def components() -> Path:
    """The folder of what is installed, in Kueue's own module."""
    return sources("kueue", "sigs.k8s.io/kueue") / "config" / "components"


@contextmanager
def kueue_on(subject: Subject, folder: Path) -> Iterator[Process]:
    """Install it beside the operator, and run its manager; given when it and its webhooks answer."""
    plane = subject.plane
    kinds = [yaml.safe_load(crd.read_text()) for crd in sorted((components() / "crd" / "bases").glob("*.yaml"))]
    for kind in kinds:
        plane.api.apply("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", kind)
    plurals = {kind["spec"]["names"]["plural"] for kind in kinds}

    def served() -> bool:
        found = plane.api.find(f"/apis/{GROUP}") or {"resources": ()}
        return plurals <= {one["name"] for one in found["resources"]}

    subject.process.wait_until(served, what="the apiserver serves Kueue's kinds", seconds=_SECONDS)
    plane.api.apply("/api/v1/namespaces", build_object("v1", "Namespace", "kueue-system"))
    port, health = free_port(), free_port()
    certificates = folder / "etc" / "kueue" / "metrics" / "certs"
    authority = _certificate(certificates)
    settings = folder / "kueue.yaml"
    settings.write_text(yaml.safe_dump(_settings(certificates, port, health)))
    argv = [binary("kueue"), f"--config={settings}", f"--kubeconfig={plane.kubeconfigs[USER]}"]
    with running("kueue", [*_WITH_ETC, folder / "etc", *argv], folder=folder) as process:
        process.wait_until(lambda: _listens(port), what="Kueue's webhooks", seconds=_SECONDS)
        _register(plane.api, port, authority)
        yield process


def queue(api: Api, name: str, *, namespace: str, cpus: int) -> None:
    """A queue whose Jobs may take so many CPUs of nodes in the pool ``small``, which pods have to tolerate."""
    flavor = build_object(GROUP, "ResourceFlavor", "small")
    flavor["spec"] = {
        "nodeLabels": {"pool": "small"},
        "tolerations": [{"key": "pool", "operator": "Exists", "effect": "NoSchedule"}],
    }
    api.apply(f"/apis/{GROUP}/resourceflavors", flavor)
    resources = [{"name": "cpu", "nominalQuota": str(cpus)}, {"name": "memory", "nominalQuota": "64Gi"}]
    of_all = build_object(GROUP, "ClusterQueue", name)
    of_all["spec"] = {
        "namespaceSelector": {},
        "preemption": {"withinClusterQueue": "LowerPriority"},
        "resourceGroups": [
            {"coveredResources": ["cpu", "memory"], "flavors": [{"name": "small", "resources": resources}]}
        ],
    }
    api.apply(f"/apis/{GROUP}/clusterqueues", of_all)
    local = build_object(GROUP, "LocalQueue", name, namespace=namespace)
    local["spec"] = {"clusterQueue": name}
    api.apply(f"/apis/{GROUP}/namespaces/{namespace}/localqueues", local)


def _settings(folder: Path, port: int, health: int) -> Object:
    return {
        "apiVersion": "config.kueue.x-k8s.io/v1beta2",
        "kind": "Configuration",
        "health": {"healthProbeBindAddress": f"127.0.0.1:{health}"},
        "metrics": {"bindAddress": "0"},
        "webhook": {"host": "127.0.0.1", "port": port, "certDir": str(folder)},
        "leaderElection": {"leaderElect": False},
        "internalCertManagement": {"enable": False},
        "integrations": {"frameworks": ["batch/job"]},
        "featureGates": {"VisibilityOnDemand": False},
    }


def _certificate(folder: Path) -> str:
    """A certificate for the loopback, which is its own authority; in base64."""
    folder.mkdir(parents=True)
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=kueue"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1"]
    command += ["-keyout", str(folder / "tls.key"), "-out", str(folder / "tls.crt")]
    subprocess.run(command, check=True, capture_output=True)
    return base64.b64encode((folder / "tls.crt").read_bytes()).decode()


def _register(api: Api, port: int, authority: str) -> None:
    for document in yaml.safe_load_all((components() / "webhook" / "manifests.yaml").read_text()):
        hooks = [hook for hook in document["webhooks"] if all(_OURS & {*rule["apiGroups"]} for rule in hook["rules"])]
        for hook in hooks:
            url = f"https://127.0.0.1:{port}{hook['clientConfig']['service']['path']}"
            hook["clientConfig"] = {"url": url, "caBundle": authority}
        kind = document["kind"]
        document["webhooks"] = hooks
        document["metadata"]["name"] = f"kueue-{kind.lower()}"
        api.apply(f"/apis/admissionregistration.k8s.io/v1/{kind.lower()}s", document)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0
