"""The table of situations in docs/status.md, line by line, against what the operator says."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from tests.support.helm import ROOT
from tests.support.world import World, compressed, without_image

from modelservice_operator.kinds import DEPLOYMENT

TEXT = (ROOT / "docs" / "status.md").read_text(encoding="utf-8")
TABLE = TEXT.partition("## Situations")[2].partition("##")[0]
CELLS = [[cell.strip() for cell in line.split("|")[1:-1]] for line in TABLE.splitlines() if line.startswith("| ")]
ROWS = {situation: cells for situation, *cells in CELLS}
INT8: dict[str, Any] = {"steps": [{"quantize": {}}]}


def first_training(world: World) -> None:
    world.config_map()
    world.service()


def fetching(world: World) -> None:
    artifact = {"uri": "s3://models/iris", "digest": f"sha256:{'0' * 64}"}
    world.service(data=None, model={"artifact": artifact})


def serving(world: World) -> None:
    world.serve()


def training_again(world: World) -> None:
    world.serve()
    world.service(training={"epochs": 3})


def compressing_again(world: World) -> None:
    world.serve()
    world.service(compression=INT8)


def not_worth_its_price(world: World) -> None:
    world.serve()
    world.service(compression=INT8)
    world.settle()
    world.end_stage(compressed(world.order(world.job())["key"], drop=0.1))
    world.settle()
    world.roll_out()


def a_pod_that_waits(world: World) -> None:
    world.serve()
    world.service(training={"epochs": 3})
    world.settle()
    world.pod_of(world.job(), without_image("absent"))


def in_a_queue(world: World) -> None:
    world.serve()
    world.kube.queues = {}
    world.service(training={"queueName": "gpus"}, data={"configMap": {"name": "churn"}, "target": "a"})


def nobody_answers(world: World) -> None:
    world.serve()
    world.roll_out(available=0)


def scaling_up(world: World) -> None:
    world.serve()
    world.service(serving={"replicas": 3})


def a_canary(world: World) -> None:
    canary: dict[str, Any] = {"rollout": {"canary": {}}}
    world.serve(serving=canary)
    world.service(training={"epochs": 3}, serving=canary)
    world.run_stages()


def wrong_data(world: World) -> None:
    world.serve()
    world.service(data={"configMap": {"name": "missing"}, "target": "y"})


def wrong_data_at_first(world: World) -> None:
    world.service()


def falls_short(world: World) -> None:
    world.serve()
    world.service(training={"epochs": 3}, promotion={"require": [{"metric": {"name": "accuracy", "min": 0.99}}]})
    world.settle()
    world.end_stage()


def comparing(world: World) -> None:
    promotion = {"require": [{"metric": {"name": "accuracy", "notWorseThanCurrent": {}}}]}
    world.serve(promotion=promotion)
    world.service(training={"epochs": 3}, promotion=promotion)
    world.settle()
    world.bind_claims()
    world.end_stage()


def crashes(world: World) -> None:
    world.serve()
    world.service(training={"epochs": 3})
    world.run_stages()
    container = {"name": "server", "ready": False, "restartCount": 3, "lastState": {"terminated": {"exitCode": 1}}}
    world.serving_pod(ready=False, suffix="surge", containerStatuses=[container])
    deployment = world.one(DEPLOYMENT)
    generation, progressing = (
        deployment["metadata"]["generation"],
        {"type": "Progressing", "reason": "ReplicaSetUpdated"},
    )
    world.kube.store({**deployment, "status": {"observedGeneration": generation, "conditions": [progressing]}})


def paused(world: World) -> None:
    world.serve()
    world.service(training={"epochs": 3}, serving={"paused": True})
    world.run_stages()


def waits_to_be_promoted(world: World) -> None:
    world.serve()
    world.service(training={"epochs": 3}, promotion={"manual": True})
    world.run_stages()


def waits_to_be_promoted_at_first(world: World) -> None:
    world.config_map()
    world.service(promotion={"manual": True})
    world.run_stages()


def pinned(world: World) -> None:
    world.serve()
    world.service(training={"epochs": 3}, serving={"pinRevision": {"number": 1}})
    world.run_stages()


def suspended(world: World) -> None:
    world.serve()
    world.service(training={"epochs": 3}, suspend=True)


def suspended_with_nothing_to_train(world: World) -> None:
    world.serve()
    world.service(suspend=True)


def no_replicas(world: World) -> None:
    world.serve()
    world.service(serving={"replicas": 0})
    world.settle()
    world.roll_out()


SITUATIONS: dict[str, Callable[[World], None]] = {
    "first training": first_training,
    "fetching what was trained elsewhere": fetching,
    "serving what was asked for": serving,
    "training again, the old revision serves": training_again,
    "making the trained model smaller, the old revision serves": compressing_again,
    "comparing a new model with the one that serves": comparing,
    "a Job waits in a queue, the old revision serves": in_a_queue,
    "it could not be made smaller at the price": not_worth_its_price,
    "a pod or claim waits (image, node, quota)": a_pod_that_waits,
    "no replica answers, but one did": nobody_answers,
    "rolling, scaling up, or a pod was lost": scaling_up,
    "a canary of a new revision beside the old one": a_canary,
    "wrong data or out of memory, the old revision serves": wrong_data,
    "the same, and there is no old revision": wrong_data_at_first,
    "a new model falls short of `spec.promotion`, the old revision serves": falls_short,
    "the pods of a new revision crash, the old revision serves again": crashes,
    "a new model waits to be promoted by hand, the old revision serves": waits_to_be_promoted,
    "the same, and nothing served before": waits_to_be_promoted_at_first,
    "rollouts are paused, and a new model waits": paused,
    "an older revision is pinned": pinned,
    "suspended, with something to train": suspended,
    "suspended, nothing to train": suspended_with_nothing_to_train,
    "`replicas: 0`": no_replicas,
}


def test_every_situation_is_tried() -> None:
    assert SITUATIONS.keys() == ROWS.keys() - {"situation"}


@pytest.mark.parametrize("situation", SITUATIONS)
def test_conditions_are_as_shown(situation: str) -> None:
    world = World()
    SITUATIONS[situation](world)
    world.settle()
    ready, available, stalled, _, by_flux, _ = ROWS[situation]
    found = {kind: world.condition(kind) for kind in ("Ready", "Available", "Stalled")}
    assert ready.partition(",")[0] == found["Ready"]["status"]
    if reason := re.search(r"`(\w+)`", ready):
        assert reason[1] == found["Ready"]["reason"]
    assert available == found["Available"]["status"] or (available == "as it serves" and world.status()["revision"])
    assert stalled in {"any", found["Stalled"]["status"]}
    assert by_flux.partition(",")[0] in {"as above", flux(found["Ready"]["status"], found["Stalled"]["status"])}


def flux(ready: str, stalled: str) -> str:
    """What kstatus makes of conditions: Stalled is a failure, and what is not Ready is in progress."""
    if stalled == "True":
        return "failed"
    return "ready" if ready == "True" else "in progress"


def test_the_stages_are_those_shown() -> None:
    for situation, stage in {
        first_training: "Training",
        compressing_again: "Compressing",
        in_a_queue: "Queued",
        comparing: "Comparing",
        scaling_up: "Deploying",
        serving: "Serving",
        suspended: "Suspended",
        wrong_data: "Failed",
    }.items():
        world = World()
        situation(world)
        world.settle()
        assert world.status()["stage"] == stage
        assert f"| `{stage}` |" in TEXT
