"""What outlives its ModelService: claims with recorded artifacts, and their records (``deletionPolicy: Retain``).

A claim and the record of what lies in it own each other, besides the ModelService that owns both. When that goes, the
garbage collector finds an owner that is there, and takes but the one that is gone off: nothing has to wait for the
operator. Who deletes the claim then has its record collected, too, so that none is left that tells of nothing.
"""

from collections.abc import Mapping, Sequence

from modelservice.contract.artifacts import Artifacts
from modelservice_operator.domain.diff import Name
from modelservice_operator.domain.metadata import Partner
from modelservice_operator.domain.names import parse_key
from modelservice_operator.domain.observe import Observed
from modelservice_operator.domain.stores import location_of
from modelservice_operator.kinds import CONTROLLER_REVISION


def outliving(observed: Observed, artifacts: Artifacts) -> Mapping[Name, Sequence[Partner]]:
    """Children that outlive the ModelService, and what holds each of them besides it.

    A claim without a record goes: what is in it is no result, and nobody could tell whether it became one.
    """
    found: dict[Name, Sequence[Partner]] = {}
    if not artifacts.retains:
        return found
    recorded = observed.children.get(CONTROLLER_REVISION, ())
    for revision in observed.records:
        store, location = location_of(revision.record, artifacts)
        places = ((kind, observed.child(kind, name)) for kind, name in store.holders(location))
        holders = tuple((kind, obj) for kind, obj in places if obj and not obj["metadata"].get("deletionTimestamp"))
        if not holders or revision.obj is None:
            continue
        for kind, obj in holders:
            found[kind, obj["metadata"]["name"]] = ((CONTROLLER_REVISION, revision.obj),)
        names = (obj["metadata"]["name"] for obj in recorded)
        own = (name for name in names if parse_key(observed.owner.name, name) == revision.key)
        found |= {(CONTROLLER_REVISION, name): holders for name in own}
    return found
