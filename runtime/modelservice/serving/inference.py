"""From a body to its answer: the one path of every inference, whatever protocol and transport stand around it."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeVar

from modelservice.modalities.errors import InputError
from modelservice.serving.batch import Asker
from modelservice.serving.batcher import Batcher
from modelservice.serving.budget import Held
from modelservice.serving.calls import Call, Rendered
from modelservice.serving.costs import Clock
from modelservice.serving.errors import ClientLeftError, RequestError, TooLateError
from modelservice.serving.load import Load
from modelservice.serving.model import Compute

LARGE_BODY: Final = 64 * 1024
"""Bytes from which a body is decoded and parsed in a thread, but for what is quick."""
LARGE_ANSWER: Final = 16 * 1024
"""Numbers from which an answer is rendered in a thread: a small body can carry 10,000 short rows."""
LARGE_AT_ONCE: Final = 2
"""Large bodies that are decoded and parsed at once: JSON takes up to 25 times its bytes until it is refused."""

Done = TypeVar("Done")


class Parsing:
    """Threads that parse and decode what is large, for all models of a server."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        # Threads, not a semaphore: a parse goes on when its caller gives up, and must be counted until it ends.
        self._threads = ThreadPoolExecutor(LARGE_AT_ONCE, thread_name_prefix="parse")

    async def timed(self, work: Callable[..., Done], *arguments: Any, most: float) -> tuple[Done | None, float]:
        """Do it in a thread, and tell how many seconds it waited for one; not done after more than ``most``."""
        asked, waited = self._clock(), list[float]()

        def begun(*arguments: Any) -> Done | None:
            waited.append(self._clock() - asked)
            return work(*arguments) if waited[0] <= most else None

        return await self.start(begun, *arguments), waited[0]

    def start(self, work: Callable[..., Done], *arguments: Any) -> asyncio.Future[Done]:
        """Do what takes long in a thread, for who may not await; cancelled, it is not begun, and holds no argument."""
        given = [arguments]
        done = asyncio.get_running_loop().run_in_executor(self._threads, lambda: work(*given.pop()))
        done.add_done_callback(lambda _: given.clear())
        return done


def hand_over(done: asyncio.Future[Done], *, go_on: Callable[[Done], None], fail: Callable[[Exception], None]) -> None:
    """Go on with what a thread did, for who did not await it, or tell why there is nothing; cancelled, its client left.

    What failed is not raised here: its frames would lead to this one, and that to it.
    """
    if done.cancelled():
        fail(ClientLeftError())
        return
    failed = done.exception()
    if isinstance(failed, Exception):
        fail(failed)
        return
    try:
        go_on(done.result())
    except Exception as error:
        fail(error)


