"""What the chart lets the operator do, and what the apiserver saw it do."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

from tests.support.helm import NAMESPACE, RELEASE, helm_objects

OPERATOR: Final = f"system:serviceaccount:{NAMESPACE}:{RELEASE}"
ROLE: Final = f"{NAMESPACE}-{RELEASE}"

Right = tuple[str, str, str]
"""API group, resource (with its subresource) and verb."""


class Call(NamedTuple):
    """A call as the apiserver decided on it."""

    right: Right
    allowed: bool
    code: int


def role_named(name: str, values: dict[str, Any] | None = None) -> dict[str, Any]:
    """A ClusterRole of the chart."""
    (role,) = (one for one in helm_objects(values) if one["kind"] == "ClusterRole" and one["metadata"]["name"] == name)
    return role


def granted() -> Iterator[Right]:
    """What the operator may do with ModelServices and their children."""
    for rule in role_named(ROLE)["rules"]:
        for group in rule["apiGroups"]:
            yield from ((group, resource, verb) for resource in rule["resources"] for verb in rule["verbs"])


def calls(audit_log: Path, *, since: str) -> Iterator[Call]:
    """What the operator asked the apiserver for, from its audit log.

    Args:
        audit_log: a line of JSON for each stage of a request.
        since: a time of RFC 3339 in UTC; what came before is left out.
    """
    with audit_log.open(encoding="utf-8") as lines:
        for event in map(json.loads, lines):
            asked = event.get("objectRef")
            if event["user"]["username"] != OPERATOR or asked is None or event["requestReceivedTimestamp"] < since:
                continue
            resource = "/".join(filter(None, (asked["resource"], asked.get("subresource"))))
            code = event.get("responseStatus", {}).get("code", 0)
            # An apply that makes an object needs the right to create it, too.
            verb = "create" if (event["verb"], code) == ("patch", 201) else event["verb"]
            allowed = event.get("annotations", {}).get("authorization.k8s.io/decision") == "allow"
            yield Call((asked.get("apiGroup", ""), resource, verb), allowed, code)
