"""Claims that nobody vouches for: whoever may make claims in a namespace can give one our name and our labels.

Such a claim is never used, since a Job takes an artifact that it finds for its result. Nor is it deleted: a restore
brings claims first, with models in them, and what vouches for them a while later, or not at all.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta

from modelservice_operator.domain.names import keyed_name, parse_job_name, parse_key
from modelservice_operator.domain.observe import Observed, told
from modelservice_operator.domain.problem import Problem
from modelservice_operator.kinds import CONTROLLER_REVISION, DEPLOYMENT, JOB, PERSISTENT_VOLUME_CLAIM
from modelservice_operator.objects import Kind, Object
from modelservice_operator.remembering import remembered

PATIENCE = timedelta(minutes=10)
"""How long a claim may wait for its record before a person is called: a restore may be under way."""


@remembered(16)
def unproven_claims(observed: Observed) -> Mapping[str, Object]:
    """Claims that belong to nobody and of which nothing else tells, by name.

    A record has the digest of what is to lie in a claim, and only the operator writes records. What is in a claim
    without one would be whatever somebody put there.
    """
    adoptable = observed.adoptable
    claims = {obj["metadata"]["name"]: obj for kind, obj in adoptable if kind == PERSISTENT_VOLUME_CLAIM}
    if not claims:
        return {}
    made = ((kind, obj) for kind, objects in observed.children.items() for obj in objects)
    known = {key for kind, obj in (*adoptable, *made) for key in _keys(observed.owner.name, kind, obj)}
    proven = {keyed_name(observed.owner.name, key) for key in known}  # as a whole: NAME-KEY-copy is none of it
    return {name: claim for name, claim in claims.items() if name not in proven}


def unproven_problem(claim: Object, *, now: datetime) -> Problem:
    """That a step cannot begin, since the name of its claim is taken by one that nobody vouches for."""
    overdue = datetime.fromisoformat(claim["metadata"]["creationTimestamp"]) + PATIENCE <= now
    return Problem(reason="ClaimUnproven", message=unproven_words(claim), waits_for_change=overdue)


def unproven_words(claim: Object) -> str:
    """What the claim waits for, since when, and what ends that."""
    name, since = claim["metadata"]["name"], claim["metadata"]["creationTimestamp"]
    return (
        f"PersistentVolumeClaim {name} of {since} is labelled as ours, belongs to nobody, and no record says what is in"
        f" it, so it is neither used nor deleted: restore ControllerRevision {name}, and it is taken over; or delete"
        f" the claim (kubectl delete pvc {name}), and what it held is made again where it is asked for"
    )


def _keys(service: str, kind: Kind, obj: Object) -> Iterator[str]:
    """Keys that an object tells of: a record, a Job under way, and a Deployment that serves."""
    name = obj["metadata"]["name"]
    if kind == CONTROLLER_REVISION:
        yield parse_key(service, name)
    elif kind == JOB and (parts := parse_job_name(service, name)) is not None:
        yield parts[1]
    elif kind == DEPLOYMENT and (said := told(obj.get("spec", {}).get("template", {}))) is not None:
        yield said.key
