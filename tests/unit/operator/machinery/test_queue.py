"""The work queue: one key at a time, duplicates merged, back-off, due times; nothing is dropped."""

import asyncio
from collections.abc import Callable
from random import Random
from typing import Any

import pytest
from tests.support.fake_clock import FakeClock, settle

from modelservice_operator.machinery.queue import Backoff, ShutDown, WorkQueue
from modelservice_operator.metrics import Metrics


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def queue(clock: FakeClock, metrics: Metrics) -> WorkQueue[str]:
    return WorkQueue(clock=clock, metrics=metrics, backoff=Backoff(base=1, cap=10, jitter=lambda delay: delay))


async def take(queue: WorkQueue[str]) -> asyncio.Task[str]:
    task = asyncio.create_task(queue.get())
    await settle()
    return task


async def test_gives_keys_in_order_of_arrival_and_each_once(queue: WorkQueue[str]) -> None:
    for key in ("b", "a", "b"):
        queue.add(key)
    assert [await queue.get(), await queue.get()] == ["b", "a"]
    assert not (await take(queue)).done()


async def test_a_key_that_is_worked_on_comes_back_only_when_done(queue: WorkQueue[str]) -> None:
    queue.add("a")
    await queue.get()
    queue.add("a")
    queue.add("a")
    second = await take(queue)
    assert not second.done()
    queue.done("a")
    assert await second == "a"
    queue.done("a")
    assert not (await take(queue)).done()


async def test_what_something_happened_to_is_before_all_that_there_is_when_work_begins(queue: WorkQueue[str]) -> None:
    for key in ("a", "b", "c"):
        queue.add_in_turn(key)
    assert (await queue.get(), len(queue)) == ("a", 2)
    queue.done("a")
    queue.add("a")  # what was asked for it is known now
    queue.add("c")
    assert [await queue.get(), await queue.get(), await queue.get()] == ["a", "c", "b"]
    assert not (await take(queue)).done(), "each once"


async def test_however_much_happens_all_others_have_their_turn(queue: WorkQueue[str]) -> None:
    for key in ("a", "b"):
        queue.add_in_turn(key)
    given = []
    for number in range(8):
        queue.add(f"busy {number}")
        given.append(await queue.get())
    assert [key for key in given if not key.startswith("busy")] == ["a", "b"]


async def test_what_was_asked_for_is_before_what_became_due(queue: WorkQueue[str], clock: FakeClock) -> None:
    for key in ("a", "b", "c"):
        queue.add_after(key, 1)
    await clock.advance(1)
    assert await queue.get() == "a"
    queue.add("d")
    queue.add("c")  # its time had come, too
    assert [await queue.get(), await queue.get()] == ["d", "c"]
    assert (await queue.get(), len(queue)) == ("b", 0)


async def test_every_fourth_is_the_one_that_has_waited_for_longest(queue: WorkQueue[str], clock: FakeClock) -> None:
    queue.add_after("due", 1)
    await clock.advance(2)
    given = []
    for number in range(4):
        queue.add(f"busy {number}")
        queue.add(f"busy too {number}")
        given.append(await queue.get())
        await clock.advance(1)
    assert given == ["busy 0", "busy too 0", "busy 1", "due"]


async def test_who_takes_only_what_was_asked_for_takes_nobodys_turn(queue: WorkQueue[str]) -> None:
    queue.add_in_turn("a")
    given = []
    for number in range(8):
        queue.add(f"busy {number}")
        given.append(await queue.get(asked=number % 2 == 1))
    assert "a" in given


async def test_who_takes_only_what_was_asked_for_waits_for_it(queue: WorkQueue[str], clock: FakeClock) -> None:
    queue.add_in_turn("a")
    queue.add_after("b", 1)
    waiting = asyncio.create_task(queue.get(asked=True))
    await clock.advance(2)
    assert not waiting.done()
    queue.add("b")
    assert await waiting == "b"
    assert await queue.get() == "a"


@pytest.mark.parametrize("first", [True, False])
async def test_what_was_asked_for_during_work_is_before_what_became_due_then(
    queue: WorkQueue[str], clock: FakeClock, first: bool
) -> None:
    queue.add("a")
    await queue.get()
    queue.add_after("a", 1)
    queue.add_after("b", 0.5)
    if first:
        queue.add("a")
    await clock.advance(2)
    assert await queue.get() == "b"
    queue.add_after("c", 1)
    await clock.advance(2)
    queue.done("a")
    if not first:
        queue.add("a")
    assert [await queue.get(), await queue.get()] == ["a", "c"]


