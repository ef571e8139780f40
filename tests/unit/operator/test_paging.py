"""Bounded answers and streams, against a small apiserver on loopback that does as it was told."""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from tests.unit.operator.test_client import FakeConnection

from modelservice_operator.constants import OPERATOR_SELECTOR
from modelservice_operator.kinds import CONFIG_MAP, JOB
from modelservice_operator.kube import paging, transport
from modelservice_operator.kube.paging import Pager
from modelservice_operator.kube.transport import Transport, open_transport
from modelservice_operator.kube.watching import WatchClient
from modelservice_operator.machinery.errors import Expired, KubeError, NotFound, TooLarge, Transient
from modelservice_operator.machinery.watch import Watch, own_key
from modelservice_operator.metrics import Metrics

BYTES = 4096
PATH = CONFIG_MAP.path(None)
WATCH = Watch(kind=CONFIG_MAP, request=own_key, label_selector=OPERATOR_SELECTOR, metadata_only=True)

Handler = Callable[[web.Request], Any]


class Apiserver:
    """Lists objects of the sizes that a test names, a page at a time; ``handler`` answers instead."""

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.asked: list[dict[str, str]] = []
        self.handler: Handler | None = None
        self.accepts = "first"

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.asked.append({"accept": request.headers["Accept"], **request.query})
        assert request.headers["Accept-Encoding"] == "identity"
        if request.headers["Authorization"] != f"Bearer {self.accepts}":
            return web.json_response({"message": "Unauthorized"}, status=401)
        if self.handler is not None:
            answer: web.StreamResponse = await self.handler(request)
            return answer
        begin = int(request.query.get("continue", "0"))
        end = min(begin + int(request.query["limit"]), len(self.sizes))
        partial = "PartialObjectMetadata" in request.headers["Accept"]
        items = [_item(number, 0 if partial else self.sizes[number]) for number in range(begin, end)]
        more = {"continue": str(end)} if end < len(self.sizes) else {}
        return web.json_response({"metadata": {"resourceVersion": "7", **more}, "items": items})


def _item(number: int, size: int) -> dict[str, Any]:
    return {"metadata": {"name": f"n{number}", "namespace": "n"}, "data": {"a": "x" * size} if size else {}}


@pytest.fixture
def apiserver(monkeypatch: pytest.MonkeyPatch) -> Apiserver:
    for module in (paging, transport):
        monkeypatch.setattr(module, "ANSWER_BYTES", BYTES)
    return Apiserver()


@pytest.fixture
async def speaks(apiserver: Apiserver) -> AsyncIterator[Transport]:
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", apiserver.handle)
    async with TestServer(application) as server:
        url = f"http://{server.host}:{server.port}"

        def connect() -> FakeConnection:
            return FakeConnection(url, apiserver.accepts)

        async with open_transport(connect=connect, metrics=Metrics()) as opened:
            yield opened


async def read(speaks: Transport, *, metadata_only: bool = False) -> list[str]:
    """All names, each with how large its data came."""
    pager = Pager(transport=speaks, kind=CONFIG_MAP, path=PATH, params={}, metadata_only=metadata_only)
    found = []
    while (page := await pager.next()) is not None:
        assert page.version == "7"
        found += [f"{item['metadata']['name']}:{len(item['data'].get('a', ''))}" for item in page.items]
    return found


async def test_a_page_that_is_too_large_is_asked_for_again_in_parts(apiserver: Apiserver, speaks: Transport) -> None:
    apiserver.sizes = [1000] * 10
    assert await read(speaks) == [f"n{number}:1000" for number in range(10)]
    limits = [int(asked["limit"]) for asked in apiserver.asked]
    assert limits[:6] == [100, 50, 25, 12, 6, 3]
    assert set(limits[6:]) <= {3}, "as many as fit, no more"


async def test_an_object_that_alone_is_too_large_comes_as_metadata(apiserver: Apiserver, speaks: Transport) -> None:
    apiserver.sizes = [10, 10, 10_000, 10, 10]
    assert await read(speaks) == ["n0:10", "n1:10", "n2:0", "n3:10", "n4:10"]
    partial = [asked["limit"] for asked in apiserver.asked if "PartialObjectMetadataList" in asked["accept"]]
    assert partial == ["1"]


async def test_after_what_was_large_pages_grow_again(apiserver: Apiserver, speaks: Transport) -> None:
    apiserver.sizes = [10_000] + [1] * 200
    assert len(await read(speaks)) == 201
    limits = [int(asked["limit"]) for asked in apiserver.asked]
    assert limits[limits.index(1) :][:7] == [1, 1, 1, 2, 4, 8, 16]


async def test_metadata_comes_in_larger_pages(apiserver: Apiserver, speaks: Transport) -> None:
    apiserver.sizes = [10_000] * 3
    assert await read(speaks, metadata_only=True) == ["n0:0", "n1:0", "n2:0"]
    assert [asked["limit"] for asked in apiserver.asked] == ["500"]


