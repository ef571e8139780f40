"""How often each caller may ask: a token bucket for each (as of ATM's generic cell rate algorithm, in seconds)."""

import time
from collections.abc import Callable
from typing import Final

from modelservice.contract.access import CallerLimit
from modelservice.serving.callers import PUBLIC, site_of
from modelservice.serving.chain import Arrival
from modelservice.serving.errors import TooManyRequestsError

_ROUNDING: Final = 1e-9
"""Seconds: so much of a burst may be lost in sums."""
MAX_CALLERS: Final = 10_000
"""Callers that are remembered; the one that asked the longest ago gives way, and begins with a full bucket."""


class Buckets:
    """A bucket for each of many, full at first.

    Of each only one number is kept: when its bucket will be full again. What is taken moves that on by the time of one,
    and there is nothing where it would be further away than a burst takes.

    Args:
        rate: how many flow into a bucket each second.
        burst: how many it holds.
        clock: gives seconds.
    """

    def __init__(self, *, rate: float, burst: float, clock: Callable[[], float]) -> None:
        self._each = 1 / rate
        self._burst = burst * self._each
        self._clock = clock
        self._full_at: dict[str, float] = {}

    def __len__(self) -> int:
        """Buckets that are remembered."""
        return len(self._full_at)

    def wait(self, who: str) -> float:
        """Seconds until there is something in a bucket, 0 where there is."""
        now = self._clock()
        left = max(self._full_at.get(who, now), now) + self._each - now - self._burst
        return left if left > _ROUNDING else 0.0

    def take(self, who: str) -> float:
        """Take one; where there is none, nothing is taken, and the seconds until there is are given instead of 0."""
        now = self._clock()
        full_at = max(self._full_at.pop(who, now), now) + self._each
        if full_at - now > self._burst + _ROUNDING:
            self._full_at[who] = full_at - self._each
            return full_at - now - self._burst
        self._full_at[who] = full_at
        if len(self._full_at) > MAX_CALLERS:
            del self._full_at[next(iter(self._full_at))]
        return 0.0


class Rates:
    """A guard that counts the requests of each caller, by its name, or else by its address."""

    def __init__(self, limit: CallerLimit, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit = limit
        rate = limit.requests_per_second
        self._buckets = Buckets(rate=rate, burst=limit.burst or rate, clock=clock)

    def __call__(self, arrival: Arrival) -> None:
        """See ``chain.Guard``.

        Raises:
            TooManyRequestsError: the caller asks too often.
        """
        if arrival.path in PUBLIC:
            return
        who = arrival.caller.subject if arrival.caller is not None else site_of(arrival.peer.address)
        wait = self._buckets.take(who)
        arrival.beyond = wait > 0  # set anew: a stream asks about its messages with one and the same arrival
        if arrival.beyond:
            raise TooManyRequestsError(
                f"more than {self._limit.requests_per_second} requests a second from one caller"
                " (spec.serving.limits.perCaller); try again later",
                retry_after=wait,
            )
