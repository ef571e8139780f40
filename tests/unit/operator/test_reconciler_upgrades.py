"""The reconciler's stories. A newer operator: what is pinned stays, what follows is rolled out in turn."""

import copy
from typing import Any

import pytest
from tests.support.world import NAMESPACE, World, without_image

from modelservice_operator.domain.builders.pods import build_pod
from modelservice_operator.domain.rollout import AVAILABLE, EXCEEDED
from modelservice_operator.domain.verdict import RESTARTS
from modelservice_operator.kinds import CONTROLLER_REVISION, DEPLOYMENT, JOB, MODEL_SERVICE, POD
from modelservice_operator.machinery.errors import Forbidden
from modelservice_operator.machinery.turns import TURN_SECONDS
from modelservice_operator.objects import Object, Ref

NEWER = {"trainer_image": "trainer:2", "server_image": "server:2"}
FOLLOWS = {"runtimePolicy": "FollowOperator"}
LARGER = {"resources": {"requests": {"cpu": "500m"}}}


def pods(world: World) -> Object:
    """The pod template that serves."""
    found: Object = copy.deepcopy(world.deployment()["spec"]["template"])
    return found


def image(world: World) -> str:
    said: str = pods(world)["spec"]["containers"][0]["image"]
    return said


def complete(world: World, reason: str = AVAILABLE, available: int | None = None) -> None:
    """The Deployment controller says how the rollout went."""
    world.roll_out(available)
    deployment = world.deployment()
    said = {"type": "Progressing", "status": "True", "reason": reason, "lastTransitionTime": "2027-01-01T00:00:00Z"}
    world.kube.store({**deployment, "status": {**deployment["status"], "conditions": [said]}})
    world.settle()


def served(**spec: Any) -> World:
    world = World()
    world.serve(**spec)
    complete(world)
    return world


def written(world: World, since: int) -> set[str]:
    """Kinds of what was written, but for the status, which says that there is a newer server."""
    return {kind for verb, kind, _ in world.writes_since(since) if verb != "status"}


def other_pods(monkeypatch: pytest.MonkeyPatch) -> None:
    """A release that builds serving pods in another way."""

    def changed(*arguments: Any, **named: Any) -> Object:
        built = build_pod(*arguments, **named)
        return {**built, "spec": {**built["spec"], "terminationGracePeriodSeconds": 77}}

    monkeypatch.setattr("modelservice_operator.domain.builders.serving.build_pod", changed)


def runtime(world: World) -> tuple[str, str]:
    said = world.condition("RuntimeCurrent")
    return said["status"], said["reason"]


def crash(world: World, *, available: int = 1) -> None:
    """One pod of the newest template ends again and again, beside one of before."""
    last = {"terminated": {"exitCode": 1, "message": "no such option"}}
    container = {"name": "server", "ready": False, "restartCount": RESTARTS, "state": {}, "lastState": last}
    world.serving_pod(ready=False, suffix="surge", containerStatuses=[container])
    deployment = world.deployment()
    said = {"type": "Progressing", "status": "True", "reason": "ReplicaSetUpdated"}
    numbers = {"replicas": 2, "updatedReplicas": 1, "availableReplicas": available, "conditions": [said]}
    world.kube.store({**deployment, "status": {"observedGeneration": deployment["metadata"]["generation"], **numbers}})
    world.settle()


@pytest.mark.parametrize("lost", ["nothing", "status", "deployment"])
def test_what_is_pinned_keeps_image_and_template(lost: str, monkeypatch: pytest.MonkeyPatch) -> None:
    world = served()
    before, writes = pods(world), len(world.kube.writes)
    if lost == "status":
        world.kube.objects[Ref(MODEL_SERVICE, *world.key)].pop("status")
    if lost == "deployment":
        world.remove(Ref(DEPLOYMENT, *world.key))
    other_pods(monkeypatch)
    world.restart_operator(**NEWER)
    world.settle()
    assert written(world, writes) == ({"Deployment"} if lost == "deployment" else set())
    assert pods(world) == before


@pytest.mark.parametrize("replicas", [0, 3])
def test_what_is_pinned_keeps_them_without_pods_and_when_it_is_scaled(replicas: int) -> None:
    world = served()
    before = pods(world)
    world.restart_operator(**NEWER)
    for number in (replicas, 2):
        world.service(serving={"replicas": number})
        world.settle()
        complete(world)
        assert pods(world) == before


