"""Leader election: at most one may write at any time, and somebody leads again soon."""

import asyncio
import copy
from typing import Any

import pytest
from tests.support.fake_clock import FakeClock, settle

from modelservice_operator.machinery.errors import Conflict, Transient
from modelservice_operator.machinery.lease import Durations, Elector
from modelservice_operator.objects import Kind, Object, Ref

LEASE = Kind("coordination.k8s.io", "v1", "Lease", "leases")
REF = Ref(LEASE, "ns", "operator")


class FakeLeases:
    """One Lease with compare-and-swap; ``down`` makes it unreachable, ``deaf`` loses the answers to writes."""

    def __init__(self) -> None:
        self.lease: Object | None = None
        self.version = 0
        self.down = False
        self.deaf = False
        self.writes = 0

    async def get(self, ref: Ref) -> Object | None:
        assert ref == REF
        self._reach()
        return copy.deepcopy(self.lease)

    async def create(self, lease: Object) -> Object:
        self._reach()
        if self.lease is not None:
            raise Conflict("already exists")
        return self._store(lease)

    async def replace(self, lease: Object) -> Object:
        self._reach()
        if self.lease is None or lease["metadata"]["resourceVersion"] != self.lease["metadata"]["resourceVersion"]:
            raise Conflict("the object has been modified")
        return self._store(lease)

    def _reach(self) -> None:
        if self.down:
            raise Transient("connection refused")

    def _store(self, lease: Object) -> Object:
        self.version += 1
        self.writes += 1
        self.lease = copy.deepcopy(lease)
        self.lease["metadata"]["resourceVersion"] = str(self.version)
        if self.deaf:
            raise Transient("no answer in 5 s")
        return copy.deepcopy(self.lease)

    @property
    def spec(self) -> dict[str, Any]:
        assert self.lease is not None
        spec: dict[str, Any] = self.lease["spec"]
        return spec


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def leases() -> FakeLeases:
    return FakeLeases()


def candidate(leases: FakeLeases, clock: FakeClock, identity: str = "a") -> Elector:
    return Elector(store=leases, ref=REF, identity=identity, clock=clock, durations=Durations(), jitter=lambda s: s)


async def test_the_first_candidate_leads_at_once(leases: FakeLeases, clock: FakeClock) -> None:
    a = candidate(leases, clock)
    assert not a.may_write()
    assert await a.acquire(asyncio.Event())
    assert a.may_write()
    assert leases.spec == {
        "holderIdentity": "a",
        "leaseDurationSeconds": 12,
        "acquireTime": "2026-01-01T00:00:00.000000Z",
        "renewTime": "2026-01-01T00:00:00.000000Z",
        "leaseTransitions": 0,
    }


async def test_renewing_keeps_the_lease_and_the_time_of_acquisition(leases: FakeLeases, clock: FakeClock) -> None:
    a = candidate(leases, clock)
    stop = asyncio.Event()
    await a.acquire(stop)
    holding = asyncio.create_task(a.hold(stop))
    await clock.advance(60)
    assert a.may_write()
    assert leases.spec["acquireTime"] == "2026-01-01T00:00:00.000000Z"
    assert leases.spec["renewTime"] == "2026-01-01T00:01:00.000000Z"
    assert leases.writes == 31
    stop.set()
    assert await holding


async def test_without_an_answer_it_stops_writing_after_the_deadline(leases: FakeLeases, clock: FakeClock) -> None:
    a = candidate(leases, clock)
    await a.acquire(asyncio.Event())
    holding = asyncio.create_task(a.hold(asyncio.Event()))
    leases.down = True
    await clock.advance(7.4)
    assert a.may_write()
    assert not holding.done()
    await clock.advance(0.1)
    assert not a.may_write()
    assert await holding is False


async def test_the_deadline_counts_from_before_the_request(leases: FakeLeases, clock: FakeClock) -> None:
    class Slow(FakeLeases):
        async def create(self, lease: Object) -> Object:
            await clock.advance(4)
            return await super().create(lease)

    a = candidate(Slow(), clock)
    await a.attempt()
    await clock.advance(3.4)
    assert a.may_write()
    await clock.advance(0.1)
    assert not a.may_write()


async def test_never_two_may_write(leases: FakeLeases, clock: FakeClock) -> None:
    a, b = candidate(leases, clock), candidate(leases, clock, "b")
    stop = asyncio.Event()
    await a.acquire(stop)
    holding = asyncio.create_task(a.hold(stop))
    waiting = asyncio.create_task(b.acquire(stop))
    await clock.advance(30)
    assert (a.may_write(), b.may_write()) == (True, False)
    a_alone = FakeLeases()  # a is cut off: it renews into the void, b still reaches the real one
    a_alone.down = True
    a._store = a_alone
    for _ in range(140):
        await clock.advance(0.1)
        assert not (a.may_write() and b.may_write())
    assert await holding is False
    assert await waiting
    assert b.may_write()
    assert (leases.spec["holderIdentity"], leases.spec["leaseTransitions"]) == ("b", 1)


