"""``rollback`` and ``promote``: which revision is to serve, as a change of the spec that Git can have; pure."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from modelservice.cluster.errors import ClusterError
from modelservice.cluster.revisions import kept_revisions, metric_of, revision_of, said_kept


class Patch(NamedTuple):
    """A change of a ModelService, for ``kubectl patch`` and Git, and what comes of it in a sentence."""

    change: dict[str, Any]
    said: str


def rollback(service: Mapping[str, Any], number: int | None, _records: Sequence[Mapping[str, Any]] = ()) -> Patch:
    """Serve an older revision: the given one, or the last one before what serves that did not fail.

    Raises:
        ClusterError: there is no such revision, or it serves already.
    """
    status = service.get("status", {})
    serving = status.get("revision")
    kept = kept_revisions(service)
    if number is None:
        older = [
            one["number"]
            for one in kept.values()
            if one.get("phase") != "Failed" and (serving is None or one["number"] < serving)
        ]
        if not older:
            raise ClusterError(f"no revision before {serving or 'the first'} is kept; {said_kept(kept)}")
        number = max(older)
    revision = revision_of(service, number)
    if number == serving and _pinned(service) == {"number": number}:
        raise ClusterError(f"revision {number} serves, and is pinned")
    what = f"revision {number} ({metric_of(revision)}) serves in place of {serving or 'none'}"
    later = "what is trained meanwhile waits until the pin is taken away: promote"
    return Patch(_pin({"number": number}), f"{what}; {later}")


def promote(service: Mapping[str, Any], number: int | None, records: Sequence[Mapping[str, Any]] = ()) -> Patch:
    """Serve what waits: the given revision, or where nothing is said the newest model, without any pin.

    With ``promotion.manual`` the newest model serves only by its digest, which its record has.

    Args:
        service: the ModelService.
        number: of a revision.
        records: ControllerRevisions of the ModelService.

    Raises:
        ClusterError: there is nothing to promote.
    """
    if number is not None:
        return rollback(service, number)
    status, spec = service.get("status", {}), service.get("spec", {})
    manual = bool((spec.get("promotion") or {}).get("manual"))
    newest = next(iter(status.get("revisions", ())), None)
    if manual:
        waiting = _digest_of(status.get("key"), records)
        if waiting is None or waiting == status.get("digest"):
            raise ClusterError("no model waits to be promoted; see condition Promoted")
        return Patch(_pin({"digest": waiting}), f"the model of key {status['key']} serves, which waited to be promoted")
    if _pinned(service) is None:
        raise ClusterError("nothing is pinned, so the newest model that may serve does; see condition Promoted")
    what = (
        "the newest model" if newest is None else f"revision {newest['number']} ({metric_of(newest)}), or a newer one"
    )
    return Patch(_pin(None), f"the pin is taken away, and {what} serves")


def _pin(pinned: Mapping[str, Any] | None) -> dict[str, Any]:
    return {"spec": {"serving": {"pinRevision": pinned}}}


def _pinned(service: Mapping[str, Any]) -> Mapping[str, Any] | None:
    pinned: Mapping[str, Any] | None = (service.get("spec", {}).get("serving") or {}).get("pinRevision")
    return pinned


def _digest_of(key: str | None, records: Sequence[Mapping[str, Any]]) -> str | None:
    """The artifact of a key; None where it has none yet."""
    found = (record.get("data") or {} for record in records)
    return next((one["artifact"]["digest"] for one in found if one.get("key") == key and "artifact" in one), None)
