"""``kubectl modelservice`` as a user of a namespace runs it."""

import subprocess
import sys
from pathlib import Path

from tests.support.e2e import Space

_PLUGIN = "from modelservice.cli.cluster import plugin; raise SystemExit(plugin())"
_COMPLETION = "from modelservice.cli.completion import kubectl; raise SystemExit(kubectl())"


def plugin(space: Space, *arguments: str | Path, code: int = 0) -> str:
    """What it says: on stdout, or where it is to fail with a code on stderr."""
    place = ("--kubeconfig", str(space.user), "--namespace", space.name)
    done = _run(_PLUGIN, *arguments, *place)
    assert done.returncode == code, done.stderr
    return done.stdout if code == 0 else done.stderr


def completions(space: Space, command: str, *typed: str) -> list[str]:
    """Words that kubectl would offer for the last of those that were typed after a command."""
    done = _run(_COMPLETION, command, "--kubeconfig", str(space.user), "--namespace", space.name, *typed)
    assert done.returncode == 0, done.stderr
    *lines, directive = done.stdout.splitlines()
    assert directive == ":4"
    return [line.partition("\t")[0] for line in lines if not line.startswith("-")]


def _run(code: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
