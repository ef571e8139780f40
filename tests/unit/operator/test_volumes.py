"""A pod waits for a volume that a node holds: the status names the claim, who uses it and where, and what helps."""

from typing import Any

import pytest
from tests.support.world import World

from modelservice_operator.kinds import DEPLOYMENT, PERSISTENT_VOLUME_CLAIM, POD, ref_of
from modelservice_operator.objects import Object

USED = 'Multi-Attach error for volume "pvc-1" Volume is already used by pod(s) {}'
ATTACHED = (
    'Multi-Attach error for volume "pvc-1" Volume is already exclusively attached to one node and can\'t be attached to'
    " another"
)
OWN_REMEDY = "spec.artifacts.volumeClaim.accessModes [ReadWriteMany], or spec.artifacts.uri"


def unschedulable(message: str) -> list[Object]:
    return [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}]


def next_pod(world: World, **status: Any) -> Object:
    """Another template is rolled out: its first pod waits, and the one of before answers."""
    for claim in world.all(PERSISTENT_VOLUME_CLAIM):
        world.kube.store({**claim, "spec": {**claim["spec"], "volumeName": "pvc-1"}})
    world.service(serving={"grpc": {}})
    world.reconcile()
    pod = world.serving_pod(ready=False, suffix="next", phase="Pending", **status)
    deployment = world.one(DEPLOYMENT)
    numbers = {"replicas": 2, "updatedReplicas": 1, "availableReplicas": 1}
    generation = deployment["metadata"]["generation"]
    world.kube.store({**deployment, "status": {"observedGeneration": generation, **numbers}})
    return pod


def said(world: World) -> str:
    world.settle()
    assert world.ready() == ("False", "VolumeBusy")
    assert world.condition("Stalled")["status"] == "False"
    return str(world.condition("Ready")["message"])


@pytest.mark.parametrize(
    "message",
    [
        "0/2 nodes are available: 1 Insufficient cpu, 1 node(s) didn't match PersistentVolume's node affinity.",
        "0/2 nodes are available: 1 Insufficient cpu, 1 node(s) had volume node affinity conflict.",
        "0/2 nodes are available: 1 Insufficient cpu, 1 node(s) didn't match pod affinity rules.",
    ],
    ids=["1.36", "before", "kept together"],
)
def test_a_pod_that_no_other_node_may_have_names_who_uses_its_claim(message: str) -> None:
    world = World()
    key = world.serve()
    (serving,) = (pod for pod in world.ours(POD) if "pod-template-hash" in pod["metadata"]["labels"])
    del world.kube.objects[ref_of(next_pod(world, conditions=unschedulable(message)))]["spec"]["nodeName"]
    words = said(world)
    assert words.startswith(message)
    name = serving["metadata"]["name"]
    assert f"PersistentVolumeClaim churn-{key} is used by Pod {name} on node node: wait for its end" in words
    assert OWN_REMEDY in words


def test_a_volume_that_nobody_uses_and_that_cannot_follow_is_not_busy() -> None:
    world = World()
    world.serve()
    message = "1 node(s) didn't match PersistentVolume's node affinity"
    pod = next_pod(world, conditions=unschedulable(message))
    del world.kube.objects[ref_of(pod)]["spec"]["nodeName"]
    for other in world.ours(POD):
        if other["metadata"]["name"] != pod["metadata"]["name"]:
            world.remove(ref_of(other))
    world.settle()
    assert world.ready() == ("False", "Unschedulable")
    assert "a volume cannot follow to another node" in world.condition("Ready")["message"]


@pytest.mark.parametrize("event", [USED, ATTACHED], ids=["used", "attached"])
def test_a_volume_that_is_attached_elsewhere_names_who_uses_its_claim(event: str) -> None:
    world = World()
    key = world.serve()
    (serving,) = (pod for pod in world.ours(POD) if "pod-template-hash" in pod["metadata"]["labels"])
    pod, name = next_pod(world), serving["metadata"]["name"]
    warning = {"type": "Warning", "reason": "FailedAttachVolume", "message": event.format(name)}
    world.kube.warnings[pod["metadata"]["uid"]] = [warning]
    world.clock.seconds += 60
    words = said(world)
    assert words.startswith(event.format(name))
    assert f"PersistentVolumeClaim churn-{key} is used by Pod {name} on node node: " in words
    assert OWN_REMEDY in words


