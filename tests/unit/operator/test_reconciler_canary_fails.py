"""The reconciler's stories. A canary that crashes, is late, or answers worse is withdrawn."""

import copy

import pytest
from tests.support.canaries import (
    BAD,
    CANARY,
    SERVING,
    STEPS,
    after,
    begun,
    canary_of,
    crashes,
    key_of,
    later,
    message,
    pods_of,
    stays,
)
from tests.support.world import World, without_image

from modelservice_operator.answers import Answers
from modelservice_operator.constants import LABEL_STAGE as STAGE
from modelservice_operator.domain.verdict import RESTARTS
from modelservice_operator.kinds import (
    NETWORK_POLICY,
    POD,
)


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
