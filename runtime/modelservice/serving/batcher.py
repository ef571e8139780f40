"""Adaptive batching: requests that wait at the same time share a forward pass.

Rows of several requests are encoded and run at once, since most of the cost is per call, not per row.
Greedy: whatever is queued is taken, up to the batch size that measured cheapest; nothing waits for company unless
``maxDelayMilliseconds`` asks for it. While one batch is computed, the next gathers by itself. Lives on the event
loop; a model that is costly runs in another thread, one batch at a time. The next full batch is handed over meanwhile,
so that the thread never waits for the loop, and as the thread has nothing to do but to run the model, it does not wait
for the interpreter lock either: with both, a CNN of 1,000,000 parameters answers 24,000 rows/s in place of 14,000.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor

from modelservice.contract.serving import Batching
from modelservice.modalities.base import Rows
from modelservice.serving.batch import Asker, Batch, Limited, Part, Waiting
from modelservice.serving.costs import Clock, Costs
from modelservice.serving.errors import ClientLeftError, QueueFullError
from modelservice.serving.load import Load
from modelservice.serving.model import Compute
from modelservice.serving.results import Results

SMOOTHING = 0.1
"""Share of a new observation in the estimate of how fast the queue drains."""

HANDED_OVER = 2
"""Batches that the thread is given at most: the one that it computes, and a full one after it; those beside that are
computed again since one of their requests failed."""

Observer = Callable[[int, float], None]
"""Is told of each batch that was answered: its rows, and the seconds that it took."""


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


class Batcher:
    """Queues rows and answers each request with the raw outputs of its rows.

    Must be made and used on a running event loop.

    Attributes:
        load: how much there is to do.
        max_wait: seconds that a request may wait.
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
        self._executor = executor
        self._inline_rows = costs.inline_rows
        self._encodes = costs.encodes_on_loop
        self._delay = batching.max_delay_milliseconds / 1000
        self.max_wait = batching.max_queue_milliseconds / 1000
        self._clock = clock
        self._observe = observe
        self.load = Load(clock)
        self._queue: deque[Waiting] = deque()
        self._rows = 0
        self._running = 0
        self._handed = 0
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

    def check_room(self) -> float:
        """Refuse who would wait for too long, before anything is done for it.

        Returns:
            Seconds that it would wait.

        Raises:
            QueueFullError: that is beyond ``maxQueueMilliseconds``.
        """
        if (wait := self.wait_seconds) > self.max_wait:
            raise self._full(f"about {wait * 1000:.0f} ms to wait", wait)
        return wait

    def check_waited(self, seconds: float) -> None:
        """Refuse who waited for too long before it came here.

        Raises:
            QueueFullError: that is beyond ``maxQueueMilliseconds``.
        """
        if seconds > self.max_wait:
            raise self._full(f"no thread was free for {seconds * 1000:.0f} ms", seconds)

    def submit(
        self, rows: Rows, *, patience: int = 1, compute: Compute | None = None, timeout: float | None = None
    ) -> asyncio.Future[Results]:
        """Queue the rows of a request; ``ask`` for who awaits the answer.

        Returns:
            A future of what ``Asker.take`` is given; who holds it may cancel it.

        Raises:
            QueueFullError: see ``ask``.
        """
        future: asyncio.Future[Results] = self._loop.create_future()
        self.ask(rows, _Future(future), patience=patience, compute=compute, timeout=timeout)
        return future

    def ask(
        self,
        rows: Rows,
        asker: Asker,
        *,
        patience: int = 1,
        compute: Compute | None = None,
        timeout: float | None = None,
        alone: bool = False,
    ) -> None:
        """Queue the rows of a request, at least one; more than a batch are computed in several.

        Args:
            rows: what the encoder takes.
            asker: is given the answer, in a later turn of the event loop unless it is alone.
            patience: turns of the event loop, each some microseconds, in which nothing more comes before a batch that
                is not full is computed; for transports that hand over one by one what arrived together.
            compute: what computes them, if not what computes all others; they share no batch with these.
            timeout: seconds after which the asker is given a TooLateError, and what was not computed is not.
            alone: no company is expected, so that a batch need not wait for the next turn of the event loop.

        Raises:
            QueueFullError: the estimated wait is beyond ``maxQueueMilliseconds``, or the timeout.
        """
        wait = self.check_room()
        if timeout is None:
            waiting = Waiting(rows, asker, compute or self._compute, self.load)
        else:
            waiting = self._limited(rows, asker, compute or self._compute, timeout, wait)
        if alone and not (self._queue or self._handed or self._delay) and waiting.count <= self._size:
            self._compute_parts([waiting.take(self._size)])
            return
        self._queue.append(waiting)
        self._rows += waiting.count
        if patience != self._patience:
            self._patience = max(self._patience, patience)
        if self._timer is None or not self._timer_is_due:
            self._schedule()

    def _full(self, said: str, wait: float) -> QueueFullError:
        allowed = f"at most {self.max_wait * 1000:.0f} ms allowed (spec.serving.batching.maxQueueMilliseconds)"
        return QueueFullError(f"the queue is full: {said}, {allowed}", retry_after=wait)

    def _limited(self, rows: Rows, asker: Asker, compute: Compute, seconds: float, wait: float) -> Limited:
        if wait > seconds:
            said = f"about {wait * 1000:.0f} ms to wait, more than the timeout of {seconds * 1000:g} ms"
            raise QueueFullError(f"the queue is full: {said}", retry_after=wait)
        limited = Limited(rows, asker, compute, self.load)
        limited.deadline = limited.begun + seconds
        limited.timer = self._loop.call_later(seconds, limited.expire, seconds)
        return limited

    def _schedule(self) -> None:
        if self._handed and (self._handed >= HANDED_OVER or self._rows < self._size):
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
        self._compute_queue()

    def _compute_queue(self) -> None:
        """Compute what waits, as much as makes a batch."""
        parts = self._take()
        if not parts:  # all who waited have left
            self._busy_since = None
            return
        self._compute_parts(parts)

    def _compute_parts(self, parts: list[Part]) -> None:
        batch, now = Batch(parts), self._clock()
        self.load.take([part.request.begun for part in parts if part.start == 0], now)
        self._follow_drain(now, len(batch))
        self._start(batch)

    def _start(self, batch: Batch) -> None:
        if not self._handed and len(batch) <= self._inline_rows:
            batch.run(self._clock)
            self._deliver(batch)
            return
        if self._encodes:
            batch.encode(self._clock)
        self._handed += 1
        self._running += len(batch)
        self._executor.submit(self._run, batch)

    def _run(self, batch: Batch) -> None:
        """What the thread does."""
        batch.run(self._clock)
        self._loop.call_soon_threadsafe(self._deliver_handed, batch)

    def _deliver_handed(self, batch: Batch) -> None:
        self._handed -= 1
        self._running -= len(batch)
        if self._rows >= self._size:
            if self._timer is not None:
                self._timer.cancel()
            self._flush()  # first: the thread computes while answers are written
        self._deliver(batch)

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

    def _take(self) -> list[Part]:
        """The rows of the next batch."""
        room = self._size
        parts: list[Part] = []
        while room and self._queue:
            waiting = self._queue[0]
            if not waiting.told and waiting.disconnected:
                waiting.tell(ClientLeftError())
            if parts and waiting.compute is not parts[0].request.compute:
                break
            if waiting.told:  # it left, or another part of it failed
                self._rows -= waiting.count - waiting.taken
                self._queue.popleft()
                continue
            part = waiting.take(room)
            parts.append(part)
            room -= part.size
            if waiting.taken == waiting.count:
                self._queue.popleft()
        self._rows -= self._size - room
        return parts

    def _deliver(self, batch: Batch) -> None:
        if self._queue and self._timer is None:
            self._schedule()
        again = batch.answer()
        if batch.answered:
            self._observe(len(batch), batch.seconds)
        for one in again:
            self._start(one)
