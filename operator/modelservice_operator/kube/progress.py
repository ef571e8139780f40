"""Asks pods how far they are, and how they answered; whatever goes wrong there is no failure here."""

import asyncio
import ipaddress
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus

import aiohttp
from yarl import URL

from modelservice.contract.places import METRICS_ROUTE, PROGRESS_PORT, PROGRESS_ROUTE
from modelservice.contract.progress import Progress
from modelservice_operator.answers import Answers, parse_answers

ANSWER_LIMIT = 4096
"""Bytes of an answer; a pod runs its user's code, so nothing it says is taken on trust."""

PAGE_LIMIT = 128 * 1024
"""Bytes of a page of metrics that are read; requests come first, what comes later may be cut off."""

TIMEOUT = aiohttp.ClientTimeout(total=1)


class ProgressClient:
    """``ProgressPort`` over HTTP: no redirects, no proxies, no cookies, no compression."""

    def __init__(self, *, session: aiohttp.ClientSession, port: int = PROGRESS_PORT) -> None:
        self._session = session
        self._port = port

    async def read(self, address: str) -> Progress | None:
        """Progress of the pod with this IP address, or None if it does not answer well within a second."""
        try:
            host = str(ipaddress.ip_address(address))
            url = URL.build(scheme="http", host=host, port=self._port, path=PROGRESS_ROUTE)
            body = await self._page(url, ANSWER_LIMIT + 1)
            return None if body is None or len(body) > ANSWER_LIMIT else Progress.model_validate_json(body)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError):
            return None

    async def read_answers(self, address: str, port: int) -> Answers | None:
        """What the server of the pod with this IP address counted, or None if it does not answer well in a second."""
        try:
            host = str(ipaddress.ip_address(address))
            body = await self._page(URL.build(scheme="http", host=host, port=port, path=METRICS_ROUTE), PAGE_LIMIT)
            return None if body is None else parse_answers(body.decode(errors="replace"))
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError):
            return None

    async def _page(self, url: URL, limit: int) -> bytes | None:
        """As many bytes of a page, None where it is none; redirects are not followed."""
        async with self._session.get(url, allow_redirects=False) as response:
            return await _read(response, limit) if response.status == HTTPStatus.OK else None


@asynccontextmanager
async def open_progress_client() -> AsyncIterator[ProgressClient]:
    """A client with a session of its own, closed at the end."""
    async with aiohttp.ClientSession(
        timeout=TIMEOUT,
        trust_env=False,
        auto_decompress=False,
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"Accept-Encoding": "identity"},
        connector=aiohttp.TCPConnector(limit=16, force_close=True),
    ) as session:
        yield ProgressClient(session=session)


async def _read(response: aiohttp.ClientResponse, limit: int) -> bytes:
    try:
        return await response.content.readexactly(limit)
    except asyncio.IncompleteReadError as ended:
        return ended.partial
