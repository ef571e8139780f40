"""Questions whose answers may take long, or that a tenant may make slow: asked beside the workers, never by one.

A pass reads the last answer and goes on; when another answer comes, whoever asked is looked at again.
"""

import asyncio
import heapq
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

import structlog

from modelservice_operator.machinery.clock import Clock
from modelservice_operator.machinery.rate_limit import RateLimit
from modelservice_operator.objects import Key

log = structlog.get_logger(__name__)

CONCURRENCY = 4
"""Questions under way at once, each of another namespace."""

_QUICK_SECONDS = 0.05
"""An answer that came so soon was not made slow by its namespace, which rests after slower ones."""

_PAUSE = 10.0
"""How long an answer stands at least, in the time that it took: what is slow and always new is not asked on and on."""


_OVERTAKEN = 64
"""Places in the schedule, beside two for each question, that may be of no use any more: an earlier one was taken."""


class Question(Protocol):
    """What is asked: a value that can be compared, of one namespace."""

    @property
    def namespace(self) -> str:
        """Whose budget it is asked on."""


Q = TypeVar("Q", bound=Question)
A = TypeVar("A")


@dataclass(frozen=True, kw_only=True)
class Asked(Generic[A]):
    """How it went the last time: the answer, how long it took, and how often it was asked already."""

    answer: A | None
    seconds: float
    times: int


@dataclass(kw_only=True)
class _Entry(Generic[A]):
    since: float
    due: float
    askers: set[Key] = field(default_factory=set)
    answer: A | None = None
    times: int = 0
    number: int = 0
    ended: float = 0.0
    seconds: float = 0.0
    under_way: bool = False


