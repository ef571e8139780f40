"""The reconciler's stories. A canary among hands that change what it is made of, and ends of the operator."""

import copy
from typing import Any

import pytest
from tests.support.canaries import (
    BAD,
    CANARY,
    SERVING,
    after,
    begun,
    canary_of,
    changed_by_hand,
    crashes,
    key_of,
    later,
    message,
    pods_of,
    stays,
)
from tests.support.world import NAMESPACE, World, ends

from modelservice_operator.kinds import (
    CHILD_KINDS,
    CONFIG_MAP,
    DEPLOYMENT,
    JOB,
    MODEL_SERVICE,
    POD,
)
from modelservice_operator.objects import Ref


def test_what_somebody_changes_by_hand_is_put_back_and_is_no_new_revision() -> None:
    world = World()
    world.serve(serving=SERVING)
    world.service(training={"epochs": 3}, serving={**SERVING, "rollout": None})
    second = world.run_stages()
    world.roll_out()
    world.service(training={"epochs": 3}, serving=SERVING)
    world.settle()
    wanted = copy.deepcopy(world.deployment()["spec"])
    old = next(one for one in world.records() if one["revision"] == 1)["data"]
    for change in ({"image": "mine"}, {"args": old["serving"]["template"]["spec"]["containers"][0]["args"]}):
        changed = world.deployment()
        changed["spec"]["template"]["spec"]["containers"][0] |= change
        world.kube.store(changed)
        world.settle()
        assert (canary_of(world), world.deployment()["spec"]) == (None, wanted)
    assert key_of(world.deployment()) == second


def test_in_mid_canary_what_serves_is_put_back_as_it_was() -> None:
    world, old, new = begun()
    stable = copy.deepcopy(world.deployment()["spec"])
    changed = world.deployment()
    changed["spec"]["template"]["spec"]["containers"][0]["image"] = "mine"
    world.kube.store(changed)
    world.settle()
    assert (world.deployment()["spec"], key_of(canary_of(world))) == (stable, new)
    for name in ("churn", CANARY):
        world.remove(Ref(DEPLOYMENT, NAMESPACE, name))
        world.collect_garbage()
        world.settle()
        assert (key_of(world.deployment()), key_of(canary_of(world))) == (old, new)
    assert world.deployment()["spec"] == stable


@pytest.mark.parametrize("number", [1, 2])
@pytest.mark.parametrize("lost", [False, True])
def test_in_mid_canary_of_other_settings_what_serves_is_put_back_without_them(number: int, *, lost: bool) -> None:
    world, training = _served(number)
    stable = copy.deepcopy(world.deployment()["spec"])
    world.service(**training, serving=BAD)
    world.settle()
    assert message(world).startswith("Canary 1/2")
    if lost:
        world.remove(Ref(DEPLOYMENT, NAMESPACE, "churn"))
        world.collect_garbage()
    else:
        changed_by_hand(world)
    world.settle()
    assert (world.deployment()["spec"], key_of(canary_of(world))) == (stable, key_of(world.deployment()))


def test_what_serves_is_put_back_without_settings_whose_canary_ended() -> None:
    world = World()
    old = world.serve(serving=SERVING)
    stable = copy.deepcopy(world.deployment()["spec"])
    world.service(serving=BAD)
    world.settle()
    world.service(training={"epochs": 3}, serving=BAD)
    new = world.run_stages()
    assert (key_of(world.deployment()), key_of(canary_of(world))) == (old, new)
    changed_by_hand(world)
    world.settle()
    assert world.deployment()["spec"] == stable


@pytest.mark.parametrize("number", [1, 2])
def test_settings_whose_steps_are_over_come_back_in_their_rollout(number: int) -> None:
    world, training = _served(number)
    world.service(**training, serving=BAD)
    world.settle()
    after(world, 60)
    after(world, 120)
    assert _image_with_settings(world) == "server:1"
    changed_by_hand(world)
    world.reconcile()
    assert _image_with_settings(world) == "server:1"
    world.remove(Ref(DEPLOYMENT, NAMESPACE, "churn"))
    world.collect_garbage()
    world.reconcile()
    assert _image_with_settings(world) == "server:1"


def _image_with_settings(world: World) -> str | None:
    """The image of what serves; None where its pods have not the settings that a canary tried."""
    container = world.deployment()["spec"]["template"]["spec"]["containers"][0]
    image: str = container["image"]
    return image if {"name": "PORT", "value": "none"} in container["env"] else None


def _served(number: int) -> tuple[World, dict[str, Any]]:
    """A world in which revision 1, or revision 2 after a canary, serves; and what it was trained with."""
    if number == 1:
        world = World()
        world.serve(serving=SERVING)
        return world, {}
    world, _, new = begun()
    after(world, 60)
    after(world, 120)
    world.roll_out()
    world.settle()
    assert (key_of(world.deployment()), canary_of(world)) == (new, None)
    return world, {"training": {"epochs": 3}}


