"""What all transports stand on: models, each with its queue, behind one way in."""

import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from concurrent.futures import Executor
from typing import Final, NamedTuple, Self

from modelservice.contract.history import PastRevision
from modelservice.contract.server_flags import FIRST_REVISION
from modelservice.contract.serving import Batching, Inputs, MissingColumns, UnknownColumns
from modelservice.modalities.base import STRICT, Tolerance
from modelservice.modalities.compressed import decoding
from modelservice.serving.access.audit import AuditLog
from modelservice.serving.access.gate import OPEN_GATE, Gate
from modelservice.serving.batcher import Batcher
from modelservice.serving.budget import Budget
from modelservice.serving.chain import (
    Arrival,
    Chain,
    Guard,
    Observer,
    limit_body,
    limit_headers,
    refuse_when_leaving,
)
from modelservice.serving.costs import Costs
from modelservice.serving.decoding import DecodingInference
from modelservice.serving.drift.monitor import Monitor
from modelservice.serving.exposition import Exposition
from modelservice.serving.inference import Inference, Parsing
from modelservice.serving.lifecycle import Lifecycle
from modelservice.serving.metrics import Metrics
from modelservice.serving.model import Computation, ServedModel
from modelservice.serving.protocols.base import Spoken, State

DEFAULT_INPUTS: Final = Inputs()
"""Requests may get nothing wrong."""


class Common(NamedTuple):
    """What the models of a server share; made by ``share``.

    ``executor`` computes batches, of all models one at a time.
    """

    executor: Executor
    lifecycle: Lifecycle
    gate: Gate
    guards: tuple[Guard, ...]
    budget: Budget
    parsing: Parsing
    exposition: Exposition
    audit: AuditLog | None
    observers: tuple[Observer, ...]
    clock: Callable[[], float]

    @property
    def ready(self) -> bool:
        """Whether the server asks for requests."""
        return self.gate.ready and not self.lifecycle.draining

    def chain(self, record: Observer, model: str | None, digest: str | None) -> Chain:
        """The chain before a model, or before what belongs to none.

        Args:
            record: counts the requests.
            model: its name, for the audit.
            digest: of its artifact.
        """
        audited = () if self.audit is None else (self.audit.recorder(model, digest),)
        return Chain(self.guards, (record, *audited, *self.observers))


