"""``make bench-serving``: our server against a bare echo in the same run, with wrk on the loopback.

One process, one torch thread, interleaved rounds; medians are reported. The ratio is what counts: absolute figures
are those of the machine.
"""

import argparse
import contextlib
import json
import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.bench.record import ROOT, Figure, at_least, figure, record
from tests.bench.untrained import COLUMNS, write_untrained

from modelservice.contract.places import CPU_LIMIT_ENV

RATIO_LIMIT = 0.45
START_DEADLINE = 60.0
PREDICT, INFER = "/v1/models/iris:predict", "/v2/models/iris/infer"
BODIES = {
    PREDICT: {"instances": [COLUMNS]},
    INFER: {"inputs": [{"name": "features", "datatype": "FP32", "shape": [1, 4], "data": list(COLUMNS.values())}]},
}
SHORT = {PREDICT: "v1 predict", INFER: "v2 infer"}


@dataclass(frozen=True, kw_only=True)
class Load:
    """One wrk run: requests each second, milliseconds at two percentiles, microseconds of CPU for each request."""

    rate: float
    p50: float
    p99: float
    cpu: float


@dataclass(frozen=True, kw_only=True)
class Target:
    """Something to put load on; ``server`` is a name in the table."""

    server: str
    path: str
    port: int
    pid: int
    connections: int

    @property
    def label(self) -> str:
        """How the table names it."""
        return f"{SHORT[self.path]}, {counted(self.connections)}, {self.server}"


@dataclass(frozen=True, kw_only=True)
class Start:
    """Seconds of a start, from the process to the first ready answer."""

    imports: float
    load: float
    warm_up: float
    ready: float


def main() -> int:
    """Run the bench."""
    parser = argparse.ArgumentParser(prog="tests.bench.serving", description=__doc__)
    parser.add_argument("--rounds", type=int, default=9, help="interleaved rounds (default 9)")
    parser.add_argument("--seconds", type=int, default=1, help="seconds of each measurement (default 1)")
    parser.add_argument("--readme", action="store_true", help="put the table into README.md")
    arguments = parser.parse_args()
    if shutil.which("wrk") is None:
        sys.stderr.write("wrk is missing: install the package wrk (apt-get install wrk)\n")
        return 2
    with tempfile.TemporaryDirectory() as scratch, contextlib.ExitStack() as running:
        folder = Path(scratch)
        write_untrained(folder / "artifact")
        model_port = free_port()
        process, start = running.enter_context(model_server(model_port, folder))
        targets = []
        for number, (path, body) in enumerate(BODIES.items()):
            (folder / SHORT[path]).write_text(json.dumps(body))
            echo_port = free_port()
            echo = running.enter_context(echo_server(echo_port, answer_size(model_port, path)))
            for connections in (64, 1) if number else (64,):
                for server, port, pid in (("echo", echo_port, echo.pid), ("ours", model_port, process.pid)):
                    targets.append(Target(server=server, path=path, port=port, pid=pid, connections=connections))
        idle = resident_mebibytes(process.pid)
        loads = measure(targets, folder, rounds=arguments.rounds, seconds=arguments.seconds)
        busy = resident_mebibytes(process.pid)
    figures = [*load_figures(loads), *start_figures(start), *memory_figures(idle, busy)]
    caption = (
        f"one process, one torch thread, {os.cpu_count()} CPUs shared with wrk, "
        f"medians of {arguments.rounds} interleaved rounds of {arguments.seconds} s"
    )
    return record("serving", figures, caption=caption, readme=arguments.readme)


def measure(targets: list[Target], folder: Path, *, rounds: int, seconds: int) -> dict[Target, list[Load]]:
    """Loads by target; each round visits every target, so that a slow moment meets neighbours alike."""
    for target in targets:
        put_load(target, folder, seconds=1)
    found: dict[Target, list[Load]] = {target: [] for target in targets}
    for number in range(rounds):
        sys.stderr.write(f"round {number + 1} of {rounds}\n")
        for target in targets:
            found[target].append(put_load(target, folder, seconds=seconds))
    return found


def put_load(target: Target, folder: Path, *, seconds: int) -> Load:
    """Run wrk once; raises RuntimeError if a single request failed."""
    command = [
        "wrk",
        "-t1",
        f"-c{target.connections}",
        f"-d{seconds}s",
        "-s",
        str(Path(__file__).with_name("post.lua")),
    ]
    before = cpu_seconds(target.pid)
    done = subprocess.run(
        [*command, f"http://127.0.0.1:{target.port}{target.path}"],
        env={**os.environ, "BODY": str(folder / SHORT[target.path])},
        capture_output=True,
        text=True,
        check=True,
        timeout=seconds + 30,
    )
    found = json.loads(done.stdout.splitlines()[-1])
    if found.pop("failed"):
        raise RuntimeError(f"requests failed at {target.label}: {done.stdout}")
    cpu = (cpu_seconds(target.pid) - before) / found.pop("requests") * 1e6
    return Load(cpu=cpu, **found)


