"""The reconciler's stories. A rollout that fails is taken back: what served well serves again, and it is said."""

from contextlib import suppress
from typing import Any

import pytest
from tests.support.fake_kube import Stop
from tests.support.world import World, ends, success, without_image

from modelservice_operator.domain.verdict import RESTARTS
from modelservice_operator.kinds import CONTROLLER_REVISION, DEPLOYMENT, JOB, SERVICE
from modelservice_operator.objects import Ref

BAD = {"env": [{"name": "PORT", "value": "none"}]}
"""With these settings pods end at once."""

LATER, BEFORE = "2027-01-01T00:00:00Z", "2025-01-01T00:00:00Z"
EXCEEDED = {
    "type": "Progressing",
    "status": "False",
    "reason": "ProgressDeadlineExceeded",
    "lastTransitionTime": LATER,
}
UNDER_WAY = {"type": "Progressing", "status": "True", "reason": "ReplicaSetUpdated"}
COMPLETE = {"type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable"}


def crashing(restarts: int) -> dict[str, Any]:
    last = {"terminated": {"exitCode": 1, "message": "PORT is no number"}}
    waiting = {"waiting": {"reason": "CrashLoopBackOff"}}
    container = {"name": "server", "ready": False, "restartCount": restarts, "state": waiting, "lastState": last}
    return {"containerStatuses": [container]}


def surge(world: World, progressing: dict[str, Any] = UNDER_WAY, **pod: Any) -> None:
    """The Deployment controller made one pod of the newest template, beside the old one that is ready."""
    world.serving_pod(ready=False, suffix="surge", **pod)
    deployment = world.one(DEPLOYMENT)
    status = {"replicas": 2, "updatedReplicas": 1, "availableReplicas": 1, "conditions": [progressing]}
    generation = deployment["metadata"]["generation"]
    world.kube.store({**deployment, "status": {"observedGeneration": generation, **status}})
    world.settle()


def taken_back(world: World, *, serving: dict[str, Any] | None = None) -> tuple[str, str]:
    """Keys of revision 1, which serves again, and of revision 2, whose pods crash."""
    first = world.serve()
    world.service(training={"epochs": 3}, serving=serving or {})
    second = world.run_stages()
    assert deployed_key(world) == second
    surge(world, **crashing(RESTARTS))
    assert deployed_key(world) == first
    return first, second


def deployed_key(world: World) -> str:
    key: str = world.one(DEPLOYMENT)["metadata"]["labels"]["modelservice.dev/key"]
    return key


def stays(world: World) -> None:
    """Nothing is written any more, by this operator or the next one."""
    for _ in range(2):
        before = len(world.kube.writes)
        for _ in range(3):
            world.reconcile()
        assert world.writes_since(before) == []
        world.restart_operator()


def test_a_revision_that_crashes_is_taken_back_and_said() -> None:
    world = World()
    world.serve()
    template = world.one(DEPLOYMENT)["spec"]["template"]
    world.service(training={"epochs": 3}, serving=BAD)
    second = world.run_stages()
    surge(world, **crashing(RESTARTS - 1))
    assert deployed_key(world) == second, "it may still come"
    surge(world, **crashing(RESTARTS))
    assert world.one(DEPLOYMENT)["spec"]["template"] == template, "old pods are not restarted"
    words = (
        "the rollout of revision 2 failed and was taken back, revision 1 serves again (CrashLoopBackOff: PORT is no"
        " number; the container ended with exit code 1); it is tried again when spec.serving or the model changes, or"
        " once spec.serving.pinRevision names it"
    )
    assert (world.ready(), world.condition("Ready")["message"]) == (("False", "RolledBack"), words)
    assert (world.condition("Stalled")["status"], world.condition("Served")["reason"]) == ("True", "RolledBack")
    assert ("RolledBack", words) in world.kube.recorded
    world.roll_out()
    world.settle()
    assert [one["phase"] for one in world.status()["revisions"]] == ["Failed", "Serving"]
    assert (world.status()["revision"], world.condition("Available")["status"]) == (1, "True")
    assert world.condition("Ready")["message"] == words
    stays(world)


def test_a_revision_that_is_not_ready_in_time_is_taken_back() -> None:
    world = World()
    first = world.serve(serving={"progressDeadlineSeconds": 60})
    world.service(training={"epochs": 3}, serving={"progressDeadlineSeconds": 60})
    world.run_stages()
    assert world.one(DEPLOYMENT)["spec"]["progressDeadlineSeconds"] == 60
    surge(world, EXCEEDED)
    assert deployed_key(world) == first
    assert "not available after 60 s (spec.serving.progressDeadlineSeconds)" in world.condition("Ready")["message"]


