"""Batching: who shares a batch, who is turned away, and that a wrong request fails alone."""

import asyncio
import gc
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from modelservice.contract.serving import Batching
from modelservice.modalities.base import Rows
from modelservice.modalities.errors import InputError
from modelservice.serving.batcher import Batcher
from modelservice.serving.costs import Costs
from modelservice.serving.errors import EncoderError, NotFiniteError, QueueFullError, TooLateError
from modelservice.serving.results import Results
from modelservice.tasks.base import Array

INLINE = Costs(compute=((1, 0.001), (4, 0.001)), handover=1.0)
THREADED = Costs(compute=((1, 1.0), (4, 1.0), (8, 1.0)), handover=0.001)
DEADLINE = 60


class Function:
    """A function of rows as a ``Compute``: what it raises is raised by the model."""

    def __init__(self, function: Callable[[Rows], Array]) -> None:
        self._function = function

    def encode(self, rows: Rows, within: float | None = None) -> Any:
        return rows, {}

    def run(self, encoded: Any) -> Array:
        return self._function(encoded[0])

    def conclude(self, rows: Rows, encoded: Any, raw: Array) -> None:
        assert len(rows) == len(raw)


class Recorder:
    """Doubles each value; refuses "wrong", makes "nan" not finite; remembers what it was given, and by which thread."""

    def __init__(self) -> None:
        self.batches: list[list[Any]] = []
        self.concluded: list[list[Any]] = []
        self.encoders: set[int] = set()
        self.threads: set[int] = set()

    def encode(self, rows: Rows, within: float | None = None) -> Any:
        self.encoders.add(threading.get_ident())
        self.batches.append([value for (value,) in rows])
        for index, (value,) in enumerate(rows):
            if value == "wrong":
                raise InputError("is wrong", row=index, column="x")
        return [np.nan if value == "nan" else value for (value,) in rows], {}

    def run(self, encoded: Any) -> Array:
        self.threads.add(threading.get_ident())
        return np.array([[value * 2] for value in encoded[0]], dtype=np.float32)

    def conclude(self, rows: Rows, encoded: Any, raw: Array) -> None:
        assert threading.get_ident() == threading.main_thread().ident
        assert raw.tolist() == [[value * 2] for value in encoded[0]]
        self.concluded.append([value for (value,) in rows])


def doubled(rows: Rows) -> Array:
    recorder = Recorder()
    return recorder.run(recorder.encode(rows))


def batcher_of(
    compute: Any,
    *,
    costs: Costs = INLINE,
    observed: list[int] | None = None,
    clock: Callable[[], float] = lambda: 0.0,
    **batching: int,
) -> Batcher:
    return Batcher(
        compute=compute,
        costs=costs,
        batching=Batching(**batching),
        executor=ThreadPoolExecutor(max_workers=1),
        clock=clock,
        observe=lambda rows, _seconds: None if observed is None else observed.append(rows),
    )


def rows(*values: Any) -> list[list[Any]]:
    return [[value] for value in values]


async def _turns() -> None:
    """Let the loop do what it can: nothing of it takes time."""
    for _ in range(10):
        await asyncio.sleep(0)


async def answers(*futures: asyncio.Future[Results]) -> list[Any]:
    async with asyncio.timeout(DEADLINE):
        found = await gathered(*futures)
        return [one.raw.tolist() if isinstance(one, Results) else one for one in found]


async def gathered(*futures: asyncio.Future[Results]) -> list[Any]:
    return await asyncio.gather(*futures, return_exceptions=True)


@pytest.mark.parametrize("costs", [INLINE, THREADED])
async def test_what_waits_together_shares_a_batch(costs: Costs) -> None:
    compute, observed = Recorder(), list[int]()
    batcher = batcher_of(compute, costs=costs, observed=observed, max_queue_milliseconds=60_000)
    found = await answers(batcher.submit(rows(1)), batcher.submit(rows(2, 3)), batcher.submit(rows(4)))
    assert found == [[[2]], [[4], [6]], [[8]]]
    assert compute.batches == [[1, 2, 3, 4]]
    assert observed == [4]
    assert batcher.queued_rows == 0


class Told:
    """An asker that keeps what it is told."""

    disconnected = False

    def __init__(self) -> None:
        self.outcomes: list[Any] = []

    def take(self, outcome: Any) -> None:
        self.outcomes.append(outcome.raw.tolist() if isinstance(outcome, Results) else outcome)


