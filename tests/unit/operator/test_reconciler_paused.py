"""The reconciler's stories. While rollouts are paused, what is deployed stays as it is, and what waits is said."""

import copy
from typing import Any

import pytest
from tests.support.canaries import BAD, CANARY, SERVING, begun, canary_of, changed_by_hand, crashes
from tests.support.world import NAMESPACE, World, success
from tests.unit.operator.test_reconciler_last_good import crashing, deployed_key, surge

from modelservice_operator.domain.verdict import RESTARTS
from modelservice_operator.kinds import DEPLOYMENT, SERVICE
from modelservice_operator.objects import Ref

PAUSED = {"paused": True}


def deployment(world: World) -> tuple[str, dict[str, Any]]:
    """Key and pod template."""
    found = copy.deepcopy(world.one(DEPLOYMENT))
    return found["metadata"]["labels"]["modelservice.dev/key"], found["spec"]["template"]


def test_a_new_revision_waits_and_the_old_one_serves() -> None:
    world = World()
    world.serve()
    before = deployment(world)
    world.service(training={"epochs": 3}, serving=PAUSED)
    second = world.run_stages()
    assert deployment(world) == before
    assert world.ready() == ("True", "Serving")
    assert world.condition("Ready")["message"] == (
        f"1 of 1 replicas serve revision 1; the model of key {second} waits until spec.serving.paused is false,"
        " revision 1 stays as it is"
    )
    writes = len(world.kube.writes)
    world.restart_operator(server_image="server:2")
    for _ in range(3):
        world.reconcile()
    assert world.writes_since(writes) == [("status", "ModelService", "churn")], "a newer server is said"
    world.service(training={"epochs": 3})
    world.settle()
    world.roll_out()
    world.settle()
    assert (deployment(world)[0], world.ready(), world.status()["revision"]) == (second, ("True", "Serving"), 2)


@pytest.mark.parametrize("more", [{"env": [{"name": "A", "value": "1"}]}, {"resources": {"limits": {"memory": "3Gi"}}}])
def test_other_settings_of_pods_wait_and_the_number_of_pods_does_not(more: dict[str, Any]) -> None:
    world = World()
    world.serve()
    before = deployment(world)
    world.service(serving={**PAUSED, **more, "replicas": 3})
    world.settle()
    assert deployment(world) == before
    assert world.one(DEPLOYMENT)["spec"]["replicas"] == 3
    assert "another spec.serving waits until spec.serving.paused is false" in world.condition("Ready")["message"]
    world.service(serving={**more, "replicas": 3})
    world.settle()
    assert deployment(world)[1] != before[1]


def test_the_service_leads_to_the_pods_that_stay_whatever_tls_waits() -> None:
    world = World()
    world.serve()
    before = copy.deepcopy(world.one(SERVICE)["spec"]["ports"])
    tls = {"tls": {"secretRef": {"name": "certificate"}}}
    world.service(serving={**PAUSED, **tls})
    world.settle()
    assert (world.one(SERVICE)["spec"]["ports"], world.ready()[0]) == (before, "True")
    assert world.status()["url"].startswith("http://")
    world.service(serving=tls)
    world.settle()
    world.roll_out()
    world.settle()
    assert [port["name"] for port in world.one(SERVICE)["spec"]["ports"]] == ["https"]


def test_a_pin_waits_too() -> None:
    world = World()
    first = world.serve()
    world.service(training={"epochs": 3})
    second = world.run_stages()
    world.roll_out()
    world.settle()
    world.service(training={"epochs": 3}, serving={**PAUSED, "pinRevision": {"number": 1}})
    world.settle()
    assert deployment(world)[0] == second
    assert world.condition("Promoted")["reason"] == "Paused"
    assert "revision 1 waits until spec.serving.paused is false" in world.condition("Ready")["message"]
    world.service(training={"epochs": 3}, serving={"pinRevision": {"digest": success(first).digest}})
    world.settle()
    assert deployment(world)[0] == first