class Lookups(Generic[Q, A]):
    """Asks what passes want to know, again and again while they do.

    Of one namespace one question is under way at a time, and after a slow answer it rests for as long as that took: who
    makes answers slow waits for no one but himself. What was never answered comes before what is asked again.

    Args:
        ask: Answers a question, given the last answer; None where nothing is known.
        interval: Seconds until it is asked again.
        on_change: Told who asked, when an answer is another one.
        clock: Measures and waits.
        concurrency: Questions under way at once.
        rate: Questions a second at most, of all namespaces together; None for any number.
    """

    def __init__(
        self,
        *,
        ask: Callable[[Q, A | None], Awaitable[A | None]],
        interval: Callable[[Asked[A]], float],
        on_change: Callable[[Key], None],
        clock: Clock,
        concurrency: int = CONCURRENCY,
        rate: float | None = None,
    ) -> None:
        self._ask = ask
        self._interval = interval
        self._on_change = on_change
        self._clock = clock
        self._concurrency = concurrency
        self._rate = RateLimit(clock=clock, per_second=rate) if rate else None
        self._pause = 1 / rate if rate else 0.0
        self._entries: dict[Q, _Entry[A]] = {}
        self._asked_by: dict[Key, tuple[Q, ...]] = {}
        self._scheduled: list[tuple[float, int, Q, _Entry[A]]] = []
        self._due: dict[str, list[tuple[bool, float, int, Q, _Entry[A]]]] = {}
        self._sequence = 0
        self._busy: set[str] = set()
        self._resting: dict[str, float] = {}
        self._wanted = asyncio.Event()

    def want(self, asker: Key, questions: Iterable[Q]) -> tuple[A | None, ...]:
        """All that a pass wants to know now, and the last answers; what it does not ask any more is forgotten."""
        asked = tuple(questions)
        for question in set(self._asked_by.pop(asker, ())).difference(asked):
            entry = self._entries[question]
            entry.askers.discard(asker)
            if not entry.askers:
                del self._entries[question]
        if asked:
            self._asked_by[asker] = asked
        return tuple(self._entry(question, asker).answer for question in asked)

    def answers(self, asker: Key) -> tuple[A | None, ...]:
        """The last answers to what somebody wants to know."""
        return tuple(self._entries[question].answer for question in self._asked_by.get(asker, ()))

    def hurry(self, asker: Key) -> None:
        """What somebody wants to know may have another answer by now: ask, once more where that is under way."""
        for question in self._asked_by.get(asker, ()):
            entry = self._entries[question]
            due = max(self._clock.monotonic(), entry.ended + _PAUSE * entry.seconds)
            if entry.under_way or due < entry.due:
                entry.due = due
                self._schedule(question, entry)

    def unanswered_for(self, question: Q) -> float | None:
        """Seconds since this was first wanted, while it was never answered; None once it was."""
        entry = self._entries.get(question)
        if entry is None or entry.times:
            return None
        return self._clock.monotonic() - entry.since

    async def run(self, stop: asyncio.Event) -> None:
        """Ask what is due until stop; what is under way then is dropped."""
        running: set[asyncio.Task[bool]] = set()
        ending = asyncio.create_task(stop.wait(), name="end of lookups")
        ending.add_done_callback(lambda _: self._wanted.set())
        try:
            while not stop.is_set():
                self._wanted.clear()
                while len(running) < self._concurrency and (due := self._next()) is not None:
                    task = asyncio.create_task(self._answer(*due), name="lookup")
                    running.add(task)
                    task.add_done_callback(running.discard)
                    task.add_done_callback(lambda _: self._wanted.set())
                await self._clock.wait(self._wanted, self._seconds(full=len(running) >= self._concurrency))
        finally:
            tasks = [ending, *running]
            for one in tasks:
                one.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def ask_due(self) -> bool:
        """Ask all that is due now, one after the other, for tests; whether an answer changed."""
        changed = False
        while (due := self._next()) is not None:
            changed = await self._answer(*due) or changed
            self._resting.clear()
        return changed

    def _entry(self, question: Q, asker: Key) -> _Entry[A]:
        entry = self._entries.get(question)
        if entry is None:
            now = self._clock.monotonic()
            entry = self._entries[question] = _Entry(since=now, due=now)
            self._schedule(question, entry)
        entry.askers.add(asker)
        return entry

    def _schedule(self, question: Q, entry: _Entry[A]) -> None:
        self._sequence += 1
        entry.number = self._sequence
        heapq.heappush(self._scheduled, (entry.due, entry.number, question, entry))
        if len(self._scheduled) > 2 * len(self._entries) + _OVERTAKEN:  # whoever hurries us on fills no memory
            self._scheduled = [one for one in self._scheduled if self._is_wanted(*one[1:])]
            heapq.heapify(self._scheduled)
        self._wanted.set()

    def _next(self) -> tuple[Q, _Entry[A]] | None:
        """A question that is due, of a namespace that has none under way and does not rest."""
        now = self._clock.monotonic()
        while self._scheduled and self._scheduled[0][0] <= now:
            due, number, question, entry = heapq.heappop(self._scheduled)
            heapq.heappush(
                self._due.setdefault(question.namespace, []), (entry.times > 0, due, number, question, entry)
            )
        for namespace in [one for one, until in self._resting.items() if until <= now]:
            del self._resting[namespace]
        for namespace, waiting in list(self._due.items()):
            while waiting and not self._is_wanted(*waiting[0][-3:]):
                heapq.heappop(waiting)
            if not waiting:
                del self._due[namespace]
            elif namespace not in self._busy and namespace not in self._resting:
                if self._rate is not None and not self._rate.admit():
                    return None
                *_, question, entry = heapq.heappop(waiting)
                # The next turn is another namespace's.
                self._due[namespace] = self._due.pop(namespace)
                self._busy.add(namespace)
                return question, entry
        return None

    def _is_wanted(self, number: int, question: Q, entry: _Entry[A]) -> bool:
        """Whether it was neither forgotten meanwhile, nor scheduled anew; what is wanted again has another entry."""
        return self._entries.get(question) is entry and entry.number == number

    def _seconds(self, *, full: bool) -> float | None:
        """How long nothing has to be done, if nobody wants or answers anything meanwhile."""
        if full:
            return None
        now = self._clock.monotonic()
        times = [until - now for namespace, until in self._resting.items() if namespace in self._due]
        times += [self._scheduled[0][0] - now] if self._scheduled else []
        times += [self._pause] if self._pause and self._due else []
        return max(0.0, min(times)) if times else None

    async def _answer(self, question: Q, entry: _Entry[A]) -> bool:
        """Ask, and tell those who want to know if the answer is another one; it may be forgotten at any time."""
        began, answer, number = self._clock.monotonic(), entry.answer, entry.number
        entry.under_way = True
        try:
            answer = await self._ask(question, entry.answer)
        except Exception:
            log.exception("a lookup failed", question=question)
        finally:
            now = self._clock.monotonic()
            entry.under_way, entry.ended, entry.seconds = False, now, now - began
            self._busy.discard(question.namespace)
            if entry.seconds > _QUICK_SECONDS:
                self._resting[question.namespace] = now + entry.seconds
        changed = answer != entry.answer
        entry.answer, entry.times = answer, entry.times + 1
        if self._entries.get(question) is not entry:
            return False
        if entry.number == number:
            entry.due = now + self._interval(Asked(answer=answer, seconds=entry.seconds, times=entry.times))
            self._schedule(question, entry)
        if changed:
            for asker in sorted(entry.askers):
                self._on_change(asker)
        return changed
