"""What ``engine: Torch`` answers on a GPU, beside onnxruntime on all CPUs of the same machine."""

import json
import statistics
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import numpy as np
from tests.bench.gpu_subjects import COLUMNS, SIDE
from tests.bench.record import Figure, figure
from tests.bench.serving_load import Load, Request, Target, put_load
from tests.support.server import server

from modelservice.contract.server_flags import batch_flag

CONNECTIONS: Final = 64
LARGEST: Final = 1024
"""Rows of a batch at most; how many are best each engine measures itself."""
_BATCHING: Final = (batch_flag("max_size"), str(LARGEST), batch_flag("max_queue_milliseconds"), "60000")
_ENGINES: Final = {"onnx": "onnxruntime on all CPUs", "torch": "Torch on the GPU"}


def serving(name: str, folder: Path, scratch: Path, *, rounds: int, seconds: int) -> list[Figure]:
    """Rows a second and the latency of a model by both engines, asked in turn.

    Args:
        name: what tables call it, which begins with its family.
        folder: of the artifact.
        scratch: for logs and bodies.
        rounds: of what is compared, whose median counts.
        seconds: of each.
    """
    found: list[Figure] = []
    with ExitStack() as stack:
        targets = {}
        for engine in _ENGINES:
            serves = server(folder, scratch / f"{engine}.log", "--engine", engine, *_BATCHING, name="bench")
            process, address = stack.enter_context(serves)
            targets[engine] = (process.pid, int(address.rpartition(":")[2]))
        for request, rows in _images() if name.startswith("cnn") else _rows():
            loads: dict[str, list[Load]] = {engine: [] for engine in targets}
            for _ in range(rounds):
                for engine, (pid, port) in targets.items():
                    target = Target(server=engine, request=request, port=port, pid=pid, connections=CONNECTIONS)
                    loads[engine].append(put_load(target, scratch, seconds=seconds))
            found += _figures(f"{name}: {request.name}, {CONNECTIONS} connections", rows, loads)
    return found


def _figures(name: str, rows: int, loads: dict[str, list[Load]]) -> list[Figure]:
    rates = {engine: _median([load.rate for load in those]) * rows for engine, those in loads.items()}
    tails = {engine: _median([load.p99 or 0.0 for load in those]) for engine, those in loads.items()}
    return [
        *(figure(f"{name}, {_ENGINES[engine]}", rate, "rows/s") for engine, rate in rates.items()),
        *(figure(f"{name}, {_ENGINES[engine]}, p99", tail, "ms") for engine, tail in tails.items()),
        figure(f"{name}, times as many on the GPU", rates["torch"] / rates["onnx"], "ratio"),
    ]


def _median(numbers: Sequence[float]) -> float:
    return statistics.median(numbers)


def _rows() -> tuple[tuple[Request, int], ...]:
    """One row, and 64 of them; with how many there are."""
    numbers = np.random.default_rng(0).normal(size=(CONNECTIONS, COLUMNS)).astype(np.float32)
    return tuple((_request(words, "features", "FP32", numbers[:count]), count) for words, count in _SIZES)


def _images() -> tuple[tuple[Request, int], ...]:
    pixels = np.random.default_rng(0).integers(0, 184, (1, SIDE, SIDE), dtype=np.uint8)
    return ((_request("one image a request", "x", "UINT8", pixels), 1),)


_SIZES: Final = (("one row a request", 1), ("64 rows a request", 64))


def _request(name: str, tensor: str, datatype: str, values: Any) -> Request:
    raw = values.tobytes()
    described = {"name": tensor, "datatype": datatype, "shape": list(values.shape)}
    head = json.dumps({"inputs": [{**described, "parameters": {"binary_data_size": len(raw)}}]}).encode()
    return Request(
        name=name,
        path="/v2/models/bench/infer",
        body=head + raw,
        headers=(("Inference-Header-Content-Length", str(len(head))),),
    )
