"""The command as a whole: its help, its exit codes, what it imports, what the server's image has not."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.unit.runtime.stages.pipelines import order_of, train_work

from modelservice import __version__
from modelservice.cli import main
from modelservice.contract.exit_codes import ExitCode
from modelservice.contract.places import CPU_LIMIT_ENV
from modelservice.stages import run as run_module


def in_the_servers_image(code: str) -> subprocess.CompletedProcess[str]:
    """A process that has neither the trainer's libraries nor the trainer's packages of ours."""
    missing = ("torch", "sklearn", "onnx", "pyarrow", "safetensors", "pandas")
    packages = ("stages", "families", "training", "compression")
    code = (
        "import sys\n"
        f"for name in {missing!r}: sys.modules[name] = None\n"
        f"for name in {packages!r}: sys.modules['modelservice.' + name] = None\n"
        f"{code}"
    )
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_a_server_needs_nothing_of_the_trainer(trained: Path) -> None:
    done = in_the_servers_image(
        "from modelservice.serving import main as serving\n"
        "serving.serve = lambda source, **given: print(source.load().predict([[5.1, 3.5, 1.4, 0.2]])) or 0\n"
        "from modelservice.cli import main\n"
        "sys.exit(main(['serve', '--model', 'out/iris', '--name', 'iris']))"
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("['")


@pytest.mark.parametrize(
    ("command", "code", "words"),
    [
        (["inspect", "out/iris"], ExitCode.DONE, "predicted class"),
        (["train", "-f", "iris.yaml"], ExitCode.ORDER_INVALID, "this command needs the trainer's image"),
        (["stage"], ExitCode.ORDER_INVALID, "this command needs the trainer's image"),
    ],
)
def test_the_servers_image_inspects_and_says_what_it_has_not(
    trained: Path, command: list[str], code: int, words: str
) -> None:
    done = in_the_servers_image(f"from modelservice.cli import main; sys.exit(main({command!r}))")
    assert done.returncode == code, done.stderr
    assert words in done.stdout + done.stderr


def test_a_notebook_with_the_servers_extra_is_told_which_one_trains() -> None:
    code = "sys.modules['pyarrow'] = None; import modelservice; modelservice.train('iris.yaml')"
    done = subprocess.run([sys.executable, "-c", f"import sys; {code}"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    said = done.stderr.strip().splitlines()[-1]
    assert said.startswith(
        "ModuleNotFoundError: modelservice.train needs the extra `trainer` (pip install '.[trainer]'): "
    )
    assert "pyarrow" in said


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (["serve", "--model", "m"], "--model m: has no name; write --model NAME=m, or --name beside a lone address"),
        (["serve", "--model", "a=m", "--model", "n", "--name", "b"], "--name names one model, and 2 are given"),
        (["serve", "--model", "a=m", "--model", "n"], "--model n: has no name"),
        (["serve", "--model", "a=m", "--model", "a=n"], "--model a=n: there is another model of this name"),
        (
            ["serve", "--model", "a=m", "--model", "b=n", "--digest", f"sha256:{64 * '0'}"],
            "--digest is that of one model, and 2 are given",
        ),
        (["serve", "--model", "a=m", "--model", "b=n", "--revision", "2"], "--revision is that of one model"),
        (["serve", "--model", "m", "--name", "n", "--batch-max-size", "0"], "--batch-max-size: Input should be"),
        (["serve", "-f", "a", "--model", "m"], "not allowed with"),
        (["serve", "-f", "a", "--port", "65536"], "'65536' is not a port: 0 to 65535"),
        (["serve", "--model", "m", "--name", "n", "--revision", "0"], "'0' is not the number of a revision: 1 to"),
        (
            ["serve", "--model", "m", "--name", "n", "--digest", "sha256:1234"],
            "'sha256:1234' is no digest: sha256: and",
        ),
        (
            ["serve", "--model", "m", "--name", "n", "--grpc-port", "8080"],
            "--grpc-port: 8080 is the port of --port, too: name another one",
        ),
        (
            ["serve", "--model", "m", "--name", "n", "--grpc-port", "9000", "--status-port", "9000"],
            "--status-port: 9000 is the port of --grpc-port, too: name another one",
        ),
        (["serve"], "is required"),
        (
            ["serve", "--model", "m", "--name", "n", "--access", '{"auth": {}}'],
            "exactly one of apiKeys, jwt must be set",
        ),
        (
            ["serve", "--model", "m", "--name", "n", "--access", "access.json"],
            "expected an object of auth, tls, limits",
        ),
        (["serve", "--model", "m", "--name", "n", "--access", '{"keys": 1}'], "keys: there is no such field; expected"),
        (["train"], "arguments are required: -f"),
        (["serve", "--model", "m", "--name", "n", "--engine", "tpu"], "invalid choice: 'tpu'"),
        ([], "COMMAND"),
    ],
)
def test_wrong_commands_are_explained(capsys: pytest.CaptureFixture[str], command: list[str], words: str) -> None:
    with pytest.raises(SystemExit) as ended:
        main(command)
    assert ended.value.code == 2
    assert words in capsys.readouterr().err


def test_an_order_that_is_not_there_ends_with_its_exit_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["stage", "--order", str(tmp_path / "order.json")]) == ExitCode.ORDER_INVALID
    assert '"reason": "OrderNotFound"' in capsys.readouterr().out


@pytest.mark.parametrize(("said", "threads"), [(None, "3"), ("1", "1")])
def test_a_stage_uses_the_cpus_that_it_may_unless_the_user_says_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str | None, threads: str
) -> None:
    """Set before torch and scikit-learn are imported, which read it then."""
    monkeypatch.setattr(os, "environ", {CPU_LIMIT_ENV: "3", **({} if said is None else {"OMP_NUM_THREADS": said})})
    calls: list[dict[str, Any]] = []

    def run_stage(**given: Any) -> int:
        calls.append(given)
        return ExitCode.DONE

    monkeypatch.setattr(run_module, "run_stage", run_stage)
    order = tmp_path / "order.json"
    order.write_text(order_of(train_work()).model_dump_json())
    assert main(["stage", "--order", str(order)]) == ExitCode.DONE
    assert (os.environ["OMP_NUM_THREADS"], calls[0]["where"].order) == (threads, order)


@pytest.mark.parametrize(
    "command", [[], ["train"], ["compress"], ["serve"], ["inspect"], ["predict"], ["explain"], ["stage"]]
)
def test_help_has_examples_and_imports_nothing_heavy(command: list[str]) -> None:
    code = (
        "import sys; from modelservice.cli import main\n"
        "try: main(sys.argv[1:])\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'numpy', 'pyarrow', 'fastapi', 'rich', 'yaml', 'onnxruntime', 'obstore'}\n"
        "heavy &= set(sys.modules)\n"
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


FULL = Path("/dev/full")


@pytest.mark.skipif(not FULL.exists(), reason="this system has no device that is always full")
@pytest.mark.parametrize("command", [["inspect", "out/iris"], ["predict", "out/iris", "rows.json"]])
def test_answers_that_a_full_disk_does_not_take_are_said_to_be_lost(trained: Path, command: list[str]) -> None:
    (trained / "rows.json").write_text("[[5.1, 3.5, 1.4, 0.2]]")
    with FULL.open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "modelservice", *command],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == ExitCode.TRY_AGAIN
    assert done.stderr == "error: what it says cannot be written: No space left on device\n"


@pytest.mark.usefixtures("trained")
def test_a_command_does_its_work_where_nobody_reads_what_it_says() -> None:
    command = f"{sys.executable} -m modelservice inspect out/iris >&- 2>&-"
    assert subprocess.run(["sh", "-c", command], check=False).returncode == ExitCode.DONE


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
def test_characters_that_an_encoding_has_not_are_escaped_as_json_has_them(encoding: str) -> None:
    text = "Köln 東京 \U0001f600 \udcff"
    code = f"from modelservice.cli.streams import settle_streams; settle_streams(); print('\"' + {text!a} + '\"')"
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.decode(encoding)) == text


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