async def test_a_key_that_is_worked_on_or_waits_is_not_given_once_more_in_its_turn(queue: WorkQueue[str]) -> None:
    queue.add("a")
    queue.add("b")
    await queue.get()
    for key in ("a", "b", "b"):
        queue.add_in_turn(key)
    assert await queue.get() == "b"
    queue.done("a")
    queue.done("b")
    assert not (await take(queue)).done()


async def test_what_waits_or_is_due_can_be_forgotten_and_asked_for_again(
    queue: WorkQueue[str], clock: FakeClock
) -> None:
    queue.add("a")
    queue.add_in_turn("b")
    queue.add_after("c", 1)
    queue.clear()
    assert len(queue) == 0
    waiting = await take(queue)
    await clock.advance(2)
    assert not waiting.done()
    queue.add("b")
    assert await waiting == "b"
    queue.add_after("c", 1)
    assert not (waiting := await take(queue)).done()
    await clock.advance(2)
    assert await waiting == "c"


async def test_a_waiting_worker_wakes_up_for_a_new_key(queue: WorkQueue[str]) -> None:
    waiting = await take(queue)
    queue.add("a")
    assert await waiting == "a"


async def test_of_many_who_wait_few_are_woken(
    queue: WorkQueue[str], clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who is woken for nothing costs as much as an event does."""
    waits, wait = [], clock.wait

    async def counted(*arguments: Any) -> bool:
        waits.append(arguments)
        return await wait(*arguments)

    monkeypatch.setattr(clock, "wait", counted)
    workers = [await take(queue) for _ in range(20)]
    for number in range(10):
        queue.add(f"asked {number}")
    await settle()
    assert sum(worker.done() for worker in workers) == 10
    assert len(waits) == 20
    for number in range(5):
        queue.add_after(f"due {number}", 1 + number)
    await clock.advance(3)
    assert sum(worker.done() for worker in workers) == 13
    assert len(waits) <= 20 + 5 + 3 * 2
    await clock.advance(10)
    assert sum(worker.done() for worker in workers) == 15


@pytest.mark.parametrize("due", [True, False])
async def test_what_only_some_may_take_is_left_to_nobody(queue: WorkQueue[str], clock: FakeClock, due: bool) -> None:
    """One is woken for a key that another one takes, who was woken for a key that the first does not take."""
    only_asked = asyncio.create_task(queue.get(asked=True))
    workers = [await take(queue) for _ in range(3)]
    if due:
        queue.add_after("later", 1)
    else:
        queue.add_in_turn("later")
    queue.add("asked")
    await clock.advance(1)
    taken = [worker.result() for worker in (only_asked, *workers) if worker.done()]
    assert sorted(taken) == ["asked", "later"]


async def test_all_who_wait_end_with_the_queue(queue: WorkQueue[str]) -> None:
    waiting = [asyncio.create_task(queue.get(asked=asked)) for asked in (True, True, False, False)]
    await settle()
    queue.shut_down()
    ended = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(one) for one in ended] == [ShutDown] * 4


@pytest.mark.parametrize("workers", [1, 2, 5])
async def test_nobody_sleeps_while_there_is_something_to_take(
    queue: WorkQueue[int], clock: FakeClock, workers: int
) -> None:
    random, taken = Random(workers), list[int]()  # noqa: S311 - no secret

    async def work(*, asked: bool) -> None:
        while True:
            key = await queue.get(asked=asked)
            taken.append(key)
            await clock.wait(asyncio.Event(), random.choice([0.0, 0.3]))
            queue.done(key)

    adding: list[Callable[[int], None]] = [
        queue.add,
        queue.add_in_turn,
        lambda key: queue.add_after(key, random.random()),
    ]
    tasks = [asyncio.create_task(work(asked=asked)) for asked in (True, *[False] * workers)]
    await settle()
    for key in range(200):
        random.choice(adding)(key)
        await clock.advance(random.choice([0.0, 0.1, 0.5]))
    await clock.advance(100)
    for task in tasks:
        task.cancel()
    assert sorted(taken) == list(range(200))


async def test_a_due_key_comes_at_its_time_and_not_before(queue: WorkQueue[str], clock: FakeClock) -> None:
    queue.add_after("a", 5)
    waiting = await take(queue)
    await clock.advance(4.9)
    assert not waiting.done()
    await clock.advance(0.1)
    assert await waiting == "a"


@pytest.mark.parametrize("delays", [(9, 5), (5, 9)])
async def test_the_earliest_due_time_wins(queue: WorkQueue[str], clock: FakeClock, delays: tuple[float, float]) -> None:
    for delay in delays:
        queue.add_after("a", delay)
    waiting = await take(queue)
    await clock.advance(5)
    assert await waiting == "a"
    queue.done("a")
    later = await take(queue)
    await clock.advance(100)
    assert not later.done()


async def test_a_due_time_set_while_a_worker_waits_for_a_later_one(queue: WorkQueue[str], clock: FakeClock) -> None:
    queue.add_after("late", 60)
    waiting = await take(queue)
    queue.add_after("early", 1)
    await clock.advance(1)
    assert await waiting == "early"


async def test_work_replaces_the_due_time(queue: WorkQueue[str], clock: FakeClock) -> None:
    queue.add_after("a", 5)
    queue.add("a")
    await queue.get()
    queue.done("a")
    later = await take(queue)
    await clock.advance(100)
    assert not later.done()


async def test_nothing_to_wait_for_means_now(queue: WorkQueue[str]) -> None:
    queue.add_after("a", 0)
    assert await queue.get() == "a"


async def test_backoff_doubles_up_to_its_cap_and_starts_anew_after_success(queue: WorkQueue[str]) -> None:
    assert [queue.add_rate_limited("a") for _ in range(6)] == [1, 2, 4, 8, 10, 10]
    assert queue.add_rate_limited("b") == 1
    assert [queue.add_rate_limited("c", least=least) for least in (3, 3, 3, 100)] == [3, 3, 4, 10]
    queue.forget("a")
    assert queue.add_rate_limited("a") == 1


async def test_jitter_is_applied_to_the_capped_delay() -> None:
    assert Backoff(base=1, cap=10, jitter=lambda delay: delay / 2).delay(100) == 5


async def test_those_that_were_refused_together_come_back_later_than_they_may_and_not_together(
    clock: FakeClock, metrics: Metrics
) -> None:
    spread = iter([0.8, 1.0, 1.2, 1.0])
    backoff = Backoff(jitter=lambda delay: delay * next(spread))
    queue: WorkQueue[str] = WorkQueue(clock=clock, metrics=metrics, backoff=backoff)
    assert [queue.add_rate_limited(key, least=30) for key in ("a", "b")] == [pytest.approx(36), pytest.approx(36)]


async def test_a_retried_key_comes_back_after_its_delay(queue: WorkQueue[str], clock: FakeClock) -> None:
    queue.add("a")
    await queue.get()
    queue.add_rate_limited("a")
    queue.done("a")
    waiting = await take(queue)
    await clock.advance(0.9)
    assert not waiting.done()
    await clock.advance(0.1)
    assert await waiting == "a"


async def test_stop_wakes_all_workers_and_gives_out_nothing_more(queue: WorkQueue[str]) -> None:
    workers = [await take(queue) for _ in range(3)]
    queue.shut_down()
    queue.add("a")
    for worker in workers:
        with pytest.raises(ShutDown):
            await worker


async def test_several_workers_share_the_keys(queue: WorkQueue[str]) -> None:
    workers = [await take(queue) for _ in range(3)]
    for key in "abc":
        queue.add(key)
    assert {await worker for worker in workers} == set("abc")


async def test_depth_and_waiting_time_are_measured(queue: WorkQueue[str], clock: FakeClock, metrics: Metrics) -> None:
    queue.add("a")
    queue.add("b")
    assert metrics.registry.get_sample_value("modelservice_operator_queue_depth") == 2
    await clock.advance(3)
    await queue.get()
    assert metrics.registry.get_sample_value("modelservice_operator_queue_depth") == 1
    assert metrics.registry.get_sample_value("modelservice_operator_queue_wait_seconds_sum") == 3
