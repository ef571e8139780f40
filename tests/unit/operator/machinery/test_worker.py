"""Workers: nothing is dropped, one defect stops nobody else, and a stop lets what has begun be finished."""

import asyncio
from collections.abc import Callable

import pytest
from tests.support.fake_clock import FakeClock, settle

from modelservice_operator.machinery.errors import Transient
from modelservice_operator.machinery.queue import Backoff, WorkQueue
from modelservice_operator.machinery.worker import STUCK_SECONDS, Workers
from modelservice_operator.metrics import Metrics
from modelservice_operator.objects import Key

A, B, C = Key("n", "a"), Key("n", "b"), Key("n", "c")


class Script:
    """A reconciler that answers each call with the next step of its key."""

    def __init__(self, **steps: list[float | Exception | asyncio.Event | None]) -> None:
        self.steps = steps
        self.calls: list[Key] = []

    async def reconcile(self, key: Key) -> float | None:
        self.calls.append(key)
        step = self.steps[key.name].pop(0)
        if isinstance(step, Exception):
            raise step
        if isinstance(step, asyncio.Event):
            await step.wait()
            return None
        return step


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def queue(clock: FakeClock, metrics: Metrics) -> WorkQueue[Key]:
    return WorkQueue(clock=clock, metrics=metrics, backoff=Backoff(base=1, cap=8, jitter=lambda delay: delay))


Start = Callable[[Script], Workers]


@pytest.fixture
def start(queue: WorkQueue[Key], clock: FakeClock, metrics: Metrics) -> Start:
    def build(script: Script) -> Workers:
        return Workers(queue=queue, reconciler=script, count=2, clock=clock, metrics=metrics)

    return build


async def stop(queue: WorkQueue[Key], running: asyncio.Task[None]) -> None:
    queue.shut_down()
    await running


def results(metrics: Metrics, result: str) -> float | None:
    return metrics.registry.get_sample_value("modelservice_operator_reconciles_total", {"result": result})


async def test_looks_again_when_the_reconciler_says_so(
    queue: WorkQueue[Key], clock: FakeClock, start: Start, metrics: Metrics
) -> None:
    script = Script(a=[30, None])
    running = asyncio.create_task(start(script).run())
    queue.add(A)
    await clock.advance(29)
    assert script.calls == [A]
    await clock.advance(1)
    assert script.calls == [A, A]
    await clock.advance(1000)
    assert script.calls == [A, A]
    assert results(metrics, "done") == 2
    await stop(queue, running)


async def test_failures_back_off_and_success_forgets_them(
    queue: WorkQueue[Key], clock: FakeClock, start: Start, metrics: Metrics
) -> None:
    script = Script(a=[Transient("timeout"), RuntimeError("a defect"), None, Transient("again"), None])
    running = asyncio.create_task(start(script).run())
    queue.add(A)
    for seconds, calls in [(0, 1), (0.9, 1), (0.1, 2), (1.9, 2), (0.1, 3)]:
        await clock.advance(seconds)
        assert len(script.calls) == calls
    queue.add(A)
    await clock.advance(0)
    assert len(script.calls) == 4
    await clock.advance(1)
    assert len(script.calls) == 5, "after a success the back-off starts anew"
    assert (results(metrics, "transient"), results(metrics, "error"), results(metrics, "done")) == (2, 1, 2)
    await stop(queue, running)


async def test_a_defect_in_one_service_does_not_stop_the_others(queue: WorkQueue[Key], start: Start) -> None:
    script = Script(a=[RuntimeError("a defect")], b=[None])
    running = asyncio.create_task(start(script).run())
    queue.add(A)
    queue.add(B)
    await settle()
    assert script.calls == [A, B]
    await stop(queue, running)


async def test_a_slow_service_does_not_hold_up_the_others_and_is_called_stuck(
    queue: WorkQueue[Key], clock: FakeClock, start: Start
) -> None:
    released = asyncio.Event()
    script = Script(a=[released], b=[None])
    workers = start(script)
    running = asyncio.create_task(workers.run())
    queue.add(A)
    await settle()
    queue.add(B)
    await settle()
    assert script.calls == [A, B]
    await clock.advance(STUCK_SECONDS)
    assert workers.stuck() == ()
    await clock.advance(1)
    assert workers.stuck() == (A,)
    released.set()
    await settle()
    assert workers.stuck() == ()
    await stop(queue, running)


async def test_what_people_change_waits_for_no_worker_that_is_busy_with_other_things(
    queue: WorkQueue[Key], clock: FakeClock, start: Start
) -> None:
    released = asyncio.Event()
    script = Script(a=[released], b=[released], c=[released, None])
    running = asyncio.create_task(start(script).run())
    for key in (A, B, C):
        queue.add_after(key, 1)
    await clock.advance(1)
    assert script.calls == [A, B], "two workers"
    queue.add(C)
    await settle()
    assert script.calls == [A, B, C]
    released.set()
    await stop(queue, running)


async def test_a_stop_waits_for_what_has_begun(queue: WorkQueue[Key], start: Start) -> None:
    released = asyncio.Event()
    running = asyncio.create_task(start(Script(a=[released])).run())
    queue.add(A)
    await settle()
    queue.shut_down()
    await settle()
    assert not running.done()
    released.set()
    await running


async def test_an_apiserver_is_left_alone_for_as_long_as_it_asks(
    queue: WorkQueue[Key], clock: FakeClock, start: Start
) -> None:
    script = Script(a=[Transient("429", after=5), None])
    running = asyncio.create_task(start(script).run())
    queue.add(A)
    await clock.advance(4.9)
    assert script.calls == [A]
    await clock.advance(0.2)
    assert script.calls == [A, A]
    await stop(queue, running)


async def test_what_arrives_is_read_between_two_passes(queue: WorkQueue[Key], start: Start) -> None:
    many = [Key("n", f"k{number}") for number in range(50)]
    steps: dict[str, list[float | Exception | asyncio.Event | None]] = {key.name: [None] for key in many}
    script = Script(**steps)
    running = asyncio.create_task(start(script).run())
    for key in many:
        queue.add(key)

    async def read() -> int:
        """As many turns of the loop as an event takes."""
        for _ in range(6):
            await asyncio.sleep(0)
        return len(script.calls)

    assert await read() == 3, "one pass of each worker"
    await settle()
    assert len(script.calls) > 2
    await stop(queue, running)
