"""Asks training pods how far they are; whatever goes wrong there is no failure here."""

import asyncio
import ipaddress
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus

import aiohttp
from yarl import URL

from modelservice.contract.places import PROGRESS_PORT, PROGRESS_ROUTE
from modelservice.contract.progress import Progress

ANSWER_LIMIT = 4096
"""Bytes of an answer; a pod runs its user's code, so nothing it says is taken on trust."""

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
            async with self._session.get(url, allow_redirects=False) as response:
                body = await _read(response) if response.status == HTTPStatus.OK else None
            return None if body is None else Progress.model_validate_json(body)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError):
            return None


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


async def _read(response: aiohttp.ClientResponse) -> bytes | None:
    try:
        await response.content.readexactly(ANSWER_LIMIT + 1)
    except asyncio.IncompleteReadError as ended:
        return ended.partial
    return None
