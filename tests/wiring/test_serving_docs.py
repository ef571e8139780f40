"""The walk-through of keys, certificates and tokens in docs/serving.md, typed into a shell as it stands there."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.bench.serving_processes import free_port
from tests.support.helm import ROOT
from tests.support.samples import SAMPLES

import modelservice

SECTION = (ROOT / "docs" / "serving.md").read_text(encoding="utf-8").split("### On a laptop\n")[1].split("\n## ")[0]
BLOCKS = re.findall(r"^```console\n(.*?)^```", SECTION, re.MULTILINE | re.DOTALL)
ISSUER = re.findall(r"^```python\n(# issuer\.py\n.*?)^```", SECTION, re.MULTILINE | re.DOTALL)
SERVE = "modelservice serve "
UNTIL_READY = "until curl -s -o /dev/null {url}; do kill -0 $!; sleep 0.1; done"
END = "kill -KILL $! && wait $! || true"
MARK = "--- next"


@pytest.fixture
def laptop(tmp_path: Path) -> Path:
    """A folder with the sample and its model."""
    (tmp_path / "manifests" / "samples").mkdir(parents=True)
    shutil.copy(SAMPLES / "iris.yaml", tmp_path / "manifests" / "samples")
    modelservice.train(SAMPLES / "iris.yaml", output=tmp_path / "out" / "iris")
    (content,) = ISSUER
    (tmp_path / "issuer.py").write_text(content)
    return tmp_path


def commands(block: str) -> Iterator[tuple[str, str]]:
    """Commands of a block, and what it shows of their answers."""
    for typed in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
        lines = typed.splitlines()
        shown = [line for line in lines[1:] if line.startswith('{"')]
        yield "\n".join(line for line in lines if line not in shown), "".join(shown)


def test_the_walk_through_does_what_it_shows(laptop: Path) -> None:
    script, expected = ["set -eu"], []
    for block in BLOCKS:
        port = free_port()
        for command, shown in commands(block):
            typed = command.replace("localhost:8080", f"localhost:{port}")
            typed = typed.replace(SERVE, f"{SERVE}--port {port} ")
            script += [f"echo '{MARK}'", END if command.startswith("kill") else typed]
            expected.append(shown)
            if command.startswith(SERVE):
                scheme = "https" if '"tls"' in command else "http"
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
