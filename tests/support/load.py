"""Load on a served model from clients that keep their connections for a while: as many requests as it can answer."""

import asyncio
import contextlib
import itertools
import json
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

PATIENCE_SECONDS = 30
"""For an answer."""
REQUESTS = 20
"""Of a connection, after which its client opens another: a Service balances connections, not requests."""
RETRY_SECONDS = 0.02
"""After a connection that nobody took: no request was sent on it."""


@dataclass(kw_only=True)
class Load:
    """What is asked, and what came of it.

    Attributes:
        bodies: of requests, in turn; may be exchanged on the way.
        answers: how often which status came.
        lost: numbers of the clients whose request was sent and not answered.
        refused: connections that nobody took, and that were tried again.
    """

    bodies: Sequence[bytes]
    answers: Counter[int] = field(default_factory=Counter)
    lost: list[int] = field(default_factory=list)
    refused: int = 0


@contextmanager
def keep_busy(address: str, name: str, bodies: Sequence[bytes], *, clients: int, port: int = 80) -> Iterator[Load]:
    """Ask for as long as the context lasts: each client sends its next request once it has the answer to the last.

    So what asks is never what waits: a server that is bounded by its CPU limit is at that limit, on any machine.

    Args:
        address: of the Service.
        name: of the model.
        bodies: what to ask.
        clients: how many ask at the same time, each on a connection of its own.
        port: of the Service.
    """
    load, done = Load(bodies=bodies), threading.Event()

    async def ask_all() -> None:
        await asyncio.gather(*(_ask(number, (address, port), name, load, done) for number in range(clients)))

    asking = threading.Thread(target=lambda: asyncio.run(ask_all()), name=f"keeps {name} busy")
    asking.start()
    try:
        yield load
    finally:
        done.set()
        asking.join()


async def _ask(number: int, where: tuple[str, int], name: str, load: Load, done: threading.Event) -> None:
    connection: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
    for turn in itertools.count(number):
        if done.is_set():
            break
        if connection is None:
            try:
                connection = await asyncio.open_connection(*where)
            except OSError:
                load.refused += 1
                await asyncio.sleep(RETRY_SECONDS)
                continue
        reader, writer = connection
        try:
            writer.write(_request(name, load.bodies[turn % len(load.bodies)]))
            async with asyncio.timeout(PATIENCE_SECONDS):
                status, stays = await _answer(reader)
        except (OSError, asyncio.IncompleteReadError):  # a time-out is an OSError
            load.lost.append(number)
            stays = False
        else:
            load.answers[status] += 1
        if not stays or turn % REQUESTS == 0:
            await _close(writer)
            connection = None
    if connection is not None:
        await _close(connection[1])


def bodies_of(rows: Sequence[Any], *, each: int) -> list[bytes]:
    """Bodies of so many rows each; rows that are left over are not asked."""
    starts = range(0, len(rows) - each + 1, each)
    return [json.dumps({"instances": rows[start : start + each]}).encode() for start in starts]


def _request(name: str, body: bytes) -> bytes:
    return b"POST /v1/models/%b:predict HTTP/1.1\r\nhost: a\r\ncontent-length: %d\r\n\r\n%b" % (
        name.encode(),
        len(body),
        body,
    )


async def _answer(reader: asyncio.StreamReader) -> tuple[int, bool]:
    """The status of an answer, and whether the connection stays."""
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
    await reader.readexactly(length)
    return int(head.split(b" ", 2)[1]), b"connection: close" not in head


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
