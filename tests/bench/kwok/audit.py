"""Who asked the apiserver for what and when, by the apiserver's own audit log: the other side of every counter."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [
        {"level": "Metadata", "users": ["operator"]},
        {"level": "Metadata", "users": ["bench"], "verbs": ["patch"]},
        {"level": "None"},
    ],
}
"""One line for each request, and for a watch a second one when it ends."""

_WRITES = frozenset({"create", "update", "patch", "delete", "deletecollection"})


@dataclass(frozen=True, kw_only=True)
class Request:
    """One request. ``resource`` may end in a subresource (``modelservices/status``); times are the apiserver's."""

    user: str
    verb: str
    resource: str
    namespace: str
    name: str
    code: int
    received: datetime
    answered: datetime

    @property
    def is_write(self) -> bool:
        """Whether it may have changed something."""
        return self.verb in _WRITES

    @property
    def is_election(self) -> bool:
        """Whether it belongs to leader election, which goes on for ever."""
        return self.resource == "leases"


class AuditLog:
    """The log, read from where the last reading ended."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0
        self._requests: dict[str, list[Request]] = {}

    def requests(self, user: str) -> list[Request]:
        """All requests of a user so far, in the order of their answers."""
        self._read()
        return [*self._requests.get(user, ())]

    def _read(self) -> None:
        with self._path.open("rb") as log:
            log.seek(self._offset)
            new = log.read()
        complete = new[: new.rfind(b"\n") + 1]
        self._offset += len(complete)
        for request in _parse(complete):
            self._requests.setdefault(request.user, []).append(request)


def _parse(lines: bytes) -> Iterator[Request]:
    for line in lines.splitlines():
        event = json.loads(line)
        if event["verb"] == "watch" and event["stage"] == "ResponseComplete":
            continue  # it was counted when it began
        about = event.get("objectRef", {})
        yield Request(
            user=event["user"]["username"],
            verb=event["verb"],
            resource="/".join(filter(None, [about.get("resource", event["requestURI"]), about.get("subresource")])),
            namespace=about.get("namespace", ""),
            name=about.get("name", ""),
            code=event.get("responseStatus", {}).get("code", 0),
            received=datetime.fromisoformat(event["requestReceivedTimestamp"]),
            answered=datetime.fromisoformat(event["stageTimestamp"]),
        )