def test_an_image_that_does_not_exist_is_named() -> None:
    world = World()
    first = world.serve()
    world.service(training={"epochs": 3})
    world.run_stages()
    surge(world, EXCEEDED, **without_image("server:9"))
    assert deployed_key(world) == first
    assert "ErrImagePull" in world.condition("Ready")["message"]


def test_it_is_tried_again_when_the_settings_change() -> None:
    world = World()
    _, second = taken_back(world, serving=BAD)
    world.roll_out()
    world.settle()
    world.service(training={"epochs": 3})
    world.settle()
    assert deployed_key(world) == second
    world.roll_out()
    world.settle()
    assert (world.ready(), world.status()["revision"]) == (("True", "Serving"), 2)
    assert [one["phase"] for one in world.status()["revisions"]] == ["Serving", "Retired"]
    assert len([obj for obj in world.ours(CONTROLLER_REVISION) if obj["data"].get("failed")]) == 0
    stays(world)


def test_another_model_is_tried_and_taken_back_for_itself() -> None:
    world = World()
    first, _ = taken_back(world, serving=BAD)
    template = world.one(DEPLOYMENT)["spec"]["template"]
    world.roll_out()
    world.service(training={"epochs": 4}, serving=BAD)
    world.settle()
    assert world.ready() == ("False", "Training")
    assert world.condition("Stalled")["status"] == "False"
    assert world.one(DEPLOYMENT)["spec"]["template"] == template, "settings that failed are not tried meanwhile"
    third = world.run_stages()
    assert deployed_key(world) == third
    surge(world, **crashing(RESTARTS))
    assert (deployed_key(world), world.ready()) == (first, ("False", "RolledBack"))
    assert "the rollout of revision 3 failed" in world.condition("Ready")["message"]


def test_a_person_who_pins_it_has_it_tried_again() -> None:
    world = World()
    _, second = taken_back(world)
    world.roll_out()
    world.service(training={"epochs": 3}, serving={"pinRevision": {"digest": success(second).digest}})
    world.settle()
    assert deployed_key(world) == second
    surge(world, **crashing(RESTARTS))
    assert deployed_key(world) == second, "a person knows better"
    assert world.ready() == ("False", "CrashLoopBackOff")


def test_settings_that_fail_leave_the_same_revision_as_it_was() -> None:
    world = World()
    first = world.serve()
    template = world.one(DEPLOYMENT)["spec"]["template"]
    world.service(serving=BAD)
    world.settle()
    assert world.one(DEPLOYMENT)["spec"]["template"] != template
    surge(world, **crashing(RESTARTS))
    assert (deployed_key(world), world.one(DEPLOYMENT)["spec"]["template"]) == (first, template)
    assert "revision 1 serves again as before spec.serving changed" in world.condition("Ready")["message"]
    world.roll_out()
    world.settle()
    stays(world)
    assert len(world.all(JOB)) == 1
    world.roll_out(available=0)
    world.settle()
    assert world.one(DEPLOYMENT)["spec"]["template"] == template, "pods that are not ready for a moment change nothing"


def test_settings_that_failed_are_not_kept_as_those_that_a_revision_served_with() -> None:
    """Of one whose record holds no template, since it was what a compression started from."""
    world = World()
    world.serve(compression={"steps": [{"quantize": {}}]})
    world.service()
    world.settle()
    surge(world, COMPLETE)
    world.roll_out()
    world.settle()
    key = deployed_key(world)
    world.service(serving=BAD)
    world.settle()
    surge(world, **crashing(RESTARTS))
    for spec in ({}, {"training": {"epochs": 5}}):
        world.service(**spec)
        world.run_stages()
        surge(world, COMPLETE)
        world.roll_out()
        world.settle()
    assert deployed_key(world) != key
    documents = [one["data"] for one in world.ours(CONTROLLER_REVISION) if one["data"]["kind"] == "ServingTemplate"]
    kept = [one["serving"]["template"] for one in documents if one["key"] == key]
    assert len(kept) == 1
    assert "PORT" not in str(kept)


def test_settings_that_work_are_gone_back_to_however_many_failed_since() -> None:
    world = World()
    works = {"env": [{"name": "PORT", "value": "8080"}]}
    world.serve(revisionHistoryLimit=1)
    world.service(revisionHistoryLimit=1, serving=works)
    world.settle()
    world.roll_out()
    world.settle()
    template = world.one(DEPLOYMENT)["spec"]["template"]
    for value in ("none", "neither", "nor this"):
        world.service(revisionHistoryLimit=1, serving={"env": [{"name": "PORT", "value": value}]})
        world.settle()
        assert world.one(DEPLOYMENT)["spec"]["template"] != template
        surge(world, **crashing(RESTARTS))
        assert world.one(DEPLOYMENT)["spec"]["template"] == template
        world.roll_out()
        world.settle()
    stays(world)


