"""Our own list and watch: what is there is known, whatever happens to the connection, the objects and the cluster."""

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from tests.support.fake_clock import FakeClock, settle
from tests.unit.operator.machinery.test_cache import APP, JOB, WATCHES, make, owner

from modelservice_operator.machinery.cache import Cache
from modelservice_operator.machinery.errors import Expired, Forbidden, KubeError, NotFound, Transient
from modelservice_operator.machinery.feed import Feed
from modelservice_operator.machinery.reflector import (
    LINE_BYTES,
    HistoryRewoundError,
    Page,
    Pages,
    Reflector,
    Reflectors,
)
from modelservice_operator.machinery.verifier import Verifier
from modelservice_operator.machinery.watch import Watch
from modelservice_operator.objects import Key, Object, Ref

WATCH = Watch(kind=JOB, request=owner, label_selector="app=a", verified=True)
NAMED = {"apiVersion": JOB.api_version, "kind": JOB.kind}


class Stream:
    """What an apiserver sends on one watch; ends when it is told to."""

    def __init__(self, version: str) -> None:
        self.version = version
        self._sent: asyncio.Queue[bytes | KubeError | None] = asyncio.Queue()

    def send(self, sort: str, obj: Object) -> None:
        self.write(json.dumps({"type": sort, "object": obj}).encode() + b"\n")

    def write(self, chunk: bytes) -> None:
        self._sent.put_nowait(chunk)

    def end(self, error: KubeError | None = None) -> None:
        self._sent.put_nowait(error)

    async def chunks(self) -> AsyncIterator[bytes]:
        while (chunk := await self._sent.get()) is not None:
            if isinstance(chunk, KubeError):
                raise chunk
            yield chunk


class Source:
    """Lists what a test says, in pages of one object.

    ``fails`` are errors of the next requests; ``fails_after`` so many pages one is lost.
    """

    def __init__(self) -> None:
        self.objects: list[Object] = []
        self.at = 10
        self.lists = 0
        self.probes = 0
        self.fails: list[KubeError] = []
        self.fails_after: int | None = None
        self.streams: list[Stream] = []

    @property
    def stream(self) -> Stream:
        return self.streams[-1]

    def pages(self, watch: Watch, namespace: str | None) -> Pages:
        del watch, namespace
        self.lists += 1
        return _Listed(self, iter([*self.objects, None]))

    async def version(self, watch: Watch, namespace: str | None) -> str:
        del watch, namespace
        self.probes += 1
        self.fail()
        return str(self.at)

    @asynccontextmanager
    async def changes(self, watch: Watch, namespace: str | None, version: str) -> AsyncIterator[AsyncIterator[bytes]]:
        del watch, namespace
        self.fail()
        self.streams.append(Stream(version))
        yield self.stream.chunks()

    def fail(self) -> None:
        if self.fails:
            raise self.fails.pop(0)


class _Listed:
    def __init__(self, source: Source, items: Iterator[Object | None]) -> None:
        self._source = source
        self._items = items
        self._begun = False

    async def next(self) -> Page | None:
        self._source.fail()
        if self._source.fails_after == 0:
            self._source.fails_after = None
            raise Transient("lost in the middle")
        if self._source.fails_after is not None:
            self._source.fails_after -= 1
        item = next(self._items, None)
        if item is None and self._begun:
            return None
        self._begun = True
        return Page(items=[] if item is None else [item], version=str(self._source.at))


class Lookup:
    """Metadata of what a test says is there."""

    def __init__(self) -> None:
        self.found: dict[Ref, Object] = {}
        self.asked: list[Ref] = []
        self.fails: list[KubeError] = []

    async def get_metadata(self, ref: Ref) -> Object | None:
        self.asked.append(ref)
        if self.fails:
            raise self.fails.pop(0)
        return self.found.get(ref)