async def test_who_is_alone_is_answered_at_once() -> None:
    told, compute = Told(), Recorder()
    batcher = batcher_of(compute)
    batcher.ask(rows(1, 2), told, alone=True)
    assert told.outcomes == [[[2], [4]]]
    assert (batcher.queued_rows, batcher.load.requests_in_flight) == (0, 0.0)


async def test_who_is_alone_with_something_wrong_is_told_so_once() -> None:
    told = Told()
    batcher_of(Recorder()).ask(rows(1, "wrong"), told, alone=True)
    (outcome,) = told.outcomes
    assert (outcome.row, outcome.column) == (1, "x")


async def test_who_is_alone_with_more_rows_than_a_batch_has_is_answered_in_several() -> None:
    told, compute = Told(), Recorder()
    batcher_of(compute).ask(rows(*range(10)), told, alone=True)
    await _turns()
    assert told.outcomes == [[[2 * value] for value in range(10)]]
    assert compute.batches == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]


async def test_nobody_is_alone_behind_those_who_wait() -> None:
    told, compute = Told(), Recorder()
    batcher = batcher_of(compute)
    first = batcher.submit(rows(1))
    batcher.ask(rows(2), told, alone=True)
    assert not told.outcomes
    assert await answers(first) == [[[2]]]
    assert told.outcomes == [[[4]]]
    assert compute.batches == [[1, 2]]


@pytest.mark.parametrize("costs", [INLINE, THREADED])
async def test_only_what_was_answered_is_counted(costs: Costs) -> None:
    """Rows that share a batch with a wrong one are computed again, and counted once."""
    observed: list[int] = []
    batcher = batcher_of(Recorder(), costs=costs, observed=observed, max_queue_milliseconds=60_000)
    await answers(batcher.submit(rows(1)), batcher.submit(rows("wrong")), batcher.submit(rows(2, "nan")))
    assert observed == [1]
    await answers(batcher.submit(rows("wrong", 3)))
    assert observed == [1]


async def test_cheap_models_run_on_the_loop_and_costly_ones_in_the_thread() -> None:
    for costs, on_the_loop in ((INLINE, True), (THREADED, False)):
        compute = Recorder()
        await answers(batcher_of(compute, costs=costs).submit(rows(1)))
        assert (compute.threads == {threading.get_ident()}) is on_the_loop
        assert compute.encoders == {threading.get_ident()}


async def test_what_is_costly_to_encode_is_encoded_in_the_thread() -> None:
    compute = Recorder()
    batcher = batcher_of(compute, costs=replace(THREADED, encode_row=1.0), max_queue_milliseconds=60_000)
    found = await answers(batcher.submit(rows(1)), batcher.submit(rows("wrong")))
    assert found[0] == [[2]]
    assert (found[1].row, found[1].column) == (0, "x")
    assert compute.encoders == compute.threads
    assert threading.get_ident() not in compute.threads


class Asking(Function):
    """Asks somebody for each batch, who may be away; remembers how long there was for the answer."""

    def __init__(self, *, away: bool = False) -> None:
        super().__init__(doubled)
        self.told: list[float | None] = []
        self._away = away

    def encode(self, rows: Rows, within: float | None = None) -> Any:
        self.told.append(within)
        if self._away:
            raise EncoderError("is away", retry_after=1.0)
        return super().encode(rows, within)


async def test_who_is_asked_is_told_how_long_the_last_of_a_batch_waits() -> None:
    compute = Asking()
    batcher = batcher_of(compute)
    await answers(batcher.submit(rows(1), timeout=5.0), batcher.submit(rows(2), timeout=7.0))
    await answers(batcher.submit(rows(1), timeout=5.0), batcher.submit(rows(2)))
    assert compute.told == [7.0, None]


async def test_that_who_is_asked_is_away_is_told_to_all_at_once() -> None:
    """It is no fault of one of them, and to ask again for each would keep the others waiting."""
    compute = Asking(away=True)
    batcher = batcher_of(compute)
    found = await answers(*(batcher.submit(rows(number)) for number in range(3)))
    assert [str(one) for one in found] == ["is away"] * 3
    assert len(compute.told) == 1


