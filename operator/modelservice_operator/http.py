"""``/healthz``, ``/readyz`` and ``/metrics`` of the operator."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from aiohttp import web
from prometheus_client.exposition import CONTENT_TYPE_LATEST

Check = Callable[[], str | None]
"""Says what is wrong, or None."""


@asynccontextmanager
async def serve_http(*, port: int, alive: Check, ready: Check, metrics: Callable[[], bytes]) -> AsyncIterator[None]:
    """Serve on all addresses until the block ends; ``metrics`` renders the page of them.

    That ``/healthz`` answers at all proves that the event loop turns. Raises ``OSError`` if the port is taken.
    """
    exposing = asyncio.Lock()

    async def healthz(_request: web.Request) -> web.Response:
        return _verdict(alive())

    async def readyz(_request: web.Request) -> web.Response:
        return _verdict(ready())

    async def exposition(_request: web.Request) -> web.Response:
        # After a start this takes longer than a pass may wait; one at a time, however many ask.
        async with exposing:
            body = await asyncio.to_thread(metrics)
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST})

    application = web.Application()
    for path, handler in (("/healthz", healthz), ("/readyz", readyz), ("/metrics", exposition)):
        application.router.add_get(path, handler)
    # Idle connections would be tasks on the loop, and kopf waits 5 s for such at its end.
    runner = web.AppRunner(application, access_log=None, handle_signals=False, keepalive_timeout=0)
    await runner.setup()
    try:
        await web.TCPSite(runner, port=port).start()
        yield
    finally:
        await runner.cleanup()


def _verdict(problem: str | None) -> web.Response:
    return web.Response(text="ok\n") if problem is None else web.Response(status=503, text=f"{problem}\n")
