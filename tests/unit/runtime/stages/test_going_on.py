"""A training that was stopped goes on: in the next pod, in the next fold, and on a laptop."""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from safetensors.numpy import load_file, save_file
from tests.unit.runtime.families.berts import TEXTS, write_bert
from tests.unit.runtime.stages.pipelines import IRIS, produce, store, train_work
from tests.unit.runtime.stages.test_local import service
from tests.unit.runtime.stages.test_run import World

from modelservice.artifact.stores import folder as folder_module
from modelservice.artifact.stores import open_checkpoints
from modelservice.cli import main
from modelservice.contract.exit_codes import ExitCode
from modelservice.contract.progress import Progress
from modelservice.contract.work_order import TrainWork, WorkOrder
from modelservice.families import ensemble
from modelservice.families.pretrained import read_pretrained
from modelservice.stages import run as run_module
from modelservice.stages.base import Context, Produced
from modelservice.stages.documents import read_resource
from modelservice.stages.local import Finished, run_locally
from modelservice.stages.train import TRAIN, TrainStage
from modelservice.training.interruption import Interruption


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many steps were done at each progress; the pod is told to end with the fifth that is told."""
    heard: list[int] = []

    def announce(_listeners: Any, _clock: Any) -> Callable[[Progress], None]:
        def observe(progress: Progress) -> None:
            heard.append(progress.done)
            if len(heard) == 5:
                os.kill(os.getpid(), signal.SIGTERM)

        return observe

    monkeypatch.setattr(run_module, "announce", announce)
    return heard


WORKS = {
    "one network": train_work(epochs=12),
    "ensemble": train_work(model={"mlp": {"ensemble": 2}}).model_copy(update={"training": train_work().training}),
    "auto": train_work(model={"auto": {"candidates": ["network", "linear"]}}),
    "folds": train_work(epochs=3, split={"folds": 3}),
}


@pytest.mark.parametrize("work", WORKS.values(), ids=WORKS)
def test_a_pod_that_is_told_to_end_leaves_what_the_next_one_goes_on_from(
    world: World, told: list[int], work: TrainWork, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ensemble, "_MEMBERS", 5)  # of which each row is kept back by one
    monkeypatch.setattr(ensemble, "_EPOCHS", 12)
    twin = produce(work)
    world.tell(work)
    code, result = world.run(uid="pod-1")
    assert (code, result.reason) == (ExitCode.TERMINATED, "Terminated")
    assert len(told) == 5
    assert [entry.name for entry in world.artifacts.iterdir()] == [".abc.checkpoints"]
    code, result = world.run(uid="pod-2")
    assert (code, result.digest) == (ExitCode.DONE, twin.digest)
    assert [entry.name for entry in world.artifacts.iterdir()] == ["abc"]
    assert "went on from epoch" in world.log
    if work.data.split.folds is None:
        assert told == sorted(told)
        assert told.count(told[4]) == 2


def test_what_somebody_planted_is_said_and_not_used(world: World) -> None:
    work = train_work(epochs=2)
    world.tell(work)
    open_checkpoints(world.artifacts / "abc").write("train", b"planted")
    code, result = world.run()
    assert (code, result.digest) == (ExitCode.DONE, produce(work).digest)
    assert "a checkpoint of train is not used: it is damaged" in world.log


def test_a_store_that_takes_no_checkpoint_ends_no_training(
    world: World, told: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pod was told to end: the next one begins anew."""

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    work = train_work(epochs=12)
    world.tell(work)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        assert world.run()[0] == ExitCode.TERMINATED
    assert "no checkpoint can be written" in world.log
    code, result = world.run()
    assert (code, result.digest) == (ExitCode.DONE, produce(work).digest)
    assert told[5:] == list(range(1, 13))


def test_another_spec_does_not_go_on_from_there(tmp_path: Path) -> None:
    said: list[str] = []

    def run(epochs: int, *, stop: int = 0) -> None:
        interruption = Interruption(KeyboardInterrupt)

        def observe(progress: Progress) -> None:
            if progress.done == stop:
                interruption.ask()

        run_locally(
            read_resource(service(training={"epochs": epochs})),
            data=IRIS,
            output=tmp_path / "model",
            observe=observe,
            interruption=interruption,
            say=said.append,
        )

    with pytest.raises(KeyboardInterrupt):
        run(12, stop=3)
    run(6)
    assert [sentence.partition(" of key")[0] for sentence in said] == ["a checkpoint of train is not used: it is"]
    assert [entry.name for entry in tmp_path.iterdir()] == ["model"]