async def test_a_full_batch_is_handed_over_while_another_is_computed_and_no_third_one() -> None:
    may_end = threading.Event()
    entered: list[int] = []

    def slow(given: Rows) -> Array:
        entered.append(len(given))
        may_end.wait(DEADLINE)
        return doubled(given)

    batcher = batcher_of(Function(slow), costs=THREADED, max_queue_milliseconds=60_000)
    first = batcher.submit(rows(1))
    await _turns()
    waiting = [batcher.submit(rows(value)) for value in range(3)]
    await _turns()
    assert batcher.queued_rows == 3  # not full: more may come until the thread is free
    waiting += [batcher.submit(rows(value)) for value in range(3, 10)]
    await _turns()
    assert batcher.queued_rows == 6
    assert entered == [1]
    may_end.set()
    assert await answers(first, *waiting) == [[[2]], *([[2 * value]] for value in range(10))]
    assert entered == [1, 4, 4, 2]


async def test_more_rows_than_a_batch_are_computed_in_several_and_answered_whole() -> None:
    compute = Recorder()
    batcher = batcher_of(compute)
    found = await answers(batcher.submit(rows(*range(6))), batcher.submit(rows(7, 8, 9)))
    assert found == [[[0], [2], [4], [6], [8], [10]], [[14], [16], [18]]]
    assert compute.batches == [[0, 1, 2, 3], [4, 5, 7, 8], [9]]


async def test_max_size_bounds_a_batch() -> None:
    compute = Recorder()
    batcher = batcher_of(compute, max_size=2)
    await answers(batcher.submit(rows(1)), batcher.submit(rows(2)), batcher.submit(rows(3)))
    assert compute.batches == [[1, 2], [3]]


async def test_arrays_stay_arrays_in_the_order_of_their_requests() -> None:
    joined: list[Rows] = []

    def compute(given: Rows) -> Array:
        joined.append(given)
        return np.asarray(given, dtype=np.float32).reshape(len(given), -1)[:, :1]

    batcher = batcher_of(Function(compute))
    images = [np.full((count, 2, 2), value, dtype=np.uint8) for count, value in ((1, 7), (2, 8), (1, 9))]
    assert await answers(*(batcher.submit(image) for image in images)) == [[[7]], [[8], [8]], [[9]]]
    (batch,) = joined
    assert isinstance(batch, np.ndarray)
    assert batch.dtype == np.uint8
    assert batch.shape == (4, 2, 2)


async def test_matrices_and_lists_share_a_batch() -> None:
    compute = Recorder()
    batcher = batcher_of(compute)
    matrix = np.array([[1.5], [2.5]])
    assert await answers(batcher.submit(matrix), batcher.submit(rows(1))) == [[[3], [5]], [[2]]]
    assert len(compute.batches) == 1


async def test_rows_that_are_computed_another_way_share_no_batch_with_others() -> None:
    compute, other = Recorder(), Recorder()
    batcher = batcher_of(compute)
    given = [(1, None), (2, None), (3, other), (4, other), (5, None)]
    futures = [batcher.submit(rows(value), compute=another) for value, another in given]
    assert await answers(*futures) == [[[2 * value]] for value, _ in given]
    assert (compute.batches, other.batches) == ([[1, 2], [5]], [[3, 4]])


async def test_with_a_delay_a_batch_waits_for_company() -> None:
    compute = Recorder()
    batcher = batcher_of(compute, max_delay_milliseconds=1000)
    first = batcher.submit(rows(1))
    for _ in range(5):  # turns of the loop in which nothing else comes
        await asyncio.sleep(0)
    assert await answers(first, batcher.submit(rows(2, 3, 4))) == [[[2]], [[4], [6], [8]]]
    assert compute.batches == [[1, 2, 3, 4]]
    assert await answers(batcher_of(compute, max_delay_milliseconds=1).submit(rows(5))) == [[[10]]]  # none came


async def test_a_batch_waits_a_turn_while_more_comes_and_no_lone_request_does() -> None:
    compute = Recorder()
    batcher = batcher_of(compute, max_size=3)
    lone = batcher.submit(rows(1))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert lone.done()
    first = batcher.submit(rows(2))
    second = batcher.submit(rows(3))
    await asyncio.sleep(0)  # more came in the turn before
    third = batcher.submit(rows(4))
    assert await answers(first, second, third) == [[[4]], [[6]], [[8]]]
    assert compute.batches == [[1], [2, 3, 4]]