class World:
    """A reflector on fakes."""

    def __init__(self, watch: Watch = WATCH) -> None:
        self.clock = FakeClock()
        self.source = Source()
        self.lookup = Lookup()
        self.cache = Cache((*(one for one in WATCHES if one.kind != JOB), watch))
        self.changed: list[Key] = []
        feed = Feed(cache=self.cache, on_change=lambda _, key: self.changed.append(key))
        verifier = Verifier(
            lookup=self.lookup,
            feed=feed,
            cache=self.cache,
            clock=self.clock,
            wanted=lambda key: self.cache.get(Ref(APP, *key)) is not None,
        )
        self.reflector = Reflector(
            watch=watch,
            namespace=None,
            source=self.source,
            sink=verifier,
            clock=self.clock,
            jitter=lambda seconds: seconds,
        )
        self.group = Reflectors([self.reflector], beside=[verifier])
        self.stop = asyncio.Event()
        self.task: asyncio.Task[None] | None = None

    async def start(self, *objects: Object, at: int = 10) -> None:
        self.source.objects, self.source.at = list(objects), at
        self.task = asyncio.create_task(self.group.run(self.stop))
        await settle()

    async def end(self) -> None:
        assert self.task is not None
        self.stop.set()
        await self.task

    def names(self) -> list[str]:
        return sorted(key.name for key in self.cache.keys(JOB))

    def version(self, name: str) -> int:
        known = self.cache.get(Ref(JOB, "n", name))
        assert known is not None
        return int(known["metadata"]["resourceVersion"])


@pytest.fixture
async def world() -> AsyncIterator[World]:
    one = World()
    yield one
    if one.task is not None and not one.task.done():
        await one.end()


def job(name: str, version: int = 1, **fields: Any) -> Object:
    return {**NAMED, **make(name, uid=name, version=version, **fields)}


def bookmark(version: int) -> Object:
    return {"metadata": {"resourceVersion": str(version)}}


async def test_what_is_listed_is_known_under_its_kind_and_then_watched(world: World) -> None:
    bare = make("a-1", uid="a-1")
    await world.start(bare, job("a-2"))
    assert world.reflector.listed.is_set()
    assert world.cache.get(Ref(JOB, "n", "a-1")) == {**bare, **NAMED}, "items of a list do not say what they are"
    assert world.source.stream.version == "10"
    world.source.stream.send("ADDED", job("a-3", 11))
    world.source.stream.send("MODIFIED", job("a-1", 12))
    world.source.stream.send("DELETED", job("a-2", 13))
    await settle()
    assert world.names() == ["a-1", "a-3"]
    assert world.version("a-1") == 12
    assert set(world.changed) == {Key("n", "a")}


async def test_an_ended_watch_goes_on_from_where_it_was_and_lists_nothing_again(world: World) -> None:
    await world.start(job("a-1"))
    world.source.stream.send("ADDED", job("a-2", 11))
    world.source.stream.send("BOOKMARK", bookmark(20))
    await world.clock.advance(300)
    world.source.at = 20
    world.source.stream.end()
    await world.clock.advance(0)
    assert [stream.version for stream in world.source.streams] == ["10", "20"]
    assert world.source.lists == 1


@pytest.mark.parametrize(
    "error", [Transient("no answer"), Transient("429 too many requests"), Transient("503 unavailable")], ids=str
)
async def test_a_broken_watch_goes_on_with_a_pause_that_grows(world: World, error: KubeError) -> None:
    await world.start(job("a-1"))
    world.source.fails = [error] * 5
    world.source.stream.end(error)
    await settle()
    moments = []
    for _ in range(100):
        before = len(world.source.fails)
        await world.clock.advance(0.5)
        if len(world.source.fails) < before:
            moments.append(world.clock.monotonic() - 1000)
    assert moments == [0.5, 1.5, 3.5, 7.5, 15.5]
    world.source.stream.send("ADDED", job("a-2", 11))
    await settle()
    assert world.names() == ["a-1", "a-2"]
    assert world.source.lists == 1


async def test_a_list_that_took_long_is_no_steady_watch(world: World) -> None:
    """Versions that expire while so much is listed: each list is to be further from the one before."""
    moments: list[float] = []

    class Slow:
        async def next(self) -> Page | None:
            moments.append(world.clock.monotonic())
            await world.clock.wait(asyncio.Event(), 6)
            raise Expired("continue token")

    world.source.pages = lambda *_: Slow()  # type: ignore[method-assign]  # takes 6 s and fails
    await world.start()
    for _ in range(60):
        await world.clock.advance(0.5)
    assert [later - before for before, later in itertools.pairwise(moments)] == [6.5, 7.0, 8.0]


