"""Whether what left a watch is gone: an object that lost the label it is watched by looks deleted, and is not."""

import asyncio
from collections.abc import Callable, Container, Mapping
from typing import Any, Protocol

import structlog

from modelservice_operator.machinery.cache import Cache
from modelservice_operator.machinery.clock import Clock
from modelservice_operator.machinery.errors import KubeError
from modelservice_operator.machinery.feed import Feed
from modelservice_operator.machinery.watch import Watch
from modelservice_operator.objects import Key, Kind, Object, Ref

log = structlog.get_logger(__name__)

AGAIN_SECONDS = 30.0
"""Between two looks at an object that is there, and that no watch tells of."""

_RETRY_SECONDS = 5.0


class GetsMetadata(Protocol):
    """Reads metadata of one object."""

    async def get_metadata(self, ref: Ref) -> Object | None:
        """``PartialObjectMetadata`` of the object, or None.

        Raises:
            KubeError: The apiserver did not answer well.
        """


class Verifier:
    """The ``Sink`` of what is cached: forgets what is gone, and keeps what only left its watch, as it is now.

    Only what belongs to somebody is looked for (``wanted``): the children of what was deleted are expected to go.
    """

    def __init__(
        self, *, lookup: GetsMetadata, feed: Feed, cache: Cache, clock: Clock, wanted: Callable[[Key], bool]
    ) -> None:
        self._lookup = lookup
        self._feed = feed
        self._cache = cache
        self._clock = clock
        self._wanted = wanted
        self._due: dict[Ref, tuple[float, Watch]] = {}
        self._more = asyncio.Event()

    def put(self, kind: Kind, obj: Object) -> None:
        """An object as it is stored."""
        self._feed.put(kind, obj)

    def leave_out(self, watch: Watch, namespace: str | None, listed: Container[str], version: int) -> None:
        """All that is there was listed; arguments as of ``Cache.unlisted``."""
        for obj in self._cache.unlisted(watch.kind, namespace, listed, version):
            self.vanished(watch, obj)

    def vanished(self, watch: Watch, obj: Mapping[str, Any]) -> None:
        """An object is no longer told of by its watch, as of its ``resourceVersion``."""
        metadata = obj["metadata"]
        ref = Ref(watch.kind, metadata["namespace"], metadata["name"])
        known = self._cache.get(ref)
        if known is not None and known["metadata"]["uid"] == metadata["uid"] and self._doubts(watch, known, metadata):
            self.look_into(watch, ref)
        else:
            self._feed.drop(
                watch.kind, ref.namespace, ref.name, metadata["uid"], resource_version=metadata["resourceVersion"]
            )

    def look_into(self, watch: Watch, ref: Ref) -> None:
        """Look at an object, if it is one that is known."""
        if self._cache.get(ref) is not None:
            self._due[ref] = (self._clock.monotonic(), watch)
            self._more.set()

    async def run(self) -> None:
        """Look at one after the other, until cancelled."""
        while True:
            self._more.clear()
            now = self._clock.monotonic()
            for ref, (moment, watch) in list(self._due.items()):
                if moment <= now:
                    del self._due[ref]  # before the answer: what is reported meanwhile is due again
                    try:
                        await self._look(ref, watch)
                    except Exception:  # a defect met at one object must not keep the others from being looked at
                        log.exception("an object cannot be looked at", object=str(ref))
                        self._due.setdefault(ref, (self._clock.monotonic() + AGAIN_SECONDS, watch))
            now = self._clock.monotonic()
            waits = [moment - now for moment, _ in self._due.values()]
            await self._clock.wait(self._more, max(0.0, min(waits)) if waits else None)

    async def _look(self, ref: Ref, watch: Watch) -> None:
        try:
            found = await self._lookup.get_metadata(ref)
        except KubeError as error:
            log.warning("it is not known whether an object is there", object=str(ref), error=str(error))
            self._due.setdefault(ref, (self._clock.monotonic() + _RETRY_SECONDS, watch))
            return
        known = self._cache.get(ref)
        if known is None:
            return
        uid = known["metadata"]["uid"]
        if found is None or found["metadata"]["uid"] != uid:
            self._feed.drop(ref.kind, ref.namespace, ref.name, uid)
            return
        self._feed.put(ref.kind, {**known, "metadata": found["metadata"]})
        if not watch.selects(found):
            self._due.setdefault(ref, (self._clock.monotonic() + AGAIN_SECONDS, watch))

    def _doubts(self, watch: Watch, known: Mapping[str, Any], metadata: Mapping[str, Any]) -> bool:
        if not watch.verified or metadata.get("deletionTimestamp"):
            return False
        owner = watch.request(known)
        return owner is not None and self._wanted(owner)
