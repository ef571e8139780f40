"""Load on a server: requests as files, sent by wrk over HTTP and by h2load over gRPC."""

import json
import os
import re
import signal
import struct
import subprocess
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bench.serving_processes import cpu_seconds
from tests.bench.untrained import COLUMNS, SIDE

from modelservice.serving.protocols.open_inference.messages import MESSAGES

LONGEST = 60
"""Seconds after which wrk ends by itself; it counts in whole ones, so it is told when its time is over."""
TRIES = 3
GRPC_PATH = "/inference.GRPCInferenceService/ModelInfer"
IMAGE = bytes((37 * pixel) % 256 for pixel in range(SIDE * SIDE))


@dataclass(frozen=True, kw_only=True)
class Load:
    """One run: requests each second, milliseconds at two percentiles (HTTP only), microseconds of CPU for each."""

    rate: float
    p50: float | None = None
    p99: float | None = None
    cpu: float


@dataclass(frozen=True, kw_only=True)
class Request:
    """A request that is sent again and again; ``name`` is how the table calls it."""

    name: str
    path: str
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()

    @property
    def header_arguments(self) -> list[str]:
        """Its headers as wrk and h2load take them."""
        return [argument for name, value in self.headers for argument in ("-H", f"{name}: {value}")]

    @property
    def is_grpc(self) -> bool:
        """Whether it is a call of gRPC."""
        return self.path == GRPC_PATH


@dataclass(frozen=True, kw_only=True)
class Target:
    """Something to put load on; ``server`` is a name in the table."""

    server: str
    request: Request
    port: int
    pid: int
    connections: int

    @property
    def case(self) -> str:
        """What is compared: the request and how many at once."""
        if self.request.is_grpc:
            return f"{self.request.name}, {self.connections} in flight"
        counted = "1 connection" if self.connections == 1 else f"{self.connections} connections"
        return f"{self.request.name}, {counted}"

    @property
    def label(self) -> str:
        """How the table names it."""
        return f"{self.case}, {self.server}"


def table_requests(name: str) -> tuple[Request, Request, Request]:
    """One row of the MLP: v1, v2 and gRPC."""
    row = list(COLUMNS.values())
    tensor = {"name": "features", "datatype": "FP32", "shape": [1, len(row)]}
    return (
        Request(name="v1 predict", path=f"/v1/models/{name}:predict", body=_json({"instances": [COLUMNS]})),
        Request(name="v2 infer", path=f"/v2/models/{name}/infer", body=_json({"inputs": [{**tensor, "data": row}]})),
        Request(name="gRPC ModelInfer", path=GRPC_PATH, body=_call(name, tensor, struct.pack(f"<{len(row)}f", *row))),
    )


def image_requests(name: str, *, rows: int = 1) -> tuple[Request, Request]:
    """Images for the CNN: nested arrays, and a binary tensor."""
    nested = [list(IMAGE[start : start + SIDE]) for start in range(0, len(IMAGE), SIDE)]
    tensor = {"name": "x", "datatype": "UINT8", "shape": [rows, SIDE, SIDE]}
    head = _json({"inputs": [{**tensor, "parameters": {"binary_data_size": rows * len(IMAGE)}}]})
    return (
        Request(name="CNN, JSON", path=f"/v1/models/{name}:predict", body=_json({"instances": [nested] * rows})),
        Request(
            name="CNN, binary tensor",
            path=f"/v2/models/{name}/infer",
            body=head + rows * IMAGE,
            headers=(("Inference-Header-Content-Length", str(len(head))),),
        ),
    )


def answer_bytes(port: int, request: Request) -> int:
    """Bytes of our answer to a request over HTTP, which the echo's shall have too."""
    asked = urllib.request.Request(
        f"http://127.0.0.1:{port}{request.path}", data=request.body, headers=dict(request.headers), method="POST"
    )
    with urllib.request.urlopen(asked, timeout=10) as answer:  # noqa: S310
        return len(answer.read())


def put_load(target: Target, folder: Path, *, seconds: float) -> Load:
    """Run once; again, where others had the CPUs all the while. Raises RuntimeError if a single request failed."""
    body = folder / re.sub(r"\W+", "-", target.request.name)
    body.write_bytes(target.request.body)
    run = _h2load if target.request.is_grpc else _wrk
    for _ in range(TRIES):
        before = cpu_seconds(target.pid)
        requests, load = run(target, body, seconds)
        if requests:
            return Load(cpu=(cpu_seconds(target.pid) - before) / requests * 1e6, **load)
    raise RuntimeError(f"nothing was answered at {target.label}, {TRIES} times for {seconds} s")


def _wrk(target: Target, body: Path, seconds: float) -> tuple[int, dict[str, float]]:
    script = str(Path(__file__).with_name("post.lua"))
    command = ["wrk", "-t1", f"-c{target.connections}", f"-d{LONGEST}s", "-s", script]
    command += target.request.header_arguments
    address = f"http://127.0.0.1:{target.port}{target.request.path}"
    environment = {**os.environ, "BODY": str(body)}
    with subprocess.Popen([*command, address], env=environment, stdout=subprocess.PIPE, text=True) as process:
        time.sleep(seconds)
        process.send_signal(signal.SIGINT)
        text, _ = process.communicate(timeout=LONGEST)
    if process.returncode:
        raise RuntimeError(f"wrk ended with {process.returncode} at {target.label}: {text}")
    found = json.loads(text.splitlines()[-1])
    if found.pop("failed"):
        raise RuntimeError(f"requests failed at {target.label}: {text}")
    return found.pop("requests"), found


def _h2load(target: Target, body: Path, seconds: float) -> tuple[int, dict[str, float]]:
    command = ["h2load", f"-D{seconds * 1000:.0f}ms", "-c1", f"-m{target.connections}", f"-d{body}"]
    headers = ["-H", "content-type: application/grpc", "-H", "te: trailers"]
    address = f"http://127.0.0.1:{target.port}{target.request.path}"
    text = subprocess.run(
        [*command, *headers, address], capture_output=True, text=True, check=True, timeout=LONGEST
    ).stdout
    counts = re.search(r"requests: .*? (\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout", text)
    rate = re.search(r"finished in \S+, (\S+) req/s", text)
    if counts is None or rate is None or any(int(count) for count in counts.groups()[1:]):
        raise RuntimeError(f"calls failed at {target.label}: {text}")
    return int(counts[1]), {"rate": float(rate[1])}


def _json(document: Any) -> bytes:
    return json.dumps(document).encode()


def _call(name: str, tensor: dict[str, Any], raw: bytes) -> bytes:
    """A length-prefixed message, as gRPC sends it."""
    request: Any = MESSAGES["ModelInferRequest"](model_name=name, inputs=[tensor], raw_input_contents=[raw])
    message = request.SerializeToString()
    return struct.pack(">BI", 0, len(message)) + bytes(message)
