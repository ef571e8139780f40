"""Keeps the cache honest: complete before work begins, and without ghosts later.

kopf lists and watches; these metadata-only lists only compare. kopf sends no DELETED for what vanished while a watch
was lost, so a cache that only listens would keep it for ever.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

import structlog

from modelservice_operator.machinery.cache import Cache
from modelservice_operator.machinery.clock import Clock
from modelservice_operator.machinery.errors import KubeError
from modelservice_operator.machinery.watch import Watch
from modelservice_operator.metrics import Metrics
from modelservice_operator.objects import Key, Kind, Object

log = structlog.get_logger(__name__)

COMPARE_SECONDS = 600.0
"""Between two comparisons: how long a ghost may live."""

_RETRY_SECONDS = 2.0
_POLL_SECONDS = 0.1
_POLLS = 100


class Lists(Protocol):
    """Lists metadata of objects."""

    async def list_metadata(self, kind: Kind, *, label_selector: str | None = None) -> list[Object]:
        """``PartialObjectMetadata`` of all objects in the watched namespaces.

        Raises:
            KubeError: The apiserver did not answer well.
        """


class Synchronizer:
    """Compares the cache with the apiserver."""

    def __init__(self, *, watches: Sequence[Watch], lists: Lists, cache: Cache, clock: Clock, metrics: Metrics) -> None:
        self._watches = watches
        self._lists = lists
        self._cache = cache
        self._clock = clock
        self._metrics = metrics

    async def watch(self, stop: asyncio.Event, on_affected: Callable[[Key], None]) -> None:
        """Compare now and then until stop; names the keys whose objects had vanished."""
        while not await self._clock.wait(stop, COMPARE_SECONDS):
            for key in await self.compare():
                on_affected(key)

    async def compare(self) -> set[Key]:
        """Drop what no longer exists; answers with the keys that it concerned. A kind that fails holds up no other."""
        affected: set[Key] = set()
        for watch in self._watches:
            try:
                keys, _ = await self._compare(watch)
            except KubeError as error:
                log.warning("the cache could not be compared", kind=watch.kind.kind, error=str(error))
            else:
                affected |= keys
        return affected

    async def complete(self, stop: asyncio.Event) -> None:
        """Return when every object that the apiserver lists is in the cache, in that or a newer version, or on stop."""
        for watch in self._watches:
            while not stop.is_set() and (missing := await self._missing(watch, stop)):
                log.warning("the cache is incomplete", kind=watch.kind.kind, missing=missing)

    async def _missing(self, watch: Watch, stop: asyncio.Event) -> str:
        """What still lacks after a while, in words, or an empty text."""
        try:
            _, listed = await self._compare(watch)
        except KubeError as error:
            await self._clock.wait(stop, _RETRY_SECONDS)
            return str(error)
        for _ in range(_POLLS):
            missing = self._cache.missing(watch.kind, listed)
            if not missing or await self._clock.wait(stop, _POLL_SECONDS):
                return ""
        return f"{len(missing)} objects, such as {missing[0]}"

    async def _compare(self, watch: Watch) -> tuple[set[Key], Iterable[Object]]:
        kind, known = watch.kind, self._cache.uids(watch.kind)
        listed = await self._lists.list_metadata(kind, label_selector=watch.label_selector)
        before = len(self._cache.uids(kind))
        keys = self._cache.drop_ghosts(kind, known, listed)
        if ghosts := before - len(self._cache.uids(kind)):
            log.warning("dropped objects that were gone without an event", kind=kind.kind, count=ghosts)
            self._metrics.ghosts.labels(kind.kind).inc(ghosts)
        return keys, listed
