"""Server processes of the bench: started, ready, watched, and gone afterwards."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import IO

from tests.bench.record import ROOT
from tests.bench.serving_access import Guarded

from modelservice.contract.places import CPU_LIMIT_ENV
from modelservice.contract.server_flags import ServerFlags, server_arguments

START_DEADLINE = 60.0
ENVIRONMENT = {**os.environ, CPU_LIMIT_ENV: "1", "OMP_NUM_THREADS": "1"}


@contextlib.contextmanager
def model_server(
    folder: Path,
    *,
    port: int,
    grpc_port: int | None = None,
    guarded: Guarded | None = None,
    traces: Mapping[str, str] = MappingProxyType({}),
) -> Iterator[tuple[int, float]]:
    """Our server as the command starts it; gives its process and the seconds until it was ready.

    ``guarded`` asks callers for a token; ``traces`` are OpenTelemetry's variables.
    """
    flags = ServerFlags(model=str(folder), name=folder.name, host="127.0.0.1", port=port, grpc_port=grpc_port)
    if guarded is not None:
        flags = replace(flags, access=guarded.access, secrets=str(guarded.secrets))
    with _running(["-m", "modelservice", *server_arguments(flags)], traces) as (process, started, log):
        _wait_until_answered(f"http://127.0.0.1:{port}/v2/health/ready", process, log)
        yield process.pid, time.monotonic() - started


@contextlib.contextmanager
def bare_server(role: str, argument: str, *, port: int) -> Iterator[int]:
    """A server of ``tests.bench.servers`` that listens; gives its process."""
    with _running(["-m", "tests.bench.servers", role, str(port), argument]) as (process, _, log):
        _wait_until_listening(port, process, log)
        yield process.pid


@contextlib.contextmanager
def engine_alone(folder: Path) -> Iterator["EngineAlone"]:
    """The model without a server, in a process that measures when it is asked."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.bench.servers", "engine", str(folder)],
        cwd=ROOT,
        env=ENVIRONMENT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdin is not None
        assert process.stdout is not None
        yield EngineAlone(process.stdin, process.stdout)
    finally:
        process.kill()
        process.wait()


class EngineAlone:
    """Rows each second that our engine computes with one thread, in batches of several sizes."""

    def __init__(self, asked: IO[str], answered: IO[str]) -> None:
        self._asked = asked
        self._answered = answered

    def rates(self) -> list[float]:
        """Measure once, by size."""
        self._asked.write("\n")
        self._asked.flush()
        return [float(rate) for rate in json.loads(self._answered.readline())]


def cpu_seconds(pid: int) -> float:
    """CPU time of a process so far, user and system; it does not depend on who else wants the CPUs."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_mebibytes(pid: int) -> float:
    """Resident memory of a process."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def _running(
    arguments: list[str], more: Mapping[str, str] = MappingProxyType({})
) -> Iterator[tuple[subprocess.Popen[bytes], float, Path]]:
    with tempfile.TemporaryDirectory() as scratch:
        log = Path(scratch) / "log"
        started = time.monotonic()
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, *arguments], cwd=ROOT, env={**ENVIRONMENT, **more}, stdout=output, stderr=output
            )
            try:
                yield process, started, log
            finally:
                process.kill()
                process.wait()


def _wait_until_answered(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait for a first answer of 200."""
    deadline = time.monotonic() + START_DEADLINE
    while time.monotonic() < deadline:
        _check_alive(process, log)
        with contextlib.suppress(urllib.error.URLError, ConnectionError), urllib.request.urlopen(url, timeout=5):  # noqa: S310
            return
        time.sleep(0.01)
    raise RuntimeError(f"no answer from {url} within {START_DEADLINE:.0f} s: {log.read_text()}")


def _wait_until_listening(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until a connection is taken."""
    deadline = time.monotonic() + START_DEADLINE
    while time.monotonic() < deadline:
        _check_alive(process, log)
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=5):
            return
        time.sleep(0.02)
    raise RuntimeError(f"nobody listens on port {port} within {START_DEADLINE:.0f} s: {log.read_text()}")


def _check_alive(process: subprocess.Popen[bytes], log: Path) -> None:
    if process.poll() is not None:
        raise RuntimeError(f"the server ended with {process.returncode}: {log.read_text()}")
