"""Workers: take a key, reconcile it, decide when to look at it again. Nothing is dropped."""

import asyncio
import secrets
from typing import Protocol

import structlog

from modelservice_operator.machinery.clock import Clock
from modelservice_operator.machinery.errors import KubeError
from modelservice_operator.machinery.queue import ShutDown, WorkQueue
from modelservice_operator.metrics import Metrics
from modelservice_operator.objects import Key

log = structlog.get_logger(__name__)

STUCK_SECONDS = 300.0
"""A reconcile sends a few dozen requests of at most 30 s; one that takes longer than this hangs."""

READING_TURNS = 10
"""Turns of the event loop between two passes of a worker. A pass that writes nothing does not wait for anything, and
a dozen in a row kept what had been changed meanwhile unread for a tenth of a second; an event takes about six turns
from its socket to the queue."""


class Reconciles(Protocol):
    """Brings the object of a key nearer to what is desired."""

    async def reconcile(self, key: Key) -> float | None:
        """One pass; answers with the seconds until the next look, or None to wait for a change.

        Raises:
            KubeError: Try again after a back-off.
        """


class Workers:
    """A fixed number of workers on one queue, and one besides that people wait for: for what was asked for, only."""

    def __init__(
        self, *, queue: WorkQueue[Key], reconciler: Reconciles, count: int, clock: Clock, metrics: Metrics
    ) -> None:
        self._queue = queue
        self._reconciler = reconciler
        self._count = count
        self._clock = clock
        self._metrics = metrics
        self._started_at: dict[Key, float] = {}

    def stuck(self) -> tuple[Key, ...]:
        """Keys that have been reconciled for so long that the process should be restarted."""
        limit = self._clock.monotonic() - STUCK_SECONDS
        return tuple(key for key, started in self._started_at.items() if started < limit)

    async def run(self) -> None:
        """Work until the queue is stopped; every reconcile that was started is finished first."""
        async with asyncio.TaskGroup() as group:
            for number in range(self._count + 1):
                group.create_task(self._work(asked=number == self._count))

    async def _work(self, *, asked: bool) -> None:
        while True:
            try:
                key = await self._queue.get(asked=asked)
            except ShutDown:
                return
            try:
                await self._reconcile(key)
            finally:
                self._queue.done(key)
            for _ in range(READING_TURNS):
                await asyncio.sleep(0)

    async def _reconcile(self, key: Key) -> None:
        self._started_at[key] = started = self._clock.monotonic()
        with structlog.contextvars.bound_contextvars(key=str(key), reconcile=secrets.token_hex(4)):
            try:
                seconds = await self._reconciler.reconcile(key)
            except KubeError as error:
                self._retry(key, "transient", error)
            except Exception as error:  # a defect met at one key must not stop the others
                self._retry(key, "error", error)
            else:
                self._metrics.reconciles.labels("done").inc()
                self._queue.forget(key)
                if seconds is not None:
                    self._queue.add_after(key, seconds)
            finally:
                del self._started_at[key]
                self._metrics.reconcile_seconds.observe(self._clock.monotonic() - started)

    def _retry(self, key: Key, result: str, error: Exception) -> None:
        self._metrics.reconciles.labels(result).inc()
        least = error.after if isinstance(error, KubeError) else 0.0
        delay = self._queue.add_rate_limited(key, least=least)
        if result == "error":
            log.error("reconcile failed", retry_seconds=round(delay, 1), exc_info=error)
        else:
            kind = type(error).__name__
            log.warning("reconcile to be repeated", retry_seconds=round(delay, 1), error=str(error), kind=kind)
