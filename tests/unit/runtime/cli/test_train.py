"""``modelservice train`` and ``compress`` as a user calls them."""

import errno
import gc
import json
from pathlib import Path
from typing import Any

import pytest
from tests.support.samples import SAMPLES
from tests.unit.runtime.cli.resource import RESOURCE
from tests.unit.runtime.stages.pipelines import IRIS

from modelservice.artifact.stores import folder as folder_module
from modelservice.cli import main
from modelservice.contract.exit_codes import ExitCode
from modelservice.inference.predictor import Predictor
from modelservice.stages import local
from modelservice.stages.documents import ResourceError


@pytest.mark.parametrize("command", ["train", "compress"])
def test_files_of_single_sides_are_named_beside_the_data(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, Any] = {}

    def run(_: Any, **arguments: Any) -> None:
        asked.update(arguments)
        raise ResourceError("enough")

    monkeypatch.setattr(local, f"{'run' if command == 'train' else command}_locally", run)
    named = ["--data", "a.csv", "--test-data", "t.csv", "--validation-data", "v.csv"]
    more = ["--input", "in", "--output", "out"] if command == "compress" else []
    file = str(SAMPLES / "test-file.yaml")
    assert main([command, "-f", file, *named, *more]) == ExitCode.ORDER_INVALID
    assert (asked["data"], asked["given"]) == (Path("a.csv"), {"validation": Path("v.csv"), "test": Path("t.csv")})


def test_training_prints_metrics_and_what_to_do_next(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "-f", "iris.yaml", "--data", str(IRIS)]) == ExitCode.DONE
    printed = capsys.readouterr()
    for words in ("150 rows, 4 features, 3 classes", "precision", "predicted class", "95 % interval", "out/iris"):
        assert words in printed.out
    assert "  modelservice serve -f iris.yaml\n" in printed.out
    events = [json.loads(line) for line in printed.err.splitlines()]
    assert [(event["stage"], event["done"], event["total"]) for event in events] == [("train", 1, 2), ("train", 2, 2)]


def test_training_elsewhere_says_how_to_serve_from_there(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "-f", "iris.yaml", "--data", str(IRIS), "--output", "models/1"]) == ExitCode.DONE
    assert "  modelservice serve --model models/1 --name iris\n" in capsys.readouterr().out
    assert (home / "models/1/manifest.json").exists()


@pytest.mark.parametrize(
    ("resource", "data", "code", "words"),
    [
        (RESOURCE.replace("epochs: 2", "epochs: 0"), IRIS, ExitCode.ORDER_INVALID, "spec.training.epochs: 0: "),
        (RESOURCE.replace("species", "kind"), IRIS, ExitCode.DATA_INVALID, "no column 'kind'"),
        (RESOURCE, "missing.csv", ExitCode.DATA_INVALID, "missing.csv cannot be read"),
        (RESOURCE, None, ExitCode.ORDER_INVALID, "no ConfigMap 'iris'"),
        (
            RESOURCE.replace("epochs: 2", "epochs: 60, l2: 1, optimizer: {sgd: {learningRate: 10, momentum: 0.99}}"),
            IRIS,
            ExitCode.ORDER_INVALID,
            "lower spec.training.optimizer.sgd.learningRate",
        ),
    ],
)
def test_errors_are_a_line_on_stderr_and_an_exit_code(
    home: Path, capsys: pytest.CaptureFixture[str], *, resource: Any, data: Any, code: int, words: str
) -> None:
    (home / "iris.yaml").write_text(resource)
    assert main(["train", "-f", "iris.yaml", *(["--data", str(data)] if data else [])]) == code
    printed = capsys.readouterr()
    errors = [line for line in printed.err.splitlines() if not line.startswith("{")]
    assert len(errors) == 1
    assert errors[0].startswith("error: ")
    assert words in errors[0]
    assert printed.out == ""
    assert not (home / "out" / "iris").exists()


def test_a_folder_of_something_else_is_not_overwritten(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (home / "out/iris").mkdir(parents=True)
    (home / "out/iris/thesis.tex").touch()
    assert main(["train", "-f", "iris.yaml", "--data", str(IRIS)]) == ExitCode.ORDER_INVALID
    assert "--output" in capsys.readouterr().err
    assert (home / "out/iris/thesis.tex").exists()


@pytest.mark.parametrize(
    ("output", "words"),
    [("s3://models/iris", "trained into a folder here"), ("", "is no folder"), ("/", "is no folder")],
)
def test_an_output_that_is_no_folder(
    home: Path, capsys: pytest.CaptureFixture[str], *, output: str, words: str
) -> None:
    before = sorted(home.iterdir())
    assert main(["train", "-f", "iris.yaml", "--data", str(IRIS), "--output", output]) == ExitCode.ORDER_INVALID
    assert words in capsys.readouterr().err
    assert sorted(home.iterdir()) == before


def test_an_empty_folder_that_one_is_in_becomes_the_artifact(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "empty").mkdir()
    monkeypatch.chdir(home / "empty")
    assert main(["train", "-f", "../iris.yaml", "--data", str(IRIS), "--output", "."]) == ExitCode.DONE
    assert main(["inspect", str(home / "empty")]) == ExitCode.DONE


def test_a_full_disk_at_home_names_no_field_of_a_cluster(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, _content: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(folder_module, "_write_file", full)
    assert main(["train", "-f", "iris.yaml", "--data", str(IRIS)]) == ExitCode.TRY_AGAIN
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("error: No space left on device: out/")
    assert "spec" not in error


def test_a_compression_is_shown(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    compression = "  compression: {maxAccuracyDrop: 1, steps: [{quantize: {}}]}\n"
    (home / "iris.yaml").write_text(RESOURCE.replace("[8]", "[64, 64]") + compression)
    assert main(["train", "-f", "iris.yaml", "--data", str(IRIS)]) == ExitCode.DONE
    shown = " ".join(capsys.readouterr().out.split())
    assert "compression:" in shown
    assert "and may fall by 1" in shown
    assert main(["inspect", "out/iris"]) == ExitCode.DONE
    assert "stage compress, from " in capsys.readouterr().out


def test_a_trained_model_is_compressed(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    step = "prune: {structured: {ratio: 0.5}, fineTuneEpochs: 1}"
    (trained / "iris.yaml").write_text(RESOURCE + f"  compression: {{maxAccuracyDrop: 1, steps: [{{{step}}}]}}\n")
    asked = ["compress", "-f", "iris.yaml", "--data", str(IRIS), "--input", "out/iris", "--output", "small"]
    assert main(asked) == ExitCode.DONE
    shown = " ".join(capsys.readouterr().out.split())
    assert "compression:" in shown
    assert "modelservice serve --model small --name iris" in shown
    assert (Predictor.load("out/iris").manifest.parameters, Predictor.load("small").manifest.parameters) == (67, 35)
    assert main([*asked[:-1], "out/iris"]) == ExitCode.ORDER_INVALID
    assert "name another folder" in capsys.readouterr().err


def test_a_training_looks_for_garbage_less_often(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    thresholds: list[int] = []
    monkeypatch.setattr(gc, "set_threshold", thresholds.append)
    assert main(["train", "-f", str(tmp_path / "none.yaml")]) == ExitCode.ORDER_INVALID
    assert thresholds == [50_000]
