"""The server process: verify, load, warm up, answer, leave in order."""

import asyncio
import gc
import logging
import os
import socket
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import torch
import uvicorn
from prometheus_client import disable_created_metrics

from modelservice.artifact.errors import ArtifactError
from modelservice.contract.exit_codes import ExitCode
from modelservice.contract.places import cpu_limit
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
GARBAGE_THRESHOLD = 10_000
"""Objects made and not yet freed at which Python looks for cycles among them; its default is 700."""
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
    disable_created_metrics()  # type: ignore[no-untyped-call] # the library leaves it untyped
    started = time.perf_counter()
    try:
        bound = bind(host, port)
    except OSError as error:
        _say(f"cannot listen on {host} port {port}: {error.strerror or error}")
        return ExitCode.TASK_INVALID
    try:
        with bound as listener, ThreadPoolExecutor(max_workers=1, thread_name_prefix="model") as executor:
            model = Predictor.load(folder, digest=digest)
            loaded = time.perf_counter()
            costs = warm_up(
                model, batching=batching, executor=executor, threads=cpu_limit(os.environ) or torch.get_num_threads()
            )
            _LOG.info(
                "serving %s (%s) on %s: loaded in %.2f s, warmed up in %.2f s, batches of %d rows %s",
                *(name, model.digest, _url(listener), loaded - started, time.perf_counter() - loaded),
                *(costs.batch_size, "on the event loop" if costs.inline else "in a thread"),
            )
            run(model, name=name, listener=listener, costs=costs, batching=batching, executor=executor)
    except (ArtifactError, ModelFaultError, OSError) as error:
        _say(f"{folder} cannot be served: {error}")
        return ExitCode.TASK_INVALID
    return ExitCode.DONE


def bind(host: str, port: int) -> socket.socket:
    """A socket that has its address and does not listen yet: who connects too early is refused, not kept waiting."""
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    bound = socket.socket(family, kind, protocol)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(host != "::"))
        bound.bind(address)
    except OSError:
        bound.close()
        raise
    return bound


def compute_of(model: ServedModel) -> Compute:
    """Rows to probabilities."""
    return lambda rows: model.probabilities(model.encode_rows(rows))


def warm_up(model: ServedModel, *, batching: Batching, executor: ThreadPoolExecutor, threads: int) -> Costs:
    """Run the model on its own example and measure it: with one thread, and if it is costly then, with ``threads``.

    Raises:
        ModelFaultError: the model does not answer as its signature says.
    """
    measure = partial(
        measure_costs,
        compute_of(model),
        example=example_row(model.signature),
        classes=len(model.signature.labels),
        max_size=batching.max_size,
        handover=lambda: executor.submit(int).result(),
        clock=time.perf_counter,
    )
    torch.set_num_threads(1)
    costs = measure()
    if costs.inline or threads == 1:
        return costs
    torch.set_num_threads(threads)
    return measure()


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


def calm_garbage_collector() -> None:
    """Keep collections short and rare.

    A full collection walked all of torch, which gave 130 ms at the 99th percentile: what is there now stays for good.
    A request's objects die by reference counting; looking for cycles after each 700 of them cost about 1 us each.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(GARBAGE_THRESHOLD)


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
        calm_garbage_collector()
        server = DrainingServer(server_config(front), lifecycle=lifecycle)
        await server.serve(sockets=[listener])

    with asyncio.Runner(loop_factory=server_config(None).get_loop_factory()) as runner:
        runner.run(main())


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _say(sentence: str) -> None:
    print(sentence, file=sys.stderr)  # noqa: T201
