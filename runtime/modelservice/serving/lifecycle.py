"""The life of the server: ready, draining, leaving."""

import asyncio

DRAIN_SECONDS = 5.0
"""After SIGTERM a pod is still sent requests until every node knows that it goes: they are answered as ever."""
GRACE_SECONDS = 15
"""What is in flight after that has this long; both together stay under Kubernetes' default of 30 seconds."""


class Lifecycle:
    """Whether the server asks for requests, and whether it still takes them.

    ``draining``: not ready, answers as ever, and asks clients to connect anew elsewhere.
    ``leaving``: takes nothing new, finishes what it has.
    """

    def __init__(self) -> None:
        self.draining = False
        self.leaving = False
        self._drained = asyncio.Event()
        self._left = asyncio.Event()

    def drain(self) -> None:
        """Ask for no requests from now on; to be called on the event loop."""
        self.draining = True
        self._drained.set()

    async def drained(self) -> None:
        """Return once the server is draining."""
        await self._drained.wait()

    def leave(self) -> None:
        """Take nothing new from now on; to be called on the event loop."""
        self.leaving = True
        self.drain()
        self._left.set()

    async def left(self) -> None:
        """Return once the server is leaving."""
        await self._left.wait()
