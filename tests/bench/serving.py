"""``make bench-serving``: our server beside bare echoes, plain FastAPI services and the engine alone, on the loopback.

One server process, one engine thread, interleaved rounds; medians are reported. The ratios are what counts: absolute
figures are those of the machine. What is compared has its turns one after the other, which are short and many, and
every other round goes backwards: others who want the CPUs then disturb both sides alike, and the median of the ratios
of neighbours is far steadier than the ratio of two medians.
"""

import argparse
import contextlib
import os
import shutil
import statistics
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from tests.bench.record import Figure, at_least, at_most, figure, record
from tests.bench.serving_access import issue
from tests.bench.serving_load import Load, Request, Target, answer_bytes, image_requests, put_load, table_requests
from tests.bench.serving_parts import STARTS, part_figures
from tests.bench.serving_processes import (
    EngineAlone,
    bare_server,
    engine_alone,
    free_port,
    model_server,
    resident_mebibytes,
)
from tests.bench.untrained import write_cnn, write_mlp

MANY = 64
SHARES = {
    "v1 predict, 64 connections": 1.1,
    "v2 infer, 64 connections": 0.9,
    "v1 predict, 1 connection": 0.5,
    "v2 infer, 1 connection": 0.5,
    "gRPC ModelInfer, 64 in flight": 0.6,
    "v1 predict with tokens and traces, 64 connections": 0.7,
}
"""Least share of the requests/s of an echo; what is not here is shown."""
TRACED = {
    "v1 predict with tokens and traces": {
        "OTEL_TRACES_SAMPLER": "parentbased_traceidratio",
        "OTEL_TRACES_SAMPLER_ARG": "0.01",
    },
    "v1 predict with tokens and every span sent": {"OTEL_TRACES_SAMPLER": "parentbased_always_on"},
}
"""Guarded servers, by the name of the request: what is sampled. One of 100 is what docs/serving.md shows."""
ECHO_TAIL_RATIO = 1.5
"""Largest ratio of the 99th percentile to that of an echo, of the MLP under load."""
ENGINE_RATIOS = {"CNN, JSON, 64 connections": 0.6, "CNN, binary tensor, 64 connections": 0.85}
"""Least ratio to the rows/s that the engine alone computes with one thread."""
TAIL_RATIO = 3.0
"""Largest ratio of the 99th percentile to the median, of the CNN."""
START_SECONDS = 1.0
RESIDENT_MEBIBYTES = 120.0
ECHO_OF_CALLS = 120
"""Bytes of the gRPC echo's answer: about those of ours."""


def main() -> int:
    """Run the bench."""
    parser = argparse.ArgumentParser(prog="tests.bench.serving", description=__doc__)
    parser.add_argument("--rounds", type=int, default=9, help="interleaved rounds (default 9)")
    parser.add_argument("--seconds", type=float, default=0.5, help="seconds of each measurement (default 0.5)")
    parser.add_argument("--readme", action="store_true", help="put the table into docs/benchmarks.md")
    arguments = parser.parse_args()
    for command, package in (("wrk", "wrk"), ("h2load", "nghttp2-client")):
        if shutil.which(command) is None:
            sys.stderr.write(f"{command} is missing: install the package {package} (apt-get install {package})\n")
            return 2
    with tempfile.TemporaryDirectory() as scratch, contextlib.ExitStack() as running:
        folder = Path(scratch)
        write_mlp(folder / "iris")
        write_cnn(folder / "digits")
        start, idle = measure_starts(folder / "iris")
        parts = part_figures(folder / "iris", table_requests("iris")[0], issue(folder / "parts"))
        targets = start_targets(folder, running)
        engine = running.enter_context(engine_alone(folder / "digits"))
        loads, alone = measure(targets, engine, folder, rounds=arguments.rounds, seconds=arguments.seconds)
        busy = resident_mebibytes(targets[1].pid)
    figures = [
        *load_figures(loads),
        *share_figures(loads),
        *cnn_figures(loads, alone),
        at_most("start: process to ready", start, "s", START_SECONDS),
        at_most("resident memory, idle", idle, "MiB", RESIDENT_MEBIBYTES),
        figure("resident memory, after the load", busy, "MiB"),
        *parts,
    ]
    caption = (
        f"one process, one engine thread, {os.cpu_count()} CPUs shared with wrk and h2load, "
        f"medians of {arguments.rounds} interleaved rounds of {arguments.seconds:g} s"
    )
    return record("serving", figures, caption=caption, readme=arguments.readme)


def measure_starts(folder: Path) -> tuple[float, float]:
    """Median seconds from the process to ready of the server that only speaks HTTP, and its resident MiB then."""
    found = []
    for _ in range(STARTS):
        with model_server(folder, port=free_port()) as (pid, seconds):
            found.append((seconds, resident_mebibytes(pid)))
    return statistics.median(seconds for seconds, _ in found), statistics.median(memory for _, memory in found)


def start_targets(folder: Path, running: contextlib.ExitStack) -> list[Target]:
    """Servers of both models, an echo for each answer's size as pairs of echo and ours, and plain services."""
    port, grpc_port, cnn_port = free_port(), free_port(), free_port()
    pid, _ = running.enter_context(model_server(folder / "iris", port=port, grpc_port=grpc_port))
    cnn_pid, _ = running.enter_context(model_server(folder / "digits", port=cnn_port))
    v1, v2, call = table_requests("iris")
    targets: list[Target] = []
    for request in (v1, v2):
        echo_port = free_port()
        size = answer_bytes(port, request)
        echo_pid = running.enter_context(bare_server("echo", str(size), port=echo_port))
        for connections in (MANY, 1):
            targets += _pair(request, connections, echo=(echo_port, echo_pid), ours=(port, pid))
    targets += start_guarded(folder, running, v1)
    for role in ("fastapi-async", "fastapi-def"):
        plain_port = free_port()
        plain_pid = running.enter_context(bare_server(role, str(folder / "iris"), port=plain_port))
        targets.append(Target(server=role, request=v1, port=plain_port, pid=plain_pid, connections=MANY))
    echo_port = free_port()
    echo_pid = running.enter_context(bare_server("grpc-echo", str(ECHO_OF_CALLS), port=echo_port))
    targets += _pair(call, MANY, echo=(echo_port, echo_pid), ours=(grpc_port, pid))
    for request in image_requests("digits"):
        targets.append(Target(server="ours", request=request, port=cnn_port, pid=cnn_pid, connections=MANY))
    return targets


