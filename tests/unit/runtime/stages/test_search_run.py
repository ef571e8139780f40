"""A search as a pod runs it: killed, and taken up by the next pod from what lies beside the artifact."""

import json
from pathlib import Path
from typing import Any

import pytest
from tests.unit.runtime.stages.pipelines import train_work
from tests.unit.runtime.stages.test_run import World

from modelservice.contract.exit_codes import ExitCode
from modelservice.contract.manifest import SEARCH_FILE
from modelservice.contract.report import Success
from modelservice.stages.failures import TerminatedError
from modelservice.stages.recipe import Judged, Recipe

DEPTHS = {"path": "model.decisionTree.maxDepth", "values": [1, 2, 3, 4]}
WORK = train_work(model={"decisionTree": {}}, search={"parameters": [DEPTHS]})


@pytest.fixture
def world(tmp_path: Path) -> World:
    made = World(tmp_path)
    made.tell(WORK)
    return made


def stop_in_trial(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """SIGTERM while the so-manieth trial of a process is under way."""
    judge, begun = Recipe.judge, iter(range(100))

    def stopped(self: Recipe, *given: Any) -> Judged:
        if next(begun) == number:
            raise TerminatedError
        return judge(self, *given)

    monkeypatch.setattr(Recipe, "judge", stopped)


def notes(world: World) -> list[str]:
    lines = [json.loads(line) for line in world.log.splitlines() if line.startswith("{")]
    return [line["message"] for line in lines if line["event"] == "note"]


def test_a_pod_that_is_stopped_leaves_its_trials_to_the_next_and_nothing_in_the_end(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "whole").mkdir()
    whole = World(tmp_path / "whole")
    whole.tell(WORK)
    _, expected = whole.run()
    with monkeypatch.context() as stopping:
        stop_in_trial(stopping, 2)
        code, failure = world.run()
    assert (code, failure.reason) == (ExitCode.TERMINATED, "Terminated")
    kept = world.artifacts / ".abc.checkpoints"
    assert {"trial-0", "trial-1"} <= {path.name for path in kept.iterdir()}
    code, result = world.run(uid="pod-2")
    assert code == ExitCode.DONE
    assert isinstance(result, Success)
    assert result.digest == expected.digest
    made_before = [note.split()[1] for note in notes(world) if "was made before" in note]
    made_now = [note.split()[1] for note in notes(world) if " took " in note]
    assert (made_before, made_now) == (["0", "1"], ["2", "3", "4"])
    assert [path.name for path in world.artifacts.iterdir()] == ["abc"]
    assert (world.artifacts / "abc" / SEARCH_FILE).exists()


def test_what_others_left_there_is_said_and_made_again(world: World) -> None:
    kept = world.artifacts / ".abc.checkpoints"
    kept.mkdir()
    (kept / "trial-0").write_bytes(b"x" * 2**17)
    (kept / "trial-1").symlink_to(world.data / "iris.csv")
    (kept / "trial-2").write_text('{"kind": "Trial", "schemaVersion": "1.0", "key": "abc"}')
    code, _ = world.run()
    assert code == ExitCode.DONE
    assert [note.split()[1] for note in notes(world) if " took " in note] == ["0", "1", "2", "3", "4"]
    assert any(
        note.startswith("trial 2 is made again, since what was kept of it cannot be used") for note in notes(world)
    )
    assert "a checkpoint cannot be read, so it is not used" in world.log