async def test_it_does_not_give_up_after_hours(world: World) -> None:
    world.source.fails = [Forbidden("jobs")] * 1200
    await world.start(job("a-1"))
    for _ in range(1200):
        await world.clock.advance(30)
    assert world.names() == ["a-1"]


@pytest.mark.parametrize("line", [b"[]", b"7", b"{}", b'{"type":"ADDED","object":{}}', b'{"type":"ERROR","object":1}'])
async def test_an_event_of_no_known_form_makes_it_list_again(world: World, line: bytes) -> None:
    await world.start(job("a-1"))
    world.source.objects, world.source.at = [job("a-2", 30)], 40
    world.source.stream.write(line + b"\n")
    await world.clock.advance(1)
    assert (world.source.lists, world.names()) == (2, ["a-2"])


async def test_a_list_of_no_known_form_is_repeated(world: World) -> None:
    await world.start({"metadata": {}})
    assert not world.reflector.listed.is_set()
    world.source.objects = [job("a-1")]
    await world.clock.advance(1)
    assert world.names() == ["a-1"]


async def test_a_version_that_is_forgotten_makes_it_list_again_and_drop_what_is_gone(world: World) -> None:
    await world.start(job("a-1"), job("a-2"))
    world.source.objects, world.source.at = [job("a-2", 30), job("a-3", 31)], 40
    world.source.stream.send("ERROR", {"kind": "Status", "code": 410, "message": "too old resource version"})
    await world.clock.advance(1)
    assert world.names() == ["a-2", "a-3"]
    assert world.version("a-2") == 30
    assert [stream.version for stream in world.source.streams] == ["10", "40"]


async def test_an_error_in_the_stream_that_is_no_410_lists_nothing_again(world: World) -> None:
    await world.start(job("a-1"))
    world.source.stream.send("ERROR", {"kind": "Status", "code": 500, "message": "etcd"})
    await world.clock.advance(1)
    assert (world.source.lists, len(world.source.streams)) == (1, 2)


async def test_a_list_that_expires_on_the_way_begins_again(world: World) -> None:
    world.source.fails = [Expired("continue token")]
    await world.start(job("a-1"))
    assert not world.reflector.listed.is_set()
    await world.clock.advance(1)
    assert (world.source.lists, world.names()) == (2, ["a-1"])


async def test_a_list_that_fails_on_the_way_is_no_list(world: World) -> None:
    world.cache.put(JOB, job("a-2"))
    world.source.fails_after = 1
    await world.start(job("a-1"), job("a-2"))
    assert (world.reflector.listed.is_set(), world.source.streams, world.names()) == (False, [], ["a-1", "a-2"])
    await world.clock.advance(1)
    assert (world.reflector.listed.is_set(), world.source.lists, world.names()) == (True, 2, ["a-1", "a-2"])


async def test_what_was_written_after_the_list_is_not_in_it_and_stays(world: World) -> None:
    world.cache.put(JOB, job("a-1", 99))
    await world.start()
    assert world.names() == ["a-1"]


async def test_an_event_that_is_too_large_is_left_out_and_its_object_looked_at_by_metadata(world: World) -> None:
    world.cache.put(APP, make("a"))
    await world.start(job("a-1", spec={"x": 1}))
    large = {"metadata": {"name": "a-1", "namespace": "n", "uid": "a-1"}, "spec": "x" * LINE_BYTES}
    world.lookup.found[Ref(JOB, "n", "a-1")] = make("a-1", uid="a-1", version=12)
    world.source.stream.write(json.dumps({"type": "MODIFIED", "object": large}, separators=(",", ":")).encode())
    world.source.stream.write(b"\n")
    world.source.stream.send("ADDED", job("a-2", 13))
    await settle()
    assert world.names() == ["a-1", "a-2"], "the stream goes on"
    assert (world.version("a-1"), world.lookup.asked) == (12, [Ref(JOB, "n", "a-1")])
    known = world.cache.get(Ref(JOB, "n", "a-1"))
    assert known is not None
    assert known["spec"] == {"x": 1}, "as it was last seen"


