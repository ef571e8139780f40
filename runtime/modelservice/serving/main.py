"""The server process: bind, load, warm up, answer, leave in order."""

import asyncio
import gc
import logging
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Final

from modelservice.artifact.errors import ArtifactError
from modelservice.contract.access import Access
from modelservice.contract.exit_codes import ExitCode
from modelservice.contract.failure import StageError
from modelservice.contract.places import ACCESS_PATH, cpu_limit
from modelservice.contract.server_flags import FIRST_REVISION
from modelservice.contract.serving import Batching, Inputs
from modelservice.serving.access.audit import AuditLog
from modelservice.serving.access.gate import build_gate
from modelservice.serving.core import DEFAULT_INPUTS, Core, build_core
from modelservice.serving.costs import Clock, Costs, measure_costs
from modelservice.serving.drift.monitor import keep_measuring
from modelservice.serving.errors import NotServedError
from modelservice.serving.lifecycle import Lifecycle
from modelservice.serving.listening import raise_file_limit
from modelservice.serving.model import Computation, ModelFaultError, ServedModel, check_answer, example_rows
from modelservice.serving.traces import open_traces
from modelservice.serving.transports import TRANSPORTS
from modelservice.serving.transports.base import Bound, Transport
from modelservice.serving.transports.http.server import server_config

GARBAGE_THRESHOLD = 10_000
"""Objects made and not yet freed at which Python looks for cycles among them; its default is 700."""

ALL_MAY: Final = Access()
"""Nothing is asked of callers."""

_LOG = logging.getLogger(__name__)


def serve(
    *,
    load: Callable[[], ServedModel],
    name: str,
    host: str,
    ports: Mapping[str, int],
    batching: Batching,
    revision: int = FIRST_REVISION,
    inputs: Inputs = DEFAULT_INPUTS,
    access: Access = ALL_MAY,
    secrets: Path = Path(ACCESS_PATH),
    transports: Sequence[Transport] = TRANSPORTS,
) -> int:
    """Serve a model until a signal ends it.

    Args:
        load: verifies and loads the model; the caller chooses its store and its engine.
        name: name of the model in all paths.
        host: address to listen on; ``::`` is every one.
        ports: port by name of a transport, 0 for a free one; one without a port is neither started nor imported.
        batching: how requests share forward passes.
        revision: number of the revision: the version in paths and answers.
        inputs: what requests may get wrong.
        access: who may call, and how much.
        secrets: folder with what callers are known by, see ``contract.places``; read where ``access`` says so.
        transports: those that there are.

    Returns:
        The exit code DONE, after a signal.

    Raises:
        NotServedError: with ORDER_INVALID, the artifact does not verify or answer, or the address cannot be listened
            on; with TRY_AGAIN, a store fails for now.
    """
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(levelname)s %(message)s")
    started = time.perf_counter()
    raise_file_limit()
    with ExitStack() as stack:
        gate = build_gate(access, secrets)
        bound: list[Bound] = []
        for transport in transports:
            if (port := ports.get(transport.name)) is None:
                continue
            try:
                bound.append(transport.bind(host, port))
            except OSError as error:
                message = f"cannot listen on {host} port {port}: {error.strerror or error}"
                raise NotServedError(message, exit_code=ExitCode.ORDER_INVALID) from error
            stack.callback(bound[-1].close)
        executor = stack.enter_context(ThreadPoolExecutor(max_workers=1, thread_name_prefix="model"))
        try:
            model = load()
            loaded = time.perf_counter()
            costs = warm_up(model, batching=batching, executor=executor, threads=_threads())
            _LOG.info(
                "serving %s (%s, %s) on %s%s: loaded in %.2f s, warmed up in %.2f s, batches of %d rows %s",
                *(name, model.digest, model.engine.name, ", ".join(one.where() for one in bound)),
                " with TLS" if gate.certificates else "",
                *(loaded - started, time.perf_counter() - loaded),
                *(costs.batch_size, "on the event loop" if costs.inline else "in a thread"),
            )
            traces = open_traces(os.environ, name=name, revision=revision)
            stack.callback(traces.close)
            with asyncio.Runner(loop_factory=server_config(None).get_loop_factory()) as runner:
                core = partial(
                    build_core,
                    model,
                    name=name,
                    revision=revision,
                    costs=costs,
                    batching=batching,
                    executor=executor,
                    gate=gate,
                    inputs=inputs,
                    audit=_audit_log(stack, model, name) if access.audit is not None else None,
                    observers=traces.observers,
                )
                runner.run(_run(bound, core))
        except StageError as error:
            message = f"{name} cannot be served: {error.message}"
            raise NotServedError(message, exit_code=error.failure().exit_code) from error
        except (ArtifactError, ModelFaultError, OSError) as error:
            raise NotServedError(f"{name} cannot be served: {error}", exit_code=ExitCode.ORDER_INVALID) from error
    return ExitCode.DONE


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
        Computation(model),
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


def _audit_log(stack: ExitStack, model: ServedModel, name: str) -> AuditLog:
    audit = AuditLog(sys.stdout.buffer, model=name, digest=model.digest)
    audit.start()
    stack.callback(audit.close)
    return audit


async def _run(bound: Sequence[Bound], build: Callable[..., Core]) -> None:
    core = build(lifecycle=Lifecycle())
    await core.gate.refresh()
    for one in bound:
        await one.start(core)
    calm_garbage_collector()
    beside = [
        asyncio.create_task(core.gate.keep_fresh()),
        asyncio.create_task(keep_measuring(core.monitor, core.lifecycle)),
    ]
    await asyncio.gather(*(one.serve() for one in bound))
    for task in beside:
        task.cancel()


def _threads() -> int:
    """CPUs that the container may use; without a limit, those that the process may run on."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return cpu_limit(os.environ) or usable
