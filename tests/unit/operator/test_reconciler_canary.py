"""The reconciler's stories. A canary: a few new pods beside the old ones, more in steps, then the rollout."""

import copy
from typing import Any

import pytest
from tests.support.fake_kube import Stop
from tests.support.world import NAMESPACE, World, without_image

from modelservice_operator.answers import Answers
from modelservice_operator.constants import LABEL_STAGE as STAGE
from modelservice_operator.domain.verdict import RESTARTS
from modelservice_operator.kinds import (
    CHILD_KINDS,
    CONTROLLER_REVISION,
    DEPLOYMENT,
    JOB,
    MODEL_SERVICE,
    NETWORK_POLICY,
    POD,
    SERVICE,
)
from modelservice_operator.objects import Ref

STEPS = {"canary": {"steps": [{"weight": 10, "holdSeconds": 60}, {"weight": 50, "holdSeconds": 120}]}}
SERVING = {"replicas": 4, "rollout": STEPS}
CANARY = "churn-canary"
BAD = {**SERVING, "env": [{"name": "PORT", "value": "none"}]}


def begun(serving: dict[str, Any] | None = None, **first: Any) -> tuple[World, str, str]:
    """Revision 1 serves with all pods, and revision 2 is to; answers with their keys."""
    world = World()
    old = world.serve(serving={**SERVING, **first})
    world.service(training={"epochs": 3}, serving={**SERVING, **(serving or {})})
    return world, old, world.run_stages()


def canary_of(world: World) -> dict[str, Any] | None:
    return world.kube.objects.get(Ref(DEPLOYMENT, NAMESPACE, CANARY))


def key_of(deployment: dict[str, Any] | None) -> str | None:
    return deployment["metadata"]["labels"]["modelservice.dev/key"] if deployment else None


def pods_of(world: World) -> int | None:
    canary = canary_of(world)
    return canary["spec"]["replicas"] if canary else None


def message(world: World) -> str:
    text: str = world.condition("Ready")["message"]
    return text


def after(world: World, seconds: int, *, available: int | None = None) -> None:
    """The Deployment controller makes the pods of the step, and time goes by."""
    if canary_of(world):
        world.roll_out(available, name=CANARY)
    world.clock.seconds += seconds
    world.settle()


def later(world: World, seconds: int) -> None:
    """Time goes by."""
    world.clock.seconds += seconds
    world.settle()


def stays(world: World) -> None:
    """Nothing is written any more, by this operator or the next one."""
    for _ in range(2):
        before = len(world.kube.writes)
        for _ in range(3):
            world.reconcile()
        assert world.writes_since(before) == []
        world.restart_operator()


def crashes(world: World, *, settle: bool = True, **changes: Any) -> None:
    """The pods of the canary end again and again."""
    last = {"terminated": {"exitCode": 1, "message": "PORT is no number"}}
    waiting = {"waiting": {"reason": "CrashLoopBackOff"}}
    container = {"name": "server", "ready": False, "restartCount": RESTARTS, "state": waiting, "lastState": last}
    world.serving_pod(ready=False, name=CANARY, containerStatuses=[container | changes])
    deployment = world.deployment(CANARY)
    numbers = {"replicas": 1, "updatedReplicas": 1, "availableReplicas": 0}
    world.kube.store({**deployment, "status": {"observedGeneration": deployment["metadata"]["generation"], **numbers}})
    if settle:
        world.settle()


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


def test_a_change_of_tls_has_no_canary_since_no_request_would_reach_it() -> None:
    world = World()
    world.serve(serving=SERVING)
    world.service(serving={**SERVING, "tls": {"secretRef": {"name": "certificate"}}})
    world.settle()
    assert canary_of(world) is None
    assert [port["name"] for port in world.one(SERVICE)["spec"]["ports"]] == ["https"]


