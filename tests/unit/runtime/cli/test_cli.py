"""The command as a user calls it; one process for what only a process can show, the rest in this one."""

import errno
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tests.unit.runtime.training.pipelines import IRIS

from modelservice import __version__
from modelservice.artifact import store
from modelservice.cli import main
from modelservice.contract.exit_codes import ExitCode
from modelservice.contract.serving import Batching
from modelservice.serving import main as serving

RESOURCE = """\
apiVersion: modelservice.dev/v1alpha1
kind: ModelService
metadata: {name: iris}
spec:
  data: {configMap: {name: iris}, target: species}
  model: {mlp: {hiddenLayers: [8]}}
  training: {epochs: 2}
  serving: {batching: {maxSize: 7}}
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "iris.yaml").write_text(RESOURCE)
    return tmp_path


@pytest.fixture
def trained(home: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    assert main(["train", "-f", "iris.yaml", "--data", str(IRIS)]) == ExitCode.DONE
    capsys.readouterr()
    return home


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    calls: list[dict[str, Any]] = []

    def serve(**arguments: Any) -> int:
        calls.append(arguments)
        return ExitCode.DONE

    monkeypatch.setattr(serving, "serve", serve)
    return calls


def test_training_prints_metrics_and_what_to_do_next(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "-f", "iris.yaml", "--data", str(IRIS)]) == ExitCode.DONE
    printed = capsys.readouterr()
    for words in ("150 rows, 4 features, 3 classes", "precision", "predicted class", "95 % interval", "out/iris"):
        assert words in printed.out
    assert "  modelservice serve -f iris.yaml\n" in printed.out
    events = [json.loads(line) for line in printed.err.splitlines()]
    assert [event["epoch"] for event in events] == [1, 2]


def test_training_elsewhere_says_how_to_serve_from_there(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "-f", "iris.yaml", "--data", str(IRIS), "--output", "models/1"]) == ExitCode.DONE
    assert "  modelservice serve --model models/1 --name iris\n" in capsys.readouterr().out
    assert (home / "models/1/manifest.json").exists()


@pytest.mark.parametrize(
    ("resource", "data", "code", "words"),
    [
        (RESOURCE.replace("epochs: 2", "epochs: 0"), IRIS, ExitCode.TASK_INVALID, "spec.training.epochs: 0: "),
        (RESOURCE.replace("species", "kind"), IRIS, ExitCode.DATA_INVALID, "no column 'kind'"),
        (RESOURCE, "missing.csv", ExitCode.DATA_INVALID, "missing.csv cannot be read"),
        (RESOURCE, None, ExitCode.TASK_INVALID, "no ConfigMap 'iris'"),
        (
            RESOURCE.replace("epochs: 2", "epochs: 60, l2: 1, optimizer: {sgd: {learningRate: 10, momentum: 0.99}}"),
            IRIS,
            ExitCode.TASK_INVALID,
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
    assert main(["train", "-f", "iris.yaml", "--data", str(IRIS)]) == ExitCode.TASK_INVALID
    assert "--output" in capsys.readouterr().err
    assert (home / "out/iris/thesis.tex").exists()


def test_a_full_disk_at_home_names_no_field_of_a_cluster(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, _content: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(store, "_write_file", full)
    assert main(["train", "-f", "iris.yaml", "--data", str(IRIS)]) == ExitCode.TRY_AGAIN
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("error: No space left on device: out/")
    assert "spec" not in error


def test_inspecting_shows_what_there_is(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", "out/iris"]) == ExitCode.DONE
    shown = capsys.readouterr().out
    for words in ("petal_width", "Numeric", "weights.safetensors", "sha256:", "predicted class", "key "):
        assert words in shown


def test_inspecting_as_json_is_json(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", "out/iris", "--json"]) == ExitCode.DONE
    shown = json.loads(capsys.readouterr().out)
    assert shown["digest"].startswith("sha256:")
    assert shown["manifest"]["data"]["rows"] == 150
    assert shown["signature"]["labels"] == ["setosa", "versicolor", "virginica"]
    assert shown["metrics"]["test"]["rows"] > 0


def test_inspecting_a_damaged_artifact_fails(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (trained / "out/iris/extra").touch()
    assert main(["inspect", "out/iris"]) == ExitCode.TASK_INVALID
    assert "'extra'" in capsys.readouterr().err


def test_serving_a_resource_takes_folder_name_and_batching_from_it(home: Path, served: Any) -> None:
    assert main(["serve", "-f", "iris.yaml", "--batch-max-delay-milliseconds", "3"]) == ExitCode.DONE
    (call,) = served
    assert (str(call["folder"]), call["name"], call["digest"]) == ("out/iris", "iris", None)
    assert (call["host"], call["port"]) == ("127.0.0.1", 8080)
    assert call["batching"] == Batching(max_size=7, max_delay_milliseconds=3)


def test_a_disk_that_fails_is_not_taken_for_an_address(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_args: Any, **_kwargs: Any) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(serving, "Predictor", SimpleNamespace(load=fail))
    command = ["serve", "--model", "m", "--name", "n", "--port", "0"]
    assert main(command) == ExitCode.TASK_INVALID
    assert capsys.readouterr().err == "m cannot be served: [Errno 5] Input/output error\n"


def test_serving_as_a_pod_is_told_to(served: Any) -> None:
    digest = "sha256:" + "0" * 64
    command = [
        *("serve", "--model=/var/lib/modelservice/artifacts/abc", "--name=iris", f"--digest={digest}"),
        *("--host=0.0.0.0", "--port=9000", "--batch-max-size=32"),
        *("--batch-max-delay-milliseconds=1", "--batch-max-queue-milliseconds=50"),
    ]
    assert main(command) == ExitCode.DONE
    (call,) = served
    assert str(call["folder"]) == "/var/lib/modelservice/artifacts/abc"
    assert (call["name"], call["digest"], call["port"]) == ("iris", digest, 9000)
    assert call["host"] == "0.0.0.0"  # noqa: S104
    assert call["batching"] == Batching(max_size=32, max_delay_milliseconds=1, max_queue_milliseconds=50)


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (["serve", "--model", "m"], "--name is needed with --model"),
        (["serve", "--model", "m", "--name", "n", "--batch-max-size", "0"], "--batch-max-size: Input should be"),
        (["serve", "-f", "a", "--model", "m"], "not allowed with"),
        (["serve", "-f", "a", "--port", "65536"], "'65536' is not a port: 0 to 65535"),
        (["serve"], "is required"),
        (["train"], "is required"),
        ([], "COMMAND"),
    ],
)
def test_wrong_commands_are_explained(capsys: pytest.CaptureFixture[str], command: list[str], words: str) -> None:
    with pytest.raises(SystemExit) as ended:
        main(command)
    assert ended.value.code == 2
    assert words in capsys.readouterr().err


def test_a_task_that_is_not_there_ends_with_its_exit_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--task", str(tmp_path / "task.json")]) == ExitCode.TASK_INVALID
    assert '"reason": "TaskNotFound"' in capsys.readouterr().out


@pytest.mark.parametrize("command", [[], ["train"], ["serve"], ["inspect"]])
def test_help_has_examples_and_imports_nothing_heavy(command: list[str]) -> None:
    code = (
        "import sys; from modelservice.cli import main\n"
        "try: main(sys.argv[1:])\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'numpy', 'pyarrow', 'fastapi', 'rich', 'yaml'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code, *command, "--help"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    if command:
        assert f"modelservice {command[0]} " in done.stdout.split("examples:")[1]


def test_the_package_is_a_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "modelservice", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout == f"modelservice {__version__}\n"


def test_sigterm_is_handled_from_the_first_import_on() -> None:
    """As process 1 of a container has to; without a handler the code would be -15, and nothing at all there."""
    code = (
        "import os, runpy, signal, modelservice.cli as cli\n"
        "cli.main = lambda: os.kill(os.getpid(), signal.SIGTERM)\n"
        "runpy.run_module('modelservice', run_name='__main__')"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == ExitCode.TERMINATED


def test_importing_the_package_imports_nothing_heavy() -> None:
    code = "import modelservice, sys; assert not {'torch', 'numpy', 'pydantic'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
