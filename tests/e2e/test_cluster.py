"""The cluster proves itself with the smallest images there are: nodes, volumes, DNS, GPUs, Pod Security, recovery."""

import json
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.cluster import pki, processes
from tests.cluster.base_image import base_reference
from tests.cluster.kube import apply, get, kubectl
from tests.cluster.lifecycle import recorded_nodes
from tests.cluster.network import CONTROL_PLANE
from tests.cluster.paths import KUBECONFIG, ROOT
from tests.cluster.shell import ClusterError, run, wait_for
from tests.cluster.toolchain import binary
from tests.support.pods import build_container, build_pod

pytestmark = pytest.mark.cluster


@pytest.fixture
def namespace() -> Iterator[str]:
    name = f"cluster-{uuid.uuid4().hex[:8]}"
    kubectl("create", "namespace", name)
    yield name
    kubectl("delete", "namespace", name, "--wait=false")


def build_shell(name: str, script: str, **spec: Any) -> dict[str, Any]:
    """Build a pod that runs a shell script in the base image."""
    more = spec.pop("container", {})
    container = build_container("main", base_reference(), "/bin/sh", "-ec", script, **more)
    return build_pod(name, container, **{"restartPolicy": "Never", "terminationGracePeriodSeconds": 0, **spec})


def create(namespace: str, *objects: dict[str, Any]) -> None:
    apply([item | {"metadata": item["metadata"] | {"namespace": namespace}} for item in objects])


def eventually(namespace: str, pod: str, holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """Wait until a pod's status fulfils a condition, and return it."""
    seen: dict[str, Any] = {}

    def check() -> bool:
        seen.clear()
        seen.update(get("pod", pod, "-n", namespace).get("status", {}))
        return holds(seen)

    try:
        wait_for(check, what=f"pod {pod}", timeout=40, poll=0.2)
    except ClusterError as error:
        raise AssertionError(f"{error}: {json.dumps(seen)}") from error
    return seen


def succeeded(status: dict[str, Any]) -> bool:
    return bool(status.get("phase") == "Succeeded")


def test_nodes_are_ready_with_metrics_and_two_gpus() -> None:
    for node in recorded_nodes():
        conditions = get("node", node.name)["status"]["conditions"]
        assert {"type": "Ready", "status": "True"}.items() <= next(
            c for c in conditions if c["type"] == "Ready"
        ).items()
    assert get("node", CONTROL_PLANE.name)["status"]["allocatable"]["nvidia.com/gpu"] == "2"
    assert get("apiservice", "v1beta1.metrics.k8s.io")["status"]["conditions"][0]["status"] == "True"


def test_restricted_pod_writes_to_a_dynamically_bound_claim(namespace: str) -> None:
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "data"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}},
    }
    pod = build_shell(
        "writer",
        "echo kept > /data/file && cat /data/file && id -u",
        container={"volumeMounts": [{"name": "data", "mountPath": "/data"}]},
        volumes=[{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}],
    )
    create(namespace, claim, pod)
    eventually(namespace, "writer", succeeded)
    assert kubectl("logs", "writer", "-n", namespace).split() == ["kept", "65532"]
    assert get("pvc", "data", "-n", namespace)["status"]["phase"] == "Bound"


def test_pod_reaches_a_service_by_its_dns_name(namespace: str) -> None:
    labels = {"app": "web"}
    server = build_shell(
        "web",
        "cd /tmp && echo served > index.html && exec python3 -m http.server 8080",
        container={"readinessProbe": {"httpGet": {"path": "/", "port": 8080}, "periodSeconds": 1}},
    )
    server["metadata"]["labels"] = labels
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "web"},
        "spec": {"selector": labels, "ports": [{"port": 80, "targetPort": 8080}]},
    }
    url = f"http://web.{namespace}.svc.cluster.local/"
    fetch = f"import urllib.request as r; print(r.urlopen('{url}', timeout=5).read().decode())"
    script = f'for i in $(seq 60); do python3 -c "{fetch}" 2> /dev/null && exit 0; sleep 0.5; done; exit 1'
    # On the last node: with two nodes the request crosses the bridge.
    client = build_shell("client", script, nodeName=recorded_nodes()[-1].name)
    server["spec"]["nodeName"] = CONTROL_PLANE.name
    create(namespace, server, service, client)
    eventually(namespace, "client", succeeded)
    assert kubectl("logs", "client", "-n", namespace).strip() == "served"


def test_third_gpu_pod_waits(namespace: str) -> None:
    limits = {"resources": {"limits": {"nvidia.com/gpu": "1"}}}
    create(namespace, *(build_shell(f"gpu-{index}", "exec sleep 60", container=limits) for index in range(2)))
    for index in range(2):
        eventually(namespace, f"gpu-{index}", lambda status: status.get("phase") == "Running")
    create(namespace, build_shell("gpu-2", "exec sleep 60", container=limits))
    status = eventually(namespace, "gpu-2", lambda status: bool(status.get("conditions")))
    assert status["phase"] == "Pending"
    assert "Insufficient nvidia.com/gpu" in status["conditions"][0]["message"]


def test_privileged_pod_is_refused(namespace: str) -> None:
    pod = build_shell("privileged", "true", container={"securityContext": {"privileged": True}})
    with pytest.raises(ClusterError, match="violates PodSecurity"):
        create(namespace, pod)


def test_user_has_only_what_is_bound(namespace: str) -> None:
    kubectl("create", "rolebinding", "alice", "--clusterrole=edit", "--user=alice", "-n", namespace)
    kubeconfig = pki.user_kubeconfig("alice")
    assert kubeconfig.stat().st_mode & 0o077 == 0
    asked = [binary("kubectl"), f"--kubeconfig={kubeconfig}", "auth", "can-i", "create", "deployments", "-n"]
    assert run(*asked, namespace).stdout.strip() == "yes"
    assert run(*asked, "default", check=False).stdout.strip() == "no"


@pytest.mark.parametrize("component", ["kube-scheduler", f"kubelet-{CONTROL_PLANE.name}", "metrics-server"])
def test_killed_component_comes_back(component: str) -> None:
    before = processes.recorded_pid(component)
    assert before is not None
    os.kill(before, signal.SIGKILL)
    wait_for(lambda: processes.recorded_pid(component) is None, what=f"the end of {component}", timeout=5)
    done = subprocess.run(
        [sys.executable, "-m", "tests.cluster", "up"], cwd=ROOT, text=True, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert f"started {component}" in done.stderr
    assert processes.recorded_pid(component) not in {None, before}


def test_second_up_starts_nothing() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.cluster", "up"], cwd=ROOT, text=True, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "ran" in done.stderr
    assert "started" not in done.stderr


def test_administrators_kubeconfig_is_private() -> None:
    assert KUBECONFIG.stat().st_mode & 0o077 == 0


def test_record_of_another_process_is_not_taken_for_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "PIDS", tmp_path)
    own = {"pid": os.getpid(), "started": processes.start_time(os.getpid()), "boot": processes.boot_id()}
    for change, expected in (({}, os.getpid()), ({"started": "1"}, None), ({"boot": "another"}, None)):
        (tmp_path / "etcd.json").write_text(json.dumps(own | change))
        assert processes.recorded_pid("etcd") == expected
    processes.stop("etcd")  # ends nothing: we are still here
    assert processes.recorded_names() == []
