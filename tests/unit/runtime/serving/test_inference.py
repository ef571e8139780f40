"""What is large is worked on off the event loop, and a little of it at a time."""

import asyncio
import contextlib
import threading
from typing import Any

import pytest
from tests.unit.runtime.serving.fakes import core_of, numeric_model

from modelservice.contract.serving import Batching
from modelservice.modalities.errors import InputError
from modelservice.serving.budget import Budget
from modelservice.serving.calls import Call
from modelservice.serving.errors import BusyError, ClientLeftError, QueueFullError, RequestError, TooLateError
from modelservice.serving.inference import LARGE_ANSWER, LARGE_AT_ONCE
from modelservice.serving.results import Results


def call_of(rows: list[Any], render: Any = len) -> Call[Any]:
    return Call(rows, lambda error: RequestError(f"row {error.row}: {error.message}"), render)


async def test_only_so_many_large_bodies_are_parsed_at_once() -> None:
    """One more than allowed would meet at the barrier; those that are allowed wait there in vain."""
    inference = core_of(numeric_model()).inference
    barrier = threading.Barrier(LARGE_AT_ONCE + 1)
    met: list[int] = []

    def meet() -> Call[Any]:
        with contextlib.suppress(threading.BrokenBarrierError):
            met.append(barrier.wait(timeout=0.5))
        return call_of([[1, 2]])

    answers = await asyncio.gather(
        *(inference.answer(meet, large=True, held=Budget().hold()) for _ in range(LARGE_AT_ONCE + 1))
    )
    assert answers == [1] * (LARGE_AT_ONCE + 1)
    assert met == []


async def test_a_parse_whose_caller_gave_up_counts_until_it_ends() -> None:
    inference = core_of(numeric_model()).inference
    begun, release = threading.Semaphore(0), threading.Event()
    running: list[int] = []
    found: list[int] = []

    def parse() -> Call[Any]:
        running.append(1)
        found.append(len(running))
        begun.release()
        release.wait()
        running.pop()
        return call_of([[1, 2]])

    given_up = [
        asyncio.create_task(inference.answer(parse, large=True, held=Budget().hold())) for _ in range(LARGE_AT_ONCE)
    ]
    for _ in given_up:
        await asyncio.to_thread(begun.acquire)
    for task in given_up:
        task.cancel()
    await asyncio.gather(*given_up, return_exceptions=True)
    late = asyncio.create_task(inference.answer(parse, large=True, held=Budget().hold()))
    await asyncio.to_thread(begun.acquire, timeout=0.5)  # in vain
    release.set()
    assert await late == 1
    assert max(found) == LARGE_AT_ONCE


@pytest.mark.parametrize(
    ("rows", "large", "parsed_here", "rendered_here"),
    [(1, False, True, True), (LARGE_ANSWER // 3 + 1, False, True, False), (1, True, False, False)],
)
async def test_what_is_large_leaves_the_loop(rows: int, large: bool, parsed_here: bool, rendered_here: bool) -> None:
    threads: list[int] = []

    def render(raw: Any) -> int:
        threads.append(threading.get_ident())
        return len(raw)

    def parse(count: int) -> Call[Any]:
        threads.append(threading.get_ident())
        return call_of([[1, 2]] * count, render)

    assert await core_of(numeric_model()).inference.answer(parse, rows, large=large, held=Budget().hold()) == rows
    assert [thread == threading.get_ident() for thread in threads] == [parsed_here, rendered_here]


async def test_a_wrong_row_is_said_in_the_words_of_the_protocol() -> None:
    inference = core_of(numeric_model()).inference
    with pytest.raises(RequestError, match="row 1: 'x' is not a number") as refused:
        await inference.answer(lambda: call_of([[1, 2], [1, "x"]]), large=False, held=Budget().hold())
    assert not isinstance(refused.value.__context__, InputError) or refused.value.__suppress_context__


class Left:
    """An asker that left."""

    disconnected = True

    def take(self, outcome: Results | Exception) -> None:
        raise AssertionError(outcome)


class Time:
    """A clock that goes on by itself, if told so, whenever it is looked at."""

    def __init__(self, step: float = 0.0) -> None:
        self.now, self.step = 1000.0, step

    def __call__(self) -> float:
        self.now += self.step
        return self.now


async def test_who_left_is_not_told_that_it_waited_for_too_long() -> None:
    core = core_of(numeric_model(), batching=Batching(max_queue_milliseconds=1), clock=Time(step=1.0))
    with pytest.raises(ClientLeftError):
        await core.inference.aside(list, asker=Left())
    with pytest.raises(QueueFullError):
        await core.inference.aside(list)


async def test_what_a_request_waits_for_a_thread_is_off_its_timeout() -> None:
    core = core_of(numeric_model(), clock=(time := Time()))

    def parse(timeout: float) -> Call[Any]:
        time.now += 0.25
        return call_of([[1, 2]])._replace(timeout=timeout)

    with core.common.budget.hold() as held:
        assert (await core.inference.parse_aside(parse, 2.0, held=held)).timeout == 1.75
        with pytest.raises(TooLateError, match="its timeout of 10 ms"):
            await core.inference.parse_aside(parse, 0.01, held=held)


async def test_what_a_request_holds_beside_its_body_is_in_the_budget() -> None:
    budget = Budget(100)
    inference = core_of(numeric_model(), budget=budget).inference
    with budget.hold() as held:
        assert await inference.answer(lambda: call_of([[1, 2]])._replace(weight=60), large=True, held=held) == 1
        assert budget.free == 40
        with pytest.raises(BusyError):
            await inference.answer(lambda: call_of([[1, 2]])._replace(weight=60), large=True, held=held)
    assert budget.free == 100