def test_checkpoints_give_way_to_the_artifact(world: World, told: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """The volume has room for one of them."""
    write = folder_module._write_file

    def full(path: Path, content: Any) -> None:
        if (world.artifacts / ".abc.checkpoints").exists():
            raise OSError(28, "No space left on device")
        write(path, content)

    world.tell(train_work(epochs=12))
    assert world.run()[0] == ExitCode.TERMINATED
    monkeypatch.setattr(folder_module, "_write_file", full)
    assert world.run()[0] == ExitCode.DONE
    assert "went on from epoch" in world.log
    assert [entry.name for entry in world.artifacts.iterdir()] == ["abc"]


def test_a_pod_that_was_overtaken_leaves_no_checkpoint(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    work = train_work(epochs=2)
    world.tell(work)
    learn, first = TRAIN.run, produce(work)

    def overtaken(order: WorkOrder, context: Context) -> Produced:
        context.checkpoints.write("train", b"so far")
        store(first, world.artifacts / "abc")
        return learn(order, context)

    monkeypatch.setattr(TrainStage, "run", staticmethod(overtaken))
    assert world.run()[0] == ExitCode.DONE
    assert "found" in world.events()
    assert [entry.name for entry in world.artifacts.iterdir()] == ["abc"]


@pytest.mark.parametrize(
    ("fine_tune", "name"), [({"fineTune": {"epochs": 4}}, "train-encoder"), ({}, "train")], ids=["encoder", "head"]
)
def test_what_was_learned_by_other_weights_of_an_encoder_is_not_gone_on_with(
    tmp_path: Path, fine_tune: dict[str, Any], name: str
) -> None:
    """Without a digest whatever lies in the folder is read, and a branch of a hub goes on between two pods."""
    uri = write_bert(tmp_path / "bert")
    table = tmp_path / "texts.csv"
    table.write_text("text,label\n" + "".join(f"{text} {n},{n % 2}\n" for n in range(5) for text in TEXTS))
    spec = {
        "data": {"configMap": {"name": "texts"}, "target": "label", "text": {"column": "text", "maxLength": 8}},
        "model": {"encoder": {"uri": uri, "head": {"mlp": {"hiddenLayers": [4]}}, **fine_tune}},
    }
    said: list[str] = []

    def run(output: str, *, stop: int = 0) -> Finished:
        read_pretrained.cache_clear()  # as in another process
        interruption = Interruption(KeyboardInterrupt)

        def observe(progress: Progress) -> None:
            if progress.done == stop:
                interruption.ask()

        resource = read_resource({**service(), "spec": spec})
        return run_locally(
            resource,
            data=table,
            output=tmp_path / output,
            observe=observe,
            interruption=interruption,
            say=said.append,
        )

    for output in ("same", "other"):
        with pytest.raises(KeyboardInterrupt):
            run(output, stop=2)
    run("same")
    assert [sentence.rpartition(" of ")[0] for sentence in said] == [f"{name} went on from epoch 3"]
    said.clear()
    weights = tmp_path / "bert" / "model.safetensors"
    save_file({key: 2 * array for key, array in load_file(weights).items()}, weights)
    went_on = run("other").success.digest
    assert [sentence.partition(" 'sha256:")[0] for sentence in said] == [
        f"a checkpoint of {name} is not used: it is of digest of the data"
    ]
    assert went_on == run("anew").success.digest


def test_ctrl_c_and_the_same_command_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from modelservice.training import progress as module  # noqa: PLC0415

    before = signal.getsignal(signal.SIGINT)
    file = tmp_path / "iris.yaml"
    file.write_text(yaml.safe_dump(service(training={"epochs": 12})))
    command = ["train", "-f", str(file), "--data", str(IRIS), "--output", str(tmp_path / "out" / "model")]

    class Interrupting(module.JsonLines):
        def __call__(self, progress: Progress) -> None:
            super().__call__(progress)
            if progress.done == 4:
                os.kill(os.getpid(), signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(module, "JsonLines", Interrupting)
        assert main(command) == 130
    assert [entry.name for entry in (tmp_path / "out").iterdir()] == [".model.checkpoints"]
    assert main(command) == ExitCode.DONE
    assert '"train went on from epoch 5 of 12"' in capsys.readouterr().err
    assert [entry.name for entry in (tmp_path / "out").iterdir()] == ["model"]
    assert signal.getsignal(signal.SIGINT) is before
