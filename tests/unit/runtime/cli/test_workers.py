"""``modelservice train`` with several workers: the sample by two processes is what it is by one."""

import argparse
import gc
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tests.support.samples import SAMPLES

from modelservice.cli import main, train
from modelservice.contract.exit_codes import ExitCode
from modelservice.stages.documents import read_resource
from modelservice.stages.local_team import together_of, workers_of
from modelservice.training import launching

SAMPLE = SAMPLES / "workers.yaml"


def weights(folder: Path) -> dict[str, torch.Tensor]:
    """Of an artifact."""
    return load_file(folder / "weights.safetensors")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # torch leaves a log open
def test_two_processes_store_what_one_does(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "-f", str(SAMPLE), "--output", str(tmp_path / "two")]) == ExitCode.DONE
    said = capfd.readouterr()
    assert said.out.count("stored in") == 1, "the first process speaks for all"
    assert main(["train", "-f", str(SAMPLE), "--output", str(tmp_path / "one"), "--workers", "1"]) == ExitCode.DONE
    gc.collect()  # what torch leaves open is found here, and not in whichever test is the next
    one, two = weights(tmp_path / "one"), weights(tmp_path / "two")
    assert one.keys() == two.keys()
    for name, tensor in one.items():
        torch.testing.assert_close(two[name], tensor, atol=1e-4, rtol=0)


def test_the_command_line_counts_before_the_file(tmp_path: Path) -> None:
    assert workers_of(SAMPLE, None) == 2
    assert workers_of(SAMPLE, 3) == 3
    assert workers_of(tmp_path / "absent.yaml", None) == 1, "who reads it next says why"


def test_each_process_gets_the_same_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: list[Any] = []

    def launch(arguments: list[str], team: Any, _: Any) -> int:
        asked.append((arguments, team.processes))
        return 75

    monkeypatch.setattr(launching, "launch", launch)
    monkeypatch.setenv("OMP_NUM_THREADS", "4")
    asked_for = ["--data=t.csv", "--artifact=copy", "--encoder=http://localhost:1"]
    arguments = ["train", "-f", str(SAMPLE), *asked_for, "--workers", "4"]
    assert main(arguments) == 75
    ((given, processes),) = asked
    assert processes == 4
    assert given[:4] == ["-m", "modelservice", "train", f"--file={SAMPLE}"]
    assert sorted(given[4:]) == sorted([*asked_for, "--workers=4"])


@pytest.mark.parametrize("said", ["0", "65", "two", "-1"])
def test_a_number_of_workers_is_one(said: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="no number from 1 to 64"):
        train._workers(said)


def test_a_family_without_steps_is_refused_by_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A ModelService is refused before, as the apiserver does."""
    text = SAMPLE.read_text(encoding="utf-8").replace("hiddenLayers: [64, 64]", "").replace("ensemble: 1", "")
    (tmp_path / "svm.yaml").write_text(text.replace("mlp:", "svm: {}"), encoding="utf-8")
    assert main(["train", "-f", str(tmp_path / "svm.yaml"), "--workers", "1"]) == ExitCode.ORDER_INVALID
    assert "mlp, cnn, rnn and transformer" in capsys.readouterr().err


def test_a_process_knows_which_it_is() -> None:
    resource = read_resource(SAMPLE)
    assert together_of(resource, {}).workers == 1
    together = together_of(resource, {"TORCHELASTIC_RUN_ID": "a", "RANK": "1", "WORLD_SIZE": "2"})
    assert (together.workers, together.rank) == (2, 1)
