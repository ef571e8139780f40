"""The reconciler's stories. Claims: deleted by others, asked for otherwise, stripped of labels."""

import json
import re
from typing import Any

import pytest
from tests.support.world import NAMESPACE, World, success

from modelservice.contract.failure import About, Failure, Retry
from modelservice.contract.report import Report
from modelservice_operator.constants import STAGE_CONTAINER
from modelservice_operator.kinds import (
    CONTROLLER_REVISION,
    DEPLOYMENT,
    JOB,
    PERSISTENT_VOLUME_CLAIM,
    POD,
    POD_DISRUPTION_BUDGET,
)
from modelservice_operator.machinery.errors import Transient
from modelservice_operator.objects import Object, Ref

SMALL: dict[str, Any] = {"volumeClaim": {"size": "1Gi"}}
LARGE: dict[str, Any] = {"volumeClaim": {"size": "2Gi"}}


def claim(world: World, key: str) -> Object | None:
    return world.kube.objects.get(Ref(PERSISTENT_VOLUME_CLAIM, NAMESPACE, f"churn-{key}"))


def lose_serving_pods(world: World) -> None:
    """A node takes them along; the pods in their place get no node while their claim is being deleted."""
    for pod in world.ours(POD):
        if "pod-template-hash" in pod["metadata"]["labels"]:
            world.remove(Ref(POD, NAMESPACE, pod["metadata"]["name"]))
    message = 'persistentvolumeclaim "churn" is being deleted'
    unscheduled = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
    pod = world.serving_pod(ready=False, suffix="next", phase="Pending", conditions=[unscheduled])
    ref = Ref(POD, NAMESPACE, pod["metadata"]["name"])
    del world.kube.objects[ref]["spec"]["nodeName"]


def test_a_served_claim_that_is_deleted_is_said_at_once_and_what_it_held_is_made_again() -> None:
    """The finished pod of its Job holds a claim, too: it goes, so that the claim can."""
    world = World()
    key = world.serve()
    world.delete_claim(f"churn-{key}")
    world.settle()
    world.collect_garbage()
    world.protect_claims()
    assert world.ready() == ("False", "ClaimBeingDeleted")
    message = world.condition("Ready")["message"]
    assert f"PersistentVolumeClaim churn-{key} is being deleted since 2026-01-01T" in message
    assert f"Pod {world.one(POD)['metadata']['name']}" in message
    assert world.condition("Available")["status"] == "True", "it serves as long as its pod lives"
    assert world.condition("Progressing")["status"] == "False", "until then nothing moves"
    assert world.all(JOB) == []
    assert claim(world, key) is not None
    lose_serving_pods(world)
    world.protect_claims()
    world.settle()
    assert claim(world, key) is not None, "for the next training"
    assert world.order(world.job())["key"] == key
    assert world.all(DEPLOYMENT) == [], "whose pods would find nothing on that claim, and end again and again"
    world.run_stages()
    world.roll_out()
    world.settle()
    assert world.ready() == ("True", "Serving")


def test_another_held_revision_takes_over_from_one_whose_claim_is_deleted() -> None:
    world = World()
    first = world.serve()
    world.service(training={"epochs": 2})
    second = world.run_stages()
    world.roll_out()
    world.settle()
    world.delete_claim(f"churn-{second}")
    world.settle()
    world.collect_garbage()
    world.roll_out()
    world.protect_claims()
    assert claim(world, second) is None
    world.settle()
    assert world.status()["digest"].endswith(first.encode().hex())
    assert world.order(world.job())["key"] == second
    world.run_stages()
    world.roll_out()
    world.settle()
    assert world.ready() == ("True", "Serving")


def test_a_claim_whose_size_is_asked_for_otherwise_stays_where_its_record_is_lost() -> None:
    """That no record tells of it does not prove that it holds nothing."""
    world = World()
    key = world.serve(artifacts=SMALL)
    world.service(artifacts=LARGE)
    world.settle()
    uid = (claim(world, key) or {})["metadata"]["uid"]
    world.kube.objects = {ref: obj for ref, obj in world.kube.objects.items() if ref.kind not in (JOB, POD)}
    world.kube.objects.pop(Ref(CONTROLLER_REVISION, NAMESPACE, f"churn-{key}"))
    world.settle()
    assert (claim(world, key) or {})["metadata"]["uid"] == uid
    assert world.order(world.job())["key"] == key, "its Job looks at what the claim holds"
    world.end_stage()
    world.settle()
    world.roll_out()
    world.settle()
    assert world.ready() == ("True", "Serving")
    assert (claim(world, key) or {})["metadata"]["uid"] == uid