def test_a_volume_that_no_pod_uses_any_more_is_let_go_of() -> None:
    world = World()
    key = world.serve()
    pod = next_pod(world)
    for other in world.ours(POD):
        if other["metadata"]["name"] != pod["metadata"]["name"]:
            world.remove(ref_of(other))
    warning = {"type": "Warning", "reason": "FailedAttachVolume", "message": ATTACHED}
    world.kube.warnings[pod["metadata"]["uid"]] = [warning]
    world.clock.seconds += 60
    assert f"no pod uses PersistentVolumeClaim churn-{key} any more, and its node lets go of it" in said(world)


DATA: dict[str, Any] = {
    "data": {"persistentVolumeClaim": {"claimName": "tables", "path": "t.csv"}, "version": "1", "target": "kind"}
}


def training_pod(world: World, status: Object) -> Object:
    world.service(**DATA)
    world.settle()
    world.bind_claims()
    return world.pod_of(world.job(), {"phase": "Pending", **status})


def test_the_claim_of_the_data_that_somebody_elses_pod_uses_names_its_field() -> None:
    world = World()
    pod = training_pod(world, {})
    warning = {"type": "Warning", "reason": "FailedAttachVolume", "message": USED.format("notebook-0, etl and more")}
    world.kube.warnings[pod["metadata"]["uid"]] = [warning]
    world.clock.seconds += 60
    words = said(world)
    assert "the claim of spec.data.persistentVolumeClaim.claimName is used by Pod notebook-0, Pod etl: " in words
    assert "name a ReadWriteMany claim in spec.data.persistentVolumeClaim.claimName" in words
    assert OWN_REMEDY not in words


def test_a_claim_of_ours_is_named_before_one_that_any_node_may_have() -> None:
    world = World()
    world.service(data={**DATA["data"], "persistentVolumeClaim": {"claimName": "archive", "path": "t.csv"}})
    world.settle()
    world.bind_claims()
    job = world.job()
    other = world.pod_of(job, {"phase": "Running"})
    waits = {"phase": "Pending", "conditions": unschedulable("1 node(s) didn't match pod affinity rules")}
    del world.kube.objects[ref_of(world.pod_of(job, waits, suffix="1"))]["spec"]["nodeName"]
    words = said(world)
    name = world.one(PERSISTENT_VOLUME_CLAIM)["metadata"]["name"]
    assert f"PersistentVolumeClaim {name} is used by Pod {other['metadata']['name']} on node node: " in words
    assert "archive" not in words


def test_a_claim_for_one_pod_that_another_one_uses_is_busy_whoever_that_is() -> None:
    world = World()
    message = (
        "0/2 nodes are available: 2 node(s) unavailable due to PersistentVolumeClaim with ReadWriteOncePod access mode"
        " already in-use by another pod."
    )
    training_pod(world, {"conditions": unschedulable(message)})
    words = said(world)
    assert words.startswith(message)
    assert "name a ReadWriteMany claim in spec.data.persistentVolumeClaim.claimName" in words


def test_a_pod_that_ended_uses_nothing() -> None:
    world = World()
    key = world.serve()
    job_pods = [pod for pod in world.ours(POD) if "pod-template-hash" not in pod["metadata"]["labels"]]
    assert [pod["status"]["phase"] for pod in job_pods] == ["Succeeded"]
    pod = next_pod(world, conditions=unschedulable("1 node(s) didn't match pod affinity rules"))
    del world.kube.objects[ref_of(pod)]["spec"]["nodeName"]
    assert job_pods[0]["metadata"]["name"] not in said(world)
    assert key in said(world)
