"""The tutorial on a laptop, typed into a shell as it stands there."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.bench.serving_processes import free_port
from tests.support.document_runs import TUTORIAL
from tests.support.documents import Command, typed_by
from tests.support.helm import ROOT
from tests.support.typed import lacking

MARK = "--- next"


def test_the_tutorial_does_what_it_shows(tmp_path: Path) -> None:
    (tmp_path / "tests" / "data").mkdir(parents=True)
    shutil.copy(ROOT / "tests" / "data" / "iris.csv", tmp_path / "tests" / "data")
    port = free_port()
    steps = [step for step in typed_by(TUTORIAL, "docs/tutorial.md") if isinstance(step, Command)]
    script = ["exec 2>&1"]
    for step in steps:
        command = step.text.replace("localhost:8080", f"localhost:{port}")
        if command.startswith("modelservice serve"):
            command = command.replace("serve", f"serve --port {port}")
        script += [f"echo '{MARK}'", command, "echo"]
    done = subprocess.run(
        ["bash", "-c", "\n".join(script)],
        cwd=tmp_path,
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "COLUMNS": "200"},
        stdout=subprocess.PIPE,
        text=True,
        timeout=180,
        check=False,
    )
    answers = done.stdout.split(f"{MARK}\n")[1:]
    assert len(answers) == len(steps) > 10
    for step, answer in zip(steps, answers, strict=True):
        assert lacking(answer, step.shown) == [], f"{step.text}\n{answer}"