def test_a_claim_that_was_too_small_for_a_training_is_made_anew() -> None:
    """Its failed Job proves that it holds nothing; the pod of that Job must not keep it."""
    world = World()
    world.config_map()
    world.service(artifacts=SMALL)
    world.settle()
    world.bind_claims()
    world.end_stage(Failure(reason="DiskFull", message="no space left", about=About.STAGE))
    world.settle()
    uid = world.one(PERSISTENT_VOLUME_CLAIM)["metadata"]["uid"]
    world.service(artifacts=LARGE)
    world.settle()
    world.collect_garbage()
    world.protect_claims()
    world.settle()
    made = world.one(PERSISTENT_VOLUME_CLAIM)
    assert made["metadata"]["uid"] != uid
    assert made["spec"]["resources"]["requests"]["storage"] == "2Gi"
    world.run_stages()
    world.roll_out()
    world.settle()
    assert world.ready() == ("True", "Serving")


def test_a_claim_that_was_too_small_is_made_anew_while_its_job_is_still_tried_again() -> None:
    world = World()
    world.config_map()
    world.service(artifacts=SMALL)
    world.settle()
    world.bind_claims()
    uid = world.one(PERSISTENT_VOLUME_CLAIM)["metadata"]["uid"]
    full = Failure(reason="StorageFull", message="no space left", about=About.STAGE, retry=Retry.UNKNOWN)
    ended = {"exitCode": full.exit_code, "message": Report(result=full).to_message()}
    container = {"name": STAGE_CONTAINER, "state": {"terminated": ended}}
    world.pod_of(world.job(), {"phase": "Failed", "containerStatuses": [container]})
    world.settle()
    world.service(artifacts=LARGE)
    world.settle()
    world.finish_deletions()
    world.collect_garbage()
    world.protect_claims()
    world.settle()
    assert world.one(PERSISTENT_VOLUME_CLAIM)["metadata"]["uid"] != uid
    world.run_stages()
    world.roll_out()
    world.settle()
    assert world.ready() == ("True", "Serving")


def test_labels_taken_off_a_claim_a_record_or_a_job_delete_nothing() -> None:
    world = World()
    key = world.serve()
    refs = [ref for ref in world.kube.objects if ref.kind in (PERSISTENT_VOLUME_CLAIM, CONTROLLER_REVISION, JOB)]
    uids = {ref: world.kube.objects[ref]["metadata"]["uid"] for ref in refs}
    for ref in refs:
        for label in ("modelservice.dev/revision", "modelservice.dev/key", "modelservice.dev/stage"):
            world.kube.objects[ref]["metadata"]["labels"].pop(label, None)
        world.kube.store(world.kube.objects[ref])
    world.restart_operator()
    world.settle()
    assert {ref: world.kube.objects[ref]["metadata"]["uid"] for ref in refs} == uids
    assert world.ready() == ("True", "Serving")
    assert world.status()["digest"].endswith(key.encode().hex())


STRANGER = {"apiVersion": "v1", "kind": "ConfigMap", "name": "x", "uid": "x", "controller": True}


@pytest.mark.parametrize("restarted", [False, True])
@pytest.mark.parametrize("metadata", [{"labels": {}, "ownerReferences": []}, {"ownerReferences": [STRANGER]}])
def test_a_served_claim_that_is_not_ours_any_more_loses_nothing_and_is_adopted_as_the_message_says(
    metadata: Object, restarted: bool
) -> None:
    world = World()
    key = world.serve()
    lost = claim(world, key)
    assert lost is not None
    lost["metadata"] |= metadata
    world.kube.store(lost)
    before = [*world.records(), world.one(DEPLOYMENT)["spec"]]
    if restarted:
        world.restart_operator()
    world.settle()
    assert world.ready() == ("False", "NameConflict")
    assert f"PersistentVolumeClaim churn-{key}" in world.condition("Ready")["message"]
    assert world.condition("Available")["status"] == "True"
    lose_serving_pods(world)
    world.settle()
    assert [*world.records(), world.one(DEPLOYMENT)["spec"]] == before
    labels = dict(re.findall(r"(\S+)=(\S+)", world.condition("Ready")["message"]))
    lost["metadata"] |= {"labels": labels, "ownerReferences": []}
    world.kube.store(lost)
    world.settle()
    world.roll_out()
    world.settle()
    assert world.ready() == ("True", "Serving")
    assert [*world.records(), world.one(DEPLOYMENT)["spec"]] == before


