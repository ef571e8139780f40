"""Claims that nobody vouches for: whoever may make claims in a namespace can give one our name and our labels."""

from collections.abc import Iterator

from modelservice_operator.domain.names import parse_job_name, parse_key
from modelservice_operator.domain.observe import Observed, told
from modelservice_operator.kinds import CONTROLLER_REVISION, DEPLOYMENT, JOB, PERSISTENT_VOLUME_CLAIM
from modelservice_operator.objects import Kind, Object


def unproven_claims(observed: Observed) -> frozenset[str]:
    """Names of claims that belong to nobody and of which nothing else tells.

    A record has the digest of what is to lie in a claim, and only the operator writes records. What is in a claim
    without one would be whatever somebody put there: a Job that finds an artifact takes it for its result.
    """
    adoptable = observed.adoptable
    claims = {obj["metadata"]["name"] for kind, obj in adoptable if kind == PERSISTENT_VOLUME_CLAIM}
    if not claims:
        return frozenset()
    made = ((kind, obj) for kind, objects in observed.children.items() for obj in objects)
    known = {key for kind, obj in (*adoptable, *made) for key in _keys(observed.owner.name, kind, obj)}
    return frozenset(name for name in claims if parse_key(observed.owner.name, name) not in known)


def _keys(service: str, kind: Kind, obj: Object) -> Iterator[str]:
    """Keys that an object tells of: a record, a Job under way, and a Deployment that serves."""
    name = obj["metadata"]["name"]
    if kind == CONTROLLER_REVISION:
        yield parse_key(service, name)
    elif kind == JOB and (parts := parse_job_name(service, name)) is not None:
        yield parts[1]
    elif kind == DEPLOYMENT and (said := told(obj.get("spec", {}).get("template", {}))) is not None:
        yield said.key
