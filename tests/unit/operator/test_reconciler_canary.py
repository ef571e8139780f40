"""The reconciler's stories. A canary: a few new pods beside the old ones, more in steps, then the rollout."""

import copy

from tests.support.canaries import (
    CANARY,
    SERVING,
    after,
    begun,
    canary_of,
    key_of,
    later,
    message,
    pods_of,
    stays,
)
from tests.support.world import World

from modelservice_operator.kinds import (
    CONTROLLER_REVISION,
    JOB,
    SERVICE,
)


def test_a_canary_goes_through_its_steps_and_what_serves_is_not_touched_before() -> None:
    world, old, new = begun()
    stable = copy.deepcopy(world.deployment())
    assert (key_of(canary_of(world)), pods_of(world)) == (new, 1)
    assert world.ready() == ("False", "Canary")
    assert message(world).startswith("Canary 1/2: 20 % (1 of 5 pods, 10 % asked) of revision 2 since 2026-01-01T")
    assert message(world).endswith("(0 of 1 are ready)")
    for kind in ("Progressing", "Available"):
        assert world.condition(kind)["status"] == "True"
    assert (world.condition("Served")["reason"], world.status()["stage"]) == ("Canary", "Deploying")
    assert [one["phase"] for one in world.status()["revisions"]] == ["Canary", "Serving"]
    assert world.status()["revision"] == 1
    stays(world)

    after(world, 50)
    assert pods_of(world) == 1
    assert "(the next step at 2026-" in message(world)
    assert world.condition("Available")["message"] == "5 of 5 replicas answer requests"
    assert world.status()["revision"] == 1
    stays(world)
    later(world, 10)
    assert pods_of(world) == 4
    assert message(world).startswith("Canary 2/2: 50 % (4 of 8 pods) of revision 2 since ")
    later(world, 1000)
    assert pods_of(world) == 4, "the pods of this step are not there yet"
    after(world, 110)
    assert world.deployment()["spec"] == stable["spec"], "what serves was never touched"
    assert world.deployment()["metadata"]["annotations"] == stable["metadata"]["annotations"]
    assert "(the rollout at 2026-" in message(world)
    stays(world)

    later(world, 10)
    assert key_of(world.deployment()) == new
    assert key_of(canary_of(world)) == new, "it stays until the others are there"
    assert world.ready() == ("False", "Deploying")
    stays(world)
    world.roll_out()
    world.settle()
    assert canary_of(world) is None
    assert (world.ready(), world.status()["revision"]) == (("True", "Serving"), 2)
    assert [one["phase"] for one in world.status()["revisions"]] == ["Serving", "Retired"]
    assert [one["data"]["kind"] for one in world.ours(CONTROLLER_REVISION)] == ["StageRecord"] * 2
    assert old != new
    stays(world)


def test_the_service_leads_to_the_pods_of_both_and_their_selectors_differ() -> None:
    world, _, _ = begun()
    selector = world.one(SERVICE)["spec"]["selector"]
    stable, canary = world.deployment(), world.deployment(CANARY)
    for one in (stable, canary):
        assert selector.items() <= one["spec"]["template"]["metadata"]["labels"].items()
    own = canary["spec"]["selector"]["matchLabels"]
    assert own.items() <= canary["spec"]["template"]["metadata"]["labels"].items()
    assert not own.items() <= stable["spec"]["template"]["metadata"]["labels"].items()


def test_defaults_are_three_steps() -> None:
    world, _, _ = begun({"rollout": {"canary": {}}, "replicas": 9}, replicas=9)
    seen = []
    for _ in range(3):
        seen.append(message(world).partition(" (")[0])
        after(world, 300)
    assert seen == ["Canary 1/3: 10 %", "Canary 2/3: 25 %", "Canary 3/3: 50 %"]
    assert world.ready() == ("False", "Deploying")


def test_a_first_revision_and_one_without_pods_have_no_canary() -> None:
    world = World()
    first = world.serve(serving=SERVING)
    assert (key_of(world.deployment()), canary_of(world)) == (first, None)
    world.service(training={"epochs": 3}, serving={**SERVING, "replicas": 0})
    second = world.run_stages()
    assert (key_of(world.deployment()), canary_of(world)) == (second, None)


