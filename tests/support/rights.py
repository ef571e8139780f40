"""What the chart lets the operator do, and what the apiserver saw it do."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from tests.support.helm import NAMESPACE, RELEASE, helm_objects

OPERATOR: Final = f"system:serviceaccount:{NAMESPACE}:{RELEASE}"
ROLE: Final = f"{NAMESPACE}-{RELEASE}"

Right = tuple[str, str, str]
"""API group, resource (with its subresource) and verb."""


def role_named(name: str, values: dict[str, Any] | None = None) -> dict[str, Any]:
    """A ClusterRole of the chart."""
    (role,) = (one for one in helm_objects(values) if one["kind"] == "ClusterRole" and one["metadata"]["name"] == name)
    return role


def granted(role: dict[str, Any] | None = None) -> Iterator[Right]:
    """What a role grants; by default what the operator may do with ModelServices and their children."""
    for rule in (role or role_named(ROLE))["rules"]:
        for group in rule["apiGroups"]:
            yield from ((group, resource, verb) for resource in rule["resources"] for verb in rule["verbs"])


def granted_in_all() -> set[Right]:
    """What all roles grant that the chart binds to the operator."""
    objects = helm_objects()
    bound = {one["roleRef"]["name"] for one in objects if one["kind"] in {"RoleBinding", "ClusterRoleBinding"}}
    roles = [one for one in objects if one["kind"] in {"Role", "ClusterRole"} and one["metadata"]["name"] in bound]
    return {right for role in roles for right in granted(role)}


def asked_for(audit_log: Path, *, since: str) -> set[Right]:
    """What the operator asked the apiserver for, granted or not, from its audit log.

    Args:
        audit_log: a line of JSON for each stage of a request.
        since: a time of RFC 3339 in UTC; what came before is left out.
    """
    found: set[Right] = set()
    with audit_log.open(encoding="utf-8") as lines:
        for event in map(json.loads, lines):
            asked = event.get("objectRef")
            if event["user"]["username"] != OPERATOR or asked is None or event["requestReceivedTimestamp"] < since:
                continue
            resource = "/".join(filter(None, (asked["resource"], asked.get("subresource"))))
            made = (event["verb"], event.get("responseStatus", {}).get("code")) == ("patch", 201)
            # An apply that makes an object needs the right to create it, too.
            found |= {(asked.get("apiGroup", ""), resource, verb) for verb in (event["verb"], *(["create"] * made))}
    return found
