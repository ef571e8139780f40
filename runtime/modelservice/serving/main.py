"""The server process: bind, load, warm up, answer, leave in order."""

import asyncio
import errno
import logging
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

from modelservice.artifact.errors import ArtifactError
from modelservice.contract.access import Access
from modelservice.contract.exit_codes import ExitCode
from modelservice.contract.failure import StageError
from modelservice.contract.places import ACCESS_PATH, cpu_limit
from modelservice.contract.server_flags import HOST, port_flag
from modelservice.contract.serving import Batching, Inputs
from modelservice.modalities.shared import asking
from modelservice.serving.access.audit import AuditLog
from modelservice.serving.access.gate import build_gate
from modelservice.serving.core import DEFAULT_INPUTS, Common, Core, Models, build_core, share
from modelservice.serving.costs import Clock, Costs, assumed_costs, measure_costs
from modelservice.serving.drift.monitor import keep_measuring
from modelservice.serving.errors import NotServedError
from modelservice.serving.garbage import calm_garbage_collector
from modelservice.serving.lifecycle import Lifecycle
from modelservice.serving.listening import raise_file_limit
from modelservice.serving.logs import configure_log
from modelservice.serving.model import Computation, ModelFaultError, ServedModel, check_answer, example_rows, illustrate
from modelservice.serving.switching import Source, Switch
from modelservice.serving.traces import open_traces
from modelservice.serving.transports import TRANSPORTS
from modelservice.serving.transports.base import Bound, Transport
from modelservice.serving.transports.http.server import server_config

ALL_MAY: Final = Access()
"""Nothing is asked of callers."""

_LOG = logging.getLogger(__name__)


def serve(
    *sources: Source,
    host: str,
    ports: Mapping[str, int],
    batching: Batching,
    inputs: Inputs = DEFAULT_INPUTS,
    access: Access = ALL_MAY,
    secrets: Path = Path(ACCESS_PATH),
    transports: Sequence[Transport] = TRANSPORTS,
) -> int:
    """Serve models until a signal ends it; their batches are computed one at a time, by one executor.

    Args:
        sources: the models, of different names; the first is that of requests that name none.
        host: address to listen on; ``::`` is every one.
        ports: port by name of a transport, 0 for a free one; one without a port is neither started nor imported.
        batching: how requests of a model share forward passes.
        inputs: what requests may get wrong.
        access: who may call, and how much.
        secrets: folder with what callers are known by, see ``contract.places``; read where ``access`` says so.
        transports: those that there are.

    Returns:
        The exit code DONE, after a signal.

    Raises:
        NotServedError: with ORDER_INVALID, an artifact does not verify or answer, or the address cannot be listened
            on; with TRY_AGAIN, a store fails for now.
    """
    configure_log(sys.stderr)
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
                message += f"; name {_another(error, port_flag(transport.name))}"
                raise NotServedError(message, exit_code=ExitCode.ORDER_INVALID) from error
            stack.callback(bound[-1].close)
        executor = stack.enter_context(ThreadPoolExecutor(max_workers=1, thread_name_prefix="model"))
        name = ", ".join(source.name for source in sources)
        traces = open_traces(os.environ, name=name, revision=sources[0].revision)
        stack.callback(traces.close)
        measure = partial(warm_up, batching=batching, executor=executor, threads=_threads())
        # Beside a model that answers, time on the wall says little of what another one costs.
        switch = Switch(sources, measure=partial(measure, clock=time.thread_time))
        sharing = partial(
            share,
            executor=executor,
            gate=gate,
            audit=_audit_log(stack) if access.audit is not None else None,
            observers=traces.observers,
        )
        build = partial(build_core, batching=batching, inputs=inputs)
        where = ", ".join(one.where() for one in bound) + (" with TLS" if gate.certificates else "")
        # Is empty once the server runs: another model may take the place of one of these, which then has to go.
        around = [_around_model(build, source, measure, where=where) for source in sources]
        try:
            with asyncio.Runner(loop_factory=server_config(None).get_loop_factory()) as runner:
                runner.run(_run(bound, around, sharing, switch))
        except OSError as error:
            raise NotServedError(f"{name} cannot be served: {error}", exit_code=ExitCode.ORDER_INVALID) from error
    return ExitCode.DONE