async def test_a_leader_that_stood_still_for_a_minute_wakes_without_the_right_to_write(
    leases: FakeLeases, clock: FakeClock
) -> None:
    a, b = candidate(leases, clock), candidate(leases, clock, "b")
    await a.acquire(asyncio.Event())
    stop = asyncio.Event()

    async def lead() -> None:
        await b.acquire(stop)
        await b.hold(stop)

    leading = asyncio.create_task(lead())
    await clock.advance(60)  # nothing of a runs: it does not even know that its time is up
    assert (a.may_write(), b.may_write()) == (False, True)
    assert await a.hold(asyncio.Event()) is False
    assert (leases.spec["holderIdentity"], b.may_write()) == ("b", True)
    stop.set()
    await leading


async def test_a_standby_waits_a_whole_lease_from_the_last_sign_of_life(leases: FakeLeases, clock: FakeClock) -> None:
    await candidate(leases, clock).attempt()
    await clock.advance(100)  # b knows nothing of how old the record is, and does not trust the time in it
    b = candidate(leases, clock, "b")
    waiting = asyncio.create_task(b.acquire(asyncio.Event()))
    await clock.advance(11.9)
    assert not b.may_write()
    await clock.advance(0.1)
    assert b.may_write(), "as soon as it ends, not at the next try after that"
    assert await waiting


async def test_released_it_is_taken_over_at_the_next_try(leases: FakeLeases, clock: FakeClock) -> None:
    a, b = candidate(leases, clock), candidate(leases, clock, "b")
    await a.acquire(asyncio.Event())
    waiting = asyncio.create_task(b.acquire(asyncio.Event()))
    await settle()
    await a.release()
    assert not a.may_write()
    await clock.advance(2)
    assert await waiting


async def test_a_sign_of_life_that_came_while_it_was_asked_for_lasts_as_long_as_any(clock: FakeClock) -> None:
    class Slow(FakeLeases):
        async def get(self, ref: Ref) -> Object | None:
            if self.lease is not None and not clock.monotonic() > 1000:
                await clock.advance(3)
                assert await a.attempt()
            return await super().get(ref)

    leases = Slow()
    a, b = candidate(leases, clock, "a"), candidate(leases, clock, "b")
    await a.attempt()
    assert not await b.attempt()
    await clock.advance(Durations().lease - 0.1)
    assert not await b.attempt(), "a write of the leader may be under way still"
    await clock.advance(0.1)
    assert await b.attempt()


async def test_releasing_what_is_not_held_writes_nothing(leases: FakeLeases, clock: FakeClock) -> None:
    await candidate(leases, clock).attempt()
    await candidate(leases, clock, "b").release()
    assert leases.spec["holderIdentity"] == "a"


async def test_a_restarted_process_of_the_same_pod_takes_its_own_lease_back(
    leases: FakeLeases, clock: FakeClock
) -> None:
    await candidate(leases, clock).attempt()
    assert await candidate(leases, clock).attempt()


async def test_an_unconfirmed_write_is_recognized_as_its_own(leases: FakeLeases, clock: FakeClock) -> None:
    a = candidate(leases, clock)
    await a.attempt()
    leases.deaf = True
    assert not await a.attempt()
    leases.deaf = False
    assert await a.attempt()
    assert leases.spec["leaseTransitions"] == 0


async def test_who_loses_the_race_to_create_does_not_lead(leases: FakeLeases, clock: FakeClock) -> None:
    class Late(FakeLeases):
        """Reads before, and creates after, another candidate has created."""

        async def get(self, ref: Ref) -> Object | None:
            found = await super().get(ref)
            self.lease = {"metadata": {"resourceVersion": "1"}, "spec": {"holderIdentity": "b"}}
            return found

    a = candidate(Late(), clock)
    assert not await a.attempt()
    assert not a.may_write()


async def test_a_holder_who_sees_another_stops_at_once(leases: FakeLeases, clock: FakeClock) -> None:
    a = candidate(leases, clock)
    await a.attempt()
    await candidate(leases, clock, "b").attempt()
    leases.spec["holderIdentity"] = "b"
    leases.version += 1
    assert leases.lease is not None
    leases.lease["metadata"]["resourceVersion"] = str(leases.version)
    assert not await a.attempt()
    assert a.may_write(), "unconfirmed is not yet lost"
    assert not await a.attempt()
    assert not a.may_write()


async def test_a_stop_ends_the_waiting(leases: FakeLeases, clock: FakeClock) -> None:
    await candidate(leases, clock).attempt()
    stop = asyncio.Event()
    waiting = asyncio.create_task(candidate(leases, clock, "b").acquire(stop))
    await settle()
    stop.set()
    assert await waiting is False


async def test_the_lease_carries_what_its_leader_says_beside_what_others_wrote(
    leases: FakeLeases, clock: FakeClock
) -> None:
    said = {"example.dev/scope": "a,b"}
    await candidate(leases, clock).attempt()
    assert leases.lease is not None
    leases.lease["metadata"]["annotations"] = {"example.dev/scope": "before", "note": "of a person"}
    await clock.advance(20)
    elector = Elector(store=leases, ref=REF, identity="b", clock=clock, annotations=said, jitter=lambda s: s)
    waiting = asyncio.create_task(elector.acquire(asyncio.Event()))
    await clock.advance(20)
    assert await waiting
    assert leases.lease["metadata"]["annotations"] == {**said, "note": "of a person"}
    fresh = FakeLeases()
    await Elector(store=fresh, ref=REF, identity="a", clock=clock, annotations=said).attempt()
    assert fresh.lease is not None
    assert fresh.lease["metadata"]["annotations"] == said