def start_guarded(folder: Path, running: contextlib.ExitStack, request: Request) -> list[Target]:
    """Servers that ask for a token and send traces to an echo, each beside an echo of the answer's size."""
    guarded, collector = issue(folder / "secrets"), free_port()
    running.enter_context(bare_server("echo", "0", port=collector))
    endpoint = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{collector}"}
    targets: list[Target] = []
    for name, sampled in TRACED.items():
        port, echo_port = free_port(), free_port()
        server = model_server(folder / "iris", port=port, guarded=guarded, traces={**endpoint, **sampled})
        pid, _ = running.enter_context(server)
        asked = replace(request, name=name, headers=(*request.headers, guarded.header))
        echo_pid = running.enter_context(bare_server("echo", str(answer_bytes(port, asked)), port=echo_port))
        targets += _pair(asked, MANY, echo=(echo_port, echo_pid), ours=(port, pid))
    return targets


def measure(
    targets: list[Target], engine: EngineAlone, folder: Path, *, rounds: int, seconds: float
) -> tuple[dict[Target, list[Load]], dict[Target, list[float]]]:
    """Loads by target, and rows/s of the engine alone beside each target that it is compared with."""
    for target in targets:
        put_load(target, folder, seconds=1)
    engine.rates()
    found: dict[Target, list[Load]] = {target: [] for target in targets}
    alone: dict[Target, list[list[float]]] = {target: [] for target in targets if target.case in ENGINE_RATIOS}
    for number in range(rounds):
        sys.stderr.write(f"round {number + 1} of {rounds}\n")
        for target in reversed(targets) if number % 2 else targets:
            found[target].append(put_load(target, folder, seconds=seconds))
            if target in alone:
                alone[target].append(engine.rates())
    return found, {target: best_size(rates) for target, rates in alone.items()}


def best_size(rates: list[list[float]]) -> list[float]:
    """Of rates by round and batch size, those of the size that is best on the whole; the best of each is luck."""
    return list(max(zip(*rates, strict=True), key=statistics.median))


def load_figures(found: dict[Target, list[Load]]) -> list[Figure]:
    """Medians of each target."""
    figures = []
    for target, loads in found.items():
        for name, unit in (("rate", "requests/s"), ("p50", "ms"), ("p99", "ms"), ("cpu", "us CPU/request")):
            values = [value for load in loads if (value := getattr(load, name)) is not None]
            suffix = f", {name}" if name in {"p50", "p99"} else ""
            if values:
                figures.append(figure(f"{target.label}{suffix}", statistics.median(values), unit))
    return figures


def share_figures(found: dict[Target, list[Load]]) -> list[Figure]:
    """Medians over the rounds of the ratios of ours to the echo beside it."""
    figures = []
    for case, servers in _by_case(found):
        if "echo" in servers:
            pairs = zip(servers["ours"], servers["echo"], strict=True)
            share = statistics.median(ours.rate / echo.rate for ours, echo in pairs)
            named = f"{case}, share of the echo"
            least = SHARES.get(case)
            figures.append(figure(named, share, "ratio") if least is None else at_least(named, share, "ratio", least))
        if "echo" in servers and f"{MANY} connections" in case and "tokens" not in case:
            pairs = zip(servers["ours"], servers["echo"], strict=True)
            tail = statistics.median((ours.p99 or 0.0) / (echo.p99 or 1.0) for ours, echo in pairs)
            figures.append(at_most(f"{case}, p99 by the echo's", tail, "ratio", ECHO_TAIL_RATIO))
    return figures


def cnn_figures(found: dict[Target, list[Load]], alone: dict[Target, list[float]]) -> list[Figure]:
    """Rows/s beside the engine alone, and the tail of the latency."""
    every = [rate for rates in alone.values() for rate in rates]
    figures = [figure("CNN, engine alone, one thread", statistics.median(every), "rows/s")]
    for target, rates in alone.items():
        case, loads = target.case, found[target]
        ratio = statistics.median(load.rate / rate for load, rate in zip(loads, rates, strict=True))
        tail = statistics.median((load.p99 or 0.0) / (load.p50 or 1.0) for load in loads)
        figures.append(at_least(f"{case}, ratio to the engine alone", ratio, "ratio", ENGINE_RATIOS[case]))
        figures.append(at_most(f"{case}, p99 by p50", tail, "ratio", TAIL_RATIO))
    return figures


def _by_case(found: dict[Target, list[Load]]) -> Iterator[tuple[str, dict[str, list[Load]]]]:
    cases: dict[str, dict[str, list[Load]]] = {}
    for target, loads in found.items():
        cases.setdefault(target.case, {})[target.server] = loads
    yield from cases.items()


def _pair(request: Request, connections: int, *, echo: tuple[int, int], ours: tuple[int, int]) -> list[Target]:
    return [
        Target(server=server, request=request, port=port, pid=pid, connections=connections)
        for server, (port, pid) in (("echo", echo), ("ours", ours))
    ]


if __name__ == "__main__":
    sys.exit(main())
