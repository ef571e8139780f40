"""How often each caller may ask: a token bucket for each (as of ATM's generic cell rate algorithm, in seconds)."""

import time
from collections.abc import Callable
from typing import Final

from modelservice.contract.access import CallerLimit
from modelservice.serving.callers import PUBLIC
from modelservice.serving.chain import Arrival
from modelservice.serving.errors import TooManyRequestsError

_ROUNDING: Final = 1e-9
"""Seconds: so much of a burst may be lost in sums."""
MAX_CALLERS: Final = 10_000
"""Callers that are remembered; the one that asked the longest ago gives way, and begins with a full bucket."""


class Rates:
    """A guard that counts the requests of each caller, by its name, or else by its address.

    Of a caller only one number is kept: when its bucket will be full again. A request moves that on by the time of one
    request, and is refused where it would be further away than a burst takes.
    """

    def __init__(self, limit: CallerLimit, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit = limit
        self._each = 1 / limit.requests_per_second
        self._burst = (limit.burst or limit.requests_per_second) * self._each
        self._clock = clock
        self._full_at: dict[str, float] = {}

    def __call__(self, arrival: Arrival) -> None:
        """See ``chain.Guard``.

        Raises:
            TooManyRequestsError: the caller asks too often.
        """
        if arrival.path in PUBLIC:
            return
        who = arrival.caller.subject if arrival.caller is not None else arrival.peer.address
        now = self._clock()
        full_at = max(self._full_at.pop(who, now), now) + self._each
        if full_at - now > self._burst + _ROUNDING:
            self._full_at[who] = full_at - self._each
            arrival.beyond = True
            raise TooManyRequestsError(
                f"more than {self._limit.requests_per_second} requests a second from one caller"
                " (spec.serving.limits.perCaller); try again later",
                retry_after=full_at - now - self._burst,
            )
        self._full_at[who] = full_at
        arrival.beyond = False  # a stream asks about its messages with one and the same arrival
        if len(self._full_at) > MAX_CALLERS:
            del self._full_at[next(iter(self._full_at))]