async def test_with_patience_a_batch_waits_for_as_many_quiet_turns() -> None:
    compute = Recorder()
    batcher = batcher_of(compute, max_size=3)
    first = batcher.submit(rows(1), patience=4)
    for _ in range(3):
        await asyncio.sleep(0)
    second = batcher.submit(rows(2))
    for _ in range(4):
        assert compute.batches == []
        await asyncio.sleep(0)
    assert await answers(first, second) == [[[2]], [[4]]]
    assert compute.batches == [[1, 2]]
    await answers(batcher.submit(rows(3), patience=4), batcher.submit(rows(4, 5)))  # a full one does not wait
    assert compute.batches[1:] == [[3, 4, 5]]


async def test_a_full_batch_does_not_wait_for_the_delay() -> None:
    compute = Recorder()
    batcher = batcher_of(compute, max_size=2, max_delay_milliseconds=1000)
    first, second = batcher.submit(rows(1)), batcher.submit(rows(2))
    for _ in range(5):
        await asyncio.sleep(0)
    assert first.done()
    assert second.done()


async def test_a_wrong_request_fails_alone_and_names_its_own_row() -> None:
    compute = Recorder()
    batcher = batcher_of(compute)
    good, wrong, late = batcher.submit(rows(1)), batcher.submit(rows(1, "wrong")), batcher.submit(rows(2))
    found = await answers(good, wrong, late)
    assert found[0] == [[2]]
    assert (found[1].row, found[1].column, found[1].message) == (1, "x", "is wrong")
    assert found[2] == [[4]]


async def test_a_wrong_row_in_a_later_batch_is_counted_from_the_start_of_its_request() -> None:
    compute = Recorder()
    batcher = batcher_of(compute)
    found = await answers(batcher.submit(rows(0, 1, 2, 3, 4, "wrong", 6, 7, 8)), batcher.submit(rows(5)))
    assert found[0].row == 5
    assert found[1] == [[10]]
    assert batcher.queued_rows == 0


async def test_a_part_that_is_computed_again_after_a_later_part_keeps_its_place() -> None:
    may_end = threading.Event()
    entered: list[list[Any]] = []

    def slow(given: Rows) -> Array:
        entered.append([value for (value,) in given])
        may_end.wait(DEADLINE)
        if [0] in given:
            raise RuntimeError("out of order")
        return doubled(given)

    batcher = batcher_of(Function(slow), costs=THREADED, max_queue_milliseconds=60_000)
    broken, whole = batcher.submit(rows(0)), batcher.submit(rows(*range(1, 8)))
    await _turns()
    may_end.set()
    found = await answers(broken, whole)
    assert entered == [[0, 1, 2, 3], [4, 5, 6, 7], [0], [1, 2, 3]]
    assert isinstance(found[0], RuntimeError)
    assert found[1] == [[2 * value] for value in range(1, 8)]


@pytest.mark.parametrize("costs", [INLINE, THREADED])
async def test_wrong_rows_are_freed_with_their_answer_and_not_when_garbage_is_collected(costs: Costs) -> None:
    class Freed(list[Any]):
        """A list that a weak reference can look after."""

    given = Freed(["wrong"])
    alive = weakref.ref(given)
    batcher = batcher_of(Recorder(), costs=costs)
    gc.disable()
    try:
        answer = batcher.submit([given])
        await _turns()
        assert isinstance((await gathered(answer))[0], InputError)
        del answer, given
        await _turns()
        assert alive() is None
    finally:
        gc.enable()


async def test_an_answer_that_is_not_finite_fails_alone() -> None:
    batcher = batcher_of(Recorder())
    found = await answers(batcher.submit(rows(1)), batcher.submit(rows("nan")))
    assert found[0] == [[2]]
    assert isinstance(found[1], NotFiniteError)


@pytest.mark.parametrize("costs", [INLINE, THREADED])
async def test_only_what_is_answered_is_counted_and_once(costs: Costs) -> None:
    compute = Recorder()
    batcher = batcher_of(compute, costs=costs, max_queue_milliseconds=60_000)
    await answers(*(batcher.submit(rows(value)) for value in (1, "nan", 2, 3)))
    await answers(batcher.submit(rows(4)))
    assert compute.concluded == [[1], [2], [3], [4]]


@pytest.mark.parametrize("costs", [INLINE, THREADED])
async def test_a_model_that_breaks_fails_its_requests_and_no_later_one(costs: Costs) -> None:
    broken = True

    def compute(given: Rows) -> Array:
        if broken:
            raise RuntimeError("out of order")
        return doubled(given)

    batcher = batcher_of(Function(compute), costs=costs)
    found = await answers(batcher.submit(rows(1)))
    assert isinstance(found[0], RuntimeError)
    broken = False
    assert await answers(batcher.submit(rows(1))) == [[[2]]]