FOLLOWS = {"runtimePolicy": "FollowOperator"}


def affinity(world: World) -> Object | None:
    """Which pods those of the Deployment share a node with; None where any node will do."""
    found: Object | None = world.one(DEPLOYMENT)["spec"]["template"]["spec"].get("affinity")
    return found


def disown(world: World, key: str) -> None:
    """Give the claim of a key to somebody else."""
    lost = claim(world, key)
    assert lost is not None
    lost["metadata"]["ownerReferences"] = [STRANGER]
    world.kube.store(lost)
    world.restart_operator()


@pytest.mark.parametrize("modes", [["ReadWriteOnce"], ["ReadWriteMany"]], ids="".join)
def test_pods_that_follow_the_operator_are_not_rolled_since_their_claim_is_somebody_elses(modes: list[str]) -> None:
    world = World(default_artifacts=json.dumps({"volumeClaim": {"accessModes": modes}}))
    key = world.serve(serving={"replicas": 2, **FOLLOWS})
    before = world.one(DEPLOYMENT)["spec"], world.ours(POD_DISRUPTION_BUDGET), world.condition("ArtifactsPortable")
    disown(world, key)
    world.settle()
    assert world.ready() == ("False", "NameConflict")
    found = world.one(DEPLOYMENT)["spec"], world.ours(POD_DISRUPTION_BUDGET), world.condition("ArtifactsPortable")
    assert found == before


@pytest.mark.parametrize("policy", [{}, FOLLOWS], ids=["Pinned", "FollowOperator"])
def test_pods_that_are_built_anew_stay_on_the_node_of_a_claim_that_is_somebody_elses(policy: Object) -> None:
    world = World()
    key = world.serve(serving=policy)
    before = affinity(world)
    assert before is not None
    disown(world, key)
    world.service(serving={**policy, "grpc": {}})
    world.settle()
    assert "--grpc-port=9000" in world.one(DEPLOYMENT)["spec"]["template"]["spec"]["containers"][0]["args"]
    assert affinity(world) == before


@pytest.mark.parametrize("modes", [["ReadWriteOnce"], ["ReadWriteMany"]], ids="".join)
def test_while_a_claim_cannot_be_read_pods_that_follow_the_operator_are_not_rolled(modes: list[str]) -> None:
    world = World(default_artifacts=json.dumps({"volumeClaim": {"accessModes": modes}}))
    key = world.serve(serving={"replicas": 2, **FOLLOWS})
    before = world.one(DEPLOYMENT)["spec"], world.ours(POD_DISRUPTION_BUDGET)
    disown(world, key)
    world.kube.failures = {("get", "PersistentVolumeClaim"): Transient("timeout")}
    world.settle()
    assert world.ready() == ("False", "ReadFailed")
    assert (world.one(DEPLOYMENT)["spec"], world.ours(POD_DISRUPTION_BUDGET)) == before


def test_while_a_claim_cannot_be_read_neither_another_revision_takes_over_nor_the_deployment_goes() -> None:
    world = World()
    world.serve()
    world.service(training={"epochs": 2})
    key = world.run_stages()
    world.roll_out()
    world.settle()
    hidden = claim(world, key)
    assert hidden is not None
    hidden["metadata"]["labels"] = {}
    world.kube.store(hidden)
    before = world.one(DEPLOYMENT)["spec"]
    world.restart_operator()
    world.kube.failures = {("get", "PersistentVolumeClaim"): Transient("timeout")}
    world.settle()
    assert world.ready() == ("False", "ReadFailed")
    lose_serving_pods(world)
    world.settle()
    assert world.one(DEPLOYMENT)["spec"] == before
    assert len(world.records()) == 2


def test_a_record_that_no_watch_shows_is_found_while_it_is_served() -> None:
    world = World()
    key = world.serve()
    (record,) = world.records()
    record["metadata"]["labels"] = {}
    world.kube.store(record)
    world.service(training={"epochs": 2})
    world.restart_operator()
    world.run_stages()
    world.roll_out()
    world.settle()
    assert claim(world, key) is not None
    assert sorted(one["revision"] for one in world.records()) == [1, 2]


