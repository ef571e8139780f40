"""``modelservice serve`` as a process of this machine, on a port that it chose."""

import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

DEADLINE = 60.0
"""Seconds for what takes one or two."""


@contextmanager
def server(
    folder: Path, log: Path, *arguments: str, name: str | None = "churn"
) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """Serve an artifact until the context ends: the process, ready, and its ``host:port``.

    Args:
        folder: of the artifact.
        log: file that gets what it says.
        arguments: more of them.
        name: of the model; None where ``folder`` is NAME=FOLDER.
    """
    command = [sys.executable, "-m", "modelservice", "serve", "--model", str(folder), "--port", "0"]
    command += [] if name is None else ["--name", name]
    with log.open("wb") as output:
        process = subprocess.Popen([*command, *arguments], stderr=output)
        try:
            yield process, _address(process, log)
        finally:
            process.kill()
            process.wait()


def _address(process: subprocess.Popen[bytes], log: Path) -> str:
    deadline = time.monotonic() + DEADLINE
    while time.monotonic() < deadline:
        if found := re.search(r"http://(127\.0\.0\.1:\d+)", log.read_text()):
            with suppress(ConnectionError, urllib.error.URLError):
                urllib.request.urlopen(f"http://{found[1]}/v2/health/ready", timeout=10).close()
                return found[1]
        assert process.poll() is None, log.read_text()
        time.sleep(0.05)
    raise AssertionError(log.read_text())
