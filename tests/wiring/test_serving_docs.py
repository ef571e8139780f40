"""The walk-through of keys, certificates and tokens in docs/serving.md, typed into a shell as it stands there."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.bench.serving_processes import free_port
from tests.support.document_runs import WALK
from tests.support.documents import File, typed_by
from tests.support.samples import SAMPLES

SERVE = "modelservice serve "
UNTIL_READY = "until curl -s -o /dev/null {url}; do kill -0 $!; sleep 0.1; done"
END = "kill -KILL $! && wait $! || true"
MARK = "--- next"


@pytest.fixture
def laptop(iris_model: Path, tmp_path: Path) -> Path:
    """A folder with the sample and its model."""
    (tmp_path / "manifests" / "samples").mkdir(parents=True)
    shutil.copy(SAMPLES / "iris.yaml", tmp_path / "manifests" / "samples")
    shutil.copytree(iris_model, tmp_path / "out" / "iris")
    return tmp_path


def test_the_walk_through_does_what_it_shows(laptop: Path) -> None:
    script, expected = ["set -eu"], []
    port = 0
    for step in typed_by(WALK, "docs/serving.md"):
        if isinstance(step, File):
            (laptop / step.name).write_text(step.content)
            continue
        serves = step.text.startswith(SERVE)
        port = free_port() if serves else port
        typed = step.text.replace("localhost:8080", f"localhost:{port}").replace(SERVE, f"{SERVE}--port {port} ")
        script += [f"echo '{MARK}'", END if step.text.startswith("kill") else typed]
        expected.append("".join(step.shown))
        if serves:
            scheme = "https" if '"tls"' in step.text else "http"
            script.append(UNTIL_READY.format(url=f"-k {scheme}://localhost:{port}/v2/health/ready"))
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", "\n".join(script)],
        cwd=laptop,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    printed = done.stdout.split(f"{MARK}\n")[1:]
    assert len(printed) == len(expected) > 8
    for answer, shown in zip(printed, expected, strict=True):
        assert answer.strip().startswith(shown.partition("...\n")[0].removesuffix("...")), done.stderr
    assert sum(bool(shown) for shown in expected) == 4
