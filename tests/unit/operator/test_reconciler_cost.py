"""The reconciler's stories. What it costs the apiserver to bring one ModelService from nothing to Ready."""

from collections import Counter
from typing import Any

from tests.support.world import MOMENT_SECONDS, World

from modelservice_operator.kinds import DEPLOYMENT

CHILDREN = (
    "ConfigMap",
    "ControllerRevision",
    "Deployment",
    "Job",
    "NetworkPolicy",
    "PersistentVolumeClaim",
    "Service",
    "ServiceAccount",
)


def test_from_nothing_to_ready_each_child_is_written_once_and_the_status_once_for_each_thing_to_say() -> None:
    world = _trained()
    for status in ({}, {"replicas": 1, "updatedReplicas": 1}):  # its controller says so within moments
        _say_of_deployment(world, **status)
        world.reconcile()
        world.clock.seconds += MOMENT_SECONDS / 10
    world.settle()
    assert world.ready() == ("False", "Deploying")
    world.serving_pod()
    world.reconcile()  # the pod is ready, and its controllers have not counted it yet
    world.roll_out()
    world.settle()
    assert world.ready() == ("True", "Serving")
    counted = Counter(kind for _, kind, _ in world.kube.writes)
    assert counted == {**dict.fromkeys(CHILDREN, 1), "ModelService": 3}
    assert [reason for reason, _ in world.kube.recorded] == ["Training", "Deploying", "Serving"]
    read = [(verb, kind) for verb, kind, _ in world.kube.reads]
    assert read == [("get", "ConfigMap"), ("get_metadata", "Deployment")]


def test_what_only_tells_how_far_it_is_waits_for_a_moment_and_no_longer() -> None:
    world = _trained()
    assert world.ready() == ("False", "Training"), "the Deployment was made in this pass, and nobody works on it yet"
    for _ in range(4):
        _say_of_deployment(world)  # something changes again and again
        world.clock.seconds += MOMENT_SECONDS / 4
        world.reconcile()
    assert world.ready() == ("False", "Deploying")


def test_what_is_wrong_is_said_at_once() -> None:
    world = _trained()
    problem = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": "exceeded quota"}
    _say_of_deployment(world, conditions=[problem])
    world.reconcile()
    assert world.ready() == ("False", "FailedCreate")


def test_what_is_lost_is_said_at_once() -> None:
    world = _trained()
    world.roll_out()
    world.settle()
    assert world.ready() == ("True", "Serving")
    world.roll_out(available=0)
    world.reconcile()
    assert (world.ready(), world.condition("Available")["status"]) == (("False", "Deploying"), "False")


def test_another_spec_is_answered_at_once() -> None:
    world = World()
    world.serve()
    world.service(training={"epochs": 7})
    world.reconcile()
    assert (world.ready(), world.status()["observedGeneration"]) == (("False", "Training"), 2)


def _trained() -> World:
    """A ModelService whose training has just ended, and the pass that made its Deployment."""
    world = World()
    world.config_map()
    world.service()
    world.settle()
    world.bind_claims()
    world.end_stage()
    world.reconcile()
    return world


def _say_of_deployment(world: World, **status: Any) -> None:
    """Its controller has seen it."""
    deployment = world.one(DEPLOYMENT)
    seen = {"observedGeneration": deployment["metadata"]["generation"]}
    world.kube.store({**deployment, "status": {**seen, **status}})
