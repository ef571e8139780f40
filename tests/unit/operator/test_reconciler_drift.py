"""The reconciler's stories. What others add to a child is removed and said; whoever undoes our writes is named."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
from tests.support.world import NAMESPACE, World

from modelservice_operator.kinds import DEPLOYMENT, HORIZONTAL_POD_AUTOSCALER, MODEL_SERVICE, NETWORK_POLICY, SERVICE
from modelservice_operator.machinery.errors import Invalid
from modelservice_operator.objects import Kind, Object, Ref


def add(world: World, kind: Kind, *where: str | int, value: Any, manager: str = "kubectl-edit") -> None:
    """Somebody adds to a child, under a field manager of their own; to a list by its number of items."""
    obj = copy.deepcopy(world.one(kind))
    at: Any = obj["spec"]
    fields: Object = {}
    below = fields.setdefault("f:spec", {})
    for step in where[:-1]:
        at = at[step]
        below = below.setdefault(_managed(step, at), {})
    if isinstance(at, list):
        at.append(value)
    else:
        at[where[-1]] = value
    below[_managed(where[-1], value)] = {}
    obj["metadata"]["managedFields"] = [{"manager": manager, "fieldsV1": fields}]
    world.kube.store(obj)


def _managed(step: str | int, value: Any) -> str:
    return f"f:{step}" if isinstance(step, str) else f'k:{{"name":"{value["name"]}"}}'


ADDITIONS: list[tuple[Kind, tuple[Any, ...], Any]] = [
    (SERVICE, ("selector", "app"), "none"),
    (NETWORK_POLICY, ("podSelector", "matchLabels", "app"), "none"),
    (DEPLOYMENT, ("template", "spec", "containers", 0, "env", 0), {"name": "LD_PRELOAD", "value": "/x"}),
    (DEPLOYMENT, ("template", "spec", "containers", 0), {"name": "miner", "image": "x"}),
    (DEPLOYMENT, ("paused",), True),
    (DEPLOYMENT, ("minReadySeconds",), 3600),
    (SERVICE, ("publishNotReadyAddresses",), True),
    (HORIZONTAL_POD_AUTOSCALER, ("behavior",), {"scaleUp": {"selectPolicy": "Disabled"}}),
]


@pytest.mark.parametrize(("kind", "where", "value"), ADDITIONS)
def test_what_somebody_adds_to_what_decides_is_removed_and_said(kind: Kind, where: Any, value: Any) -> None:
    world = World()
    world.serve(serving={"autoscaling": {"maxReplicas": 3}})
    before = world.one(kind)["spec"]
    add(world, kind, *where, value=value)
    assert world.one(kind)["spec"] != before
    world.settle()
    assert world.one(kind)["spec"] == before
    (said,) = [message for reason, message in world.kube.recorded if reason == "Drifted"]
    assert f"{kind.kind} churn" in said
    assert "kubectl-edit" in said
    writes = len(world.kube.writes)
    world.settle()
    assert world.writes_since(writes) == []


def test_a_service_that_somebody_leads_elsewhere_answers_nobody_and_is_put_back() -> None:
    world = World()
    world.serve()
    service = copy.deepcopy(world.one(SERVICE))
    before = copy.deepcopy(service["spec"])
    service["spec"] |= {"type": "ExternalName", "externalName": "elsewhere.example"}
    fields: Object = {"f:spec": {"f:type": {}, "f:externalName": {}}}
    service["metadata"]["managedFields"] = [{"manager": "mallory", "fieldsV1": fields}]
    world.kube.store(service)
    world.kube.failures = {("strip", "Service"): Invalid("denied by policy")}
    world.reconcile()
    assert "spec.externalName (set by mallory)" in world.condition("Ready")["message"]
    assert world.condition("Available")["reason"] == "NotSelected"
    world.kube.failures = {}
    world.settle()
    assert world.one(SERVICE)["spec"] == before
    assert world.condition("Available")["status"] == "True"


def test_what_cannot_be_removed_is_a_problem() -> None:
    world = World()
    world.serve()
    add(world, SERVICE, "selector", "app", value="none", manager="mallory")
    world.kube.failures = {("strip", "Service"): Invalid("denied by policy")}
    world.reconcile()
    assert world.ready() == ("False", "Drifted")
    message = world.condition("Ready")["message"]
    assert "spec.selector.app (set by mallory)" in message
    assert "denied by policy" in message


def test_what_is_undone_again_and_again_is_written_a_few_times_a_minute_and_the_other_one_is_named() -> None:
    world = World()
    world.serve()
    world.clock.seconds += 60
    world.settle()
    writes = len(world.kube.writes)
    for number in range(60):
        deployment = copy.deepcopy(world.one(DEPLOYMENT))
        deployment["spec"]["progressDeadlineSeconds"] = number
        deployment["metadata"]["managedFields"] = [
            {"manager": "other-release", "fieldsV1": {"f:spec": {"f:progressDeadlineSeconds": {}}}}
        ]
        world.kube.store(deployment)
        world.reconcile()
        world.clock.seconds += 0.5
    applied = [kind for verb, kind, _ in world.writes_since(writes) if verb == "apply"]
    assert applied == ["Deployment"] * 5
    assert world.ready() == ("False", "FoughtOver")
    assert "other-release" in world.condition("Ready")["message"]
    again = world.reconcile()
    assert again is not None
    world.clock.seconds += 60
    world.settle()
    world.roll_out()
    world.settle()
    assert world.ready() == ("True", "Serving")


def test_a_status_that_somebody_undoes_is_written_a_few_times_a_minute() -> None:
    world = World()
    world.serve()
    world.clock.seconds += 60
    ref = Ref(MODEL_SERVICE, NAMESPACE, "churn")
    writes = len(world.kube.writes)
    for number in range(30):
        service = world.kube.objects[ref]
        world.kube.store({**service, "status": {**service["status"], "stage": f"Other{number}"}})
        world.reconcile()
        world.clock.seconds += 1
    assert [verb for verb, _, _ in world.writes_since(writes)] == ["status"] * 5


def test_an_autoscaler_that_is_not_ours_any_more_is_a_name_that_is_taken_and_no_fight() -> None:
    world = World()
    world.serve(serving={"autoscaling": {"maxReplicas": 3}})
    autoscaler = world.one(HORIZONTAL_POD_AUTOSCALER)
    autoscaler["metadata"] |= {"labels": {}, "ownerReferences": []}
    world.kube.store(autoscaler)
    writes = len(world.kube.writes)
    for _ in range(10):
        world.reconcile()
        assert world.ready() == ("False", "NameConflict")
    assert [kind for _, kind, _ in world.writes_since(writes) if kind == "Deployment"] == []


def test_what_a_user_changes_to_and_fro_is_no_fight() -> None:
    world = World()
    world.serve()
    for number in range(20):
        world.service(serving={"replicas": 1 + number % 2})
        world.reconcile()
        assert world.one(DEPLOYMENT)["spec"]["replicas"] == 1 + number % 2
        world.roll_out()
        world.reconcile()
        assert world.ready() == ("True", "Serving")
        world.clock.seconds += 1


def adds(*where: str | int, value: Any) -> Callable[[Object], None]:
    """A mutating webhook that sets this in each object that is written."""

    def mutate(obj: Object) -> None:
        at: Any = obj["spec"]
        for step in where[:-1]:
            at = at[step]
        if isinstance(at, list):
            at[:] = [one for one in at if one["name"] != value["name"]] + [value]
        else:
            at[where[-1]] = value

    return mutate


IMPOSED: list[tuple[Kind, tuple[Any, ...], Any, str]] = [
    (DEPLOYMENT, ("template", "metadata", "labels", "mesh/inject"), "yes", "labels.mesh/inject"),
    (DEPLOYMENT, ("template", "spec", "containers", 0), {"name": "proxy", "image": "x"}, "containers[proxy]"),
    (SERVICE, ("ports", 0), {"name": "debug", "port": 6060, "protocol": "TCP"}, "spec.ports[6060/TCP]"),
]


@pytest.mark.parametrize(("kind", "where", "value", "path"), IMPOSED)
def test_what_a_webhook_puts_back_is_said_and_left(kind: Kind, where: Any, value: Any, path: str) -> None:
    world = World()
    world.kube.webhooks[kind] = adds(*where, value=value)
    world.serve()
    for _ in range(10):
        world.clock.seconds += 1
        world.reconcile()
    assert world.ready() == ("True", "Serving")
    message = world.condition("Ready")["message"]
    assert f"{kind.kind} churn" in message
    assert path in message
    (said,) = [message for reason, message in world.kube.recorded if reason == "Drifted"]
    assert path in said
    assert "is left" in said
    writes = len(world.kube.writes)
    world.settle()
    assert world.writes_since(writes) == []
    del world.kube.webhooks[kind]
    last = "other" if isinstance(where[-1], str) else where[-1]
    other = "x" if isinstance(value, str) else {**value, "name": "other", "port": 7070}
    add(world, kind, *where[:-1], last, value=other)
    world.settle()
    assert "other" not in str(world.one(kind)["spec"]), "what somebody adds besides is removed as ever"


def test_what_a_webhook_no_longer_puts_in_is_no_longer_said() -> None:
    world = World()
    world.kube.webhooks[SERVICE] = adds("ports", 0, value={"name": "debug", "port": 6060, "protocol": "TCP"})
    world.serve()
    assert "6060" in world.condition("Ready")["message"]
    del world.kube.webhooks[SERVICE]
    service = world.one(SERVICE)
    world.kube.store({**service, "spec": {**service["spec"], "ports": service["spec"]["ports"][:-1]}})
    world.settle()
    assert world.condition("Ready")["message"] == "1 of 1 replicas serve revision 1"


def test_another_value_in_the_place_of_what_a_webhook_puts_in_is_removed() -> None:
    world = World()
    where = ("template", "metadata", "labels", "mesh/inject")
    world.kube.webhooks[DEPLOYMENT] = adds(*where, value="yes")
    world.serve()
    del world.kube.webhooks[DEPLOYMENT]
    add(world, DEPLOYMENT, *where, value="mine")
    world.settle()
    assert "mesh/inject" not in world.one(DEPLOYMENT)["spec"]["template"]["metadata"]["labels"]


@pytest.mark.parametrize(
    ("kind", "where", "value"), [(SERVICE, ("selector", "app"), "none"), (DEPLOYMENT, ("paused",), True)]
)
def test_what_keeps_pods_from_being_made_or_found_is_never_left(kind: Kind, where: Any, value: Any) -> None:
    world = World()
    world.serve()
    world.clock.seconds += 60
    world.kube.webhooks[kind] = adds(*where, value=value)
    add(world, kind, *where, value=value)
    for _ in range(10):
        world.clock.seconds += 1
        world.reconcile()
    assert world.ready() == ("False", "FoughtOver")
