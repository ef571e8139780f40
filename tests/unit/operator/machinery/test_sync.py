"""The comparison with the apiserver: complete before work, no ghosts after a lost watch."""

import asyncio
from typing import Any

import pytest
from tests.support.fake_clock import FakeClock, settle

from modelservice_operator.machinery.cache import Cache
from modelservice_operator.constants import LABEL_NAME, OPERATOR_SELECTOR
from modelservice_operator.kinds import JOB, MODEL_SERVICE, WATCHED_KINDS, Key, Kind, Ref
from modelservice_operator.kube.port import KubeError, Object, Transient
from modelservice_operator.metrics import Metrics
from modelservice_operator.machinery.sync import COMPARE_SECONDS, Synchronizer


def make(name: str, version: int = 1) -> dict[str, Any]:
    metadata = {"namespace": "n", "name": name, "uid": name, "resourceVersion": str(version)}
    return {"metadata": {**metadata, "labels": {LABEL_NAME: "a"}}}


class Lists:
    """The part of the port that lists; ``fails`` are errors for the next requests."""

    def __init__(self) -> None:
        self.objects: dict[Kind, list[Object]] = {kind: [] for kind in WATCHED_KINDS}
        self.selectors: dict[Kind, str | None] = {}
        self.fails: list[KubeError] = []

    async def list_metadata(self, kind: Kind, *, label_selector: str | None = None) -> list[Object]:
        self.selectors[kind] = label_selector
        if self.fails:
            raise self.fails.pop()
        return list(self.objects[kind])

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"a comparison must not call {name}")


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def cache() -> Cache:
    return Cache()


@pytest.fixture
def lists() -> Lists:
    return Lists()


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def synchronizer(lists: Lists, cache: Cache, clock: FakeClock, metrics: Metrics) -> Synchronizer:
    port: Any = lists
    return Synchronizer(kube=port, cache=cache, clock=clock, metrics=metrics)


async def test_is_complete_when_all_that_is_listed_has_arrived(
    synchronizer: Synchronizer, lists: Lists, cache: Cache, clock: FakeClock
) -> None:
    lists.objects[JOB] = [make("a-1"), make("a-2", version=5)]
    cache.put(JOB, make("a-1"))
    waiting = asyncio.create_task(synchronizer.complete(asyncio.Event()))
    await clock.advance(1)
    assert not waiting.done()
    cache.put(JOB, make("a-2", version=4))
    await clock.advance(1)
    assert not waiting.done(), "an older version is not what was listed"
    cache.put(JOB, make("a-2", version=5))
    await clock.advance(1)
    await waiting
    assert lists.selectors == {kind: None if kind is MODEL_SERVICE else OPERATOR_SELECTOR for kind in WATCHED_KINDS}


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
    lists.objects[JOB] = [make("a-1")]
    stop = asyncio.Event()
    waiting = asyncio.create_task(synchronizer.complete(stop))
    await settle()
    stop.set()
    await waiting


async def test_ghosts_are_dropped_counted_and_their_owners_named(
    synchronizer: Synchronizer, lists: Lists, cache: Cache, clock: FakeClock, metrics: Metrics
) -> None:
    cache.put(JOB, make("a-1"))
    cache.put(JOB, make("a-2"))
    lists.objects[JOB] = [make("a-1")]
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


async def test_a_comparison_that_fails_is_made_at_the_next_time(
    synchronizer: Synchronizer, lists: Lists, cache: Cache, clock: FakeClock
) -> None:
    cache.put(JOB, make("a-1"))
    lists.fails = [Transient("down")]
    affected: list[Key] = []
    stop = asyncio.Event()
    watching = asyncio.create_task(synchronizer.watch(stop, affected.append))
    await clock.advance(COMPARE_SECONDS)
    assert affected == []
    await clock.advance(COMPARE_SECONDS)
    assert affected == [Key("n", "a")]
    stop.set()
    await watching
