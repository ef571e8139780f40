"""A replica's life: wait for the cache, stand by, lead, stop in order; a lost lease ends the process."""

import asyncio
import random
from collections.abc import Sequence

import pytest
from tests.support.examples import seeds
from tests.support.fake_clock import FakeClock, settle
from tests.unit.operator.machinery.test_cache import APP, make
from tests.unit.operator.machinery.test_lease import FakeLeases, candidate
from tests.unit.operator.machinery.test_rivals import Board, alone, rival, rivals_of
from tests.unit.operator.machinery.test_sync import WATCHES, Lists
from tests.unit.operator.machinery.test_worker import Script

from modelservice_operator.machinery.cache import Cache
from modelservice_operator.machinery.manager import LeaseLostError, Lifecycle, Manager, Runs
from modelservice_operator.machinery.queue import Backoff, WorkQueue
from modelservice_operator.machinery.reflector import HistoryRewoundError, Reflectors
from modelservice_operator.machinery.rivals import LOOK_SECONDS, Release, Rivals
from modelservice_operator.machinery.sync import Synchronizer
from modelservice_operator.machinery.worker import Workers
from modelservice_operator.metrics import Metrics
from modelservice_operator.objects import Key, Object

A = Key("n", "a")


class FakeReflectors(Reflectors):
    """Reflects nothing: it has listed from the start unless a test says otherwise, and ends when a test says so."""

    def __init__(self) -> None:
        self.done = asyncio.Event()
        self.rewound = asyncio.Event()
        self.done.set()

    async def run(self, stop: asyncio.Event) -> None:
        ends = [asyncio.ensure_future(event.wait()) for event in (stop, self.rewound)]
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        for end in ends:
            end.cancel()
        if self.rewound.is_set():
            raise HistoryRewoundError

    async def listed(self, stop: asyncio.Event) -> None:
        await self.done.wait()


class Replica:
    """One replica on fakes."""

    def __init__(
        self,
        clock: FakeClock,
        leases: FakeLeases,
        script: Script,
        identity: str = "a",
        *,
        rivals: Rivals | None = None,
        beside: Sequence[Runs] = (),
    ) -> None:
        self.metrics, self.cache, self.lists = Metrics(), Cache(WATCHES), Lists()
        self.queue: WorkQueue[Key] = WorkQueue(clock=clock, metrics=self.metrics, backoff=Backoff())
        self.lifecycle = Lifecycle()
        self.elector = candidate(leases, clock, identity)
        self.reflectors = FakeReflectors()
        manager = Manager(
            lifecycle=self.lifecycle,
            reflectors=self.reflectors,
            synchronizer=Synchronizer(
                watches=WATCHES, lists=self.lists, cache=self.cache, clock=clock, metrics=self.metrics
            ),
            elector=self.elector,
            rivals=rivals or alone(clock),
            queue=self.queue,
            workers=Workers(queue=self.queue, reconciler=script, count=1, clock=clock, metrics=self.metrics),
            beside=beside,
            keys=lambda: self.cache.keys(APP),
            metrics=self.metrics,
        )
        self.task = asyncio.create_task(manager.run())

    @property
    def leads(self) -> bool:
        return self.metrics.registry.get_sample_value("modelservice_operator_leader") == 1


def knows(replica: Replica, *names: str) -> None:
    """Have the replica, and its cluster, hold ModelServices."""
    replica.lists.objects[APP] = [make(name) for name in names]
    for name in names:
        replica.cache.put(APP, make(name))


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def leases() -> FakeLeases:
    return FakeLeases()


async def test_works_on_every_service_once_the_cache_is_complete(clock: FakeClock, leases: FakeLeases) -> None:
    script = Script(a=[None])
    replica = Replica(clock, leases, script)
    replica.lists.objects[APP] = [make("a")]
    replica.queue.add(A)
    await clock.advance(1)
    assert not replica.lifecycle.synced.is_set()
    assert script.calls == []
    replica.cache.put(APP, make("a"))
    await clock.advance(1)
    assert replica.lifecycle.synced.is_set()
    assert script.calls == [A]
    assert replica.leads
    replica.lifecycle.stop.set()
    await replica.task


