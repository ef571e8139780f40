"""Our own list and watch: what the apiserver has of one kind is told to a sink, in parts of bounded size.

Each parsed answer lives only while the sink takes it, without a turn of the event loop in between: that of
several kinds at once would be the peak of our memory.
"""

import asyncio
import math
import random
import re
from collections.abc import AsyncIterator, Callable, Container, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, NamedTuple, Protocol

import structlog

from modelservice_operator.machinery.clock import Clock
from modelservice_operator.machinery.codec import parse_json
from modelservice_operator.machinery.doubling import doubled
from modelservice_operator.machinery.errors import Expired, KubeError, Transient
from modelservice_operator.machinery.lines import Lines
from modelservice_operator.machinery.watch import Watch
from modelservice_operator.objects import Kind, Object, Ref

log = structlog.get_logger(__name__)

LINE_BYTES = 4 * 1024 * 1024
"""Of one event: etcd takes objects of 1.5 MiB, and JSON may spell one of their bytes with six."""

_STEADY_SECONDS = 5.0
"""A watch that lasted so long was a good one: the next begins at once."""

_FIRST_BACKOFF_SECONDS, _LAST_BACKOFF_SECONDS = 0.5, 30.0

_GONE = 410
_NAMED = re.compile(rb'"metadata":\{"name":"([^"\\]+)",(?:"generateName":"[^"\\]*",)?"namespace":"([^"\\]+)"')


class HistoryRewoundError(Exception):
    """The cluster's versions went backwards, as after a backup of etcd was restored.

    All that is known may be of a future that never was: this process must end, for only a new one starts clean.
    """


class Page(NamedTuple):
    """A part of a list, and the version of the whole."""

    items: Sequence[Object]
    version: str


class Pages(Protocol):
    """A list that is being read."""

    async def next(self) -> Page | None:
        """The next page, or None after the last.

        Raises:
            Expired: The rest of the list is gone: begin again.
            KubeError: The apiserver did not answer well.
        """


class Source(Protocol):
    """Lists and watches one kind in one namespace (None: in all of them)."""

    def pages(self, watch: Watch, namespace: str | None) -> Pages:
        """What there is."""

    async def version(self, watch: Watch, namespace: str | None) -> str:
        """The version that a list would have now.

        Raises:
            KubeError: The apiserver did not answer well.
        """

    def changes(
        self, watch: Watch, namespace: str | None, version: str
    ) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """What changes after this version: a stream of lines, until it ends.

        Raises:
            Expired: The version is too old.
            KubeError: The apiserver did not answer well, or the stream broke.
        """


class Sink(Protocol):
    """Takes what is listed and watched: the cache, for one."""

    def put(self, kind: Kind, obj: Object) -> object:
        """An object as it is stored; it may be an old one."""

    def vanished(self, watch: Watch, obj: Mapping[str, Any]) -> None:
        """An object is no longer told of by its watch, as of its ``resourceVersion``."""

    def leave_out(self, watch: Watch, namespace: str | None, listed: Container[str], version: int) -> None:
        """All that is there was listed.

        Args:
            watch: What was listed.
            namespace: Where, or None for everywhere.
            listed: UIDs of what is there.
            version: Of the list: what is known in a later one cannot be in it.
        """

    def look_into(self, watch: Watch, ref: Ref) -> None:
        """Something about an object could not be read."""


class Runs(Protocol):
    """Something that runs until it is cancelled."""

    async def run(self) -> None:
        """Run."""


def _jittered(seconds: float) -> float:
    return seconds * random.uniform(0.5, 1.0)  # noqa: S311


