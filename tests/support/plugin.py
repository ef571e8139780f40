"""``kubectl modelservice`` as a user of a namespace runs it."""

import re
import signal
import subprocess
import sys
from pathlib import Path

import httpx
from tests.support.e2e import Space

from modelservice.contract.exit_codes import ExitCode

_PLUGIN = "from modelservice.cli.cluster import plugin; raise SystemExit(plugin())"
_COMPLETION = "from modelservice.cli.completion import kubectl; raise SystemExit(kubectl())"


def plugin(space: Space, *arguments: str | Path, code: int = 0, folder: Path | None = None) -> str:
    """What it says: on stdout, or where it is to fail with a code on stderr; run from a folder, if one is named."""
    place = ("--kubeconfig", str(space.user), "--namespace", space.name)
    done = _run(_PLUGIN, *arguments, *place, folder=folder)
    assert done.returncode == code, done.stderr
    return done.stdout if code == 0 else done.stderr


def completions(space: Space, command: str, *typed: str) -> list[str]:
    """Words that kubectl would offer for the last of those that were typed after a command."""
    done = _run(_COMPLETION, command, "--kubeconfig", str(space.user), "--namespace", space.name, *typed)
    assert done.returncode == 0, done.stderr
    *lines, directive = done.stdout.splitlines()
    assert directive == ":4"
    return [line.partition("\t")[0] for line in lines if not line.startswith("-")]


def page_of(space: Space, name: str) -> str:
    """The page of a model, as ``report`` leads a browser to it until Ctrl-C."""
    command = [sys.executable, "-m", "modelservice", "cluster", "report", name, "--no-browser"]
    place = ("--kubeconfig", str(space.user), "--namespace", space.name)
    with subprocess.Popen([*command, *place], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            found = re.search(r"http://127.0.0.1:\d+/", process.stdout.readline())
            assert found is not None
            page = httpx.get(found[0], headers={"accept": "text/html"}, trust_env=False, timeout=30).text
            process.send_signal(signal.SIGINT)
            assert process.wait(30) == ExitCode.DONE
        finally:
            process.kill()  # else the end of the context waits for it, such as where SIGINT is ignored
    return page


def _run(code: str, *arguments: str | Path, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, cwd=folder)