async def test_works_on_nothing_before_the_children_were_listed(clock: FakeClock, leases: FakeLeases) -> None:
    script = Script(a=[None])
    replica = Replica(clock, leases, script)
    replica.reflectors.done.clear()
    knows(replica, "a")
    replica.queue.add(A)
    await clock.advance(60)
    assert (replica.lifecycle.synced.is_set(), script.calls, replica.leads) == (False, [], False)
    replica.reflectors.done.set()
    await clock.advance(1)
    assert (replica.lifecycle.synced.is_set(), script.calls, replica.leads) == (True, [A], True)
    replica.lifecycle.stop.set()
    await replica.task


async def test_what_runs_beside_the_workers_does_so_only_while_this_replica_leads(
    clock: FakeClock, leases: FakeLeases
) -> None:
    told: list[str] = []

    class Beside:
        async def run(self, stop: asyncio.Event) -> None:
            told.append("begins")
            await stop.wait()
            told.append("ends")

    leading = Replica(clock, leases, Script(), "a")
    await clock.advance(1)
    replica = Replica(clock, leases, Script(), "b", beside=[Beside()])
    await clock.advance(60)
    assert (leading.leads, replica.lifecycle.synced.is_set(), told) == (True, True, [])
    leading.lifecycle.stop.set()
    await leading.task
    await clock.advance(60)
    assert (replica.leads, told) == (True, ["begins"])
    replica.lifecycle.stop.set()
    await replica.task
    assert told == ["begins", "ends"]


async def test_a_rewound_history_ends_the_life_with_an_error_after_the_work(
    clock: FakeClock, leases: FakeLeases
) -> None:
    released = asyncio.Event()
    replica = Replica(clock, leases, Script(a=[released]))
    await clock.advance(1)
    replica.queue.add(A)
    await settle()
    replica.reflectors.rewound.set()
    await settle()
    assert not replica.task.done(), "a write may still be under way"
    released.set()
    with pytest.raises(HistoryRewoundError):
        await replica.task
    assert leases.spec["holderIdentity"] == "", "the next process leads at once"
    assert replica.lifecycle.stopped.is_set()


async def test_a_stop_finishes_the_work_then_releases_the_lease(clock: FakeClock, leases: FakeLeases) -> None:
    released = asyncio.Event()
    replica = Replica(clock, leases, Script(a=[released]))
    await clock.advance(1)
    replica.queue.add(A)
    await settle()
    replica.lifecycle.stop.set()
    await settle()
    assert leases.spec["holderIdentity"] == "a", "a write may still be under way"
    released.set()
    await replica.task
    assert leases.spec["holderIdentity"] == ""
    assert replica.lifecycle.stopped.is_set()
    assert not replica.leads


async def test_a_standby_is_ready_but_works_only_after_the_leader(clock: FakeClock, leases: FakeLeases) -> None:
    script = Script(a=[None])
    leader = Replica(clock, leases, Script())
    await clock.advance(1)
    standby = Replica(clock, leases, script, identity="b")
    knows(standby, "a")
    standby.queue.add(A)
    await clock.advance(60)
    assert standby.lifecycle.synced.is_set()
    assert (standby.leads, script.calls) == (False, [])
    leader.lifecycle.stop.set()
    await leader.task
    await clock.advance(3)
    assert standby.leads
    assert script.calls == [A]
    standby.lifecycle.stop.set()
    await standby.task


async def test_a_standby_begins_with_what_matters_whatever_it_heard_of_first(
    clock: FakeClock, leases: FakeLeases
) -> None:
    script = Script(a=[None], b=[None], c=[None])
    leader = Replica(clock, leases, Script())
    await clock.advance(1)
    standby = Replica(clock, leases, script, identity="b")
    knows(standby, "a", "b")
    standby.queue.add(Key("n", "b"))
    standby.queue.add_after(Key("n", "c"), 1)
    standby.queue.add(A)
    await clock.advance(60)
    leader.lifecycle.stop.set()
    await leader.task
    await clock.advance(3)
    assert script.calls == [A, Key("n", "b")], "in the order of ``keys``, and nothing that is not there"
    standby.lifecycle.stop.set()
    await standby.task


async def test_a_lost_lease_ends_the_life_with_an_error(clock: FakeClock, leases: FakeLeases) -> None:
    replica = Replica(clock, leases, Script())
    await clock.advance(1)
    leases.down = True
    await clock.advance(11)
    with pytest.raises(LeaseLostError):
        await replica.task
    assert replica.lifecycle.stopped.is_set()
    assert not replica.elector.may_write()


