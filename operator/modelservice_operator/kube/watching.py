"""Lists and watches for reflectors, over HTTP."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from modelservice_operator.kube.paging import LAST_BYTES, METADATA, METADATA_LIST, Pager
from modelservice_operator.kube.transport import Transport
from modelservice_operator.machinery.reflector import Page, Pages
from modelservice_operator.machinery.watch import Watch

WATCH_SECONDS = (300, 600)
"""The apiserver ends a watch after a time between these, so that not all of them begin again at once."""

SILENCE_SECONDS = 150.0
"""Without a byte for so long a connection is taken for dead: bookmarks come about every minute."""

LISTS_AT_ONCE = 4
"""Lists of all kinds begin together, and each holds a page."""


class WatchClient:
    """``Source`` on a transport of its own, since a watch keeps its connection."""

    def __init__(self, *, transport: Transport) -> None:
        self._transport = transport
        self._lists = asyncio.Semaphore(LISTS_AT_ONCE)

    def pages(self, watch: Watch, namespace: str | None) -> Pages:
        """What there is."""
        return _FewAtOnce(self._pager(watch, namespace), self._lists)

    async def version(self, watch: Watch, namespace: str | None) -> str:
        """The version that a list would have now."""
        path = watch.kind.path(namespace)
        answer = await self._transport.request(
            "list",
            "GET",
            watch.kind,
            path,
            params={"limit": "1", **_selected(watch)},
            headers=METADATA_LIST,
            limit_bytes=LAST_BYTES,
        )
        return str(answer["metadata"]["resourceVersion"])

    @asynccontextmanager
    async def changes(self, watch: Watch, namespace: str | None, version: str) -> AsyncIterator[AsyncIterator[bytes]]:
        """What changes after this version: a stream of lines, until it ends."""
        params = {
            **_selected(watch),
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": version,
            "timeoutSeconds": str(random.randint(*WATCH_SECONDS)),  # noqa: S311
        }
        headers = METADATA if watch.metadata_only else {}
        path = watch.kind.path(namespace)
        async with self._transport.stream(
            "watch", watch.kind, path, params=params, headers=headers, silence_seconds=SILENCE_SECONDS
        ) as chunks:
            yield chunks

    def _pager(self, watch: Watch, namespace: str | None) -> Pager:
        return Pager(
            transport=self._transport,
            kind=watch.kind,
            path=watch.kind.path(namespace),
            params=_selected(watch),
            metadata_only=watch.metadata_only,
        )


class _FewAtOnce:
    """Pages of which few are asked for at the same time."""

    def __init__(self, pages: Pages, semaphore: asyncio.Semaphore) -> None:
        self._pages = pages
        self._semaphore = semaphore

    async def next(self) -> Page | None:
        async with self._semaphore:
            return await self._pages.next()


def _selected(watch: Watch) -> dict[str, str]:
    return {"labelSelector": watch.label_selector} if watch.label_selector else {}
