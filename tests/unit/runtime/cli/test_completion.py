"""Completion, as shells and kubectl ask for it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.unit.runtime.cluster.fakes import FakeAccess

from modelservice.cli import completion, main
from modelservice.cli.completion import kubectl
from modelservice.cluster import access as access_module
from modelservice.contract.exit_codes import ExitCode

SCRIPTS = Path(sys.executable).parent


class Cluster(FakeAccess):
    """Two ModelServices; ``asked`` is with what it was opened."""

    asked: dict[str, Any]


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Cluster:
    revisions = [{"number": 12}, {"number": 4}]
    found = Cluster(found={name: {"metadata": {"name": name}} for name in ("iris", "irises", "wine")})
    found.found["iris"]["status"] = {"revisions": revisions}

    def opened(**options: Any) -> Cluster:
        found.asked = options
        return found

    monkeypatch.setattr(access_module, "Access", opened)
    return found


def offered(capsys: pytest.CaptureFixture[str], *typed: str) -> tuple[list[str], str]:
    """Words that are offered, without what is said of each, and the directive."""
    assert kubectl(typed) == ExitCode.DONE
    *lines, directive = capsys.readouterr().out.splitlines()
    return [line.partition("\t")[0] for line in lines], directive


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        (["status", ""], {"iris", "irises", "wine"}),
        (["status", "iri"], {"iris", "irises"}),
        (["pull", "w"], {"wine"}),
        (["status", "nothing"], set()),
        (["compare", "iris", ""], {"4", "12"}),
        (["compare", "iris", "4", "1"], {"12"}),
        (["rollback", "iris", ""], {"4", "12"}),
        (["pull", "iris", "--revision", ""], {"4", "12"}),
        (
            [
                "compare",
                "wine",
                "",
            ],
            set(),
        ),
        (
            ["compare", "iris", "4", "12", "--metric", "r"],
            {"r2", "rmse", "recall", "recallWeighted", "recallPositive", "rocAuc"},
        ),
        (["retry", "iris", "--app"], {"--apply"}),
        (["ret"], {"retry"}),
        (["p"], {"plan", "predict", "promote", "pull"}),
    ],
)
def test_kubectl_is_told_how_a_line_goes_on(
    typed: list[str], words: set[str], cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    found, directive = offered(capsys, *typed)
    assert {word for word in found if not word.startswith("-") or typed[-1].startswith("-")} == words
    assert directive == ":4", "no files but those that are offered"


def test_commands_are_offered_with_what_they_do(cluster: Cluster, capsys: pytest.CaptureFixture[str]) -> None:
    kubectl(["retr"])
    assert capsys.readouterr().out == "retry\ttry again what failed for good\n:4\n"


def test_the_namespace_and_the_context_that_were_typed_are_asked_and_not_for_long(
    cluster: Cluster, capsys: pytest.CaptureFixture[str]
) -> None:
    assert offered(capsys, "status", "-n", "team-a", "--context", "prod", "wi")[0] == ["wine"]
    assert (cluster.asked["namespace"], cluster.asked["context"]) == ("team-a", "prod")
    assert cluster.asked["timeout"] <= 5


def test_contexts_are_those_of_the_kubeconfig(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = ["prod", "preview", "dev"]
    context = {"cluster": "k", "user": "u"}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "dev",
        "contexts": [{"name": name, "context": context} for name in names],
        "clusters": [{"name": "k", "cluster": {"server": "http://127.0.0.1:1"}}],
        "users": [{"name": "u", "user": {}}],
    }
    (tmp_path / "config").write_text(yaml.safe_dump(config))
    found, _ = offered(capsys, "status", "--kubeconfig", str(tmp_path / "config"), "--context", "pr")
    assert sorted(found) == ["preview", "prod"]
    # Nobody answers at that address, and nobody is told so in the middle of a line.
    assert offered(capsys, "status", "--kubeconfig", str(tmp_path / "config"), "iri") == ([], ":4")
    assert offered(capsys, "status", "--kubeconfig", str(tmp_path / "absent"), "--context", "pr") == ([], ":4")


def test_folders_are_offered_without_a_space_after_them(
    cluster: Cluster, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models").mkdir()
    (tmp_path / "rows.csv").write_text("")
    assert offered(capsys, "pull", "iris", "--output", "mo") == (["models/"], ":6")
    assert offered(capsys, "predict", "iris", "ro") == (["rows.csv"], ":4")


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_a_script_is_printed_for_each_shell(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == ExitCode.DONE
    script = capsys.readouterr().out
    assert script.startswith("#compdef modelservice\n")
    if shutil.which(shell):
        done = subprocess.run([shell, "-n"], input=script, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")


def test_bash_completes_a_line() -> None:
    """As bash does it: the function that the script registers, with what a key would set."""
    script = """
source <(modelservice completion bash)
COMP_LINE="$1"; COMP_POINT=${#COMP_LINE}; COMP_TYPE=9; COMP_WORDS=($COMP_LINE); COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
$(complete -p modelservice | sed 's/.*-F \\([^ ]*\\) .*/\\1/') modelservice "${COMP_WORDS[-1]}" 2>/dev/null
printf '%s\\n' "${COMPREPLY[@]}"
"""
    environment = {**os.environ, "PATH": f"{SCRIPTS}{os.pathsep}{os.environ['PATH']}"}
    for line, word in (("modelservice cluster ret", "retry"), ("modelservice comple", "completion")):
        done = subprocess.run(
            ["bash", "-c", script, "bash", line], env=environment, capture_output=True, text=True, check=True
        )
        assert done.stdout.split() == [word], done.stderr


def test_kubectl_finds_a_program_of_that_name() -> None:
    done = subprocess.run(
        [SCRIPTS / "kubectl_complete-modelservice", "compl"], capture_output=True, text=True, check=True
    )
    assert done.stdout == ":4\n", "the completion of shells is none of kubectl's"
    done = subprocess.run(
        [SCRIPTS / "kubectl_complete-modelservice", "pul"], capture_output=True, text=True, check=True
    )
    assert done.stdout == "pull\thave the artifact of a revision in a folder\n:4\n"


def test_without_the_extra_it_is_named(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "argcomplete.shell_integration", None)
    assert main(["completion", "bash"]) == ExitCode.ORDER_INVALID
    assert "this command needs the extra `cluster`" in capsys.readouterr().err
    # A shell that asks all the same gets no answer, and the command does not run.
    monkeypatch.setenv(completion.ASKED, "1")
    monkeypatch.setitem(sys.modules, "argcomplete", None)
    with pytest.raises(SystemExit):
        main(["status-of-nothing"])
