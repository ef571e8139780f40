"""Adaptive batching: requests that wait at the same time share a forward pass.

Greedy: whatever is queued is taken, up to the batch size that measured cheapest; nothing waits for company unless
``maxDelayMilliseconds`` asks for it. While one pass runs, the next batch gathers by itself. Lives on the event loop;
only the forward pass may run in another thread, one at a time.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor

import numpy as np

from modelservice.contract.serving import Batching
from modelservice.serving.costs import Clock, Costs, Forward
from modelservice.serving.errors import NotFiniteError, QueueFullError
from modelservice.serving.model import Array

SMOOTHING = 0.1
"""Share of a new observation in the estimate of how fast the queue drains."""

Observer = Callable[[int, float], None]
"""Is told of each batch: its rows, and the seconds of its forward pass."""


class _Waiting:
    """A request in the queue: how many of its rows were taken, and what has been answered so far."""

    __slots__ = ("features", "future", "parts", "taken")

    def __init__(self, features: Array, future: asyncio.Future[Array]) -> None:
        self.features = features
        self.future = future
        self.taken = 0
        self.parts: list[Array] = []


_Share = tuple[_Waiting, int]
"""A request and how many of its rows are in a batch."""


class Batcher:
    """Queues encoded rows and answers each request with its probabilities.

    Must be made and used on a running event loop.
    """

    def __init__(
        self,
        *,
        forward: Forward,
        costs: Costs,
        batching: Batching,
        executor: Executor,
        clock: Clock,
        observe: Observer,
    ) -> None:
        self._forward = forward
        self._size = min(costs.batch_size, batching.max_size)
        self._executor = None if costs.inline else executor
        self._delay = batching.max_delay_milliseconds / 1000
        self._max_wait = batching.max_queue_milliseconds / 1000
        self._clock = clock
        self._observe = observe
        self._queue: deque[_Waiting] = deque()
        self._rows = 0
        self._running = 0
        self._row_seconds = costs.row_seconds
        self._busy_since: tuple[float, int] | None = None
        self._timer: asyncio.Handle | None = None
        self._timer_is_due = False
        self._loop = asyncio.get_running_loop()

    @property
    def queued_rows(self) -> int:
        """Rows that wait, without those in the pass that runs."""
        return self._rows

    @property
    def wait_seconds(self) -> float:
        """Estimate of how long a request that comes now would wait before its first row is computed."""
        return (self._rows + self._running) * self._row_seconds

    def submit(self, features: Array) -> asyncio.Future[Array]:
        """Queue rows.

        Args:
            features: float32 [rows, width], at least one row; more than a batch are computed in several passes.

        Returns:
            A future of float32 [rows, classes], finite; it raises NotFiniteError where the model's answer is not.

        Raises:
            QueueFullError: the estimated wait is beyond ``maxQueueMilliseconds``.
        """
        if (wait := self.wait_seconds) > self._max_wait:
            raise QueueFullError(
                f"the queue is full: about {wait * 1000:.0f} ms to wait, at most {self._max_wait * 1000:.0f} ms allowed"
                " (spec.serving.batching.maxQueueMilliseconds)",
                retry_after=wait,
            )
        future: asyncio.Future[Array] = self._loop.create_future()
        self._queue.append(_Waiting(features, future))
        self._rows += len(features)
        self._schedule()
        return future

    def _schedule(self) -> None:
        if self._running:
            return
        due = self._delay == 0 or self._rows >= self._size
        if self._timer is not None:
            if self._timer_is_due or not due:
                return
            self._timer.cancel()
        self._timer_is_due = due
        # call_soon runs after the requests that arrived in the same turn of the loop, so those share the batch.
        self._timer = self._loop.call_soon(self._flush) if due else self._loop.call_later(self._delay, self._flush)

    def _flush(self) -> None:
        self._timer = None
        parts, shares = self._take()
        if not parts:
            return
        features = parts[0] if len(parts) == 1 else np.concatenate(parts)
        started = self._clock()
        if self._busy_since is not None:
            since, rows = self._busy_since
            self._row_seconds += SMOOTHING * ((started - since) / rows - self._row_seconds)
        # How fast the queue drains shows only while it is never empty.
        self._busy_since = (started, len(features)) if self._queue else None
        if self._executor is not None:
            self._running = len(features)
            future = self._loop.run_in_executor(self._executor, self._forward, features)
            future.add_done_callback(lambda done: self._finish(done, shares, started))
            return
        try:
            probabilities = self._forward(features)
        except Exception as error:
            _fail(shares, error)
        else:
            self._answer(probabilities, shares, started)
        if self._queue:
            self._schedule()

    def _finish(self, done: asyncio.Future[Array], shares: list[_Share], started: float) -> None:
        self._running = 0
        if (error := done.exception()) is not None:
            _fail(shares, error)
        else:
            self._answer(done.result(), shares, started)
        if self._queue:
            self._schedule()

    def _take(self) -> tuple[list[Array], list[_Share]]:
        room = self._size
        shares: list[_Share] = []
        parts: list[Array] = []
        while room and self._queue:
            waiting = self._queue[0]
            part = waiting.features[waiting.taken : waiting.taken + room]
            if waiting.future.done():  # given up, or another part of it failed
                part = waiting.features[waiting.taken :]
            else:
                room -= len(part)
                shares.append((waiting, len(part)))
                parts.append(part)
            waiting.taken += len(part)
            self._rows -= len(part)
            if waiting.taken == len(waiting.features):
                self._queue.popleft()
        return parts, shares

    def _answer(self, probabilities: Array, shares: list[_Share], started: float) -> None:
        self._observe(len(probabilities), self._clock() - started)
        finite = bool(np.isfinite(probabilities).all())
        at = 0
        for waiting, rows in shares:
            part = probabilities[at : at + rows]
            at += rows
            if waiting.future.done():
                continue
            if not finite and not np.isfinite(part).all():
                waiting.future.set_exception(
                    NotFiniteError("the model's answer to these inputs is not finite: too extreme")
                )
            elif rows == len(waiting.features):
                waiting.future.set_result(part)
            else:
                waiting.parts.append(part)
                if sum(map(len, waiting.parts)) == len(waiting.features):
                    waiting.future.set_result(np.concatenate(waiting.parts))


def _fail(shares: list[_Share], error: BaseException) -> None:
    for waiting, _ in shares:
        if not waiting.future.done():
            waiting.future.set_exception(error)
