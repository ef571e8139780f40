"""What optional parts of the server cost, which are imported only where they are used."""

import statistics
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

from tests.bench.record import ROOT, Figure, figure
from tests.bench.serving_access import Guarded
from tests.bench.serving_load import Request, answer_bytes
from tests.bench.serving_processes import cpu_seconds, free_port, model_server, resident_mebibytes

STARTS: Final = 5
Start = Callable[..., AbstractContextManager[tuple[int, float]]]
"""Starts a server on a ``port``."""

_STORAGE: Final = """
import os, time
import modelservice.serving.main
from tests.bench.serving_processes import resident_mebibytes
before, began = resident_mebibytes(os.getpid()), time.process_time()
import obstore.store
print(time.process_time() - began, resident_mebibytes(os.getpid()) - before)
"""


def part_figures(folder: Path, request: Request, guarded: Guarded) -> list[Figure]:
    """CPU time and resident memory after an answer, more than of a server that only speaks HTTP.

    Args:
        folder: of the model.
        request: for its predictions.
        guarded: what a server with tokens asks for.
    """
    endpoint = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{free_port()}"}  # nobody there: nothing is sampled
    traces = {**endpoint, "OTEL_TRACES_SAMPLER": "always_off"}
    plain: Start = partial(model_server, folder)
    parts: dict[str, tuple[Start, Request]] = {
        "gRPC": (partial(plain, grpc_port=free_port()), request),
        "tokens": (partial(plain, guarded=guarded), replace(request, headers=(*request.headers, guarded.header))),
        "traces": (partial(plain, traces=traces), request),
        "explanations": (plain, replace(request, path=request.path.replace(":predict", ":explain"))),
    }
    seconds, memory = _measured(plain, request)
    figures = []
    for name, (start, asked) in parts.items():
        slower, larger = _measured(start, asked)
        figures += _figures(name, slower - seconds, larger - memory)
    return [*figures, *_figures("object storage", *_imported(_STORAGE))]


def _figures(name: str, seconds: float, mebibytes: float) -> list[Figure]:
    return [
        figure(f"{name}, where it is used: a start takes more CPU time", seconds * 1000, "ms"),
        figure(f"{name}, where it is used: resident memory more", mebibytes, "MiB"),
    ]


def _measured(start: Start, request: Request) -> tuple[float, float]:
    """Medians of a server's CPU seconds and resident MiB, from its start to an answer."""
    found = []
    for _ in range(STARTS):
        port = free_port()
        with start(port=port) as (pid, _):
            answer_bytes(port, request)
            found.append((cpu_seconds(pid), resident_mebibytes(pid)))
    return statistics.median(seconds for seconds, _ in found), statistics.median(memory for _, memory in found)


def _imported(code: str) -> tuple[float, float]:
    """Medians of two numbers that a program prints."""
    command = [sys.executable, "-c", code]
    runs = [subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout for _ in range(STARTS)]
    seconds, memory = zip(*(map(float, run.split()) for run in runs), strict=True)
    return statistics.median(seconds), statistics.median(memory)
