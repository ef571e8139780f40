"""What a replica does over its life: fill the cache, stand by, lead, stop in order."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import structlog

from modelservice_operator.machinery.lease import Elector
from modelservice_operator.machinery.queue import WorkQueue
from modelservice_operator.machinery.reflector import Reflectors
from modelservice_operator.machinery.rivals import Rivals
from modelservice_operator.machinery.sync import Synchronizer
from modelservice_operator.machinery.worker import Workers
from modelservice_operator.metrics import Metrics
from modelservice_operator.objects import Key

log = structlog.get_logger(__name__)

STOP_SECONDS = 20.0
"""For reconciles that are under way at a stop; the pod's grace period is 30 s."""


class LeaseLostError(Exception):
    """Another replica may be leading: this process must end, for only a new one starts from a clean state."""


@dataclass(frozen=True, kw_only=True)
class Lifecycle:
    """Where a replica stands, for those who wait for it and for those who stop it."""

    synced: asyncio.Event = field(default_factory=asyncio.Event)
    """The cache holds everything that the apiserver lists."""
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    """No new work is to begin."""
    stopped: asyncio.Event = field(default_factory=asyncio.Event)
    """No work is under way any more, and the lease is released."""


class Runs(Protocol):
    """Something that runs while this replica leads."""

    async def run(self, stop: asyncio.Event) -> None:
        """Run until stop."""


@dataclass(frozen=True, kw_only=True)
class Manager:
    """Runs reflectors, synchronizer, election and workers as one.

    ``keys`` gives all that is to be reconciled when work begins, ``beside`` what runs while the workers do.
    """

    lifecycle: Lifecycle
    reflectors: Reflectors
    synchronizer: Synchronizer
    elector: Elector
    rivals: Rivals
    queue: WorkQueue[Key]
    workers: Workers
    beside: Sequence[Runs] = ()
    keys: Callable[[], Iterable[Key]]
    metrics: Metrics

    async def run(self) -> None:
        """One life, until ``lifecycle.stop`` is set.

        Raises:
            LeaseLostError: The lease was lost while leading.
            HistoryRewoundError: The cluster's versions went backwards.
        """
        stop = self.lifecycle.stop
        reflecting = asyncio.create_task(self.reflectors.run(stop), name="reflect")
        reflecting.add_done_callback(lambda _: stop.set())
        try:
            await self.reflectors.listed(stop)
            await self.synchronizer.complete(stop)
            self.lifecycle.synced.set()
            log.info("the cache is complete", keys=len(tuple(self.keys())))
            if await self._acquire(stop):
                await self._lead()
        finally:
            stop.set()
            self.metrics.leader.set(0)
            await asyncio.wait({reflecting})
            self.lifecycle.stopped.set()
        reflecting.result()

    async def _acquire(self, stop: asyncio.Event) -> bool:
        """Lead (True) once no other release works in the same namespaces, or give up at a stop (False)."""
        while await self.rivals.wait_until_none(stop) and await self.elector.acquire(stop):
            if await self.rivals.look() and self.elector.may_write():
                return True
            await self.elector.release()
        return False

    async def _lead(self) -> None:
        stop = self.lifecycle.stop
        self.metrics.leader.set(1)
        holding = asyncio.create_task(self.elector.hold(stop), name="hold the lease")
        working = asyncio.create_task(self._work(), name="work")
        try:
            await asyncio.wait({holding, working}, return_when=asyncio.FIRST_COMPLETED)
            kept = not holding.done() or holding.result()
        finally:
            stop.set()
            self.queue.shut_down()
            holding.cancel()
            await asyncio.wait({working}, timeout=STOP_SECONDS)
            working.cancel()
            await self.elector.release()
        if working.done() and not working.cancelled():
            working.result()
        if not kept:
            raise LeaseLostError

    async def _work(self) -> None:
        stop = self.lifecycle.stop
        await self.synchronizer.complete(stop)  # as a standby the cache may have missed that something vanished
        self.queue.clear()  # all were asked for when the cache was filled, and not in the order in which they matter
        for key in self.keys():
            self.queue.add_in_turn(key)
        async with asyncio.TaskGroup() as group:
            group.create_task(self.workers.run())
            group.create_task(self.synchronizer.watch(stop, self.queue.add))
            for one in self.beside:
                group.create_task(one.run(stop))
