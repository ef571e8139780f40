"""Keeps the cache honest: complete before work begins, and without ghosts later.

kopf lists and watches; these metadata-only lists only compare. kopf sends no DELETED for what vanished while a watch
was lost, so a cache that only listens would keep it for ever.
"""

import asyncio
from collections.abc import Callable, Iterable

import structlog

from modelservice_operator.machinery.cache import Cache
from modelservice_operator.machinery.clock import Clock
from modelservice_operator.constants import OPERATOR_SELECTOR
from modelservice_operator.kinds import MODEL_SERVICE, WATCHED_KINDS, Key, Kind
from modelservice_operator.kube.port import KubeError, KubePort, Object
from modelservice_operator.metrics import Metrics

log = structlog.get_logger(__name__)

COMPARE_SECONDS = 600.0
"""Between two comparisons: how long a ghost may live."""

_RETRY_SECONDS = 2.0
_POLL_SECONDS = 0.1
_POLLS = 100


class Synchronizer:
    """Compares the cache with the apiserver."""

    def __init__(self, *, kube: KubePort, cache: Cache, clock: Clock, metrics: Metrics) -> None:
        self._kube = kube
        self._cache = cache
        self._clock = clock
        self._metrics = metrics

    async def watch(self, stop: asyncio.Event, on_affected: Callable[[Key], None]) -> None:
        """Compare now and then until stop; names the ModelServices whose objects had vanished."""
        while not await self._clock.wait(stop, COMPARE_SECONDS):
            try:
                for key in await self.compare():
                    on_affected(key)
            except KubeError as error:
                log.warning("the cache could not be compared", error=str(error))

    async def compare(self) -> set[Key]:
        """Drop what no longer exists; answers with the ModelServices that it belonged to."""
        affected: set[Key] = set()
        for kind in WATCHED_KINDS:
            owners, _ = await self._compare(kind)
            affected |= owners
        return affected

    async def complete(self, stop: asyncio.Event) -> None:
        """Return when every object that the apiserver lists is in the cache, in that or a newer version, or on stop."""
        for kind in WATCHED_KINDS:
            while not stop.is_set() and (missing := await self._missing(kind, stop)):
                log.warning("the cache is incomplete", kind=kind.kind, missing=missing)

    async def _missing(self, kind: Kind, stop: asyncio.Event) -> str:
        """What still lacks after a while, in words, or an empty text."""
        try:
            _, listed = await self._compare(kind)
        except KubeError as error:
            await self._clock.wait(stop, _RETRY_SECONDS)
            return str(error)
        for _ in range(_POLLS):
            missing = self._cache.missing(kind, listed)
            if not missing or await self._clock.wait(stop, _POLL_SECONDS):
                return ""
        return f"{len(missing)} objects, such as {missing[0]}"

    async def _compare(self, kind: Kind) -> tuple[set[Key], Iterable[Object]]:
        known = self._cache.uids(kind)
        selector = None if kind is MODEL_SERVICE else OPERATOR_SELECTOR
        listed = await self._kube.list_metadata(kind, label_selector=selector)
        before = len(self._cache.uids(kind))
        owners = self._cache.drop_ghosts(kind, known, listed)
        if ghosts := before - len(self._cache.uids(kind)):
            log.warning("dropped objects that were gone without an event", kind=kind.kind, count=ghosts)
            self._metrics.ghosts.labels(kind.kind).inc(ghosts)
        return owners, listed
