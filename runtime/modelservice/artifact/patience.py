"""How long an object store that is away is asked again, before a pod gives up and the next one goes on."""

from datetime import timedelta
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from obstore.store import RetryConfig

RETRY_SECONDS: Final = 60.0
"""A request is tried again for so long; then the Job's own restarts go on."""
MAX_RETRIES: Final = 60
"""More than come in that time, so that time decides."""
FIRST_WAIT_SECONDS: Final = 1.0
_LONGEST_WAIT_SECONDS: Final = 10.0


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
            "max_backoff": timedelta(seconds=_LONGEST_WAIT_SECONDS),
            "base": 2,
        },
    }