def test_what_never_served_is_replaced_at_once() -> None:
    world = World()
    world.config_map()
    world.service(serving=SERVING)
    world.run_stages()
    world.roll_out(available=0)
    world.service(training={"epochs": 3}, serving=SERVING)
    second = world.run_stages()
    assert (key_of(world.deployment()), canary_of(world)) == (second, None)


def test_other_settings_of_the_same_revision_are_tried_too() -> None:
    world = World()
    first = world.serve(serving=SERVING)
    template = copy.deepcopy(world.deployment()["spec"]["template"])
    world.service(serving={**SERVING, "env": [{"name": "A", "value": "1"}]})
    world.settle()
    assert (key_of(canary_of(world)), world.deployment()["spec"]["template"]) == (first, template)
    assert "of revision 1 with another spec.serving since" in message(world)
    after(world, 60)
    after(world, 120)
    assert world.deployment()["spec"]["template"]["spec"]["containers"][0]["env"][-1] == {"name": "A", "value": "1"}
    world.roll_out()
    world.settle()
    assert (canary_of(world), world.ready()) == (None, ("True", "Serving"))
    assert len(world.all(JOB)) == 1
    stays(world)


def test_another_number_of_pods_is_no_other_revision_and_the_share_follows() -> None:
    world = World()
    world.serve(serving=SERVING)
    world.service(serving={**SERVING, "replicas": 6})
    world.settle()
    assert (canary_of(world), world.deployment()["spec"]["replicas"]) == (None, 6)
    world.roll_out()
    world.service(training={"epochs": 3}, serving={**SERVING, "replicas": 6})
    world.run_stages()
    after(world, 60)
    assert pods_of(world) == 6
    world.service(training={"epochs": 3}, serving={**SERVING, "replicas": 2})
    world.settle()
    assert (pods_of(world), world.deployment()["spec"]["replicas"]) == (2, 2)
    assert message(world).startswith("Canary 2/2: 50 % (2 of 4 pods)")


def test_without_pods_a_canary_waits_and_is_not_rolled_out_unseen() -> None:
    world, old, new = begun()
    world.service(training={"epochs": 3}, serving={**SERVING, "replicas": 0})
    world.settle()
    for name in ("churn", CANARY):
        world.roll_out(name=name)
    later(world, 1000)
    assert (key_of(world.deployment()), key_of(canary_of(world)), pods_of(world)) == (old, new, 0)
    assert message(world).endswith("(it waits for spec.serving.replicas above 0)")
    world.service(training={"epochs": 3}, serving={**SERVING, "paused": True, "replicas": 0})
    world.settle()
    assert pods_of(world) == 0
    world.service(training={"epochs": 3}, serving=SERVING)
    world.settle()
    assert (pods_of(world), world.deployment()["spec"]["replicas"]) == (1, 4)


def test_a_pod_that_was_not_ready_for_a_moment_begins_the_hold_again() -> None:
    world, _, _ = begun()
    after(world, 50)
    world.roll_out(available=0, name=CANARY)
    later(world, 20)
    assert "(0 of 1 are ready); pod churn-canary-1-0 on node node is not ready since " in message(world)
    after(world, 50)
    assert pods_of(world) == 1
    later(world, 10)
    assert pods_of(world) == 4


def test_a_change_of_tls_has_no_canary_since_its_share_of_requests_would_be_nobodys() -> None:
    world = World()
    world.serve(serving=SERVING)
    world.service(serving={**SERVING, "tls": {"secretRef": {"name": "certificate"}}})
    world.settle()
    assert canary_of(world) is None
    assert [port["name"] for port in world.one(SERVICE)["spec"]["ports"]] == ["http", "https"]


def test_a_new_spec_in_mid_canary_begins_again_with_the_newest() -> None:
    world, old, second = begun()
    after(world, 60)
    assert pods_of(world) == 4
    world.service(training={"epochs": 4}, serving=SERVING)
    world.settle()
    assert canary_of(world) is None, "nobody wants it any more, and the next one is not trained yet"
    assert key_of(world.deployment()) == old
    third = world.run_stages()
    assert (key_of(canary_of(world)), pods_of(world)) == (third, 1)
    assert second != third
    assert message(world).startswith("Canary 1/2: 20 % (1 of 5 pods, 10 % asked) of revision 3")
    world.service(training={"epochs": 4}, serving={**SERVING, "env": [{"name": "A", "value": "1"}]})
    after(world, 30)
    assert (key_of(canary_of(world)), pods_of(world)) == (third, 1)
    after(world, 50)
    assert "Canary 1/2" in message(world), "the hold began with these settings"
    later(world, 10)
    assert "Canary 2/2" in message(world)
    world.service(serving=SERVING)
    world.settle()
    assert (canary_of(world), key_of(world.deployment())) == (None, old)
    assert world.ready() == ("True", "Serving")
    stays(world)


