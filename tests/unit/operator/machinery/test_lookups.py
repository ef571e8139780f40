"""Lookups: nobody waits for an answer but who made it slow, and what nobody wants is not asked."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from tests.support.fake_clock import FakeClock

from modelservice_operator.machinery.lookups import Asked, Lookups
from modelservice_operator.objects import Key

ANN, BOB = Key("a", "ann"), Key("b", "bob")


@dataclass(frozen=True)
class Question:
    namespace: str
    name: str = "x"


@dataclass
class Desk:
    """Answers questions when the test says so, and counts how many are open at once."""

    clock: FakeClock = field(default_factory=FakeClock)
    answers: dict[Question, int] = field(default_factory=dict)
    asked: list[Question] = field(default_factory=list)
    slow: dict[str, asyncio.Event] = field(default_factory=dict)
    open: dict[str, int] = field(default_factory=dict)
    most: dict[str, int] = field(default_factory=dict)
    told: list[Key] = field(default_factory=list)

    async def ask(self, question: Question, last: int | None) -> int | None:
        self.asked.append(question)
        name = question.namespace
        self.open[name] = self.open.get(name, 0) + 1
        self.most[name] = max(self.most.get(name, 0), self.open[name])
        try:
            if name in self.slow:
                await self.slow[name].wait()
            return self.answers.get(question, last)
        finally:
            self.open[name] -= 1

    def lookups(self, **options: float) -> Lookups[Question, int]:
        return Lookups(
            ask=self.ask,
            interval=lambda asked: 10.0 * asked.times,
            on_change=self.told.append,
            clock=self.clock,
            **options,  # type: ignore[arg-type]  # rate and concurrency alone
        )


async def turns(count: int = 20) -> None:
    """Let everything that can go on go on."""
    for _ in range(count):
        await asyncio.sleep(0)


def running(test: Callable[[Desk, Lookups[Question, int]], Awaitable[None]], **options: float) -> None:
    """Play a scene while the lookups run."""

    async def scene() -> None:
        desk, stop = Desk(), asyncio.Event()
        lookups = desk.lookups(**options)
        task = asyncio.create_task(lookups.run(stop))
        await test(desk, lookups)
        stop.set()
        await asyncio.wait_for(task, 60)
        assert all(count == 0 for count in desk.open.values()), "what is under way ends with it"

    asyncio.run(scene())


def test_an_answer_comes_later_and_is_told_to_who_asked() -> None:
    async def scene(desk: Desk, lookups: Lookups[Question, int]) -> None:
        question = Question("a")
        desk.answers[question] = 7
        assert lookups.want(ANN, [question]) == (None,)
        assert lookups.unanswered_for(question) == 0
        await turns()
        assert desk.told == [ANN]
        assert lookups.want(ANN, [question]) == (7,)
        assert lookups.unanswered_for(question) is None

    running(scene)


def test_it_is_asked_again_as_long_as_somebody_wants_it_and_told_only_when_it_changed() -> None:
    desk, question = Desk(), Question("a")
    lookups = desk.lookups()
    desk.answers[question] = 1
    lookups.want(ANN, [question])
    assert asyncio.run(lookups.ask_due())
    assert not asyncio.run(lookups.ask_due()), "not due"
    asyncio.run(desk.clock.advance(10))
    assert not asyncio.run(lookups.ask_due()), "the same answer"
    assert len(desk.asked) == 2
    asyncio.run(desk.clock.advance(10))
    desk.answers[question] = 2
    assert not asyncio.run(lookups.ask_due()), "after the second time in twenty seconds"
    asyncio.run(desk.clock.advance(10))
    assert asyncio.run(lookups.ask_due())
    assert desk.told == [ANN, ANN]
    lookups.want(ANN, [])
    asyncio.run(desk.clock.advance(100))
    asyncio.run(lookups.ask_due())
    assert len(desk.asked) == 3


def test_two_who_want_the_same_are_told_both_and_one_may_leave() -> None:
    desk, question = Desk(), Question("a")
    lookups = desk.lookups()
    lookups.want(ANN, [question])
    lookups.want(BOB, [question])
    lookups.want(ANN, [])
    desk.answers[question] = 1
    asyncio.run(lookups.ask_due())
    assert desk.told == [BOB]
    assert desk.asked == [question]


def test_slow_answers_of_one_namespace_hold_up_no_other() -> None:
    async def scene(desk: Desk, lookups: Lookups[Question, int]) -> None:
        desk.slow["a"] = asyncio.Event()
        lookups.want(ANN, [Question("a", str(number)) for number in range(50)])
        await turns()
        desk.answers[Question("b")] = 1
        lookups.want(BOB, [Question("b")])
        await turns()
        assert desk.told == [BOB]
        assert desk.most["a"] == 1

    running(scene)


def test_a_namespace_rests_for_as_long_as_its_answer_took() -> None:
    async def scene(desk: Desk, lookups: Lookups[Question, int]) -> None:
        desk.slow["a"] = asyncio.Event()
        lookups.want(ANN, [Question("a", "1"), Question("a", "2")])
        await turns()
        await desk.clock.advance(3)
        desk.slow["a"].set()
        await turns()
        assert len(desk.asked) == 1
        await desk.clock.advance(2.9)
        await turns()
        assert len(desk.asked) == 1
        await desk.clock.advance(0.2)
        await turns()
        assert len(desk.asked) == 2

    running(scene)


def test_namespaces_take_turns() -> None:
    async def scene(desk: Desk, lookups: Lookups[Question, int]) -> None:
        lookups.want(ANN, [Question("a", str(number)) for number in range(3)])
        lookups.want(BOB, [Question("b", str(number)) for number in range(3)])
        await turns(60)
        assert [question.namespace for question in desk.asked] == ["a", "b"] * 3

    running(scene, concurrency=1)


def test_so_many_are_under_way_at_once_and_no_more() -> None:
    async def scene(desk: Desk, lookups: Lookups[Question, int]) -> None:
        names = [str(number) for number in range(10)]
        desk.slow = {name: asyncio.Event() for name in names}
        for name in names:
            lookups.want(Key(name, "x"), [Question(name)])
        await turns()
        assert sum(desk.open.values()) == 3
        desk.slow[desk.asked[0].namespace].set()
        await turns()
        assert (sum(desk.open.values()), len(desk.asked)) == (3, 4)

    running(scene, concurrency=3)


def test_who_never_had_an_answer_comes_before_who_had_one() -> None:
    """Else what begins to be stuck would be asked about after hundreds that have been stuck for hours."""
    desk = Desk()
    lookups = desk.lookups()
    known = [Question("a", str(number)) for number in range(5)]
    lookups.want(ANN, known)
    asyncio.run(lookups.ask_due())
    asyncio.run(desk.clock.advance(10))
    lookups.want(BOB, [Question("a", "new")])
    asyncio.run(lookups.ask_due())
    assert [question.name for question in desk.asked[5:]] == ["new", "0", "1", "2", "3", "4"]


def test_what_is_wanted_anew_while_it_waits_for_its_turn_is_asked_once() -> None:
    async def scene(desk: Desk, lookups: Lookups[Question, int]) -> None:
        desk.slow["a"] = asyncio.Event()
        first, second = Question("a", "1"), Question("a", "2")
        lookups.want(ANN, [first])
        for _ in range(5):
            lookups.want(BOB, [second])
            await turns()
            lookups.want(BOB, [])
        lookups.want(BOB, [second])
        desk.slow["a"].set()
        await turns(60)
        assert desk.asked == [first, second]

    running(scene)


def test_a_rate_holds_over_all_namespaces() -> None:
    async def scene(desk: Desk, lookups: Lookups[Question, int]) -> None:
        for number in range(20):
            lookups.want(Key(str(number), "x"), [Question(str(number))])
        await turns()
        assert len(desk.asked) == 2
        for _ in range(20):
            await desk.clock.advance(0.25)
            await turns()
        assert 10 <= len(desk.asked) <= 12

    running(scene, rate=2)


def test_a_lookup_that_fails_is_asked_again_and_stops_no_other() -> None:
    calls = []

    async def ask(question: Question, last: int | None) -> int | None:
        calls.append(question)
        if question.namespace == "a":
            raise RuntimeError("a defect")
        return 1

    desk = Desk()
    lookups: Lookups[Question, int] = Lookups(ask=ask, interval=_ten, on_change=desk.told.append, clock=desk.clock)
    lookups.want(ANN, [Question("a")])
    lookups.want(BOB, [Question("b")])
    asyncio.run(lookups.ask_due())
    assert desk.told == [BOB]
    asyncio.run(desk.clock.advance(10))
    asyncio.run(lookups.ask_due())
    assert calls.count(Question("a")) == 2


def _ten(asked: Asked[int]) -> float:
    return 10.0


def test_what_is_forgotten_in_the_moment_between_its_turn_and_its_question_holds_up_nothing() -> None:
    async def scene(desk: Desk, lookups: Lookups[Question, int]) -> None:
        for number in range(20):  # a pass may come in at each of these moments
            await turns()
            lookups.want(ANN, [Question("a", "old")])
            await turns(number)
            lookups.want(ANN, ())
        lookups.want(ANN, [Question("a", "new")])
        await turns()
        assert Question("a", "new") in desk.asked

    running(scene)


def test_what_is_hurried_is_asked_at_once_and_then_when_it_would_have_been() -> None:
    desk, question = Desk(), Question("a")
    lookups = desk.lookups()
    desk.answers[question] = 1
    lookups.want(ANN, [question])
    asyncio.run(lookups.ask_due())
    desk.answers[question] = 2
    lookups.hurry(ANN)
    lookups.hurry(ANN)
    lookups.hurry(BOB)
    assert asyncio.run(lookups.ask_due())
    assert lookups.answers(ANN) == (2,)
    assert len(desk.asked) == 2, "once, and no more when its old turn comes"
    asyncio.run(desk.clock.advance(10))
    asyncio.run(lookups.ask_due())
    assert len(desk.asked) == 2
    asyncio.run(desk.clock.advance(10))
    asyncio.run(lookups.ask_due())
    assert len(desk.asked) == 3


def test_whoever_has_us_ask_on_and_on_fills_no_memory() -> None:
    desk = Desk()
    lookups = desk.lookups()
    for _ in range(500):
        lookups.want(ANN, [Question("a")])
        lookups.want(BOB, [Question("b")])
        asyncio.run(lookups.ask_due())
        lookups.hurry(ANN)
    assert len(lookups._scheduled) < 100
    asyncio.run(lookups.ask_due())
    assert len(desk.asked) == 502, "each time, and the other one once"


def test_what_changes_while_it_is_asked_is_asked_once_more() -> None:
    async def scene(desk: Desk, lookups: Lookups[Question, int]) -> None:
        question = Question("a")
        desk.slow["a"] = asyncio.Event()
        lookups.want(ANN, [question])
        await turns()
        lookups.hurry(ANN)
        desk.answers[question] = 2
        desk.slow.pop("a").set()
        await turns()
        assert len(desk.asked) == 2
        assert lookups.answers(ANN) == (2,)

    running(scene)


def test_what_is_slow_is_not_asked_on_and_on_however_often_it_changes() -> None:
    async def scene(desk: Desk, lookups: Lookups[Question, int]) -> None:
        desk.slow["a"] = asyncio.Event()
        lookups.want(ANN, [Question("a")])
        await turns()
        await desk.clock.advance(0.5)
        desk.slow.pop("a").set()
        await turns()
        for _ in range(49):
            lookups.hurry(ANN)
            await desk.clock.advance(0.1)
        assert len(desk.asked) == 1
        await desk.clock.advance(0.1)
        assert len(desk.asked) == 2

    running(scene)