def test_what_came_to_serve_keeps_them_while_a_whole_cluster_starts_again() -> None:
    world = served()
    before = pods(world)
    complete(world, available=0)
    world.restart_operator(**NEWER)
    world.settle()
    assert pods(world) == before


def test_one_pod_that_cannot_pull_for_a_moment_changes_no_image_while_others_answer() -> None:
    world = World()
    world.serve(serving={"replicas": 3})
    world.restart_operator(**NEWER)
    world.roll_out(available=2)
    world.serving_pod(ready=False, suffix="2", **without_image("server:1"))
    world.settle()
    assert image(world) == "server:1"
    world.service(serving={"replicas": 3, **LARGER})
    world.settle()
    assert image(world) == "server:2", "new pods may take the image that can be pulled"


def test_a_registry_that_is_away_after_an_upgrade_changes_the_image_once() -> None:
    world = served()
    world.restart_operator(**NEWER)
    world.settle()
    seen = [image(world)]
    for _ in range(6):
        for ref in [ref for ref, obj in world.kube.objects.items() if ref.kind == POD and is_of_serving(obj)]:
            del world.kube.objects[ref]
        world.serving_pod(ready=False, **without_image(image(world)))
        world.settle()
        world.clock.seconds += 60
        seen.append(image(world))
    assert seen == ["server:1", *["server:2"] * 6]
    assert world.ready()[1] == "ErrImagePull"
    world.restart_operator(server_image="server:3")
    world.settle()
    assert image(world) == "server:3"


def is_of_serving(pod: Object) -> bool:
    return bool(pod["metadata"]["labels"]["modelservice.dev/stage"] == "serve")


def test_other_settings_are_rolled_out_on_the_pinned_image() -> None:
    world = served()
    world.restart_operator(**NEWER)
    world.service(serving=LARGER)
    world.settle()
    assert pods(world)["spec"]["containers"][0]["resources"]["requests"]["cpu"] == "500m"
    assert image(world) == "server:1"
    complete(world)
    world.service(serving={**LARGER, "engine": "Torch"})
    world.settle()
    assert image(world) == "trainer:2", "nothing is pinned of an engine that never served it"


def test_a_new_revision_brings_the_newer_server_and_a_pin_the_one_of_its_time() -> None:
    world = served()
    world.restart_operator(**NEWER)
    world.service(training={"epochs": 3})
    world.run_stages()
    complete(world)
    assert (image(world), runtime(world)) == ("server:2", ("True", "Current"))
    world.service(training={"epochs": 3}, serving={**LARGER, "pinRevision": {"number": 1}})
    world.settle()
    complete(world)
    assert (image(world), runtime(world)) == ("server:1", ("False", "Pinned"))
    assert len(world.all(JOB)) == 1, "of the newest key"


def test_what_was_an_intermediate_result_once_is_pinned_with_the_server_of_its_time() -> None:
    world = World()
    world.serve(compression={"steps": [{"quantize": {}}]})
    world.service()
    world.settle()
    complete(world)
    assert world.status()["revision"] == 2, "what the compression started from"
    template = pods(world)
    for epochs in (5, 6):
        world.service(training={"epochs": epochs})
        world.run_stages()
        complete(world)
    world.restart_operator(**NEWER)
    world.service(training={"epochs": 6}, serving={"pinRevision": {"number": 2}})
    world.settle()
    complete(world)
    assert (world.status()["revision"], pods(world)) == (2, template)
    world.service(training={"epochs": 6}, revisionHistoryLimit=1)
    for _ in range(3):
        world.settle()
        complete(world)
    assert [one for one in world.ours(CONTROLLER_REVISION) if one["data"]["kind"] == "ServingTemplate"] == []


