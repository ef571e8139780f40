"""How long a store, registry or hub that is away is asked again, before a pod gives up and the next one goes on."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from http import HTTPStatus
from threading import Timer
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from obstore.store import RetryConfig

RETRY_SECONDS: Final = 60.0
"""A request is tried again for so long; then the Job's own restarts go on."""
MAX_RETRIES: Final = 60
"""More than come in that time, so that time decides."""
FIRST_WAIT_SECONDS: Final = 1.0
LONGEST_WAIT_SECONDS: Final = 10.0
_SILENT_SECONDS: Final = 5.0
_PASSING: Final = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS})

_LOG = logging.getLogger(__name__)


def may_pass(status: int) -> bool:
    """Whether the same request may be answered otherwise a little later, by the status of an answer over HTTP."""
    return status in _PASSING or status >= HTTPStatus.INTERNAL_SERVER_ERROR


def waits() -> Iterator[float]:
    """Seconds before each further try, without end."""
    wait = FIRST_WAIT_SECONDS
    while True:
        yield wait
        wait = min(2 * wait, LONGEST_WAIT_SECONDS)


@contextmanager
def told_when_slow(address: str, *, after: float = _SILENT_SECONDS) -> Iterator[None]:
    """Say once that a store has not answered, while it is asked again.

    Args:
        address: what is asked.
        after: seconds without an answer.
    """
    said = "%s does not answer so far; it is asked again for up to %g s"
    timer = Timer(after, _LOG.warning, (said, address, RETRY_SECONDS))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def retry_config(*, retries: int, seconds: float, first_wait: float) -> "RetryConfig":
    """What obstore takes; it waits longer from try to try, by chance.

    Args:
        retries: at most so many.
        seconds: none is begun later than so long after the first request.
        first_wait: seconds before the second request, at least.
    """
    return {
        "max_retries": retries,
        "retry_timeout": timedelta(seconds=seconds),
        "backoff": {
            "init_backoff": timedelta(seconds=first_wait),
            "max_backoff": timedelta(seconds=LONGEST_WAIT_SECONDS),
            "base": 2,
        },
    }
