"""Who manages which fields of an object besides us: ``managedFields``, reduced to a few lines that a person can read.

The format (FieldsV1) is a tree of maps: ``f:NAME`` is a field, ``k:{...}`` an item of a list by its keys, ``v:VALUE``
an item of a set, and ``.`` says that the item itself is managed, not only what is below it.
"""

import json
from collections.abc import Container, Iterable, Iterator, Mapping
from typing import Any

FOREIGN_LIMIT = 20
"""Fields that are kept: enough to name who writes what."""

_PATH_LIMIT = 256
_DEPTH = 24


def foreign_fields(managed: Iterable[Mapping[str, Any]], *, ours: Container[str]) -> list[dict[str, str]]:
    """Fields below ``spec`` that others manage.

    Each is ``{"manager": ..., "path": ...}`` with a path such as ``spec.template.spec.containers[server].env[FOO]``.

    Args:
        managed: ``metadata.managedFields`` of an object.
        ours: names of the managers that are not told.
    """
    found: list[dict[str, str]] = []
    for entry in managed:
        if entry.get("subresource") or entry.get("manager") in ours:
            continue
        spec = (entry.get("fieldsV1") or {}).get("f:spec")
        for path in _paths(spec, "spec", _DEPTH) if spec else ():
            if len(found) == FOREIGN_LIMIT:
                return found
            found.append({"manager": str(entry.get("manager", "")), "path": path[:_PATH_LIMIT]})
    return found


def scaled_by(managed: Iterable[Mapping[str, Any]]) -> str | None:
    """Who set ``spec.replicas`` last by the scale subresource, as autoscalers do, where no apply took it over since."""
    for entry in managed:
        spec = (entry.get("fieldsV1") or {}).get("f:spec")
        if entry.get("subresource") == "scale" and isinstance(spec, Mapping) and "f:replicas" in spec:
            return str(entry.get("manager", ""))[:_PATH_LIMIT]
    return None


def _paths(fields: Mapping[str, Any], path: str, depth: int) -> Iterator[str]:
    """What is managed as a whole; where only parts of something are, the parts."""
    if not fields or "." in fields or depth == 0:
        yield path
        return
    for name, below in fields.items():
        yield from _paths(below, f"{path}{_segment(name)}", depth - 1)


def _segment(name: str) -> str:
    sort, _, value = name.partition(":")
    if sort == "f":
        return f".{value}"
    if sort == "k":
        return f"[{_keys(value)}]"
    return f"[{value}]"


def _keys(value: str) -> str:
    """The keys of an item; as they are where they are longer than a path, or no keys: writers may make them up."""
    if len(value) > _PATH_LIMIT:
        return value
    try:
        keys = json.loads(value)
    except ValueError:
        return value
    return "/".join(map(str, keys.values())) if isinstance(keys, dict) else value