def test_a_newer_server_is_said_until_it_serves() -> None:
    world = served()
    assert (world.status()["serverImage"], runtime(world)) == ("server:1", ("True", "Current"))
    world.restart_operator(**NEWER)
    world.settle()
    assert (world.status()["serverImage"], runtime(world)) == ("server:1", ("False", "Pinned"))
    assert world.condition("RuntimeCurrent")["message"] == (
        "server:1 serves; server:2 comes with the next revision, or by spec.serving.runtimePolicy: FollowOperator"
    )
    assert world.ready() == ("True", "Serving")
    world.service(serving=FOLLOWS)
    world.settle()
    assert runtime(world) == ("False", "RollingOut")
    complete(world)
    assert (world.status()["serverImage"], runtime(world)) == ("server:2", ("True", "Current"))
    assert world.ready() == ("True", "Serving")


def test_what_follows_gets_the_image_and_the_template_once(monkeypatch: pytest.MonkeyPatch) -> None:
    world = served(serving=FOLLOWS)
    for change in ("nothing", "image", "template"):
        if change == "image":
            world.restart_operator(**NEWER)
        if change == "template":
            other_pods(monkeypatch)
            world.restart_operator()
        before, writes = pods(world), len(world.kube.writes)
        world.settle()
        assert (pods(world) == before) is (change == "nothing")
        assert written(world, writes) == (set() if change == "nothing" else {"ControllerRevision", "Deployment"})
        complete(world)
        writes = len(world.kube.writes)
        world.restart_operator()
        world.settle()
        assert world.writes_since(writes) == []
    assert (image(world), pods(world)["spec"]["terminationGracePeriodSeconds"]) == ("server:2", 77)
    assert len(world.all(JOB)) == 1


def test_to_follow_and_not_to_follow_restarts_nothing_while_there_is_nothing_newer() -> None:
    world = served()
    before = pods(world)
    for policy in (FOLLOWS, {}, FOLLOWS):
        world.service(serving=policy)
        world.settle()
        assert pods(world) == before
    world.restart_operator(**NEWER)
    world.settle()
    complete(world)
    newer = pods(world)
    world.restart_operator(trainer_image="trainer:3", server_image="server:3")
    world.service(serving={})
    world.settle()
    assert pods(world) == newer != before, "it is pinned as it is"


def test_a_newer_server_that_fails_is_taken_back_tried_once_and_the_next_one_again() -> None:
    world = served(serving=FOLLOWS)
    before = pods(world)
    world.restart_operator(**NEWER)
    world.settle()
    assert image(world) == "server:2"
    crash(world)
    complete(world)
    for _ in range(2):
        assert pods(world) == before
        world.restart_operator()
        world.settle()
    assert runtime(world) == ("False", "RolledBack")
    assert "the rollout of revision 1 with the server of this operator failed" in world.condition("Served")["message"]
    assert "CrashLoopBackOff" in world.condition("Served")["message"]
    world.restart_operator(trainer_image="trainer:3", server_image="server:3")
    world.settle()
    assert image(world) == "server:3"


def test_a_newer_server_that_failed_is_left_alone_by_what_is_pinned_again() -> None:
    world = served(serving=FOLLOWS)
    before = pods(world)
    world.restart_operator(**NEWER)
    world.settle()
    crash(world)
    world.service(serving={})
    world.settle()
    complete(world)
    assert (pods(world), world.ready()) == (before, ("True", "Serving"))
    assert runtime(world) == ("False", "Pinned")
    assert [one for one in world.ours(CONTROLLER_REVISION) if one["data"].get("failed")] == []


def test_a_canary_tries_a_newer_server_first_and_ends_with_the_pin() -> None:
    canary = {"rollout": {"canary": {"steps": [{"weight": 50, "holdSeconds": 60}]}}}
    world = served(serving={**canary, **FOLLOWS})
    before = pods(world)
    world.restart_operator(**NEWER)
    world.settle()
    tried = world.deployment("churn-canary")["spec"]["template"]
    assert tried["spec"]["containers"][0]["image"] == "server:2"
    assert pods(world) == before
    assert "of revision 1 with the server of this operator" in world.condition("Ready")["message"]
    world.service(serving=canary)
    world.settle()
    assert Ref(DEPLOYMENT, NAMESPACE, "churn-canary") not in world.kube.objects
    assert pods(world) == before


def test_while_rollouts_are_paused_nothing_follows() -> None:
    world = served(serving=FOLLOWS)
    world.service(serving={**FOLLOWS, "paused": True})
    before = pods(world)
    world.restart_operator(**NEWER)
    world.settle()
    assert (pods(world), runtime(world)) == (before, ("False", "Paused"))


