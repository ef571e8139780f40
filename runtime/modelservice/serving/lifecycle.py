"""The life of the server: ready, draining, leaving."""

import asyncio
import signal
from types import FrameType

import uvicorn

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


class DrainingServer(uvicorn.Server):
    """A uvicorn server that leaves in order.

    SIGTERM: draining at once, leaving after ``drain_seconds``. A second signal, or Ctrl-C, skips the wait.
    """

    def __init__(self, config: uvicorn.Config, *, lifecycle: Lifecycle, drain_seconds: float = DRAIN_SECONDS) -> None:
        super().__init__(config)
        self._lifecycle = lifecycle
        self._drain_seconds = drain_seconds
        self._loop = asyncio.get_running_loop()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002
        """Start to leave; runs in the signal handler, so all that touches the loop is handed to it."""
        if sig == signal.SIGTERM and not self._lifecycle.draining:
            self._lifecycle.draining = True
            self._loop.call_soon_threadsafe(self._loop.call_later, self._drain_seconds, self._leave)
            return
        self._lifecycle.draining = True
        self.force_exit = self.should_exit
        self._leave()

    def _leave(self) -> None:
        self._lifecycle.leaving = True
        self.should_exit = True