def test_a_canary_that_crashes_is_withdrawn_and_what_serves_was_never_touched() -> None:
    world, old, new = begun({"env": BAD["env"]})
    stable = copy.deepcopy(world.deployment()["spec"])
    crashes(world, restartCount=RESTARTS - 1)
    assert (key_of(canary_of(world)), world.ready()) == (new, ("False", "CrashLoopBackOff")), "it may still come"
    crashes(world)
    assert canary_of(world) is None
    assert (key_of(world.deployment()), world.deployment()["spec"]) == (old, stable)
    words = (
        "the rollout of revision 2 failed and was taken back, revision 1 serves again (canary 1/2: CrashLoopBackOff:"
        " PORT is no number; the container ended with exit code 1); it is tried again when spec.serving or the model"
        " changes, or once spec.serving.pinRevision names it"
    )
    assert (world.ready(), message(world)) == (("False", "RolledBack"), words)
    assert ("RolledBack", words) in world.kube.recorded
    assert [one["phase"] for one in world.status()["revisions"]] == ["Failed", "Serving"]
    assert (world.condition("Stalled")["status"], world.condition("Available")["status"]) == ("True", "True")
    world.collect_garbage()
    world.settle()
    stays(world)
    world.service(training={"epochs": 3}, serving=SERVING)
    world.settle()
    assert (key_of(canary_of(world)), pods_of(world)) == (new, 1), "other settings are tried, from the first step"


def test_a_canary_that_breaks_in_a_later_step_is_withdrawn() -> None:
    world, old, _ = begun()
    after(world, 60)
    after(world, 10, available=3)
    crashes(world)
    assert (canary_of(world), key_of(world.deployment())) == (None, old)
    assert "canary 2/2: CrashLoopBackOff" in message(world)


def lacking(world: World, *, since: str | None = None) -> None:
    """The canary has pods that are not ready, as its Deployment says."""
    world.roll_out(available=0, name=CANARY)
    deployment, now = world.deployment(CANARY), world.clock.now().strftime("%Y-%m-%dT%H:%M:%SZ")
    lacks = {"type": "Available", "status": "False", "lastTransitionTime": since or now}
    world.kube.store({**deployment, "status": {**deployment["status"], "conditions": [lacks]}})


@pytest.mark.parametrize("image", [False, True])
def test_a_canary_that_is_not_available_in_time_is_withdrawn(*, image: bool) -> None:
    world, old, new = begun({"progressDeadlineSeconds": 90}, progressDeadlineSeconds=90)
    lacking(world)
    if image:
        world.serving_pod(ready=False, name=CANARY, **without_image("server:9"))
    later(world, 89)
    assert key_of(canary_of(world)) == new
    later(world, 1)
    assert (canary_of(world), key_of(world.deployment())) == (None, old)
    why = "ErrImagePull" if image else "not available after 90 s (spec.serving.progressDeadlineSeconds)"
    assert f"canary 1/2: {why}" in message(world)


def test_the_time_of_the_candidate_before_does_not_count_for_the_next_one() -> None:
    slow = {"progressDeadlineSeconds": 90}
    world, old, new = begun(slow, **slow)
    lacking(world)
    later(world, 80)
    world.service(training={"epochs": 3}, serving={**SERVING, **slow, "env": [{"name": "A", "value": "1"}]})
    world.settle()
    lacking(world, since="2026-01-01T00:00:00Z")
    later(world, 80)
    assert key_of(canary_of(world)) == new
    later(world, 10)
    assert (canary_of(world), key_of(world.deployment())) == (None, old)


def test_the_rollout_after_a_canary_is_judged_as_any_other() -> None:
    world, old, new = begun()
    after(world, 60)
    after(world, 120)
    assert key_of(world.deployment()) == new
    last = {"terminated": {"exitCode": 1, "message": "no"}}
    container = {"name": "server", "ready": False, "restartCount": RESTARTS, "state": {}, "lastState": last}
    world.serving_pod(ready=False, suffix="surge", containerStatuses=[container])
    deployment = world.deployment()
    said = [{"type": "Progressing", "status": "True", "reason": "ReplicaSetUpdated"}]
    numbers = {"replicas": 5, "updatedReplicas": 1, "availableReplicas": 4, "conditions": said}
    world.kube.store({**deployment, "status": {"observedGeneration": deployment["metadata"]["generation"], **numbers}})
    world.settle()
    assert (key_of(world.deployment()), canary_of(world)) == (old, None)
    assert world.ready() == ("False", "RolledBack")


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


def test_a_canary_that_is_no_longer_asked_for_becomes_the_rollout() -> None:
    world, _, second = begun()
    world.service(training={"epochs": 3}, serving={"replicas": 4})
    world.settle()
    assert key_of(world.deployment()) == second
    world.roll_out()
    world.settle()
    assert (canary_of(world), world.ready()) == (None, ("True", "Serving"))
    stays(world)


def judged(**limits: float) -> tuple[World, str, str]:
    """A canary whose pods are read, and those beside it; all of them answer on an address of their own."""
    world, old, new = begun({"rollout": {"canary": {**STEPS["canary"], **limits}}})
    world.roll_out(name=CANARY)
    for number, pod in enumerate(obj for obj in world.all(POD) if obj["metadata"]["labels"].get(STAGE) == "serve"):
        world.kube.store({**pod, "status": {**pod["status"], "podIP": f"10.0.0.{number}"}})
    return world, old, new