def load_figures(found: dict[Target, list[Load]]) -> list[Figure]:
    """Medians of each target, and the median over the rounds of the ratio of ours to the echo beside it."""
    figures: list[Figure] = []
    by_case: dict[tuple[str, int], dict[str, list[Load]]] = {}
    for target, loads in found.items():
        by_case.setdefault((target.path, target.connections), {})[target.server] = loads
        for name, unit in (("rate", "requests/s"), ("p50", "ms"), ("p99", "ms"), ("cpu", "us CPU/request")):
            suffix = f", {name}" if name in {"p50", "p99"} else ""
            value = statistics.median(getattr(load, name) for load in loads)
            figures.append(figure(f"{target.label}{suffix}", value, unit))
    for (path, connections), servers in by_case.items():
        pairs = zip(servers["ours"], servers["echo"], strict=True)
        ratio = statistics.median(ours.rate / echo.rate for ours, echo in pairs)
        name = f"{SHORT[path]}, {counted(connections)}, share of the echo"
        limited = connections > 1
        figures.append(at_least(name, ratio, "ratio", RATIO_LIMIT) if limited else figure(name, ratio, "ratio"))
    return figures


def start_figures(start: Start) -> list[Figure]:
    """The split of the start."""
    return [
        figure("start: imports", start.imports, "s"),
        figure("start: verify and load", start.load, "s"),
        figure("start: warm up and measure", start.warm_up, "s"),
        figure("start: process to ready", start.ready, "s"),
    ]


def memory_figures(idle: float, busy: float) -> list[Figure]:
    """Resident memory before and after the load."""
    return [figure("resident memory, idle", idle, "MiB"), figure("resident memory, after the load", busy, "MiB")]


@contextlib.contextmanager
def model_server(port: int, folder: Path) -> Iterator[tuple[subprocess.Popen[bytes], Start]]:
    """Our server, ready, and how long that took."""
    log = folder / "model.log"
    started = time.monotonic()
    with serving(["model", str(port), str(folder / "artifact")], log) as process:
        wait_until_answered(f"http://127.0.0.1:{port}/v2/health/ready", process, log)
        ready = time.monotonic() - started
        text = log.read_text()
        imports, load, warm_up = (
            float(re.search(pattern, text).group(1))  # type: ignore[union-attr] # a changed log must fail here
            for pattern in (r"imported in (\S+) s", r"loaded in (\S+) s", r"warmed up in (\S+) s")
        )
        yield process, Start(imports=imports, load=load, warm_up=warm_up, ready=ready)


@contextlib.contextmanager
def echo_server(port: int, answer_bytes: int) -> Iterator[subprocess.Popen[bytes]]:
    """The bare echo, ready."""
    with (
        tempfile.NamedTemporaryFile(suffix=".log") as log,
        serving(["echo", str(port), str(answer_bytes)], Path(log.name)) as process,
    ):
        wait_until_answered(f"http://127.0.0.1:{port}/", process, Path(log.name))
        yield process


@contextlib.contextmanager
def serving(arguments: list[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A server process that is gone afterwards."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.bench.servers", *arguments],
            cwd=ROOT,
            env={**os.environ, CPU_LIMIT_ENV: "1", "OMP_NUM_THREADS": "1"},
            stdout=output,
            stderr=output,
        )
        try:
            yield process
        finally:
            process.kill()
            process.wait()


def wait_until_answered(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait for a first answer of 200."""
    deadline = time.monotonic() + START_DEADLINE
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"the server ended with {process.returncode}: {log.read_text()}")
        with contextlib.suppress(urllib.error.URLError, ConnectionError), urllib.request.urlopen(url, timeout=5):  # noqa: S310
            return
        time.sleep(0.02)
    raise RuntimeError(f"no answer from {url} within {START_DEADLINE:.0f} s: {log.read_text()}")


def answer_size(port: int, path: str) -> int:
    """Bytes of our answer, which the echo's shall have too."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}{path}", data=json.dumps(BODIES[path]).encode(), method="POST"
    )
    with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
        return len(answer.read())


def cpu_seconds(pid: int) -> float:
    """CPU time of a process so far, user and system; it does not depend on who else wants the CPUs."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def counted(connections: int) -> str:
    """A number of connections in words."""
    return "1 connection" if connections == 1 else f"{connections} connections"


def resident_mebibytes(pid: int) -> float:
    """Resident memory of a process."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    sys.exit(main())