def test_a_first_model_waits_and_nothing_serves() -> None:
    world = World()
    world.config_map()
    world.service(serving=PAUSED)
    key = world.run_stages()
    assert world.all(DEPLOYMENT) == []
    assert (world.ready(), world.status()["stage"]) == (("False", "Paused"), "Waiting")
    for kind in ("Progressing", "Stalled", "Served"):
        assert world.condition(kind)["status"] == "False"
    words = f"the model of key {key} waits until spec.serving.paused is false, nothing is rolled out"
    assert world.condition("Served")["message"] == words
    world.service()
    world.settle()
    assert deployment(world)[0] == key


def test_a_deployment_that_is_lost_comes_back_as_it_was() -> None:
    world = World()
    world.serve()
    before = deployment(world)
    world.service(training={"epochs": 3}, serving=PAUSED)
    world.run_stages()
    world.remove(Ref(DEPLOYMENT, NAMESPACE, "churn"))
    world.collect_garbage()
    world.settle()
    assert deployment(world) == before


def test_what_somebody_changes_by_hand_is_put_back() -> None:
    world = World()
    world.serve(serving=PAUSED | {"paused": False})
    world.service(serving=PAUSED)
    world.settle()
    before = deployment(world)
    changed = world.one(DEPLOYMENT)
    changed["spec"]["template"]["spec"]["containers"][0]["image"] = "mine"
    world.kube.store(changed)
    world.settle()
    assert deployment(world) == before


def test_a_deployment_that_is_lost_comes_back_without_the_settings_that_wait() -> None:
    world = World()
    world.serve()
    before = deployment(world)
    world.service(serving=PAUSED | {"env": [{"name": "PORT", "value": "none"}]})
    world.settle()
    world.remove(Ref(DEPLOYMENT, NAMESPACE, "churn"))
    world.collect_garbage()
    world.settle()
    assert deployment(world) == before


@pytest.mark.parametrize("training", [{}, {"training": {"epochs": 3}}])
def test_what_somebody_changes_by_hand_is_put_back_without_what_a_canary_tries(training: dict[str, Any]) -> None:
    world = World()
    world.serve(serving=SERVING)
    before = copy.deepcopy(world.deployment()["spec"])
    world.service(serving=BAD)
    world.settle()
    assert canary_of(world) is not None
    world.service(**training, serving=BAD | PAUSED)
    world.settle()
    changed_by_hand(world)
    world.settle()
    assert copy.deepcopy(world.deployment()["spec"]) == before


def test_a_canary_that_crashes_is_not_said_to_be_taken_back_before_it_is() -> None:
    world, _, _ = begun()
    world.roll_out(name=CANARY)
    world.service(training={"epochs": 3}, serving=SERVING | PAUSED)
    world.settle()
    crashes(world)
    said = world.condition("Ready")["message"]
    assert (canary_of(world) is None, world.condition("Stalled")["status"]) == (False, "False")
    assert ("PORT is no number" in said, "taken back" in said) == (True, False)
    world.service(training={"epochs": 3}, serving=SERVING)
    world.settle()
    assert (canary_of(world), world.ready()[1]) == (None, "RolledBack")


def test_a_rollout_that_crashes_is_not_said_to_be_taken_back_before_it_is() -> None:
    world = World()
    first = world.serve()
    world.service(training={"epochs": 3})
    second = world.run_stages()
    world.service(training={"epochs": 3}, serving=PAUSED)
    world.settle()
    surge(world, **crashing(RESTARTS))
    assert (deployed_key(world), world.ready()) == (second, ("False", "CrashLoopBackOff"))
    assert "taken back" not in world.condition("Ready")["message"]
    world.service(training={"epochs": 3})
    world.settle()
    assert (deployed_key(world), world.ready()[1]) == (first, "RolledBack")
    world.service(training={"epochs": 3}, serving=PAUSED)
    world.settle()
    assert world.ready()[1] == "RolledBack", "what was taken back before is said"
