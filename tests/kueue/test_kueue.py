"""Kueue itself decides when a training runs: etcd, apiserver, Job controller, scheduler and Kueue are real.

Nodes and pods are kwok's, and the operator is a process of this machine. One story, since each control plane takes a
while to start.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.bench.kwok.api import Api
from tests.bench.kwok.controlplane import control_plane
from tests.bench.kwok.population import (
    NAMESPACE,
    NODES,
    apply_service,
    build_object,
    collection,
    condition,
    is_ready,
    prepare,
    services_path,
)
from tests.bench.kwok.stages import END, asked_stages
from tests.bench.kwok.subject import Subject, operator_on
from tests.cluster import toolchain
from tests.kueue.installed import GROUP, kueue_on, queue

Object = dict[str, Any]

SECONDS = 600.0
"""For each step; the machine may be busy."""

TRAINING = {"queueName": "gpus", "workers": 2, "maxRestarts": 0, "resources": {"requests": {"cpu": "1"}}}
SPEC = {"model": {"mlp": {"ensemble": 1}}, "artifacts": {"uri": "s3://models"}, "training": TRAINING}


@dataclass(frozen=True)
class Cluster:
    """The control plane, and the operator on it."""

    subject: Subject
    folder: Path

    @property
    def api(self) -> Api:
        return self.subject.plane.api

    def wait(self, holds: Callable[[], bool], what: str) -> None:
        self.subject.process.wait_until(holds, what=what, seconds=SECONDS, every=0.2)

    def service(self) -> Object:
        return self.api.get(f"{services_path()}/churn")

    def ready(self, reason: str, *words: str) -> Callable[[], bool]:
        """Whether Ready says so."""

        def holds() -> bool:
            ready = condition(self.service(), "Ready")
            return ready.get("reason") == reason and all(word in ready["message"] for word in words)

        return holds

    def job(self) -> Object:
        """The one of the training."""
        jobs: list[Object] = self.api.get(collection("jobs", group="batch/v1"))["items"]
        (job,) = (one for one in jobs if one["metadata"]["name"].startswith("churn-"))
        return job

    def pods(self) -> list[Object]:
        """Those of the training that are not on their way out."""
        found = self.api.get(f"{collection('pods')}?labelSelector=modelservice.dev/stage%3Dtrain")["items"]
        return [pod for pod in found if not pod["metadata"].get("deletionTimestamp")]

    def running(self) -> bool:
        """Whether both pods of the training run."""
        return [pod["status"].get("phase") for pod in self.pods()] == ["Running", "Running"]


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    toolchain.ensure("kubernetes", "etcd", "kwok", "kueue")
    with control_plane(tmp_path, asked_stages()) as plane:
        prepare(plane.api, volumes=0)
        for number in range(NODES // 2):
            taint = [{"key": "pool", "effect": "NoSchedule"}]
            change = {"metadata": {"labels": {"pool": "small"}}, "spec": {"taints": taint}}
            plane.api.merge(f"/api/v1/nodes/node-{number}", change)
        with operator_on(plane, tmp_path, seconds=SECONDS) as subject:
            yield Cluster(subject, tmp_path)


def urgent(name: str) -> Object:
    """Somebody else's Job that goes before: it takes all that the queue has."""
    job = build_object("batch/v1", "Job", name, namespace=NAMESPACE)
    job["metadata"]["labels"] = {"kueue.x-k8s.io/queue-name": "gpus", "kueue.x-k8s.io/priority-class": "urgent"}
    container = {
        "name": "one",
        "image": "registry.example/one",
        "resources": {"requests": {"cpu": "2", "memory": "1Gi"}},
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    safe = {"runAsNonRoot": True, "runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"}}
    pod = {"restartPolicy": "Never", "containers": [container], "securityContext": safe}
    job["spec"] = {"template": {"spec": pod}}
    return job


def test_kueue_decides_when_a_training_runs(cluster: Cluster) -> None:
    api = cluster.api

    # Without Kueue nothing runs, and that is said.
    apply_service(api, "churn", extra=SPEC)
    cluster.wait(cluster.ready("KueueMissing", "the cluster has no Kueue"), "that Kueue is missed")
    made = cluster.job()
    assert made["spec"]["suspend"] is True
    assert cluster.pods() == []

    with kueue_on(cluster.subject, cluster.folder):
        # It takes over what was made before it came, and its words are passed on.
        cluster.wait(cluster.ready("Queued", "LocalQueue gpus doesn't exist"), "Kueue's words of no queue")
        queue(api, "gpus", namespace=NAMESPACE, cpus=1)
        cluster.wait(cluster.ready("Queued", "insufficient quota for cpu in flavor small"), "its words of the quota")
        assert cluster.pods() == []

        # With room for both workers they run, where Kueue found it.
        queue(api, "gpus", namespace=NAMESPACE, cpus=2)
        cluster.wait(cluster.running, "that both workers run")
        cluster.wait(cluster.ready("Training"), "that it is said")
        admitted = cluster.job()
        assert admitted["spec"]["suspend"] is False
        assert admitted["spec"]["template"]["spec"]["nodeSelector"] == {"pool": "small"}
        assert cluster.service()["status"]["stage"] == "Training"

        # What is more urgent takes the room; the Job waits again, and no try of its is used up.
        priority = build_object(GROUP, "WorkloadPriorityClass", "urgent")
        api.apply(f"/apis/{GROUP}/workloadpriorityclasses", {**priority, "value": 1000})
        api.create(collection("jobs", group="batch/v1"), urgent("urgent"))
        cluster.wait(cluster.ready("Queued", "Preempted to accommodate"), "that it was preempted")
        cluster.wait(lambda: cluster.pods() == [], "that its pods end")
        cluster.wait(
            lambda: "nodeSelector" not in cluster.job()["spec"]["template"]["spec"], "that Kueue takes it back"
        )
        preempted = cluster.job()
        assert preempted["spec"]["suspend"] is True
        assert (preempted["spec"]["backoffLimit"], preempted["status"].get("failed", 0)) == (0, 0)
        assert condition(cluster.service(), "Stalled")["status"] == "False"

        # It goes on when there is room again, as the same attempt, and comes to its end.
        api.delete(f"{collection('jobs', group='batch/v1')}/urgent?propagationPolicy=Background")
        cluster.wait(cluster.running, "that both workers run again")
        for pod in cluster.pods():
            api.merge(f"{collection('pods')}/{pod['metadata']['name']}", {"metadata": {"annotations": {END: "yes"}}})
        cluster.wait(lambda: is_ready(cluster.service()), "that the model serves")
        ended = cluster.job()
        assert ended["metadata"]["uid"] == made["metadata"]["uid"]

    # The operator wrote the Job once: neither what Kueue changed nor when it did was its own to mend.
    written = [one for one in cluster.subject.requests() if one.resource == "jobs" and one.is_write]
    assert [one.verb for one in written] == ["patch"]