class TestTurns:
    def test_one_after_the_other(self) -> None:
        worlds = fleet(3)
        for number in range(3):
            assert [image(one) for one in worlds] == ["server:2"] * (number + 1) + ["server:1"] * (2 - number)
            waiting = [runtime(one) for one in worlds[number + 1 :]]
            assert waiting == [("False", "WaitsForTurn")] * len(waiting)
            complete(worlds[number])
            for one in worlds:
                one.settle()
        assert {runtime(one) for one in worlds} == {("True", "Current")}

    @pytest.mark.parametrize(
        "end", ["failure", "time is up", "turn is over", "pinned", "deleted", "being deleted", "canary holds"]
    )
    def test_whoever_is_done_lets_the_next_one(self, end: str) -> None:
        first, second = fleet(2, canary=end == "canary holds")
        assert image(second) == "server:1"
        if end == "failure":
            crash(first)
            complete(first)
        elif end == "time is up":
            complete(first, reason=EXCEEDED, available=0)
        elif end == "turn is over":
            first.clock.seconds += TURN_SECONDS
            first.settle()
            assert image(first) == "server:2", "it goes on"
        elif end == "pinned":
            first.service(serving={})
            first.settle()
            complete(first)
        elif end == "deleted":
            first.remove(Ref(MODEL_SERVICE, *first.key))
            first.reconcile()
        elif end == "being deleted":
            first.kube.objects[Ref(MODEL_SERVICE, *first.key)]["metadata"]["finalizers"] = ["example.com/hook"]
            first.delete_service()
            first.reconcile()
        else:
            first.roll_out(name="churn-canary")
            first.settle()
        second.settle()
        where = second.deployment("churn-canary" if end == "canary holds" else None)
        assert where["spec"]["template"]["spec"]["containers"][0]["image"] == "server:2"

    def test_whoever_may_not_be_written_keeps_nobody_waiting(self) -> None:
        first, second = fleet(2, refused=True)
        assert (image(first), image(second)) == ("server:1", "server:2")
        first.kube.failures.clear()
        complete(second)
        first.settle()
        assert image(first) == "server:2"

    def test_what_never_served_waits_for_nobody(self) -> None:
        first, second = fleet(2)
        second.roll_out(available=0)
        crash(second, available=0)
        assert (image(first), image(second)) == ("server:2", "server:2")


def fleet(count: int, *, canary: bool = False, refused: bool = False) -> list[World]:
    """Worlds, each with a ModelService that follows, of one operator that is newer than what they serve."""
    rollout: dict[str, Any] = {"rollout": {"canary": {"steps": [{"weight": 50, "holdSeconds": 600}]}}}
    worlds = [served(serving={**FOLLOWS, **(rollout if canary else {})}) for _ in range(count)]
    for number, one in enumerate(worlds):
        one.restart_operator(**NEWER)
        if number:  # the turns are of one process
            one.reconciler._turns = OfWorld(worlds[0].reconciler._turns, number)  # type: ignore[assignment]
        elif refused:
            one.kube.failures[("apply", "Deployment")] = Forbidden("a webhook says no")
            one.reconcile()
            continue
        one.settle()
    return worlds


class OfWorld:
    """The turns of another world, where every ModelService has the same name."""

    def __init__(self, turns: Any, number: int) -> None:
        self._turns, self._number = turns, number

    def __contains__(self, key: object) -> bool:
        return (self._number, key) in self._turns

    def ask(self, key: object) -> bool:
        return bool(self._turns.ask((self._number, key)))

    def is_over(self, key: object) -> bool:
        return bool(self._turns.is_over((self._number, key)))

    def leave(self, key: object) -> None:
        self._turns.leave((self._number, key))


def test_the_templates_of_before_are_told_apart_by_what_the_spec_says() -> None:
    world = served()
    world.restart_operator(**NEWER)
    world.service(serving=FOLLOWS)
    world.settle()
    (stored,) = [one for one in world.ours(CONTROLLER_REVISION) if one["data"]["kind"] == "ServingTemplate"]
    (record,) = world.records()
    asked, _, _ = stored["data"]["serving"]["inputs"].partition(".")
    assert asked == record["data"]["serving"]["inputs"]