class Inference:
    """Parses, queues and renders; must be made on the event loop that will serve.

    Args:
        batcher: the queue.
        hypothetical: computes what is ``Call.hypothetical``.
        parsing: what is large; all models of a server share it.
        clock: by which waiting for a thread is part of a request's time.
    """

    def __init__(self, batcher: Batcher, hypothetical: Compute, parsing: Parsing, *, clock: Clock) -> None:
        self._batcher = batcher
        self._hypothetical = hypothetical
        self._parsing = parsing
        self._clock = clock

    @property
    def load(self) -> Load:
        """How much there is to do."""
        return self._batcher.load

    @property
    def max_wait(self) -> float:
        """Seconds that a request may wait."""
        return self._batcher.max_wait

    @property
    def queued_rows(self) -> int:
        """Rows that wait for a batch."""
        return self._batcher.queued_rows

    def check_room(self) -> None:
        """Refuse who would wait for too long, before its body is read or parsed.

        Raises:
            QueueFullError: the queue is full.
        """
        self._batcher.check_room()

    async def answer(
        self, parse: Callable[..., Call[Rendered]], *request: Any, large: bool, held: Held, patience: int = 1
    ) -> Rendered:
        """Answer one request.

        Args:
            parse: makes a call of it.
            request: the arguments of ``parse``.
            large: parse and render in threads.
            held: what the request holds, until it is answered.
            patience: see ``compute``.

        Raises:
            RequestError: the request is refused.
        """
        call = await self.parse_aside(parse, *request, held=held) if large else parse(*request)
        return await self.compute(call, large=large, patience=patience)

    async def compute(self, call: Call[Rendered], *, large: bool, patience: int = 1) -> Rendered:
        """Answer one request that was parsed.

        Args:
            call: the request.
            large: render in a thread.
            patience: how long a batch waits for company, see ``Batcher.submit``.

        Raises:
            RequestError: the request is refused.
        """
        try:
            compute = call.compute or (self._hypothetical if call.hypothetical else None)
            results = await self._batcher.submit(call.rows, patience=patience, compute=compute, timeout=call.timeout)
        except InputError as error:
            raise call.place(error) from None
        if large or results.size > LARGE_ANSWER:
            return await asyncio.to_thread(call.render, results)
        return call.render(results)

    def parse_here(self, parse: Callable[..., Call[Rendered]], *request: Any, held: Held) -> Call[Rendered]:
        """Parse at once what is large, and quick nevertheless; arguments, and what it raises, as of ``parse_aside``.

        Nothing is decoded here, whatever was said to be quick: ``ask`` has it done in a thread.
        """
        self.check_room()
        return _weighed(parse, request, held)

    def parse_aside(
        self, parse: Callable[..., Call[Rendered]], *request: Any, held: Held
    ) -> asyncio.Future[Call[Rendered]]:
        """Parse in a thread, for who does not await; see ``aside``.

        Args:
            parse: does it.
            request: the arguments of ``parse``.
            held: what the request holds, until it is answered.

        Raises:
            QueueFullError: the queue is full.
        """
        self.check_room()
        return self.aside(self._parsed, parse, request, held, self._clock())

    def admit(self, call: Call[Rendered] | None, *, asked: float, waited: float) -> Call[Rendered]:
        """Take a call that was parsed before it was known whose it is.

        Args:
            call: the request; None where it waited longer than any may.
            asked: when, by the clock.
            waited: seconds that it waited for a thread.

        Returns:
            The same with what is left of its time.

        Raises:
            QueueFullError: it waited longer than a request may.
            TooLateError: its time is over.
        """
        try:
            self._batcher.check_waited(waited)
            assert call is not None  # noqa: S101 - it waited no longer than this one lets it
            timely = self._still_timely(call, asked)
        except RequestError:
            self.load.wait(waited, is_over=True)
            raise
        self.load.wait(waited, is_over=False)
        return timely

    def aside(self, work: Callable[..., Done], *arguments: Any, asker: Asker | None = None) -> asyncio.Future[Done]:
        """Do in a thread what comes before the queue, see ``Parsing.start``; to wait for one is as to wait there.

        Args:
            work: is done unless nobody is left to answer.
            arguments: of it.
            asker: who is to be answered, where somebody is known.

        Returns:
            A future of what ``work`` returns or raises; of a QueueFullError where no thread was free in the time that a
            request may wait.
        """
        load, taken = self.load, list[float]()
        asked = load.begin()

        def in_time(*arguments: Any) -> Done:
            taken.append(self._clock() - asked)
            if asker is not None and asker.disconnected:
                raise ClientLeftError()
            self._batcher.check_waited(taken[0])
            return work(*arguments)

        def ended(done: asyncio.Future[Done]) -> None:
            if taken:  # else nobody waited for it any more
                load.wait(taken[0], is_over=done.cancelled() or done.exception() is not None)
            load.end()

        done = self._parsing.start(in_time, *arguments)
        done.add_done_callback(ended)
        return done

    def _parsed(
        self, parse: Callable[..., Call[Rendered]], request: tuple[Any, ...], held: Held, asked: float
    ) -> Call[Rendered]:
        """What a thread does: the call is in the budget, and what it waited is off its timeout."""
        return self._still_timely(_weighed(parse, request, held), asked)

    def _still_timely(self, call: Call[Rendered], asked: float) -> Call[Rendered]:
        """The same call with what is left of its time.

        Raises:
            TooLateError: nothing is.
        """
        if call.timeout is None:
            return call
        left = call.timeout - (self._clock() - asked)
        if left <= 0:
            raise TooLateError(call.timeout)
        return call._replace(timeout=left)

    def ask(self, call: Call[Rendered], asker: Asker, *, alone: bool = False) -> None:
        """Queue a call that was parsed, for who does not await; see ``Batcher.ask``, also for what it raises."""
        self._batcher.ask(call.rows, asker, timeout=call.timeout, alone=alone)


def _weighed(parse: Callable[..., Call[Rendered]], request: tuple[Any, ...], held: Held) -> Call[Rendered]:
    """A call that is in the budget."""
    call = parse(*request)
    if call.weight:
        held.add(call.weight)
    return call
