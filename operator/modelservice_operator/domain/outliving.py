"""What outlives its ModelService: claims with recorded artifacts, and their records (``deletionPolicy: Retain``).

A claim and the record of what lies in it own each other, besides the ModelService that owns both. When that goes, the
garbage collector finds an owner that is there, and takes but the one that is gone off: nothing has to wait for the
operator. Who deletes the claim then has its record collected, too, so that none is left that tells of nothing.
"""

from collections.abc import Collection, Mapping, Sequence

from modelservice.contract.artifacts import Artifacts
from modelservice_operator.domain.diff import Name
from modelservice_operator.domain.metadata import Partner
from modelservice_operator.domain.names import keyed_name, parse_key
from modelservice_operator.domain.observe import Observed
from modelservice_operator.domain.stores import location_of
from modelservice_operator.kinds import CONTROLLER_REVISION, PERSISTENT_VOLUME_CLAIM


def outliving(observed: Observed, artifacts: Artifacts) -> Mapping[Name, Sequence[Partner]]:
    """Children that outlive the ModelService, and what holds each of them besides it.

    A claim without a record goes: what is in it is no result, and nobody could tell whether it became one. Stored
    templates of a key stay with its claim.
    """
    found: dict[Name, Sequence[Partner]] = {}
    if not artifacts.retains:
        return found
    service, elsewhere = observed.owner.name, _stored_elsewhere(observed, artifacts)
    claims = {obj["metadata"]["name"]: obj for obj in observed.children.get(PERSISTENT_VOLUME_CLAIM, ())}
    recorded = {obj["metadata"]["name"]: obj for obj in observed.children.get(CONTROLLER_REVISION, ())}
    for name in recorded:
        key = parse_key(service, name)
        both = keyed_name(service, key)
        claim, record = claims.get(both), recorded.get(both)
        if claim is None or record is None or claim["metadata"].get("deletionTimestamp") or key in elsewhere:
            continue
        found[PERSISTENT_VOLUME_CLAIM, both] = ((CONTROLLER_REVISION, record),)
        found[CONTROLLER_REVISION, name] = ((PERSISTENT_VOLUME_CLAIM, claim),)
    return found


def _stored_elsewhere(observed: Observed, artifacts: Artifacts) -> Collection[str]:
    """Keys of artifacts that are in no claim; of records that a newer release wrote nobody knows that."""
    places = ((one.key, *location_of(one.record, artifacts)) for one in observed.records)
    return {key for key, store, location in places if not store.holders(location)}
