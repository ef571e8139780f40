"""Adaptive batching: requests that wait at the same time share a forward pass.

Rows of several requests are encoded and run at once, since most of the cost is per call, not per row.
Greedy: whatever is queued is taken, up to the batch size that measured cheapest; nothing waits for company unless
``maxDelayMilliseconds`` asks for it. While one batch is computed, the next gathers by itself. Lives on the event
loop; only the computation may run in another thread, one batch at a time.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from typing import Protocol

import numpy as np

from modelservice.contract.serving import Batching
from modelservice.modalities.base import Rows, merge_rows
from modelservice.modalities.errors import InputError
from modelservice.serving.costs import Clock, Costs
from modelservice.serving.errors import ClientLeftError, NotFiniteError, QueueFullError
from modelservice.serving.model import Compute
from modelservice.serving.results import Results
from modelservice.tasks.base import Array

SMOOTHING = 0.1
"""Share of a new observation in the estimate of how fast the queue drains."""

Observer = Callable[[int, float], None]
"""Is told of each batch: its rows, and the seconds that it took."""


class Asker(Protocol):
    """Who asked for the answer to some rows."""

    @property
    def disconnected(self) -> bool:
        """Whether nobody is left to answer: rows that were not taken yet are dropped."""

    def take(self, outcome: Results | Exception) -> None:
        """Take the model's answer, or what went wrong; is called once, and must not raise.

        Args:
            outcome: finite raw outputs; InputError where a row cannot be encoded, NotFiniteError where the
                model's answer is not finite, ClientLeftError where the asker was found gone.
        """


class _Future:
    """A future as an asker; who holds it may cancel it."""

    __slots__ = ("future",)

    def __init__(self, future: asyncio.Future[Results]) -> None:
        self.future = future

    @property
    def disconnected(self) -> bool:
        return self.future.done()

    def take(self, outcome: Results | Exception) -> None:
        if self.future.done():
            return
        if isinstance(outcome, Exception):
            self.future.set_exception(outcome)
        else:
            self.future.set_result(outcome)


class _Waiting:
    """A request in the queue: how many of its rows were taken, the last of them, and what has been answered so far."""

    __slots__ = ("answered", "asker", "compute", "part", "rows", "taken", "told")

    def __init__(self, rows: Rows, asker: Asker, compute: Compute) -> None:
        self.rows = self.part = rows
        self.compute = compute
        self.asker = asker
        self.taken = 0
        self.told = False
        self.answered: list[Results] = []

    def tell(self, outcome: Results | Exception) -> None:
        self.told = True
        self.asker.take(outcome)


class Batcher:
    """Queues rows and answers each request with the raw outputs of its rows.

    Must be made and used on a running event loop.
    """

    def __init__(
        self,
        *,
        compute: Compute,
        costs: Costs,
        batching: Batching,
        executor: Executor,
        clock: Clock,
        observe: Observer,
    ) -> None:
        self._compute = compute
        self._size = min(costs.batch_size, batching.max_size)
        self._executor = None if costs.inline else executor
        self._delay = batching.max_delay_milliseconds / 1000
        self._max_wait = batching.max_queue_milliseconds / 1000
        self._clock = clock
        self._observe = observe
        self._queue: deque[_Waiting] = deque()
        self._rows = 0
        self._running = 0
        self._row_seconds = self._measured_row_seconds = costs.row_seconds
        self._busy_since: tuple[float, int] | None = None
        self._timer: asyncio.Handle | None = None
        self._timer_is_due = False
        self._patience = 1
        self._quiet = 0
        self._seen = 0
        self._loop = asyncio.get_running_loop()

    @property
    def queued_rows(self) -> int:
        """Rows that wait, without those in the batch that is computed."""
        return self._rows

    @property
    def wait_seconds(self) -> float:
        """Estimate of how long a request that comes now would wait before its first row is computed."""
        return (self._rows + self._running) * self._row_seconds

    def submit(self, rows: Rows, *, patience: int = 1, compute: Compute | None = None) -> asyncio.Future[Results]:
        """Queue the rows of a request; ``ask`` for who awaits the answer.

        Returns:
            A future of what ``Asker.take`` is given; who holds it may cancel it.

        Raises:
            QueueFullError: see ``ask``.
        """
        future: asyncio.Future[Results] = self._loop.create_future()
        self.ask(rows, _Future(future), patience=patience, compute=compute)
        return future

    def ask(self, rows: Rows, asker: Asker, *, patience: int = 1, compute: Compute | None = None) -> None:
        """Queue the rows of a request, at least one; more than a batch are computed in several.

        Args:
            rows: what the encoder takes.
            asker: is given the answer in a later turn of the event loop.
            patience: turns of the event loop, each some microseconds, in which nothing more comes before a batch that
                is not full is computed; for transports that hand over one by one what arrived together.
            compute: what computes them, if not what computes all others; they share no batch with these.

        Raises:
            QueueFullError: the estimated wait is beyond ``maxQueueMilliseconds``.
        """
        if (wait := (self._rows + self._running) * self._row_seconds) > self._max_wait:
            raise QueueFullError(
                f"the queue is full: about {wait * 1000:.0f} ms to wait, at most {self._max_wait * 1000:.0f} ms allowed"
                " (spec.serving.batching.maxQueueMilliseconds)",
                retry_after=wait,
            )
        self._queue.append(_Waiting(rows, asker, compute or self._compute))
        self._rows += len(rows)
        if patience != self._patience:
            self._patience = max(self._patience, patience)
        if self._timer is None or not self._timer_is_due:
            self._schedule()

    def _schedule(self) -> None:
        if self._running:
            return
        due = self._delay == 0 or self._rows >= self._size
        if self._timer is not None:
            if not due:
                return
            self._timer.cancel()
        self._timer_is_due = due
        self._seen, self._quiet = self._rows, 0
        # call_soon runs after the requests that arrived in the same turn of the loop, so those share the batch.
        self._timer = self._loop.call_soon(self._flush) if due else self._loop.call_later(self._delay, self._flush)

    def _flush(self) -> None:
        if self._timer_is_due and self._rows < self._size and not self._is_quiet():
            self._timer = self._loop.call_soon(self._flush)
            return
        self._timer = None
        self._patience = 1
        batch = self._take()
        if not batch:  # all who waited have left
            self._busy_since = None
            return
        count = sum([len(waiting.part) for waiting in batch])
        started = self._clock()
        self._follow_drain(started, count)
        if self._executor is None:
            self._deliver(_outcomes(batch[0].compute, batch), batch, count, started)
            return
        self._running = count
        done = self._loop.run_in_executor(self._executor, _outcomes, batch[0].compute, batch)
        done.add_done_callback(lambda done: self._deliver(done.result(), batch, count, started))

    def _is_quiet(self) -> bool:
        """Whether nothing more came for as many turns of the loop as the queue has patience; asked once each turn."""
        if self._rows > self._seen:
            self._seen, self._quiet = self._rows, 0
        else:
            self._quiet += 1
        return self._quiet >= self._patience

    def _follow_drain(self, started: float, count: int) -> None:
        """Correct the estimate; how fast the queue drains shows only while it is never empty.

        When it ran empty the estimate goes back towards what was measured at the start: else one long stall could
        turn so many requests away that the queue never fills again, and nothing would show that the stall is over.
        A batch counts by its rows: a stall of 50 ms that meets a single row would be 50 ms for each of those that wait.
        """
        pace, share = self._measured_row_seconds, 1.0
        if self._busy_since is not None:
            since, rows = self._busy_since
            pace, share = (started - since) / rows, rows / self._size
        self._row_seconds += SMOOTHING * share * (pace - self._row_seconds)
        self._busy_since = (started, count) if self._queue else None

    def _take(self) -> list[_Waiting]:
        """Those of whom rows are in the next batch, which are their ``part``."""
        room = self._size
        batch: list[_Waiting] = []
        while room and self._queue:
            waiting = self._queue[0]
            start, rows = waiting.taken, len(waiting.rows)
            if not waiting.told and waiting.asker.disconnected:
                waiting.tell(ClientLeftError("the client left before it was answered"))
            if batch and waiting.compute is not batch[0].compute:
                break
            if waiting.told:  # it left, or another part of it failed
                waiting.taken = rows
            else:
                waiting.taken = min(rows, start + room)
                if waiting.taken - start < rows:
                    waiting.part = waiting.rows[start : waiting.taken]
                room -= waiting.taken - start
                batch.append(waiting)
            self._rows -= waiting.taken - start
            if waiting.taken == rows:
                self._queue.popleft()
        return batch

    def _deliver(
        self, outcomes: Sequence[Results | Exception], batch: list[_Waiting], count: int, started: float
    ) -> None:
        self._running = 0
        self._observe(count, self._clock() - started)
        if self._executor is not None and self._rows >= self._size:
            self._flush()  # first: the thread computes while answers are written
        elif self._queue and self._timer is None:
            self._schedule()
        for waiting, outcome in zip(batch, outcomes, strict=True):
            if waiting.told:
                continue
            if isinstance(outcome, Exception) or waiting.part is waiting.rows:
                waiting.tell(outcome)
                continue
            waiting.answered.append(outcome)
            if waiting.taken == len(waiting.rows):
                waiting.tell(Results.joined(waiting.answered))


def _outcomes(compute: Compute, batch: list[_Waiting]) -> Sequence[Results | Exception]:
    """Compute all parts at once; where that fails, each by itself, so that a wrong request fails alone."""
    parts = [waiting.part for waiting in batch]
    try:
        raw = compute(merge_rows(parts))
    except Exception:
        return [_outcome(compute, waiting) for waiting in batch]
    if not np.isfinite(raw).all():
        return [_outcome(compute, waiting) for waiting in batch]
    return Results.split(raw, [len(part) for part in parts])


def _outcome(compute: Compute, waiting: _Waiting) -> Results | Exception:
    try:
        return Results.of(finite(compute(waiting.part)))
    except InputError as error:
        row = None if error.row is None else error.row + waiting.taken - len(waiting.part)
        return InputError(error.message, row=row, column=error.column, tensor=error.tensor)
    except Exception as error:
        return error


def finite(raw: Array) -> Array:
    """Raw outputs that can be answered.

    Raises:
        NotFiniteError: some are no finite numbers.
    """
    if np.isfinite(raw).all():
        return raw
    raise NotFiniteError("the model's answer to these rows is not finite: their values are too extreme")