async def test_an_answer_is_not_read_beyond_its_limit(apiserver: Apiserver, speaks: Transport) -> None:
    sent = 0

    async def endless(request: web.Request) -> web.StreamResponse:
        nonlocal sent
        response = web.StreamResponse()
        await response.prepare(request)
        for _ in range(10_000):
            await response.write(b"x" * 65_536)
            sent += 1
        return response

    apiserver.handler = endless
    with pytest.raises(TooLarge, match="larger than 4096 bytes"):
        await speaks.request("get", "GET", CONFIG_MAP, PATH, limit_bytes=BYTES)
    assert sent < 10_000


async def test_an_answer_that_says_that_it_is_too_long_is_not_read(apiserver: Apiserver, speaks: Transport) -> None:
    async def long(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "1000000"})
        await response.prepare(request)
        await asyncio.sleep(60)
        return response

    apiserver.handler = long
    async with asyncio.timeout(60):
        with pytest.raises(TooLarge):
            await speaks.request("get", "GET", CONFIG_MAP, PATH, limit_bytes=BYTES)


async def test_an_answer_that_is_nested_too_deeply_is_too_large(apiserver: Apiserver, speaks: Transport) -> None:
    async def deep(request: web.Request) -> web.StreamResponse:
        del request
        return web.Response(text='{"a":' + "[" * 100_000 + "]" * 100_000 + "}")

    apiserver.handler = deep
    with pytest.raises(TooLarge, match="nested too deeply"):
        await speaks.request("get", "GET", CONFIG_MAP, PATH, limit_bytes=10**6)


async def test_an_answer_that_is_compressed_all_the_same_is_not_inflated(
    apiserver: Apiserver, speaks: Transport
) -> None:
    async def compressed(request: web.Request) -> web.StreamResponse:
        del request
        return web.Response(body=gzip.compress(b"{}"), headers={"Content-Encoding": "gzip"})

    apiserver.handler = compressed
    with pytest.raises(Transient, match="no JSON"):
        await speaks.request("get", "GET", CONFIG_MAP, PATH)


@pytest.mark.parametrize(("status", "error"), [(410, Expired), (404, NotFound), (429, Transient), (503, Transient)])
async def test_lists_that_are_refused(
    apiserver: Apiserver, speaks: Transport, status: int, error: type[KubeError]
) -> None:
    async def refuse(request: web.Request) -> web.StreamResponse:
        del request
        return web.json_response({"message": "no"}, status=status)

    apiserver.handler = refuse
    with pytest.raises(error, match="no"):
        await read(speaks)


async def lines(speaks: Transport, version: str = "5") -> list[bytes]:
    async with WatchClient(transport=speaks).changes(WATCH, "n", version) as chunks:
        return [chunk async for chunk in chunks]


async def test_a_watch_asks_for_bookmarks_and_metadata_from_a_version_on(
    apiserver: Apiserver, speaks: Transport
) -> None:
    async def stream(request: web.Request) -> web.StreamResponse:
        del request
        return web.Response(text=json.dumps({"type": "BOOKMARK"}) + "\n")

    apiserver.handler = stream
    assert b"".join(await lines(speaks)) == b'{"type": "BOOKMARK"}\n'
    (asked,) = apiserver.asked
    assert "as=PartialObjectMetadata;" in asked["accept"]
    assert (asked["resourceVersion"], asked["allowWatchBookmarks"], asked["watch"]) == ("5", "true", "true")
    assert asked["labelSelector"] == OPERATOR_SELECTOR
    assert 300 <= int(asked["timeoutSeconds"]) <= 600


async def test_a_watch_goes_on_with_a_new_token_after_401(apiserver: Apiserver, speaks: Transport) -> None:
    async def stream(request: web.Request) -> web.StreamResponse:
        del request
        return web.Response(text="{}\n")

    apiserver.handler = stream
    apiserver.accepts = "second"
    assert await lines(speaks) == [b"{}\n"]
    assert len(apiserver.asked) == 2


@pytest.mark.parametrize(("status", "error"), [(410, Expired), (429, Transient), (503, Transient)])
async def test_watches_that_are_refused(
    apiserver: Apiserver, speaks: Transport, status: int, error: type[KubeError]
) -> None:
    async def refuse(request: web.Request) -> web.StreamResponse:
        del request
        return web.json_response({"message": "no"}, status=status)

    apiserver.handler = refuse
    with pytest.raises(error, match="no"):
        await lines(speaks)


async def test_a_connection_that_is_silent_or_breaks_off_is_transient(apiserver: Apiserver, speaks: Transport) -> None:
    async def silent(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"{}\n")
        if "breaks" in request.path:
            assert request.transport is not None
            request.transport.abort()
        else:
            await asyncio.sleep(60)
        return response

    apiserver.handler = silent

    async def drain(path: str) -> None:
        async with speaks.stream("watch", JOB, path, params={}, headers={}, silence_seconds=0.5) as chunks:
            async for _ in chunks:
                pass

    for path in ("/half-open", "/breaks"):
        with pytest.raises(Transient, match=path):
            await drain(path)


async def test_the_version_of_now_is_that_of_a_small_list(apiserver: Apiserver, speaks: Transport) -> None:
    apiserver.sizes = [1, 2, 3]
    assert await WatchClient(transport=speaks).version(WATCH, None) == "7"
    (asked,) = apiserver.asked
    assert (asked["limit"], asked["labelSelector"]) == ("1", OPERATOR_SELECTOR)