async def test_a_standby_can_be_stopped(clock: FakeClock, leases: FakeLeases) -> None:
    await candidate(leases, clock, "other").attempt()
    replica = Replica(clock, leases, Script())
    await clock.advance(1)
    replica.lifecycle.stop.set()
    await replica.task
    assert leases.spec["holderIdentity"] == "other"


async def test_while_a_rival_works_nothing_is_written_not_even_the_lease(clock: FakeClock, leases: FakeLeases) -> None:
    board, script = Board(rival("first")), Script(a=[None])
    replica = Replica(clock, leases, script, rivals=rivals_of(board, clock))
    knows(replica, "a")
    await clock.advance(30)
    assert replica.lifecycle.synced.is_set()
    assert (replica.leads, leases.writes, script.calls) == (False, 0, [])
    board.releases.clear()
    await clock.advance(15)
    assert (replica.leads, script.calls) == (True, [A])
    replica.lifecycle.stop.set()
    await replica.task


async def test_a_rival_that_was_faster_is_given_way_to(clock: FakeClock, leases: FakeLeases) -> None:
    class Race(Board):
        """Its release takes its own Lease between our first look and our second."""

        async def list(self) -> Sequence[Release]:
            found = await super().list()
            if self.looks == 1:
                self.put(rival("first"))
            return found

    script = Script(a=[None])
    replica = Replica(clock, leases, script, rivals=rivals_of(Race(), clock))
    replica.queue.add(A)
    await clock.advance(5)
    assert (replica.leads, script.calls) == (False, [])
    assert leases.spec["holderIdentity"] == "", "it was taken, and given back"
    assert not replica.elector.may_write()
    replica.lifecycle.stop.set()
    await replica.task


@pytest.mark.parametrize("seed", seeds(3, many=50))
async def test_of_releases_that_start_together_one_leads_and_never_two(clock: FakeClock, seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311
    never = asyncio.Event()

    async def travel() -> None:
        await clock.wait(never, chance.uniform(0, 0.5))

    class Distant(Board):
        async def list(self) -> Sequence[Release]:
            await travel()
            found = await super().list()
            await travel()
            return found

    class Kept(FakeLeases):
        """The Lease of one release; what it says is on the board as soon as it is stored."""

        def __init__(self, namespace: str) -> None:
            super().__init__()
            self.namespace = namespace

        async def create(self, lease: Object) -> Object:
            await travel()
            return await super().create(lease)

        def _store(self, lease: Object) -> Object:
            stored = super()._store(lease)
            board.put(rival(self.namespace, holder=stored["spec"]["holderIdentity"]))
            return stored

    def jitter(seconds: float) -> float:
        return seconds * chance.uniform(1.0, 2.0)

    def release(namespace: str) -> Replica:
        rivals = Rivals(releases=board, namespace=namespace, scope=frozenset(), clock=clock, jitter=jitter)
        return Replica(clock, Kept(namespace), Script(), rivals=rivals)

    board, names = Distant(), ("a", "b", "c")
    replicas = [release(namespace) for namespace in names]
    for _ in range(600):
        await clock.advance(0.25)
        assert sum(replica.leads for replica in replicas) <= 1
    assert sum(replica.leads for replica in replicas) == 1
    for replica in replicas:
        replica.lifecycle.stop.set()
    await clock.advance(2 * LOOK_SECONDS)
    assert all(replica.task.done() for replica in replicas)


async def test_standby_replicas_of_one_release_are_no_rivals(clock: FakeClock, leases: FakeLeases) -> None:
    board = Board()
    leader = Replica(clock, leases, Script(), rivals=rivals_of(board, clock))
    await clock.advance(1)
    board.put(rival("own", holder="a"))
    rivals = rivals_of(board, clock)
    standby = Replica(clock, leases, Script(), identity="b", rivals=rivals)
    await clock.advance(30)
    assert (leader.leads, standby.leads, rivals.problem) == (True, False, None)
    leader.lifecycle.stop.set()
    await leader.task
    await clock.advance(3)
    assert standby.leads
    standby.lifecycle.stop.set()
    await standby.task