async def test_an_event_that_is_nested_too_deeply_is_left_out(world: World) -> None:
    await world.start(job("a-1"))
    deep = json.dumps(job("a-2", 12)).encode()[:-1] + b',"spec":' + b"[" * 5000 + b"]" * 5000 + b"}"
    world.source.stream.write(b'{"type":"ADDED","object":' + deep + b"}\n")
    world.source.stream.send("ADDED", job("a-3", 13))
    await settle()
    assert world.names() == ["a-1", "a-3"]


async def test_an_object_that_is_nested_more_deeply_than_can_be_kept_is_kept_by_its_metadata(world: World) -> None:
    deep: Any = 1
    for _ in range(900):
        deep = [deep]
    await world.start(job("a-1", spec=deep))
    assert set(world.cache.get(Ref(JOB, "n", "a-1")) or ()) == {"apiVersion", "kind", "metadata"}


async def test_a_defect_met_at_one_object_keeps_no_other_from_being_seen() -> None:
    def fails(obj: Any) -> Object:
        if obj["metadata"]["name"] == "a-1":
            raise KeyError("spec")
        return dict(obj)

    world = World(Watch(kind=JOB, request=owner, transform=fails))
    await world.start(job("a-1"), job("a-2"))
    assert world.names() == ["a-2"]
    await world.end()


async def test_a_rewound_history_is_noticed_by_the_next_list(world: World) -> None:
    await world.start(job("a-1"), at=100)
    world.source.at = 50
    world.source.stream.end(Expired("too old"))
    await world.clock.advance(1)
    assert world.task is not None
    with pytest.raises(HistoryRewoundError, match="version 50 after 100"):
        await world.task


async def test_a_rewound_history_is_noticed_when_a_watch_begins_again(world: World) -> None:
    """An apiserver takes a version of the future without a word, and sends nothing until it has come."""
    await world.start(job("a-1"), at=10)
    world.source.stream.send("MODIFIED", job("a-1", 100))
    await settle()
    world.source.at = 50
    world.source.stream.end()
    await world.clock.advance(1)
    assert world.task is not None
    with pytest.raises(HistoryRewoundError, match=r"jobs\.batch/v1: version 50 after 100"):
        await world.task


async def test_a_stream_that_lags_behind_a_list_is_no_rewound_history(world: World) -> None:
    """With several apiservers: what a list says is the newest, what a stream says may be a moment older."""
    await world.start(job("a-1"), at=10)
    world.source.at = 50
    world.source.stream.end()
    await world.clock.advance(1)
    world.source.stream.send("BOOKMARK", bookmark(30))
    world.source.stream.send("ADDED", job("a-2", 31))
    world.source.stream.send("BOOKMARK", bookmark(29))
    await settle()
    assert world.task is not None
    assert not world.task.done()
    world.source.stream.end()
    await world.clock.advance(1)
    assert [stream.version for stream in world.source.streams] == ["10", "10", "31"], "nothing in between is missed"


async def test_a_stop_ends_all(world: World) -> None:
    await world.start(job("a-1"))
    await world.end()
    waiting = World()
    waiting.source.fails = [Transient("down")] * 100
    await waiting.start()
    listed = asyncio.create_task(waiting.group.listed(waiting.stop))
    await settle()
    assert not listed.done()
    waiting.stop.set()
    await listed
    await waiting.end()


@pytest.mark.parametrize(("asked", "waited"), [(9, 9), (100, 30)])
async def test_a_busy_apiserver_is_asked_again_when_it_says_and_not_too_late(
    world: World, asked: int, waited: int
) -> None:
    world.source.fails = [Transient("busy", after=asked)]
    await world.start(job("a-1"))
    await world.clock.advance(waited)
    assert world.names() == []
    await world.clock.advance(0.5)
    assert world.names() == ["a-1"]


async def test_a_kind_that_is_not_served_is_waited_for(world: World) -> None:
    world.cache.put(JOB, job("a-1"))
    world.source.fails = [NotFound("jobs")] * 3
    await world.start(job("a-2"))
    assert (world.reflector.listed.is_set(), world.names()) == (False, ["a-1"])
    await world.clock.advance(10)
    assert (world.reflector.listed.is_set(), world.names()) == (True, ["a-2"])