async def test_a_request_that_was_given_up_is_not_computed() -> None:
    compute = Recorder()
    batcher = batcher_of(compute)
    given_up, kept = batcher.submit(rows(1)), batcher.submit(rows(2))
    given_up.cancel()
    assert await answers(kept) == [[[4]]]
    assert compute.batches == [[2]]
    assert batcher.queued_rows == 0


@pytest.mark.parametrize(("count", "computed"), [(1, 0), (6, 4)])
async def test_a_request_is_answered_within_its_timeout_or_not_computed(count: int, computed: int) -> None:
    """The timeout of another one passes while the first is computed: it has but a full batch handed over by then."""
    begun, may = threading.Event(), threading.Event()
    given: list[Any] = []

    def slow(some: Rows) -> Array:
        begun.set()
        assert may.wait(DEADLINE)
        given.extend(value for (value,) in some)
        return doubled(some)

    batcher = batcher_of(Function(slow), costs=Costs(compute=((1, 1e-3), (4, 1e-3), (8, 1e-3)), handover=1e-6))
    first = batcher.submit(rows(1), timeout=DEADLINE)
    assert await asyncio.to_thread(begun.wait, DEADLINE)
    late = batcher.submit(rows(*range(10, 10 + count)), timeout=0.05)
    others = [batcher.submit(rows(2), timeout=DEADLINE), batcher.submit(rows(3))]
    with pytest.raises(TooLateError, match=r"^it was not answered within its timeout of 50 ms$"):
        await late
    may.set()
    assert await answers(first, *others) == [[[2.0]], [[4.0]], [[6.0]]]
    assert sorted(given) == [1, 2, 3, *range(10, 10 + computed)]
    assert batcher.queued_rows == 0


async def test_who_would_wait_beyond_its_timeout_is_turned_away_at_once() -> None:
    batcher = batcher_of(Function(doubled), costs=replace(INLINE, compute=((1, 0.02), (4, 0.08))))
    first = batcher.submit(rows(1, 2), timeout=DEADLINE)
    said = r"^the queue is full: about 40 ms to wait, more than the timeout of 30 ms$"
    with pytest.raises(QueueFullError, match=said) as refused:
        batcher.submit(rows(3), timeout=0.03)
    assert refused.value.retry_after == pytest.approx(0.04)
    assert await answers(first) == [[[2.0], [4.0]]]
    assert batcher.queued_rows == 0


async def test_what_was_answered_in_time_is_not_held_until_its_timeout() -> None:
    batcher = batcher_of(Function(doubled))
    given = np.array([[1.0]])
    gone = weakref.ref(given)
    future = batcher.submit(given, timeout=3600)
    del given
    await future
    gc.collect()
    assert gone() is None


async def test_a_request_that_would_wait_too_long_is_turned_away() -> None:
    # 1 ms for 4 rows: 0.25 ms each, so 40 queued rows are 10 ms to wait.
    batcher = batcher_of(Recorder(), max_queue_milliseconds=10)
    first = batcher.submit(rows(*range(40)))
    second = batcher.submit(rows(1))
    with pytest.raises(QueueFullError, match=r"about 10 ms to wait.*maxQueueMilliseconds") as refused:
        batcher.submit(rows(2))
    assert refused.value.retry_after == pytest.approx(0.01025)
    assert len((await answers(first, second))[0]) == 40
    assert await answers(batcher.submit(rows(3))) == [[[6]]]


async def test_one_large_request_is_never_turned_away_by_its_own_size() -> None:
    batcher = batcher_of(Recorder(), max_queue_milliseconds=1)
    assert len((await answers(batcher.submit(rows(*range(1000)))))[0]) == 1000


async def test_the_estimate_follows_how_fast_the_queue_really_drains() -> None:
    now = 0.0

    def slow(given: Rows) -> Array:
        nonlocal now
        now += 1.0
        return doubled(given)

    batcher = Batcher(
        compute=Function(slow),
        costs=INLINE,
        batching=Batching(max_queue_milliseconds=60_000),
        executor=ThreadPoolExecutor(max_workers=1),
        clock=lambda: now,
        observe=lambda _rows, _seconds: None,
    )
    before = batcher.wait_seconds
    await answers(batcher.submit(rows(*range(400))))
    waiting = batcher.submit(rows(*range(4)))
    assert before == 0
    assert batcher.wait_seconds == pytest.approx(1.0, rel=0.01)  # 4 rows at a quarter of a second
    await answers(waiting)


