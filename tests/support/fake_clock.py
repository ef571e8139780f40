"""A clock that moves only when a test says so."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

_TURNS = 50
"""Turns of the event loop that any chain of wake-ups in these tests needs at most."""


class FakeClock:
    """Monotonic time starts at 1000 s; the wall clock runs along with it from 2026-01-01."""

    def __init__(self) -> None:
        self._now = 1000.0
        self._sleepers: list[tuple[float, asyncio.Future[bool]]] = []

    def monotonic(self) -> float:
        return self._now

    def now(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=self._now - 1000.0)

    async def wait(self, event: asyncio.Event, timeout_seconds: float | None) -> bool:
        if event.is_set():
            return True
        deadline: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        if timeout_seconds is not None:
            self._sleepers.append((self._now + timeout_seconds, deadline))
        waiter: asyncio.Future[bool] = asyncio.ensure_future(event.wait())
        try:
            await asyncio.wait({deadline, waiter}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiter.cancel()
            deadline.cancel()
        return event.is_set()

    async def advance(self, seconds: float) -> None:
        """Let time pass, and everything that waited for it happen, in order."""
        end = self._now + seconds
        await settle()
        while due := [item for item in self._sleepers if item[0] <= end and not item[1].done()]:
            moment, deadline = min(due, key=lambda item: item[0])
            self._now = max(self._now, moment)
            deadline.set_result(True)
            await settle()
        self._now = end
        self._sleepers = [item for item in self._sleepers if not item[1].done()]


async def settle() -> None:
    """Let everything run that can run without time passing."""
    for _ in range(_TURNS):
        await asyncio.sleep(0)


async def eventually(condition: Callable[[], object], *, seconds: float = 60.0) -> None:
    """Wait in real time, with a deadline, until the condition holds."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - what it looks at announces nothing
            await asyncio.sleep(0.01)