def test_a_pin_goes_directly() -> None:
    world, old, second = begun()
    world.service(training={"epochs": 3}, serving={**SERVING, "pinRevision": {"number": 2}})
    world.settle()
    assert key_of(world.deployment()) == second
    world.roll_out()
    world.settle()
    assert canary_of(world) is None
    world.service(training={"epochs": 3}, serving={**SERVING, "pinRevision": {"number": 1}})
    world.settle()
    assert (key_of(world.deployment()), canary_of(world)) == (old, None)
    world.roll_out()
    world.service(training={"epochs": 3}, serving=SERVING)
    world.settle()
    assert (key_of(canary_of(world)), key_of(world.deployment())) == (second, old), "unpinned it is tried in steps"


def test_a_pause_holds_the_step_whatever_the_spec_asks_for_meanwhile() -> None:
    world, old, second = begun()
    world.roll_out(name=CANARY)
    world.service(training={"epochs": 3}, serving={**SERVING, "paused": True})
    later(world, 1000)
    assert (key_of(canary_of(world)), pods_of(world), key_of(world.deployment())) == (second, 1, old)
    assert world.ready() == ("True", "Serving")
    assert "Canary 1/2: 20 % (1 of 5 pods, 10 % asked) of revision 2 since " in message(world)
    assert message(world).endswith("stays until spec.serving.paused is false")
    world.service(training={"epochs": 4}, serving={**SERVING, "paused": True})
    world.run_stages()
    assert (key_of(canary_of(world)), pods_of(world), key_of(world.deployment())) == (second, 1, old)
    changed = copy.deepcopy(canary_of(world))
    assert changed is not None
    changed["spec"]["template"]["spec"]["containers"][0]["image"] = "mine"
    world.kube.store(changed)
    world.settle()
    assert world.deployment(CANARY)["spec"]["template"]["spec"]["containers"][0]["image"] == "server:1"
    stays(world)
    world.service(training={"epochs": 3}, serving=SERVING)
    after(world, 60)
    assert pods_of(world) == 4, "it goes on where it was"


def test_an_autoscaler_keeps_the_number_of_what_serves_and_the_canary_follows() -> None:
    scaled = {"replicas": 4, "autoscaling": {"minReplicas": 2, "maxReplicas": 20}}
    world, _, second = begun(scaled, **scaled)
    assert pods_of(world) == 1
    deployment = world.deployment()
    deployment["spec"]["replicas"] = 18
    world.kube.store(deployment)
    world.settle()
    assert (pods_of(world), world.deployment()["spec"]["replicas"]) == (2, 18)
    after(world, 60)
    assert (pods_of(world), world.deployment()["spec"]["replicas"]) == (18, 18)
    after(world, 120)
    assert (key_of(world.deployment()), world.deployment()["spec"]["replicas"]) == (second, 18)


def test_what_a_paused_canary_serves_is_kept_whatever_is_asked_for_meanwhile() -> None:
    world = World()
    first = world.serve(serving=SERVING, revisionHistoryLimit=1)
    world.service(training={"epochs": 3}, serving={"replicas": 4}, revisionHistoryLimit=1)
    second = world.run_stages()
    world.service(serving=SERVING, revisionHistoryLimit=1)
    world.settle()
    world.roll_out()
    world.settle()
    assert (key_of(canary_of(world)), key_of(world.deployment())) == (first, second)
    world.service(training={"epochs": 5}, serving={**SERVING, "paused": True}, revisionHistoryLimit=1)
    world.run_stages()
    assert key_of(canary_of(world)) == first
    assert {one["data"]["key"] for one in world.records()} >= {first, second}


def test_a_canary_that_is_no_longer_asked_for_becomes_the_rollout() -> None:
    world, _, second = begun()
    world.service(training={"epochs": 3}, serving={"replicas": 4})
    world.settle()
    assert key_of(world.deployment()) == second
    world.roll_out()
    world.settle()
    assert (canary_of(world), world.ready()) == (None, ("True", "Serving"))
    stays(world)
