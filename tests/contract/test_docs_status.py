"""The table of situations in docs/status.md, line by line, against what the operator says."""

import re
from collections.abc import Callable

import pytest
from tests.support.helm import ROOT
from tests.support.world import World

TEXT = (ROOT / "docs" / "status.md").read_text(encoding="utf-8")
TABLE = TEXT.partition("## Situations")[2].partition("##")[0]
CELLS = [[cell.strip() for cell in line.split("|")[1:-1]] for line in TABLE.splitlines() if line.startswith("| ")]
ROWS = {situation: cells for situation, *cells in CELLS}


def first_training(world: World) -> None:
    world.config_map()
    world.service()


def serving(world: World) -> None:
    world.serve()


def training_again(world: World) -> None:
    world.serve()
    world.service(training={"epochs": 3})


def scaling_up(world: World) -> None:
    world.serve()
    world.service(serving={"replicas": 3})


def wrong_data(world: World) -> None:
    world.serve()
    world.service(data={"configMap": {"name": "missing"}, "target": "y"})


def wrong_data_at_first(world: World) -> None:
    world.service()


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
    "serving what was asked for": serving,
    "training again, the old revision serves": training_again,
    "rolling, scaling up, or a pod was lost": scaling_up,
    "wrong data or out of memory, the old revision serves": wrong_data,
    "the same, and there is no old revision": wrong_data_at_first,
    "suspended, with something to train": suspended,
    "suspended, nothing to train": suspended_with_nothing_to_train,
    "`replicas: 0`": no_replicas,
}


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
    assert stalled == found["Stalled"]["status"]
    assert by_flux == flux(found["Ready"]["status"], found["Stalled"]["status"])


def flux(ready: str, stalled: str) -> str:
    """What kstatus makes of conditions: Stalled is a failure, and what is not Ready is in progress."""
    if stalled == "True":
        return "failed"
    return "ready" if ready == "True" else "in progress"


def test_the_stages_are_those_shown() -> None:
    for situation, stage in {
        first_training: "Training",
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
