"""Events on ModelServices: one object for what is said again and again, counted, and written now and then only."""

import hashlib
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

from modelservice_operator.constants import MANAGED_BY
from modelservice_operator.kinds import EVENT
from modelservice_operator.machinery.clock import Clock
from modelservice_operator.objects import Object

REPEAT_SECONDS = 600.0
"""A repeat is written after this time at the earliest; the apiserver forgets events after an hour."""

_REMEMBERED = 4096
_MESSAGE_LIMIT = 1024
"""Characters that events.k8s.io allows in a note."""


@dataclass(slots=True)
class _Said:
    count: int
    first: str
    written_at: float


class EventRecorder:
    """Decides which Event to write, if any; its name follows from object, reason and message."""

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock
        self._said: OrderedDict[str, _Said] = OrderedDict()

    def event(self, regarding: Object, *, reason: str, message: str, warning: bool) -> Object | None:
        """The Event to write, or None if the same was written a short while ago."""
        metadata = regarding["metadata"]
        message = message[:_MESSAGE_LIMIT]
        name = f"{metadata['name']}.{_digest(metadata['uid'], reason, message)}"
        now = self._clock.now().strftime("%Y-%m-%dT%H:%M:%SZ")
        said = self._said.pop(name, None) or _Said(count=0, first=now, written_at=float("-inf"))
        said.count += 1
        self._said[name] = said
        if len(self._said) > _REMEMBERED:
            self._said.popitem(last=False)
        if self._clock.monotonic() - said.written_at < REPEAT_SECONDS:
            return None
        said.written_at = self._clock.monotonic()
        return {
            "apiVersion": EVENT.api_version,
            "kind": EVENT.kind,
            "metadata": {"name": name, "namespace": metadata["namespace"]},
            "involvedObject": _reference(regarding),
            "reason": reason,
            "message": message,
            "type": "Warning" if warning else "Normal",
            "count": said.count,
            "firstTimestamp": said.first,
            "lastTimestamp": now,
            "source": {"component": MANAGED_BY},
            "reportingComponent": MANAGED_BY,
        }

    def failed(self, event: Object) -> None:
        """An event could not be written: the next repeat is tried again."""
        self._said.pop(event["metadata"]["name"], None)


def _reference(regarding: Object) -> dict[str, Any]:
    metadata = regarding["metadata"]
    return {
        "apiVersion": regarding["apiVersion"],
        "kind": regarding["kind"],
        "namespace": metadata["namespace"],
        "name": metadata["name"],
        "uid": metadata["uid"],
    }


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]