def test_the_service_leads_to_what_serves_again_where_tls_failed() -> None:
    world = World()
    world.serve()
    world.service(serving={"tls": {"secretRef": {"name": "missing"}}})
    world.settle()
    surge(world, EXCEEDED)
    assert world.condition("Available")["status"] == "True", "it never led elsewhere alone"
    world.roll_out()
    world.settle()
    assert world.ready() == ("False", "RolledBack")
    assert [port["name"] for port in world.one(SERVICE)["spec"]["ports"]] == ["http"]
    stays(world)


def test_a_first_revision_that_crashes_has_nothing_to_go_back_to() -> None:
    world = World()
    world.config_map()
    world.service(serving=BAD)
    key = world.run_stages()
    world.roll_out(available=0)
    surge(world, **crashing(RESTARTS))
    assert (deployed_key(world), world.ready()) == (key, ("False", "CrashLoopBackOff"))
    world.service(serving={"env": [{"name": "PORT", "value": "neither"}]})
    world.settle()
    surge(world, EXCEEDED, **crashing(RESTARTS))
    assert world.ready() == ("False", "CrashLoopBackOff"), "settings that never served are not gone back to"
    stays(world)


@pytest.mark.parametrize("progressing", [COMPLETE, UNDER_WAY])
def test_what_served_well_and_breaks_later_is_no_failed_rollout(progressing: dict[str, Any]) -> None:
    world = World()
    world.serve()
    world.service(training={"epochs": 3})
    second = world.run_stages()
    world.roll_out()
    world.settle()
    restarts = RESTARTS if progressing is COMPLETE else 0
    surge(world, progressing, **crashing(restarts))
    assert deployed_key(world) == second


def test_a_verdict_on_the_template_before_is_not_taken_for_one_on_this() -> None:
    world = World()
    world.serve()
    world.service(training={"epochs": 3})
    second = world.run_stages()
    deployment = world.one(DEPLOYMENT)
    generation = deployment["metadata"]["generation"]
    world.kube.store({**deployment, "status": {"observedGeneration": generation, "conditions": [EXCEEDED]}})
    world.settle()
    assert deployed_key(world) == second, "its controller has made no ReplicaSet for it yet"
    world.kube.store({**deployment, "status": {"observedGeneration": generation - 1, "conditions": [EXCEEDED]}})
    world.settle()
    assert deployed_key(world) == second
    surge(world, {**EXCEEDED, "lastTransitionTime": BEFORE})
    assert deployed_key(world) == second, "a ReplicaSet that is used again keeps the verdict for a moment"


def test_what_failed_is_forgotten_with_its_record_and_tried_again() -> None:
    world = World()
    _, second = taken_back(world)
    world.roll_out()
    (mark,) = [obj for obj in world.ours(CONTROLLER_REVISION) if obj["data"].get("failed")]
    world.remove(Ref(CONTROLLER_REVISION, "default", mark["metadata"]["name"]))
    world.settle()
    assert deployed_key(world) == second


@pytest.mark.parametrize(("number", "written"), ends(5))
def test_a_return_survives_the_end_of_the_operator(number: int, *, written: bool) -> None:
    world = World()
    first = world.serve()
    world.service(training={"epochs": 3})
    world.run_stages()
    world.kube.stop_at(len(world.kube.writes) + number, written=written)
    with suppress(Stop):
        surge(world, **crashing(RESTARTS))
    world.kube.stop_at(None, written=False)
    world.restart_operator()
    world.settle()
    assert (deployed_key(world), world.ready()) == (first, ("False", "RolledBack"))
    assert len([obj for obj in world.ours(CONTROLLER_REVISION) if obj["data"].get("failed")]) == 1
    stays(world)


def test_the_gpu_of_pods_that_crash_is_freed_for_those_that_served() -> None:
    world = World()
    gpu = {"resources": {"limits": {"nvidia.com/gpu": "1"}}}
    first = world.serve(serving={**gpu, "rollout": {"recreate": {}}})
    world.service(training={"epochs": 3}, serving=gpu)
    second = world.run_stages()
    world.roll_out(available=0)
    surge(world, **crashing(RESTARTS))
    assert deployed_key(world) == first, "no pod is ready, and the last other revision serves"
    assert second != first
    words = "1 Insufficient nvidia.com/gpu."
    lacking = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": words}
    surge(world, phase="Pending", conditions=[lacking])
    assert world.one(DEPLOYMENT)["spec"]["strategy"]["type"] == "Recreate"
    world.roll_out()
    world.settle()
    assert (world.status()["revision"], world.ready()) == (1, ("False", "RolledBack"))
    stays(world)