class Reflector:
    """Keeps a sink at what the apiserver has of one kind in one namespace; ``listed`` once it was all there."""

    def __init__(
        self,
        *,
        watch: Watch,
        namespace: str | None,
        source: Source,
        sink: Sink,
        clock: Clock,
        jitter: Callable[[float], float] = _jittered,
    ) -> None:
        self._watch = watch
        self._namespace = namespace
        self._source = source
        self._sink = sink
        self._clock = clock
        self._jitter = jitter
        self._version = 0
        self._seen = 0
        self._steady_from = math.inf
        self.listed = asyncio.Event()

    async def run(self) -> None:
        """List and watch, again and again, until cancelled.

        Raises:
            HistoryRewoundError: Versions went backwards.
        """
        never, failures = asyncio.Event(), 0
        while True:
            self._steady_from, asked = math.inf, 0.0
            try:
                await self._follow()
            except Expired:
                self._version = 0
            except KubeError as error:
                asked = error.after
                log.warning("a watch is to be repeated", kind=self._watch.kind.kind, error=str(error))
            except HistoryRewoundError:
                raise
            except Exception:  # an answer of no known form, as of a proxy in between
                self._version = 0
                log.exception("an answer cannot be read", kind=self._watch.kind.kind)
            failures = 0 if self._clock.monotonic() >= self._steady_from else failures + 1
            seconds = doubled(_FIRST_BACKOFF_SECONDS, failures - 1, most=_LAST_BACKOFF_SECONDS) if failures else 0.0
            await self._clock.wait(never, min(asked, _LAST_BACKOFF_SECONDS) + self._jitter(seconds))

    async def _follow(self) -> None:
        """Watch until the stream ends; list before, if it is not known from where on."""
        if self._version:
            self._advance(int(await self._source.version(self._watch, self._namespace)))
        else:
            await self._list()
        lines = Lines(limit=LINE_BYTES, on_dropped=self._miss)
        async with self._source.changes(self._watch, self._namespace, str(self._version)) as chunks:
            self._steady_from = self._clock.monotonic() + _STEADY_SECONDS
            async for chunk in chunks:
                for line in lines.feed(chunk):
                    self._take(line)

    async def _list(self) -> None:
        listed: set[str] = set()
        pages, version = self._source.pages(self._watch, self._namespace), 0
        while (found := self._keep(await pages.next(), listed)) is not None:
            version = found
        self._sink.leave_out(self._watch, self._namespace, listed, version)
        self._version = version
        self.listed.set()

    def _keep(self, page: Page | None, listed: set[str]) -> int | None:
        """Give a page to the sink; answers with its version."""
        if page is None:
            return None
        self._advance(int(page.version))
        for item in page.items:
            listed.add(item["metadata"]["uid"])
            self._put(item)
        return int(page.version)

    def _take(self, line: bytes) -> None:
        """Give an event to the sink."""
        try:
            event = parse_json(line)
        except (ValueError, RecursionError):
            self._miss(line)
            return
        sort, obj = event["type"], event["object"]
        if sort == "ERROR":
            raise _error(obj)
        if sort == "DELETED":
            self._sink.vanished(self._watch, obj)
        elif sort != "BOOKMARK":
            self._put(obj)
        self._version = max(self._version, int(obj["metadata"]["resourceVersion"]))
        self._seen = max(self._seen, self._version)

    def _put(self, item: Mapping[str, Any]) -> None:
        kind = self._watch.kind
        obj: Object = {**item, "apiVersion": kind.api_version, "kind": kind.kind}
        try:
            try:
                self._sink.put(kind, obj)
            except RecursionError:
                self._sink.put(kind, {name: obj[name] for name in ("apiVersion", "kind", "metadata")})
        except Exception:  # a defect met at one object must not keep the others from being seen
            log.exception("an object cannot be kept", kind=kind.kind, name=item["metadata"]["name"])

    def _miss(self, line: bytes) -> None:
        """An event that cannot be read; its object is looked at by metadata, if it is one that is known."""
        found = _NAMED.search(line[:2048])
        name, namespace = (part.decode() for part in found.groups()) if found else ("", "")
        log.warning("an event is too large", kind=self._watch.kind.kind, namespace=namespace, name=name)
        if found:
            self._sink.look_into(self._watch, Ref(self._watch.kind, namespace, name))

    def _advance(self, version: int) -> None:
        """Note the version that a list has now; the streams of several apiservers may lag behind it.

        Raises:
            HistoryRewoundError: It is lower than one before.
        """
        if version < self._seen:
            words = f"{self._watch.kind.resource}: version {version} after {self._seen}; was a backup of etcd restored?"
            raise HistoryRewoundError(words)
        self._seen = version


class Reflectors:
    """Some reflectors, and what runs beside them."""

    def __init__(self, reflectors: Sequence[Reflector], *, beside: Sequence[Runs] = ()) -> None:
        self._reflectors = reflectors
        self._beside = beside

    async def run(self, stop: asyncio.Event) -> None:
        """Reflect until stop.

        Raises:
            HistoryRewoundError: Versions went backwards.
        """
        tasks = [asyncio.create_task(one.run()) for one in (*self._reflectors, *self._beside)]
        stopping = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait({*tasks, stopping}, return_when=asyncio.FIRST_COMPLETED)
            failed = [task for task in tasks if task.done()]
        finally:
            for task in (*tasks, stopping):
                task.cancel()
            await asyncio.wait({*tasks, stopping})
        for task in failed:
            task.result()

    async def listed(self, stop: asyncio.Event) -> None:
        """Return when each has listed once, or on stop."""
        waiting = asyncio.create_task(self._all_listed())
        stopping = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait({waiting, stopping}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()
            stopping.cancel()

    async def _all_listed(self) -> None:
        for one in self._reflectors:
            await one.listed.wait()


def _error(status: Mapping[str, Any]) -> KubeError:
    message = str(status.get("message", "")) or "the watch ended with an error"
    return Expired(message) if status.get("code") == _GONE else Transient(message)
