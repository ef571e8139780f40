"""The comparison with the apiserver: complete before work, no ghosts after a lost watch."""

import asyncio

import pytest
from tests.support.fake_clock import FakeClock, settle
from tests.unit.operator.machinery.test_cache import APP, JOB, NOTE, make, owner

from modelservice_operator.machinery.cache import Cache
from modelservice_operator.machinery.errors import KubeError, NotFound, Transient
from modelservice_operator.machinery.sync import COMPARE_SECONDS, Synchronizer
from modelservice_operator.machinery.watch import Watch, own_key
from modelservice_operator.metrics import Metrics
from modelservice_operator.objects import Key, Kind, Object, Ref

WATCHES = (
    Watch(kind=APP, request=own_key, owned=False),
    Watch(kind=JOB, request=owner, label_selector="made=by-us"),
    Watch(kind=NOTE, request=owner, label_selector="made=by-us"),
)


class Lists:
    """Lists what a test says; ``fails`` are errors for the next requests, ``unserved`` kinds are not served."""

    def __init__(self) -> None:
        self.objects: dict[Kind, list[Object]] = {}
        self.selectors: dict[Kind, str | None] = {}
        self.fails: list[KubeError] = []
        self.unserved: set[Kind] = set()

    async def list_metadata(self, kind: Kind, *, label_selector: str | None = None) -> list[Object]:
        self.selectors[kind] = label_selector
        if self.fails:
            raise self.fails.pop()
        if kind in self.unserved:
            raise NotFound(f"{kind.resource} is not served")
        return list(self.objects.get(kind, ()))


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def cache() -> Cache:
    return Cache(WATCHES)


@pytest.fixture
def lists() -> Lists:
    return Lists()


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def synchronizer(lists: Lists, cache: Cache, clock: FakeClock, metrics: Metrics) -> Synchronizer:
    return Synchronizer(watches=WATCHES, lists=lists, cache=cache, clock=clock, metrics=metrics)


async def test_is_complete_when_all_that_is_listed_has_arrived(
    synchronizer: Synchronizer, lists: Lists, cache: Cache, clock: FakeClock
) -> None:
    lists.objects[JOB] = [make("a-1", uid="a-1"), make("a-2", uid="a-2", version=5)]
    cache.put(JOB, make("a-1", uid="a-1"))
    waiting = asyncio.create_task(synchronizer.complete(asyncio.Event()))
    await clock.advance(1)
    assert not waiting.done()
    cache.put(JOB, make("a-2", uid="a-2", version=4))
    await clock.advance(1)
    assert not waiting.done(), "an older version is not what was listed"
    cache.put(JOB, make("a-2", uid="a-2", version=5))
    await clock.advance(1)
    await waiting
    assert lists.selectors == {watch.kind: watch.label_selector for watch in WATCHES}


async def test_lists_again_when_something_listed_never_arrives(
    synchronizer: Synchronizer, lists: Lists, clock: FakeClock
) -> None:
    lists.objects[JOB] = [make("deleted-before-the-watch-began")]
    waiting = asyncio.create_task(synchronizer.complete(asyncio.Event()))
    await clock.advance(5)
    assert not waiting.done()
    lists.objects[JOB] = []
    await clock.advance(10)
    await waiting


async def test_an_apiserver_that_does_not_answer_is_asked_again(
    synchronizer: Synchronizer, lists: Lists, clock: FakeClock
) -> None:
    lists.fails = [Transient("down"), Transient("down")]
    waiting = asyncio.create_task(synchronizer.complete(asyncio.Event()))
    await clock.advance(3.9)
    assert not waiting.done()
    await clock.advance(0.1)
    await waiting


async def test_a_stop_ends_the_waiting(synchronizer: Synchronizer, lists: Lists) -> None:
    lists.objects[JOB] = [make("a-1", uid="a-1")]
    stop = asyncio.Event()
    waiting = asyncio.create_task(synchronizer.complete(stop))
    await settle()
    stop.set()
    await waiting


async def test_ghosts_are_dropped_counted_and_their_owners_named(
    synchronizer: Synchronizer, lists: Lists, cache: Cache, clock: FakeClock, metrics: Metrics
) -> None:
    cache.put(JOB, make("a-1", uid="a-1"))
    cache.put(JOB, make("a-2", uid="a-2"))
    lists.objects[JOB] = [make("a-1", uid="a-1")]
    affected: list[Key] = []
    stop = asyncio.Event()
    watching = asyncio.create_task(synchronizer.watch(stop, affected.append))
    await clock.advance(COMPARE_SECONDS - 1)
    assert affected == []
    await clock.advance(1)
    assert affected == [Key("n", "a")]
    assert cache.get(Ref(JOB, "n", "a-2")) is None
    assert metrics.registry.get_sample_value("modelservice_operator_cache_ghosts_total", {"kind": "Job"}) == 1
    stop.set()
    await watching


async def test_a_kind_that_cannot_be_listed_holds_up_no_other(
    synchronizer: Synchronizer, lists: Lists, cache: Cache
) -> None:
    cache.put(JOB, make("a-1", uid="a-1"))
    cache.put(NOTE, make("a-2", uid="a-2"))
    lists.unserved = {JOB}
    assert await synchronizer.compare() == {Key("n", "a")}
    assert cache.get(Ref(JOB, "n", "a-1")) is not None, "not known to be gone"
    assert cache.get(Ref(NOTE, "n", "a-2")) is None


async def test_a_kind_that_is_not_served_is_waited_for(
    synchronizer: Synchronizer, lists: Lists, clock: FakeClock
) -> None:
    lists.unserved = {JOB}
    waiting = asyncio.create_task(synchronizer.complete(asyncio.Event()))
    await clock.advance(60)
    assert not waiting.done()
    lists.unserved = set()
    await clock.advance(2)
    await waiting


async def test_a_comparison_that_fails_is_made_at_the_next_time(
    synchronizer: Synchronizer, lists: Lists, cache: Cache, clock: FakeClock
) -> None:
    cache.put(JOB, make("a-1", uid="a-1"))
    lists.fails = [Transient("down") for _ in WATCHES]
    affected: list[Key] = []
    stop = asyncio.Event()
    watching = asyncio.create_task(synchronizer.watch(stop, affected.append))
    await clock.advance(COMPARE_SECONDS)
    assert affected == []
    await clock.advance(COMPARE_SECONDS)
    assert affected == [Key("n", "a")]
    stop.set()
    await watching