def test_a_claim_of_a_record_that_no_watch_shows_is_not_deleted() -> None:
    world = World()
    key = world.serve()
    world.service(training={"epochs": 2})
    world.run_stages()
    world.roll_out()
    world.settle()
    record = world.kube.objects[Ref(CONTROLLER_REVISION, NAMESPACE, f"churn-{key}")]
    record["metadata"]["labels"] = {}
    world.kube.store(record)
    world.restart_operator()
    world.settle()
    assert claim(world, key) is not None
    assert sorted(one["revision"] for one in world.records()) == [1, 2]


def test_a_claim_that_is_deleted_before_a_pod_uses_it_is_made_again_and_its_job_goes_on() -> None:
    world = World()
    world.config_map()
    world.service()
    world.settle()
    job = world.job()
    key = world.order(job)["key"]
    world.remove(Ref(PERSISTENT_VOLUME_CLAIM, NAMESPACE, f"churn-{key}"))
    world.settle()
    assert claim(world, key) is not None
    assert world.job() == job
    world.run_stages()
    world.roll_out()
    world.settle()
    assert world.ready() == ("True", "Serving")


def test_a_claim_that_is_gone_after_a_success_is_not_taken_for_its_result() -> None:
    """A sidecar keeps the Job running, so that only the report tells that the stage ended."""
    world = World()
    world.config_map()
    world.service()
    world.settle()
    job = world.job()
    key = world.order(job)["key"]
    ended = {"exitCode": 0, "message": Report(result=success(key)).to_message()}
    container = {"name": STAGE_CONTAINER, "state": {"terminated": ended}}
    world.pod_of(job, {"phase": "Running", "containerStatuses": [container]})
    world.remove(Ref(PERSISTENT_VOLUME_CLAIM, NAMESPACE, f"churn-{key}"))
    for _ in range(5):
        world.reconcile()
    assert world.records() == []


def test_a_record_that_no_watch_shows_is_kept_though_its_claim_is_not_ours_any_more() -> None:
    world = World()
    key = world.serve()
    (record,) = world.records()
    lost = claim(world, key)
    assert lost is not None
    for obj in (record, lost):
        obj["metadata"]["labels"] = {}
    lost["metadata"]["ownerReferences"] = []
    world.kube.store(record)
    world.kube.store(lost)
    world.restart_operator()
    world.settle()
    assert len(world.records()) == 1
    assert world.ready() == ("False", "NameConflict")


def test_a_pod_that_holds_a_claim_is_named_even_if_its_job_is_not_ours_any_more() -> None:
    world = World()
    key = world.serve()
    job = world.one(JOB)
    job["metadata"] |= {"labels": {}, "ownerReferences": []}
    world.kube.store(job)
    (pod,) = [pod for pod in world.ours(POD) if pod["metadata"]["name"].startswith(job["metadata"]["name"])]
    world.delete_claim(f"churn-{key}")
    lose_serving_pods(world)
    world.settle()
    assert world.ready() == ("False", "ClaimBeingDeleted")
    assert f"held by Pod {pod['metadata']['name']}" in world.condition("Ready")["message"]


def test_a_claim_that_is_used_with_another_size_than_asked_for_is_said() -> None:
    world = World()
    world.serve(artifacts=SMALL)
    assert world.condition("Ready")["message"] == "1 of 1 replicas serve revision 1"
    (claim,) = world.all(PERSISTENT_VOLUME_CLAIM)
    world.service(artifacts={"volumeClaim": {"size": "2Gi", "accessModes": ["ReadWriteMany"]}})
    world.settle()
    assert world.ready() == ("True", "Serving")
    assert world.condition("Ready")["message"] == (
        f"1 of 1 replicas serve revision 1; PersistentVolumeClaim {claim['metadata']['name']} is used as it was made, "
        "with size 1Gi instead of 2Gi and accessModes ReadWriteOnce instead of ReadWriteMany: "
        "spec.artifacts.volumeClaim counts for the next key"
    )
    world.service(artifacts={"volumeClaim": {"size": "1024Mi"}})
    world.settle()
    assert world.condition("Ready")["message"] == "1 of 1 replicas serve revision 1"


def test_a_training_says_on_which_claim_it_goes_on() -> None:
    world = World()
    world.config_map()
    world.service(artifacts=SMALL)
    world.settle()
    world.bind_claims()
    world.service(artifacts=LARGE, suspend=True)
    world.settle()
    assert "with size 1Gi instead of 2Gi" in world.condition("Ready")["message"]
