"""What all transports stand on: one model, one way in, one queue."""

import time
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from typing import Final, NamedTuple

from modelservice.contract.server_flags import FIRST_REVISION
from modelservice.contract.serving import Batching, Inputs, MissingColumns, UnknownColumns
from modelservice.modalities.base import STRICT, Tolerance
from modelservice.serving.access.audit import AuditLog
from modelservice.serving.access.gate import OPEN_GATE, Gate
from modelservice.serving.batcher import Batcher
from modelservice.serving.budget import Budget
from modelservice.serving.chain import Chain, Observer, limit_body, limit_headers, refuse_when_leaving
from modelservice.serving.costs import Costs
from modelservice.serving.drift.monitor import Monitor
from modelservice.serving.inference import Inference
from modelservice.serving.lifecycle import Lifecycle
from modelservice.serving.metrics import Metrics
from modelservice.serving.model import Computation, ServedModel
from modelservice.serving.protocols.base import State

DEFAULT_INPUTS: Final = Inputs()
"""Requests may get nothing wrong."""


class Core(NamedTuple):
    """The parts of a server without its transports.

    ``version`` is the revision's number, as paths and answers say. ``around`` makes the same server around another
    model: what is its own (queue, drift, lines of the audit) anew, and what counts requests or bounds them shared.
    Nothing tells of the model before ``show``.
    """

    model: ServedModel
    name: str
    version: str
    chain: Chain
    inference: Inference
    budget: Budget
    lifecycle: Lifecycle
    metrics: Metrics
    monitor: Monitor
    clock: Callable[[], float]
    renew: Callable[[], Awaitable[object]]
    costs: Costs
    around: "Callable[[ServedModel, Costs], Core]"
    gate: Gate = OPEN_GATE
    tolerance: Tolerance = STRICT

    @property
    def spoken(self) -> tuple[ServedModel, str, str, Tolerance]:
        """What protocols are asked with."""
        return self.model, self.name, self.version, self.tolerance

    def show(self) -> None:
        """Have metrics tell of this model, in place of the one before."""
        self.metrics.watch(
            name=self.name,
            model=self.model,
            monitor=self.monitor,
            queued=lambda: self.inference.queued_rows,
            ready=lambda: _asks_for_requests(self.gate, self.lifecycle),
        )

    def state(self) -> State:
        """What protocols say of the server."""
        return State(_asks_for_requests(self.gate, self.lifecycle), self.metrics.statistics, self.renew)

    def open(self) -> "Core":
        """The same for a port that asks nothing of callers, since all that it has is probes and metrics."""
        guards = tuple(guard for guard in self.chain.guards if guard not in self.gate.guards)
        return self._replace(chain=Chain(guards, (self.metrics.record_request,)), gate=Gate(parts=self.gate.parts))


async def _stay() -> None:
    """Serve what is served."""


def build_core(
    model: ServedModel,
    *,
    name: str,
    revision: int = FIRST_REVISION,
    costs: Costs,
    batching: Batching,
    executor: Executor,
    lifecycle: Lifecycle,
    gate: Gate = OPEN_GATE,
    inputs: Inputs = DEFAULT_INPUTS,
    audit: AuditLog | None = None,
    observers: tuple[Observer, ...] = (),
    clock: Callable[[], float] = time.perf_counter,
    renew: Callable[[], Awaitable[object]] = _stay,
) -> Core:
    """Put the parts together; must run on the event loop that will serve."""
    metrics, budget = Metrics(), Budget()
    guards = (limit_headers, limit_body, *gate.guards, refuse_when_leaving(lifecycle))
    tolerance = Tolerance(
        unknown=inputs.unknown_columns is UnknownColumns.IGNORE,
        missing=inputs.missing_columns is MissingColumns.MISSING,
        record=metrics.record_tolerated,
    )
    if audit is not None:
        metrics.registry.register(audit)
    if gate.certificates is not None:
        metrics.registry.register(gate.certificates.handshakes)

    def around(model: ServedModel, costs: Costs) -> Core:
        monitor = Monitor(model)
        batcher = Batcher(
            compute=Computation(model, record=metrics.record_unlike, answered=monitor.record),
            costs=costs,
            batching=batching,
            executor=executor,
            clock=clock,
            observe=metrics.record_batch,
        )
        audited = () if audit is None else (audit.recorder(model.digest),)
        return Core(
            model=model,
            name=name,
            version=str(revision),
            chain=Chain(guards, (metrics.record_request, *audited, *observers)),
            inference=Inference(batcher, hypothetical=Computation(model)),
            budget=budget,
            lifecycle=lifecycle,
            metrics=metrics,
            monitor=monitor,
            clock=clock,
            renew=renew,
            costs=costs,
            around=around,
            gate=gate,
            tolerance=tolerance,
        )

    core = around(model, costs)
    core.show()
    return core


def _asks_for_requests(gate: Gate, lifecycle: Lifecycle) -> bool:
    return gate.ready and not lifecycle.draining
