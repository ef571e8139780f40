"""The server process: verify, load, warm up, answer, leave in order."""

import asyncio
import gc
import logging
import os
import socket
import sys
import time
from collections.abc import Callable, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import uvicorn

from modelservice.artifact.errors import ArtifactError
from modelservice.contract.exit_codes import ExitCode
from modelservice.contract.places import CPU_LIMIT_ENV
from modelservice.contract.serving import Batching
from modelservice.predictor import Predictor
from modelservice.serving.application import build_application
from modelservice.serving.batcher import Batcher
from modelservice.serving.costs import Compute, Costs, ModelFaultError, measure_costs
from modelservice.serving.front import Front
from modelservice.serving.inference import Inference
from modelservice.serving.lifecycle import GRACE_SECONDS, DrainingServer, Lifecycle
from modelservice.serving.metrics import Metrics
from modelservice.serving.model import ServedModel, example_row

BACKLOG = 2048
KEEP_ALIVE_SECONDS = 75
"""Longer than the idle time-out of usual clients and proxies: the server closing first loses their next request."""

_LOG = logging.getLogger(__name__)


def serve(*, folder: Path, name: str, digest: str | None, host: str, port: int, batching: Batching) -> int:
    """Serve the artifact in ``folder`` until a signal ends it.

    Args:
        folder: the artifact.
        name: name of the model in all paths.
        digest: what the artifact's digest must be, or None to take what is there.
        host: address to listen on.
        port: port to listen on; 0 takes a free one.
        batching: how requests share forward passes.

    Returns:
        An exit code: DONE after a signal; TASK_INVALID for an artifact that does not verify or answer, or an address
        that cannot be listened on, with a sentence on stderr.
    """
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(levelname)s %(message)s")
    started = time.perf_counter()
    try:
        listener = listen(host, port)
        with listener:
            set_threads(os.environ)
            model = Predictor.load(folder, digest=digest)
            loaded = time.perf_counter()
            with ThreadPoolExecutor(max_workers=1, thread_name_prefix="model") as executor:
                costs = warm_up(model, batching=batching, executor=executor)
                _LOG.info(
                    "serving %s (%s) on %s: loaded in %.2f s, warmed up in %.2f s, batches of %d rows %s",
                    *(name, model.digest, _url(listener), loaded - started, time.perf_counter() - loaded),
                    *(costs.batch_size, "on the event loop" if costs.inline else "in a thread"),
                )
                run(model, name=name, listener=listener, costs=costs, batching=batching, executor=executor)
    except (ArtifactError, ModelFaultError) as error:
        _say(f"{folder} cannot be served: {error}")
        return ExitCode.TASK_INVALID
    except OSError as error:
        _say(f"cannot listen on {host} port {port}: {error.strerror or error}")
        return ExitCode.TASK_INVALID
    return ExitCode.DONE


def listen(host: str, port: int) -> socket.socket:
    """A listening socket, on IPv6 and IPv4 where the host is ``::``."""
    if ":" in host:
        dual = host == "::" and socket.has_dualstack_ipv6()
        return socket.create_server((host, port), family=socket.AF_INET6, dualstack_ipv6=dual, backlog=BACKLOG)
    return socket.create_server((host, port), backlog=BACKLOG)


def set_threads(environment: MutableMapping[str, str]) -> None:
    """Give torch as many threads as the container has CPUs: it counts those of the node otherwise."""
    import torch  # noqa: PLC0415

    limit = environment.get(CPU_LIMIT_ENV, "")
    if limit.isdigit() and int(limit) > 0:
        torch.set_num_threads(int(limit))


def compute_of(model: ServedModel) -> Compute:
    """Rows to probabilities."""
    return lambda rows: model.probabilities(model.encode_rows(rows))


def warm_up(model: ServedModel, *, batching: Batching, executor: ThreadPoolExecutor) -> Costs:
    """Run the model on its own example and measure it.

    Raises:
        ModelFaultError: the model does not answer as its signature says.
    """
    return measure_costs(
        compute_of(model),
        example=example_row(model.signature),
        classes=len(model.signature.labels),
        max_size=batching.max_size,
        handover=lambda: executor.submit(int).result(),
        clock=time.perf_counter,
    )


def build_front(
    model: ServedModel,
    *,
    name: str,
    costs: Costs,
    batching: Batching,
    executor: ThreadPoolExecutor,
    lifecycle: Lifecycle,
    clock: Callable[[], float] = time.perf_counter,
) -> Front:
    """Put the parts together; must run on the event loop that will serve."""
    metrics = Metrics()
    batcher = Batcher(
        compute=compute_of(model),
        costs=costs,
        batching=batching,
        executor=executor,
        clock=clock,
        observe=metrics.record_batch,
    )
    metrics.watch(name=name, model=model, queued=lambda: batcher.queued_rows, ready=lambda: not lifecycle.draining)
    inference = Inference(model=model, name=name, batcher=batcher)
    application = build_application(model=model, name=name, inference=inference, lifecycle=lifecycle, metrics=metrics)
    return Front(application, inference=inference, lifecycle=lifecycle, metrics=metrics, clock=clock)


def server_config(application: Any) -> uvicorn.Config:
    """How uvicorn runs here; the bench's bare echo runs the same way."""
    return uvicorn.Config(
        application,
        http="httptools",
        loop="uvloop" if sys.platform != "win32" else "asyncio",
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        log_level="warning",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        backlog=BACKLOG,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )


def run(
    model: ServedModel,
    *,
    name: str,
    listener: socket.socket,
    costs: Costs,
    batching: Batching,
    executor: ThreadPoolExecutor,
) -> None:
    """Answer requests until a signal ends it."""
    lifecycle = Lifecycle()

    async def main() -> None:
        front = build_front(model, name=name, costs=costs, batching=batching, executor=executor, lifecycle=lifecycle)
        # What is there now stays: without this, each full collection walks all of torch, 130 ms at the 99th percentile.
        gc.collect()
        gc.freeze()
        server = DrainingServer(server_config(front), lifecycle=lifecycle)
        await server.serve(sockets=[listener])

    with asyncio.Runner(loop_factory=server_config(None).get_loop_factory()) as runner:
        runner.run(main())


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _say(sentence: str) -> None:
    print(sentence, file=sys.stderr)  # noqa: T201
