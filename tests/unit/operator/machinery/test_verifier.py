"""What left a watch: gone, or only without its label."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.support.fake_clock import settle
from tests.unit.operator.machinery.test_cache import APP, JOB, make, owner
from tests.unit.operator.machinery.test_reflector import World, job

from modelservice_operator.machinery.errors import Transient
from modelservice_operator.machinery.verifier import AGAIN_SECONDS
from modelservice_operator.machinery.watch import Watch
from modelservice_operator.objects import Object, Ref

REF = Ref(JOB, "n", "a-1")


def metadata(version: int, *, app: str | None = "a", uid: str = "a-1") -> Object:
    return make("a-1", uid=uid, version=version, app=app)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    """A Job of an App that is known."""
    one = World()
    one.cache.put(APP, make("a"))
    await one.start(job("a-1", spec={"x": 1}))
    one.changed.clear()
    yield one
    await one.end()


async def test_what_is_gone_is_dropped_and_its_owner_told(world: World) -> None:
    world.source.stream.send("DELETED", job("a-1", 11))
    await settle()
    assert (world.names(), world.lookup.asked, len(world.changed)) == ([], [REF], 1)


async def test_what_lost_its_label_stays_with_the_metadata_that_it_has_now(world: World) -> None:
    world.lookup.found[REF] = metadata(11, app=None)
    world.source.stream.send("DELETED", job("a-1", 11))
    await settle()
    known = world.cache.get(REF)
    assert known is not None
    assert known == {**job("a-1", spec={"x": 1}), "metadata": metadata(11, app=None)["metadata"]}
    assert len(world.changed) == 1, "so that the label is repaired"


async def test_it_is_looked_at_again_until_its_watch_tells_of_it(world: World) -> None:
    world.lookup.found[REF] = metadata(11, app=None)
    world.source.stream.send("DELETED", job("a-1", 11))
    await world.clock.advance(2.5 * AGAIN_SECONDS)
    assert len(world.lookup.asked) == 3
    world.lookup.found[REF] = metadata(12)
    await world.clock.advance(10 * AGAIN_SECONDS)
    assert len(world.lookup.asked) == 4


async def test_what_is_deleted_later_is_noticed_without_a_watch(world: World) -> None:
    world.lookup.found[REF] = metadata(11, app=None)
    world.source.stream.send("DELETED", job("a-1", 11))
    await settle()
    world.lookup.found.clear()
    await world.clock.advance(AGAIN_SECONDS)
    assert world.names() == []


async def test_another_object_of_that_name_is_not_it(world: World) -> None:
    world.lookup.found[REF] = metadata(12, uid="another")
    world.source.stream.send("DELETED", job("a-1", 11))
    await settle()
    assert world.names() == []


async def test_while_the_apiserver_does_not_answer_it_counts_as_there(world: World) -> None:
    world.lookup.fails = [Transient("503"), Transient("no answer")]
    world.source.stream.send("DELETED", job("a-1", 11))
    await world.clock.advance(5)
    assert world.names() == ["a-1"]
    await world.clock.advance(5)
    assert world.names() == []


async def test_what_a_list_lacks_is_looked_at_as_well(world: World) -> None:
    world.lookup.found[REF] = metadata(30, app=None)
    world.source.objects, world.source.at = [], 40
    world.source.stream.send("ERROR", {"code": 410})
    await world.clock.advance(1)
    assert (world.names(), world.lookup.asked) == (["a-1"], [REF])


async def test_what_is_being_deleted_or_belongs_to_nobody_needs_no_look(world: World) -> None:
    leaving = job("a-1", 11)
    leaving["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    world.source.stream.send("DELETED", leaving)
    await settle()
    assert (world.names(), world.lookup.asked) == ([], [])
    world.source.stream.send("ADDED", job("b-1", 12, app="b"))
    world.source.stream.send("DELETED", job("b-1", 13, app="b"))
    await settle()
    assert (world.names(), world.lookup.asked) == ([], [])


async def test_what_we_deleted_ourselves_needs_no_look(world: World) -> None:
    world.cache.drop(JOB, "n", "a-1", "a-1")
    world.source.stream.send("DELETED", job("a-1", 11))
    await settle()
    assert world.lookup.asked == []


async def test_a_late_deleted_of_the_object_before_keeps_the_new_one(world: World) -> None:
    world.cache.put(JOB, metadata(20, uid="new"))
    world.source.stream.send("DELETED", job("a-1", 11))
    await settle()
    assert (world.version("a-1"), world.lookup.asked) == (20, [])


async def test_a_kind_whose_controllers_let_go_of_it_is_believed() -> None:
    world = World(Watch(kind=JOB, request=owner))
    world.cache.put(APP, make("a"))
    await world.start(job("a-1"))
    world.lookup.found[REF] = metadata(11, app=None)
    world.source.stream.send("DELETED", job("a-1", 11))
    await settle()
    assert (world.names(), world.lookup.asked) == ([], [])
    await world.end()


async def test_a_defect_met_at_one_object_ends_no_look_at_the_others() -> None:
    def fails(obj: Any) -> Object:
        if obj["metadata"]["resourceVersion"] == "11" and obj["metadata"]["name"] == "a-1":
            raise RecursionError
        return dict(obj)

    world = World(Watch(kind=JOB, request=owner, transform=fails, label_selector="app=a", verified=True))
    world.cache.put(APP, make("a"))
    await world.start(job("a-1"), job("a-2"))
    world.lookup.found[REF] = metadata(11, app=None)
    world.source.stream.send("DELETED", job("a-1", 11))
    world.source.stream.send("DELETED", job("a-2", 12))
    await settle()
    assert world.names() == ["a-1"]
    await world.end()


async def test_what_is_deleted_while_an_older_answer_is_on_its_way_is_looked_at_once_more(world: World) -> None:
    answer: asyncio.Event = asyncio.Event()
    asked: list[Ref] = []

    async def late(ref: Ref) -> Object | None:
        asked.append(ref)
        if len(asked) > 1:
            return None
        await answer.wait()
        return metadata(12)

    world.lookup.get_metadata = late  # type: ignore[method-assign]  # this one answers late
    world.source.stream.send("DELETED", job("a-1", 11))
    await settle()
    world.source.stream.send("ADDED", job("a-1", 12))
    world.source.stream.send("DELETED", job("a-1", 13))
    await settle()
    answer.set()
    await settle()
    assert (len(asked), world.names()) == (2, [])


async def test_a_look_that_ends_after_the_object_went_brings_nothing_back(world: World) -> None:
    answer: asyncio.Event = asyncio.Event()
    found = metadata(11, app=None)

    async def slow(ref: Ref) -> Object | None:
        del ref
        await answer.wait()
        return found

    world.lookup.get_metadata = slow  # type: ignore[method-assign]  # this one answers late
    world.source.stream.send("DELETED", job("a-1", 11))
    await settle()
    world.cache.drop(JOB, "n", "a-1", "a-1")
    answer.set()
    await settle()
    assert world.names() == []