def answers(world: World, *, canary: Answers, others: Answers) -> None:
    """What pods counted by now."""
    for pod in world.all(POD):
        if (address := pod["status"].get("podIP")) is not None:
            of_canary = pod["metadata"]["name"].startswith(CANARY)
            world.progress.answers[address, 8080] = canary if of_canary else others
    world.clock.seconds += 10
    world.settle()


def test_a_canary_that_answers_as_well_goes_on_and_one_whose_metrics_cannot_be_read_waits() -> None:
    world, _, new = judged(maxErrorRate=0.01, maxLatencyRatio=2)
    later(world, 1000)
    assert pods_of(world) == 1
    assert message(world).endswith("(their metrics are not read yet)")
    answers(world, canary=Answers(1000, 900, 5000.0), others=Answers(100, 0, 1.0))
    assert "(the next step at " in message(world), "what they counted before they were read is not looked at"
    answers(world, canary=Answers(1200, 901, 5002.0), others=Answers(400, 1, 3.5))
    later(world, 30)
    assert (key_of(canary_of(world)), pods_of(world)) == (new, 1), "a step is judged for as long as it holds"
    later(world, 20)
    assert pods_of(world) == 4


@pytest.mark.parametrize(
    ("limits", "found", "words"),
    [
        ({"maxErrorRate": 0.05}, Answers(150, 50, 1.0), "canary 1/2: 25.0 % of 200 requests failed or were refused"),
        ({"maxLatencyRatio": 2}, Answers(200, 0, 30.0), "canary 1/2: an answer took 150 ms in the mean of 200"),
    ],
)
def test_a_canary_that_answers_worse_is_withdrawn(limits: dict[str, float], found: Answers, words: str) -> None:
    world, old, _ = judged(**limits)
    answers(world, canary=Answers(), others=Answers(10, 0, 0.1))
    answers(world, canary=found, others=Answers(510, 5, 5.0))
    assert (canary_of(world), key_of(world.deployment())) == (None, old)
    assert world.ready() == ("False", "RolledBack")
    assert words in message(world)
    world.collect_garbage()
    world.settle()
    stays(world)


def test_pods_of_the_candidate_before_are_not_held_against_the_next_one() -> None:
    world, _, _ = judged(maxErrorRate=0.05)
    answers(world, canary=Answers(), others=Answers())
    world.service(
        training={"epochs": 3},
        serving={**SERVING, "rollout": {"canary": {**STEPS["canary"], "maxErrorRate": 0.05}}, "env": [{"name": "A"}]},
    )
    world.sync()
    world.serving_pod(ready=False, name=CANARY, suffix="next")
    answers(world, canary=Answers(0, 500, 1.0), others=Answers(500, 0, 5.0))
    assert (pods_of(world), world.ready()[1]) == (1, "Canary")


def test_the_next_operator_reads_anew_and_holds_the_step_anew() -> None:
    world, _, _ = judged(maxErrorRate=0.05)
    answers(world, canary=Answers(10, 0, 0.1), others=Answers(10, 0, 0.1))
    later(world, 40)
    world.restart_operator()
    later(world, 10)
    answers(world, canary=Answers(20, 0, 0.2), others=Answers(20, 0, 0.2))
    assert pods_of(world) == 1
    later(world, 60)
    assert pods_of(world) == 4


def test_the_operator_may_reach_what_it_reads_and_only_then() -> None:
    world, _, _ = judged(maxErrorRate=0.05)
    said = world.one(NETWORK_POLICY)["spec"]["ingress"][-1]
    assert [port["port"] for port in said["ports"]] == [8081, 8080, 8082]
    world, _, _ = begun()
    assert [port["port"] for port in world.one(NETWORK_POLICY)["spec"]["ingress"][-1]["ports"]] == [8081]


@pytest.mark.parametrize("bad", [False, True])
def test_the_operator_may_end_before_or_after_any_write_of_a_canary(*, bad: bool) -> None:
    undisturbed, pods, names = _story(bad=bad)
    assert pods == ([1, None] if bad else [1, 4, None])
    assert len(names) >= (6 if bad else 12)
    for number in range(len(names)):
        for written in (False, True):
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
        try:
            world.reconcile()
        except Stop:
            world.restart_operator()
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
