"""Bounds how often something is written that is nice to see, but need not be seen at once."""

from modelservice_operator.machinery.clock import Clock


class RateLimit:
    """A token bucket that holds one second's worth of tokens."""

    def __init__(self, *, clock: Clock, per_second: float) -> None:
        self._clock = clock
        self._rate = per_second
        self._tokens = per_second
        self._filled = clock.monotonic()

    def admit(self) -> bool:
        """Whether one more may pass now."""
        self._fill()
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True

    def reserve(self) -> float:
        """Seconds after which one more may pass, whose place is kept: all who come later pass later."""
        self._fill()
        self._tokens -= 1
        return max(0.0, -self._tokens / self._rate)

    def _fill(self) -> None:
        now = self._clock.monotonic()
        self._tokens = min(self._rate, self._tokens + (now - self._filled) * self._rate)
        self._filled = now
