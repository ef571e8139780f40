"""Whether a name is taken: asked for one name, or once for all of a namespace where many are asked for at a time."""

from collections import OrderedDict, deque
from dataclasses import dataclass, field
from typing import Protocol

from modelservice_operator.machinery.clock import Clock
from modelservice_operator.objects import Kind, Object, Ref

FRESH_SECONDS = 1.0
"""How old the names of a namespace may be: what comes later is met by the write that must make its object."""

ONE_BY_ONE = 3
"""Names that are asked for singly in that time: a list costs the apiserver more than one object, and less than ten."""

LARGE_SECONDS = 60.0
"""For so long names are asked for singly where a namespace has too many of them for one page."""

_REMEMBERED = 64


class Reads(Protocol):
    """What is asked of the apiserver."""

    async def get_metadata(self, ref: Ref) -> Object | None:
        """``PartialObjectMetadata`` of the object, or None."""

    async def names(self, kind: Kind, namespace: str) -> frozenset[str] | None:
        """Names of all objects in a namespace; None where they are too many."""


@dataclass(kw_only=True)
class _Asked:
    """Of a kind in a namespace: when it was asked for, and the names with their time, None where they are too many."""

    times: deque[float] = field(default_factory=lambda: deque(maxlen=ONE_BY_ONE))
    names: frozenset[str] | None = frozenset()
    at: float = float("-inf")


class Names:
    """Looks for objects that nobody watches, by their names."""

    def __init__(self, *, reads: Reads, clock: Clock) -> None:
        self._reads = reads
        self._clock = clock
        self._asked: OrderedDict[tuple[Kind, str], _Asked] = OrderedDict()

    async def find(self, ref: Ref) -> Object | None:
        """``PartialObjectMetadata`` of the object, or None.

        Raises:
            KubeError: the apiserver did not answer.
        """
        names = await self._names(ref.kind, ref.namespace)
        return None if names is not None and ref.name not in names else await self._reads.get_metadata(ref)

    async def _names(self, kind: Kind, namespace: str) -> frozenset[str] | None:
        """Names that are fresh, read where it pays; None where they are not known."""
        now, asked = self._clock.monotonic(), self._asked.pop((kind, namespace), None) or _Asked()
        self._asked[kind, namespace] = asked
        if len(self._asked) > _REMEMBERED:
            self._asked.popitem(last=False)
        if now - asked.at < (LARGE_SECONDS if asked.names is None else FRESH_SECONDS):
            return asked.names
        often = len(asked.times) == ONE_BY_ONE and now - asked.times[0] < FRESH_SECONDS
        asked.times.append(now)
        if not often:
            return None
        asked.times.clear()  # so that who asks meanwhile asks singly
        found = await self._reads.names(kind, namespace)
        asked.names, asked.at = found, now
        return found
