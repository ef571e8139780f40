"""What is large is worked on off the event loop, and a little of it at a time."""

import asyncio
import contextlib
import threading
from typing import Any

import pytest
from tests.unit.runtime.serving.fakes import core_of, numeric_model

from modelservice.modalities.errors import InputError
from modelservice.serving.calls import Call
from modelservice.serving.errors import RequestError
from modelservice.serving.inference import LARGE_ANSWER, LARGE_AT_ONCE


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

    answers = await asyncio.gather(*(inference.answer(meet, large=True) for _ in range(LARGE_AT_ONCE + 1)))
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

    given_up = [asyncio.create_task(inference.answer(parse, large=True)) for _ in range(LARGE_AT_ONCE)]
    for _ in given_up:
        await asyncio.to_thread(begun.acquire)
    for task in given_up:
        task.cancel()
    await asyncio.gather(*given_up, return_exceptions=True)
    late = asyncio.create_task(inference.answer(parse, large=True))
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

    assert await core_of(numeric_model()).inference.answer(parse, rows, large=large) == rows
    assert [thread == threading.get_ident() for thread in threads] == [parsed_here, rendered_here]


async def test_a_wrong_row_is_said_in_the_words_of_the_protocol() -> None:
    inference = core_of(numeric_model()).inference
    with pytest.raises(RequestError, match="row 1: 'x' is not a number") as refused:
        await inference.answer(lambda: call_of([[1, 2], [1, "x"]]), large=False)
    assert not isinstance(refused.value.__context__, InputError) or refused.value.__suppress_context__
