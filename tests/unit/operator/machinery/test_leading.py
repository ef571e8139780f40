"""A replica's life: wait for the cache, stand by, lead, stop in order; a lost lease ends the process."""

import asyncio
from typing import Any

import pytest
from tests.support.fake_clock import FakeClock, settle
from tests.unit.operator.machinery.test_lease import FakeLeases, candidate
from tests.unit.operator.machinery.test_sync import Lists, make
from tests.unit.operator.machinery.test_worker import Script

from modelservice_operator.machinery.cache import Cache
from modelservice_operator.config import Settings
from modelservice_operator.context import Context
from modelservice_operator.machinery.feed import Feed
from modelservice_operator.kinds import MODEL_SERVICE, Key
from modelservice_operator.machinery.leading import LeaseLostError, live
from modelservice_operator.metrics import Metrics
from modelservice_operator.machinery.queue import Backoff, WorkQueue
from modelservice_operator.machinery.worker import Workers

A = Key("n", "a")


class Replica:
    """One replica on fakes."""

    def __init__(self, clock: FakeClock, leases: FakeLeases, script: Script, identity: str = "a") -> None:
        metrics, cache, ports = Metrics(), Cache(), Lists()
        port: Any = ports
        self.lists = ports
        queue: WorkQueue[Key] = WorkQueue(clock=clock, metrics=metrics, backoff=Backoff())
        self.context = Context(
            settings=Settings(runtime_image="r"),
            clock=clock,
            metrics=metrics,
            cache=cache,
            queue=queue,
            feed=Feed(cache=cache, on_change=queue.add),
            kube=port,
            progress=port,
            elector=candidate(leases, clock, identity),
        )
        workers = Workers(queue=self.context.queue, reconciler=script, count=1, clock=clock, metrics=metrics)
        self.task = asyncio.create_task(live(self.context, workers))

    @property
    def leads(self) -> bool:
        return self.context.metrics.registry.get_sample_value("modelservice_operator_leader") == 1


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def leases() -> FakeLeases:
    return FakeLeases()


async def test_works_on_every_service_once_the_cache_is_complete(clock: FakeClock, leases: FakeLeases) -> None:
    script = Script(a=[None])
    replica = Replica(clock, leases, script)
    replica.lists.objects[MODEL_SERVICE] = [make("a")]
    replica.context.queue.add(A)
    await clock.advance(1)
    assert not replica.context.synced.is_set()
    assert script.calls == []
    replica.context.cache.put(MODEL_SERVICE, make("a"))
    await clock.advance(1)
    assert replica.context.synced.is_set()
    assert script.calls == [A]
    assert replica.leads
    replica.context.stop.set()
    await replica.task


async def test_a_stop_finishes_the_work_then_releases_the_lease(clock: FakeClock, leases: FakeLeases) -> None:
    released = asyncio.Event()
    replica = Replica(clock, leases, Script(a=[released]))
    await clock.advance(1)
    replica.context.queue.add(A)
    await settle()
    replica.context.stop.set()
    await settle()
    assert leases.spec["holderIdentity"] == "a", "a write may still be under way"
    released.set()
    await replica.task
    assert leases.spec["holderIdentity"] == ""
    assert replica.context.stopped.is_set()
    assert not replica.leads


async def test_a_standby_is_ready_but_works_only_after_the_leader(clock: FakeClock, leases: FakeLeases) -> None:
    script = Script(a=[None])
    leader = Replica(clock, leases, Script())
    await clock.advance(1)
    standby = Replica(clock, leases, script, identity="b")
    standby.context.queue.add(A)
    await clock.advance(60)
    assert standby.context.synced.is_set()
    assert (standby.leads, script.calls) == (False, [])
    leader.context.stop.set()
    await leader.task
    await clock.advance(3)
    assert standby.leads
    assert script.calls == [A]
    standby.context.stop.set()
    await standby.task


async def test_a_lost_lease_ends_the_life_with_an_error(clock: FakeClock, leases: FakeLeases) -> None:
    replica = Replica(clock, leases, Script())
    await clock.advance(1)
    leases.down = True
    await clock.advance(11)
    with pytest.raises(LeaseLostError):
        await replica.task
    assert replica.context.stopped.is_set()
    assert not replica.context.elector.may_write()


async def test_a_standby_can_be_stopped(clock: FakeClock, leases: FakeLeases) -> None:
    await candidate(leases, clock, "other").attempt()
    replica = Replica(clock, leases, Script())
    await clock.advance(1)
    replica.context.stop.set()
    await replica.task
    assert leases.spec["holderIdentity"] == "other"
