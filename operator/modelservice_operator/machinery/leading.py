"""What a replica does over its life: fill the cache, stand by, lead, stop in order."""

import asyncio

import structlog

from modelservice_operator.context import Context
from modelservice_operator.machinery.sync import Synchronizer
from modelservice_operator.machinery.worker import Workers

log = structlog.get_logger(__name__)

STOP_SECONDS = 20.0
"""For reconciles that are under way at a stop; the pod's grace period is 30 s."""


class LeaseLostError(Exception):
    """Another replica may be leading: this process must end, for only a new one starts from a clean state."""


async def live(context: Context, workers: Workers) -> None:
    """One life, until ``context.stop`` is set.

    Raises:
        LeaseLostError: The lease was lost while leading.
    """
    synchronizer = Synchronizer(kube=context.kube, cache=context.cache, clock=context.clock, metrics=context.metrics)
    try:
        await synchronizer.complete(context.stop)
        context.synced.set()
        log.info("the cache is complete", services=len(tuple(context.cache.services())))
        if await context.elector.acquire(context.stop):
            await _lead(context, workers, synchronizer)
    finally:
        context.metrics.leader.set(0)
        context.stopped.set()


async def _lead(context: Context, workers: Workers, synchronizer: Synchronizer) -> None:
    context.metrics.leader.set(1)
    holding = asyncio.create_task(context.elector.hold(context.stop), name="hold the lease")
    working = asyncio.create_task(_work(context, workers, synchronizer), name="work")
    try:
        await asyncio.wait({holding, working}, return_when=asyncio.FIRST_COMPLETED)
        kept = not holding.done() or holding.result()
    finally:
        context.stop.set()
        context.queue.stop()
        holding.cancel()
        await asyncio.wait({working}, timeout=STOP_SECONDS)
        working.cancel()
        await context.elector.release()
    if working.done() and not working.cancelled():
        working.result()
    if not kept:
        raise LeaseLostError


async def _work(context: Context, workers: Workers, synchronizer: Synchronizer) -> None:
    await synchronizer.complete(context.stop)  # as a standby the cache may have missed that something vanished
    for key in context.cache.services():
        context.queue.add(key)
    async with asyncio.TaskGroup() as group:
        group.create_task(workers.run())
        group.create_task(synchronizer.watch(context.stop, context.queue.add))
