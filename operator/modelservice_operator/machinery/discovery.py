"""Which of the watched kinds the apiserver serves: kinds of other APIs are optional, the others are waited for."""

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
"""Between two looks while a kind that is needed is not served."""


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
) -> tuple[Watch, ...]:
    """The watches whose kinds are served, as soon as all that are not optional are; none of them if stopped before.

    What is installed later is watched from the next start on.

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
            needed = [watch.kind.resource for watch in watches if watch.kind not in served and not watch.optional]
            if not needed:
                _tell_left_out(watches, served)
                return tuple(watch for watch in watches if watch.kind in served)
            missing = f"the apiserver does not serve {', '.join(needed)}: install what defines it"
        on_wait(missing)
        log.warning("waiting for the apiserver", missing=missing)
        await clock.wait(stop, DISCOVERY_SECONDS)
    return ()


def _tell_left_out(watches: Sequence[Watch], served: frozenset[Kind]) -> None:
    if left_out := [watch.kind.resource for watch in watches if watch.kind not in served]:
        log.info("optional kinds that are not served are left out", kinds=left_out)
