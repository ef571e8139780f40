"""Whether the apiserver serves what is watched: it is waited for."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol

import structlog

from modelservice_operator.machinery.clock import Clock
from modelservice_operator.machinery.errors import KubeError
from modelservice_operator.machinery.watch import Watch
from modelservice_operator.objects import Kind

log = structlog.get_logger(__name__)

DISCOVERY_SECONDS = 5.0
"""Between two looks while a kind is not served."""


class Discovers(Protocol):
    """Asks the apiserver's discovery."""

    async def served(self, kinds: Sequence[Kind]) -> frozenset[Kind]:
        """Those of the kinds that are served.

        Raises:
            KubeError: The apiserver did not answer well.
        """


async def wait_until_served(
    watches: Sequence[Watch],
    *,
    discovery: Discovers,
    clock: Clock,
    stop: asyncio.Event,
    on_wait: Callable[[str], None],
) -> bool:
    """Return True as soon as all kinds are served, or False if stopped before.

    Args:
        watches: What is to be watched.
        discovery: Where to ask.
        clock: Waits between two looks.
        stop: Ends the waiting.
        on_wait: Told what is waited for, in words, each time that something is.
    """
    while not stop.is_set():
        try:
            served = await discovery.served([watch.kind for watch in watches])
        except KubeError as error:
            missing = f"the apiserver does not answer: {error}"
        else:
            lacking = [watch.kind.resource for watch in watches if watch.kind not in served]
            if not lacking:
                return True
            missing = f"the apiserver does not serve {', '.join(lacking)}: install what defines it"
        on_wait(missing)
        log.warning("waiting for the apiserver", missing=missing)
        await clock.wait(stop, DISCOVERY_SECONDS)
    return False