async def test_one_stall_does_not_turn_requests_away_for_ever() -> None:
    now, pace = 0.0, 3.0

    def compute(given: Rows) -> Array:
        nonlocal now
        now += pace
        return doubled(given)

    batcher = Batcher(
        compute=Function(compute),
        costs=INLINE,
        batching=Batching(max_queue_milliseconds=200),
        executor=ThreadPoolExecutor(max_workers=1),
        clock=lambda: now,
        observe=lambda _rows, _seconds: None,
    )
    await answers(batcher.submit(rows(*range(8))))  # stalls between two batches
    pace = 0.001
    waiting = [batcher.submit(rows(1)) for _ in range(3)]
    with pytest.raises(QueueFullError):
        batcher.submit(rows(1))
    await answers(*waiting)
    for _ in range(100):
        await answers(batcher.submit(rows(1)))
    assert await answers(*(batcher.submit(rows(1)) for _ in range(16))) == [[[2]]] * 16


async def test_time_after_all_have_left_is_no_wait() -> None:
    now = 0.0
    batcher = Batcher(
        compute=Recorder(),
        costs=INLINE,
        batching=Batching(max_queue_milliseconds=200),
        executor=ThreadPoolExecutor(max_workers=1),
        clock=lambda: now,
        observe=lambda _rows, _seconds: None,
    )
    first = batcher.submit(rows(*range(4)))
    left = batcher.submit(rows(*range(4)))
    first.add_done_callback(lambda _: left.cancel())
    await first
    await asyncio.sleep(0.01)
    now = 100.0
    assert await answers(*(batcher.submit(rows(1)) for _ in range(5))) == [[[2]]] * 5
    assert await answers(*(batcher.submit(rows(1)) for _ in range(5))) == [[[2]]] * 5


async def test_a_stall_that_meets_a_single_row_is_not_that_of_every_row() -> None:
    now, pace = 0.0, 0.004

    def compute(given: Rows) -> Array:
        nonlocal now, pace
        now, pace = now + pace, 0.004
        return doubled(given)

    batcher = Batcher(
        compute=Function(compute),
        costs=Costs(compute=((1, 0.004), (16, 0.004)), handover=1.0),
        batching=Batching(max_queue_milliseconds=200),
        executor=ThreadPoolExecutor(max_workers=1),
        clock=lambda: now,
        observe=lambda _rows, _seconds: None,
    )
    first = batcher.submit(rows(1))
    pace = 0.05
    batcher._size = 1  # one row is taken, and others wait behind it
    second = [batcher.submit(rows(1)) for _ in range(63)]
    batcher._flush()
    batcher._size = 16
    await answers(first, *second)
    assert batcher.wait_seconds == 0
    assert await answers(*(batcher.submit(rows(1)) for _ in range(64))) == [[[2]]] * 64


async def test_what_is_in_flight_is_what_waits_or_is_computed_however_it_ends() -> None:
    now, blocked = 0.0, threading.Event()

    def slow(values: Rows) -> Array:
        blocked.wait(DEADLINE)
        return doubled(values)

    batcher = batcher_of(Function(slow), costs=THREADED, clock=lambda: now, max_queue_milliseconds=60_000)
    computed = batcher.submit(rows(1))
    await _turns()
    others = [batcher.submit(rows(2, 3, 4, 5, 6, 7, 8, 9, 10)), batcher.submit(rows("wrong"), timeout=DEADLINE)]
    given_up = batcher.submit(rows(5))
    given_up.cancel()
    now = 1000.0
    assert batcher.load.requests_in_flight == pytest.approx(4, rel=1e-3)
    blocked.set()
    await answers(computed, *others)
    await _turns()
    assert batcher.load.wait_seconds > 0
    now = 2000.0
    assert batcher.load.requests_in_flight == pytest.approx(0, abs=1e-3)


async def test_a_request_that_says_its_timeout_and_is_turned_away_is_not_in_flight() -> None:
    now = 0.0
    batcher = batcher_of(Recorder(), costs=THREADED, clock=lambda: now, max_queue_milliseconds=60_000)
    waits = batcher.submit(rows(*range(8)))
    with pytest.raises(QueueFullError):
        batcher.submit(rows(1), timeout=0.001)
    now = 1000.0
    assert batcher.load.requests_in_flight == pytest.approx(1, rel=1e-3)
    await answers(waits)
