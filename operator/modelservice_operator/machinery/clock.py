"""Time as the operator sees it; tests bring their own."""

import asyncio
import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Monotonic time for decisions, wall-clock time for what people read, and a wait that ends early."""

    def monotonic(self) -> float:
        """Seconds that never go backwards."""

    def now(self) -> datetime:
        """Wall-clock time in UTC."""

    async def wait(self, event: asyncio.Event, timeout_seconds: float | None) -> bool:
        """Wait until the event is set (True) or the time has passed (False)."""


class SystemClock:
    """The machine's clock."""

    def monotonic(self) -> float:
        """Seconds that never go backwards."""
        return time.monotonic()

    def now(self) -> datetime:
        """Wall-clock time in UTC."""
        return datetime.now(UTC)

    async def wait(self, event: asyncio.Event, timeout_seconds: float | None) -> bool:
        """Wait until the event is set (True) or the time has passed (False)."""
        try:
            async with asyncio.timeout(timeout_seconds):
                return await event.wait()
        except TimeoutError:
            return False