def test_it_stays_while_nobody_knows_what_is_asked_for_and_goes_on_where_it_was() -> None:
    world, old, new = begun()
    after(world, 60)
    data = world.kube.objects.pop(Ref(CONFIG_MAP, NAMESPACE, "churn"))
    later(world, 100)
    assert (world.ready(), pods_of(world)) == (("False", "ConfigMapNotFound"), 4)
    after(world, 1000)
    assert (key_of(world.deployment()), pods_of(world)) == (old, 4)
    stays(world)
    world.kube.store(data)
    after(world, 120)
    assert key_of(world.deployment()) == new


def test_while_nobody_knows_a_pin_ends_it() -> None:
    world, old, _ = begun()
    world.kube.objects.pop(Ref(CONFIG_MAP, NAMESPACE, "churn"))
    later(world, 100)
    after(world, 1000)
    assert (key_of(world.deployment()), pods_of(world)) == (old, 1)
    world.service(training={"epochs": 3}, serving={**SERVING, "pinRevision": {"number": 1}})
    world.settle()
    assert (canary_of(world), key_of(world.deployment())) == (None, old)


def test_in_the_rollout_after_it_what_is_rolled_out_comes_back() -> None:
    world, old, new = begun()
    after(world, 60)
    after(world, 120)
    wanted = copy.deepcopy(world.deployment()["spec"])
    assert key_of(world.deployment()) == new != old
    world.roll_out(available=0, name=CANARY)
    changed = world.deployment()
    changed["spec"]["template"]["spec"]["containers"][0]["image"] = "mine"
    world.kube.store(changed)
    world.reconcile()
    assert world.deployment()["spec"] == wanted, "at once, and not what served before it"
    world.remove(Ref(DEPLOYMENT, NAMESPACE, "churn"))
    world.collect_garbage()
    world.reconcile()
    assert world.deployment()["spec"] == wanted
    crashes(world)
    assert key_of(world.deployment()) == new, "what is judged now is the rollout"


def test_nothing_that_a_tenant_writes_moves_a_canary() -> None:
    world, old, _ = begun()
    world.roll_out(name=CANARY)
    service = world.kube.objects[Ref(MODEL_SERVICE, *world.key)]
    service["status"] = {}
    world.kube.store(service)
    for name in ("churn", CANARY):
        changed = world.deployment(name)
        changed["metadata"]["annotations"] |= {"modelservice.dev/turn": "9", "modelservice.dev/inputs": "x"}
        world.kube.store(changed)
    world.settle()
    assert (pods_of(world), key_of(world.deployment())) == (1, old)
    assert message(world).startswith("Canary 1/2")


def test_a_name_that_is_taken_is_found_before_anything_is_trained() -> None:
    world = World()
    world.kube.store(
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": CANARY, "namespace": "default"}}
    )
    world.config_map()
    world.service(serving=SERVING)
    world.settle()
    assert (world.ready()[1], world.all(JOB)) == ("NameConflict", [])
    assert message(world) == "Deployment churn-canary exists and is not ours: delete it, or choose another name"


@pytest.mark.parametrize("bad", [False, True])
def test_the_operator_may_end_before_or_after_any_write_of_a_canary(*, bad: bool) -> None:
    undisturbed, pods, names = _story(bad=bad)
    assert pods == ([1, None] if bad else [1, 4, None])
    assert len(names) >= (6 if bad else 12)
    for number, written in ends(len(names)):
        there, seen, _ = _story(bad=bad, stopped_at=number, written=written)
        assert (there, seen) == (undisturbed, pods), (names[number], written)


def _story(
    *, bad: bool, stopped_at: int | None = None, written: bool = False
) -> tuple[dict[Ref, Any], list[int | None], list[str]]:
    """A canary of a revision whose pods are ready, or crash.

    The process ends at one of the writes, before or after the apiserver took it. Answers with what is there at the end,
    the numbers of pods that the canary had, and the writes on the way.
    """
    world = World()
    world.serve(serving=SERVING)
    world.service(training={"epochs": 3}, serving=SERVING)
    world.settle()
    new, before, seen = world.end_stage(), len(world.kube.writes), list[int | None]()
    world.kube.stop_at(None if stopped_at is None else before + stopped_at, written=written)
    for _ in range(20):
        world.reconcile_or_restart()
        if pods_of(world) not in seen[-1:] and (seen or canary_of(world)):
            seen.append(pods_of(world))
        if canary_of(world) and bad:
            crashes(world, settle=False)
        elif (canary := canary_of(world)) and canary.get("status", {}).get("replicas") != canary["spec"]["replicas"]:
            world.roll_out(name=CANARY)
        if key_of(world.deployment()) == new:
            world.roll_out()
        world.clock.seconds += 60
        if world.kube.stop is None and seen[-1:] == [None] and world.ready()[1] in {"Serving", "RolledBack"}:
            break
    assert world.kube.stop is None, "it was stopped"
    world.settle()
    assert world.ready() == (("False", "RolledBack") if bad else ("True", "Serving"))
    stays(world)
    said = {ref: obj["spec"] for ref, obj in world.kube.objects.items() if ref.kind in CHILD_KINDS and "spec" in obj}
    said = {ref: spec for ref, spec in said.items() if ref.kind != POD}
    return said, seen, [f"{verb} {kind} {name}" for verb, kind, name in world.kube.writes[before:]]