def _another(error: OSError, flag: str) -> str:
    """What to name where an address cannot be had: another port, which ``flag`` says, or another host."""
    if error.errno == errno.EADDRINUSE:
        return f"another one by {flag}, or 0 for a free one"
    if error.errno == errno.EACCES:
        return f"one by {flag} that you may have"
    return f"an address of this machine by {HOST}"


def warm_up(
    model: ServedModel,
    *,
    batching: Batching,
    executor: ThreadPoolExecutor,
    threads: int,
    clock: Clock = time.perf_counter,
    handover: float | None = None,
) -> Costs:
    """Run the model on its own example and measure it: with one thread, and if it is costly then, with ``threads``.

    Args:
        model: is not asked by anybody yet.
        batching: bounds the batches.
        executor: where costly batches will be computed.
        threads: most that the model may be given.
        clock: seconds.
        handover: what one to ``executor`` costs, where it is known; it is not asked then, since it has other work.

    Raises:
        ModelFaultError: the model does not answer as its signature says.
    """
    if asking(model.encoder) is not None:
        check_answer(model, illustrate(model, example_rows(model, 1)))
        return assumed_costs(batching.max_size)

    def measure() -> Costs:
        costs = measure_costs(
            Computation(model),
            example=partial(example_rows, model),
            check=partial(check_answer, model),
            max_size=batching.max_size,
            handover=(lambda: executor.submit(int).result()) if handover is None else int,
            clock=clock,
        )
        return costs if handover is None else replace(costs, handover=handover)

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


def _around_model(
    build: Callable[..., Core], source: Source, measure: Callable[..., Costs], *, where: str
) -> Callable[..., Core]:
    """Load the model that ``build`` builds a core around, and log what it costs.

    Raises:
        NotServedError: it does not verify or answer, or its store fails for now.
    """
    name, started = source.name, time.perf_counter()
    try:
        model = source.load()
        loaded = time.perf_counter()
        costs = measure(model)
    except StageError as error:
        message = f"{name} cannot be served: {error.message}"
        raise NotServedError(message, exit_code=error.failure().exit_code) from error
    except (ArtifactError, ModelFaultError, OSError) as error:
        raise NotServedError(f"{name} cannot be served: {error}", exit_code=ExitCode.ORDER_INVALID) from error
    _LOG.info(
        "serving %s (%s, %s) on %s: loaded in %.2f s, warmed up in %.2f s, batches of %d rows %s",
        *(name, model.digest, model.engine.name, where),
        *(loaded - started, time.perf_counter() - loaded),
        *(costs.batch_size, "on the event loop" if costs.inline else "in a thread"),
    )
    return partial(build, model, name=name, revision=source.revision, history=source.history, costs=costs)


def _audit_log(stack: ExitStack) -> AuditLog:
    stdout = sys.stdout.buffer
    audit = AuditLog(getattr(stdout, "raw", stdout))
    audit.start()
    stack.callback(audit.close)
    return audit


async def _run(
    bound: Sequence[Bound], around: list[Callable[..., Core]], sharing: Callable[..., Common], switch: Switch
) -> None:
    common = sharing(lifecycle=Lifecycle())
    models = Models([build(common=common) for build in around], renew=switch.renew)
    around.clear()  # and the models below: others may take their places
    switch.begin(models, bound)
    await common.gate.refresh()
    for one in bound:
        await one.start(models)
    calm_garbage_collector()
    beside = [
        asyncio.create_task(common.gate.keep_fresh()),
        asyncio.create_task(keep_measuring(lambda: [core.monitor for core in switch.models], common.lifecycle)),
        asyncio.create_task(switch.keep_newest()),
    ]
    del models
    await asyncio.gather(*(one.serve() for one in bound))
    for task in beside:
        task.cancel()


def _threads() -> int:
    """CPUs that the container may use; without a limit, those that the process may run on."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return cpu_limit(os.environ) or usable
