"""The server process: bind, load, warm up, answer, leave in order."""

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

from modelservice.artifact.errors import ArtifactError
from modelservice.contract.exit_codes import ExitCode
from modelservice.contract.failure import StageError
from modelservice.contract.places import cpu_limit
from modelservice.contract.serving import Batching
from modelservice.serving.core import build_core
from modelservice.serving.costs import Clock, Costs, measure_costs
from modelservice.serving.lifecycle import Lifecycle
from modelservice.serving.listening import bind, url_of
from modelservice.serving.model import ModelFaultError, ServedModel, check_answer, compute_of, example_rows
from modelservice.serving.transports.http.server import run_http, server_config

GARBAGE_THRESHOLD = 10_000
"""Objects made and not yet freed at which Python looks for cycles among them; its default is 700."""

_LOG = logging.getLogger(__name__)


def serve(
    *,
    load: Callable[[], ServedModel],
    name: str,
    host: str,
    port: int,
    grpc_port: int | None = None,
    batching: Batching,
) -> int:
    """Serve a model until a signal ends it.

    Args:
        load: verifies and loads the model; the caller chooses its store and its engine.
        name: name of the model in all paths.
        host: address to listen on; ``::`` is every one.
        port: port of HTTP; 0 takes a free one.
        grpc_port: port of gRPC, 0 takes a free one, or None for none: then gRPC is not even imported.
        batching: how requests share forward passes.

    Returns:
        An exit code: DONE after a signal; ORDER_INVALID for an artifact that does not verify or answer, or an address
        that cannot be listened on, TRY_AGAIN for a store that fails for now, each with a sentence on stderr.
    """
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(levelname)s %(message)s")
    started = time.perf_counter()
    bound = _bind(host, port, grpc_port)
    if bound is None:
        return ExitCode.ORDER_INVALID
    try:
        with bound as listener, ThreadPoolExecutor(max_workers=1, thread_name_prefix="model") as executor:
            model = load()
            loaded = time.perf_counter()
            costs = warm_up(model, batching=batching, executor=executor, threads=_threads())
            _LOG.info(
                "serving %s (%s, %s) on %s: loaded in %.2f s, warmed up in %.2f s, batches of %d rows %s",
                *(name, model.digest, model.engine.name, url_of(listener)),
                *(loaded - started, time.perf_counter() - loaded),
                *(costs.batch_size, "on the event loop" if costs.inline else "in a thread"),
            )
            with asyncio.Runner(loop_factory=server_config(None).get_loop_factory()) as runner:
                runner.run(
                    _run(
                        *(model, name, listener, executor),
                        costs=costs,
                        batching=batching,
                        grpc_address=None if grpc_port is None else (host, grpc_port),
                    )
                )
    except StageError as error:
        _say(f"{name} cannot be served: {error.message}")
        return error.failure().exit_code
    except (ArtifactError, ModelFaultError, OSError) as error:
        _say(f"{name} cannot be served: {error}")
        return ExitCode.ORDER_INVALID
    return ExitCode.DONE


def _bind(host: str, port: int, grpc_port: int | None) -> socket.socket | None:
    """The socket of HTTP; None, and a sentence on stderr, where a port cannot be had."""
    asked = port
    try:
        if grpc_port:  # gRPC binds its own by itself, later: whether it can is found out before the model is loaded
            asked = grpc_port
            bind(host, grpc_port).close()
        asked = port
        return bind(host, port)
    except OSError as error:
        _say(f"cannot listen on {host} port {asked}: {error.strerror or error}")
        return None


def warm_up(
    model: ServedModel,
    *,
    batching: Batching,
    executor: ThreadPoolExecutor,
    threads: int,
    clock: Clock = time.perf_counter,
) -> Costs:
    """Run the model on its own example and measure it: with one thread, and if it is costly then, with ``threads``.

    Raises:
        ModelFaultError: the model does not answer as its signature says.
    """
    measure = partial(
        measure_costs,
        compute_of(model),
        example=partial(example_rows, model),
        check=partial(check_answer, model),
        max_size=batching.max_size,
        handover=lambda: executor.submit(int).result(),
        clock=clock,
    )
    model.engine.use_threads(1)
    alone = measure()
    if alone.inline or threads == 1:
        return alone
    model.engine.use_threads(threads)
    together = measure()
    if together.row_seconds < alone.row_seconds:
        return together
    model.engine.use_threads(1)
    return alone


def calm_garbage_collector() -> None:
    """Keep collections short and rare.

    A full collection walks all that was imported, which showed at the 99th percentile: what is there now stays for
    good. A request's objects die by reference counting; looking for cycles after each 700 of them cost about 1 us each.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(GARBAGE_THRESHOLD)


async def _run(
    model: ServedModel,
    name: str,
    listener: socket.socket,
    executor: ThreadPoolExecutor,
    *,
    costs: Costs,
    batching: Batching,
    grpc_address: tuple[str, int] | None,
) -> None:
    lifecycle = Lifecycle()
    core = build_core(model, name=name, costs=costs, batching=batching, executor=executor, lifecycle=lifecycle)
    if grpc_address is None:
        calm_garbage_collector()
        await run_http(core, listener)
        return
    from modelservice.serving.transports.grpc.server import start_grpc, stop_grpc  # noqa: PLC0415 - only when used

    host, port = grpc_address
    server, port = await start_grpc(core, host=host, port=port)
    _LOG.info("serving gRPC on %s port %d", host, port)
    calm_garbage_collector()

    async def leave() -> None:
        await lifecycle.left()
        await stop_grpc(server)

    await asyncio.gather(run_http(core, listener), leave())


def _threads() -> int:
    """CPUs that the container may use; without a limit, those that the process may run on."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return cpu_limit(os.environ) or usable


def _say(sentence: str) -> None:
    print(sentence, file=sys.stderr)  # noqa: T201
