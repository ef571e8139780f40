"""Many trainings at once, each of which tells how far it is: what that writes, and costs."""

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.bench.kwok.controlplane import control_plane
from tests.bench.kwok.population import apply_services, collection, prepare
from tests.bench.kwok.stages import telling_address, telling_stages
from tests.bench.kwok.subject import operator_on
from tests.bench.record import Figure, at_most, figure
from tests.bench.scale.base import CONTROLLERS_SECONDS_FOR_EACH, say, since, written

from modelservice.contract.places import PROGRESS_PORT
from modelservice.contract.progress import Progress

STATUSES_LIMIT = 20.0
_SETTLE_SECONDS = 15.0
_TOTAL = 100_000


def measure_trainings(folder: Path, services: int, window: float) -> list[Figure]:
    """Begin a training of each ModelService, none of which ends, and watch what is said of them."""
    with (
        _progress_of(services) as asked,
        control_plane(folder, telling_stages()) as plane,
    ):
        prepare(plane.api, volumes=services)
        with operator_on(plane, folder) as bench:
            bench.wait_until_quiet(1)
            say(f"applying {services} ModelServices whose trainings do not end")
            apply_services(plane.api, range(services), extra={})
            running = f"{collection('pods')}?fieldSelector=status.phase%3DRunning"
            bench.process.wait_until(
                lambda: len(plane.api.get(running)["items"]) == services and len(asked) == services,
                what=f"{services} trainings that are asked how far they are",
                seconds=60 + CONTROLLERS_SECONDS_FOR_EACH * services,
                every=max(1.0, services / 300),
            )
            time.sleep(_SETTLE_SECONDS)
            say(f"all train; watching them for {window:.0f} s")
            before = bench.read()
            bench.process.wait_until(
                lambda: time.monotonic() - before.at >= window, what="the window", seconds=window + 5
            )
            after = bench.read()
    statuses = [one for one in written(since(before, after)) if one.resource == "modelservices/status"]
    passed, what = after.at - before.at, f"{services} trainings at once"
    return [
        at_most(f"{what}: statuses written", len(statuses) / passed, "writes/s", STATUSES_LIMIT),
        figure(f"{what}: ModelServices with a new status in {passed:.0f} s", len({one.name for one in statuses}), ""),
        figure(f"{what}: CPU of the operator", 1000 * (after.cpu - before.cpu) / passed, "ms/s"),
    ]


@contextmanager
def _progress_of(services: int) -> Iterator[set[int]]:
    """Pages of progress at the trainings' addresses, in a thread; the set has those that were asked for."""
    loop, asked, began = asyncio.new_event_loop(), set[int](), time.monotonic()

    async def serve(number: int) -> asyncio.Server:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                while True:
                    await reader.readuntil(b"\r\n\r\n")
                    asked.add(number)
                    done = min(_TOTAL - 1, int(100 * (time.monotonic() - began)))
                    body = Progress(done=done, total=_TOTAL).model_dump_json(exclude_none=True)
                    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
                    writer.write(f"{head}{body}".encode())
                    await writer.drain()
            except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
                pass  # who asked is gone, or the bench is over
            finally:
                writer.close()

        return await asyncio.start_server(answer, telling_address(number), PROGRESS_PORT)

    async def serve_all() -> list[asyncio.Server]:
        return [await serve(number) for number in range(services)]

    async def end(servers: list[asyncio.Server]) -> None:
        for server in servers:
            server.close()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    thread = threading.Thread(target=loop.run_forever, name="progress", daemon=True)
    thread.start()
    servers = asyncio.run_coroutine_threadsafe(serve_all(), loop).result()
    try:
        yield asked
    finally:
        asyncio.run_coroutine_threadsafe(end(servers), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
