"""How many pods each side of a canary has. What leads to them may change, such as routes with weights; this is where.

The pods of a canary come on top of those that serve, which are never fewer than asked for: the candidate can be taken
away at any moment, and what is left carries all requests as it did before.
"""

from typing import NamedTuple

_WHOLE = 100


class Split(NamedTuple):
    """Numbers of pods."""

    stable: int
    canary: int

    @property
    def total(self) -> int:
        """All pods behind the Service."""
        return self.stable + self.canary

    @property
    def percent(self) -> int:
        """The share of the canary that this comes to, since the Service leads to each pod alike; 0 of no pods."""
        return round(_WHOLE * self.canary / self.total) if self.total else 0


def weights(weight: int, desired: int) -> Split:
    """Pods for a share of the requests.

    Args:
        weight: percent of all pods that the canary is to be, from 1 to 99.
        desired: pods that serve without it.

    Returns:
        The most canary pods that make no larger share, and at least one; none beside no pods.
    """
    if desired <= 0:
        return Split(stable=0, canary=0)
    return Split(stable=desired, canary=max(1, desired * weight // (_WHOLE - weight)))
