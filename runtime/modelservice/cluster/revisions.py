"""Revisions as the status of a ModelService tells of them; pure."""

from collections.abc import Mapping
from typing import Any

from modelservice.cluster.errors import NotFoundError


def kept_revisions(service: Mapping[str, Any]) -> dict[int, Mapping[str, Any]]:
    """Those that are kept, by their numbers."""
    return {one["number"]: one for one in service.get("status", {}).get("revisions", ())}


def revision_of(service: Mapping[str, Any], number: int | None = None) -> Mapping[str, Any]:
    """A revision by its number, or what answers where none is said.

    Raises:
        NotFoundError: no such revision is kept, or none answers; the message says which are kept.
    """
    kept = kept_revisions(service)
    if number is None:
        number = service.get("status", {}).get("revision")
        if number is None:
            raise NotFoundError(f"no revision answers, so name one; {said_kept(kept)}")
    if number not in kept:
        raise NotFoundError(f"no revision {number} is kept; {said_kept(kept)}")
    return kept[number]


def said_kept(kept: Mapping[int, Any]) -> str:
    """Which revisions are kept, for messages."""
    return f"kept are {', '.join(map(str, sorted(kept)))}" if kept else "no revision is kept"


def metric_of(revision: Mapping[str, Any]) -> str:
    """The primary metric such as accuracy 0.973, or the key where nothing was measured."""
    name = revision.get("primaryMetric")
    value = next((one["value"] for one in revision.get("metrics", ()) if one["name"] == name), None)
    return str(revision["key"]) if value is None else f"{name} {value:.3g}"