def share(
    *,
    executor: Executor,
    lifecycle: Lifecycle,
    gate: Gate = OPEN_GATE,
    audit: AuditLog | None = None,
    observers: tuple[Observer, ...] = (),
    budget: Budget | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> Common:
    """Put together what does not depend on a model; must run on the event loop that will serve."""
    exposition = Exposition()
    if audit is not None:
        exposition.registry.register(audit)
    if gate.certificates is not None:
        exposition.registry.register(gate.certificates.handshakes)
    return Common(
        executor=executor,
        lifecycle=lifecycle,
        gate=gate,
        guards=(limit_headers, limit_body, *gate.guards, refuse_when_leaving(lifecycle)),
        budget=budget or Budget(),
        parsing=Parsing(clock),
        exposition=exposition,
        audit=audit,
        observers=observers,
        clock=clock,
    )


class Core(NamedTuple):
    """A model, and what answers by it.

    ``version`` is the revision's number, as paths and answers say; ``history`` is what it and those before it were.
    ``around`` makes the same around another model: what is its own (queue, drift, lines of the audit) anew, and what
    counts requests shared. Nothing tells of the model before ``show``.
    """

    model: ServedModel
    name: str
    version: str
    chain: Chain
    inference: Inference
    metrics: Metrics
    monitor: Monitor
    costs: Costs
    around: "Callable[[ServedModel, Costs], Core]"
    common: Common
    tolerance: Tolerance = STRICT
    history: tuple[PastRevision, ...] = ()

    @property
    def spoken(self) -> Spoken:
        """What protocols are asked with."""
        return Spoken(self.model, self.name, self.version, self.tolerance)

    def show(self) -> None:
        """Have metrics tell of this model, in place of the one before."""
        self.metrics.watch(
            name=self.name,
            model=self.model,
            monitor=self.monitor,
            queued=lambda: self.inference.queued_rows,
            load=self.inference.load,
            ready=lambda: self.common.ready,
        )


def build_inference(model: ServedModel, batcher: Batcher, common: Common) -> Inference:
    """What parses, queues and renders for a model, and decodes where its rows may be compressed."""
    encoder, hypothetical = decoding(model.encoder), Computation(model)
    if encoder is None:
        return Inference(batcher, hypothetical, common.parsing, clock=common.clock)
    return DecodingInference(
        batcher, hypothetical, common.parsing, encoder=encoder, budget=common.budget, clock=common.clock
    )


def build_core(
    model: ServedModel,
    *,
    name: str,
    revision: int = FIRST_REVISION,
    history: tuple[PastRevision, ...] = (),
    costs: Costs,
    batching: Batching,
    common: Common,
    inputs: Inputs = DEFAULT_INPUTS,
) -> Core:
    """Put together what answers by a model; must run on the event loop that will serve."""
    metrics = Metrics()
    tolerance = Tolerance(
        unknown=inputs.unknown_columns is UnknownColumns.IGNORE,
        missing=inputs.missing_columns is MissingColumns.MISSING,
        record=metrics.record_tolerated,
    )

    def around(model: ServedModel, costs: Costs) -> Core:
        monitor = Monitor(model)
        batcher = Batcher(
            compute=Computation(model, record=metrics.record_unlike, answered=monitor.record),
            costs=costs,
            batching=batching,
            executor=common.executor,
            clock=common.clock,
            observe=metrics.record_batch,
        )
        return Core(
            model=model,
            name=name,
            version=str(revision),
            chain=common.chain(metrics.record_request, name, model.digest),
            inference=build_inference(model, batcher, common),
            metrics=metrics,
            monitor=monitor,
            costs=costs,
            around=around,
            common=common,
            tolerance=tolerance,
            history=history,
        )

    core = around(model, costs)
    common.exposition.add(name, metrics)
    core.show()
    return core


async def _stay(_name: str) -> None:
    """Serve what is served."""


class Models:
    """The models of a server by name; another one in the place of one of them makes others of these.

    Attributes:
        first: where a request names no model, it is asked of this one.
        common: what all share.
        chain: for requests that are none of a model's own.
    """

    def __init__(self, cores: Iterable[Core], *, renew: Callable[[str], Awaitable[object]] = _stay) -> None:
        """Cores of different names, at least one, of one server; ``renew`` looks for another artifact of a name."""
        self._cores = {core.name: core for core in cores}
        self._renew = renew
        self.first = next(iter(self._cores.values()))
        self.common = self.first.common
        several = len(self._cores) > 1
        self.chain = (
            self.common.chain(self.common.exposition.requests.record, None, None) if several else self.first.chain
        )

    def __iter__(self) -> Iterator[Core]:
        """The cores in their order."""
        return iter(self._cores.values())

    @property
    def names(self) -> tuple[str, ...]:
        """Of all models, in their order."""
        return tuple(self._cores)

    def __getitem__(self, name: str) -> Core:
        """The one of a name, which there is; of no name, the first."""
        return self._cores[name] if name else self.first

    def replaced(self, core: Core) -> Self:
        """The same with another core in the place of the one of its name."""
        return type(self)((self._cores | {core.name: core}).values(), renew=self._renew)

    def chain_of(self, arrival: Arrival) -> Chain:
        """What is told of a request: that of the model which its message named, if it did."""
        return self._cores[arrival.model].chain if arrival.model in self._cores else self.chain

    def state(self) -> State:
        """What protocols say of the server."""
        return State(
            ready=self.common.ready,
            versions={core.name: core.version for core in self},
            statistics=lambda name: self._cores[name].metrics.statistics(),
            renew=self._renew,
        )

    def open(self) -> Self:
        """The same for a port that asks nothing of callers, since all that it has is probes and metrics."""
        gate, common = self.common.gate, self.common
        guards = tuple(guard for guard in common.guards if guard not in gate.guards)
        common = common._replace(gate=Gate(parts=gate.parts), guards=guards, audit=None, observers=())
        cores = [
            core._replace(chain=common.chain(core.metrics.record_request, core.name, core.model.digest), common=common)
            for core in self
        ]
        return type(self)(cores, renew=self._renew)
