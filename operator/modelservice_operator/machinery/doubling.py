"""Waits that grow: each is twice the one before it, up to a limit."""

_DOUBLINGS = 32
"""More than lead from a millisecond to any limit; a thousand of them are no number any more."""


def doubled(first: float, times: int, *, most: float) -> float:
    """Seconds of a wait that was doubled so many times, ``most`` at most."""
    return min(most, first * 2.0 ** min(times, _DOUBLINGS))
