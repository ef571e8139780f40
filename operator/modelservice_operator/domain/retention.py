"""What is kept besides what is desired: revisions within the limit, and whatever is still in use."""

from collections.abc import Collection, Iterator

from modelservice.contract.artifacts import Artifacts
from modelservice_operator.domain.diff import Name
from modelservice_operator.domain.names import keyed_name
from modelservice_operator.domain.observe import Observed, told
from modelservice_operator.domain.records import Revision, StageRecord
from modelservice_operator.domain.stores import location_of
from modelservice_operator.kinds import (
    CONFIG_MAP,
    CONTROLLER_REVISION,
    JOB,
    NETWORK_POLICY,
    PERSISTENT_VOLUME_CLAIM,
    SERVICE,
)
from modelservice_operator.objects import Object


def kept_keys(
    observed: Observed,
    *,
    desired_keys: Collection[str],
    serving_key: str | None,
    limit: int,
    asked_keys: Collection[str] = (),
) -> frozenset[str]:
    """Keys of which everything stays as it is.

    Kept are the newest ``limit`` revisions, and all keys that are desired (those of parents included), served, still in
    a pod, worked on, or asked by heads; as many results that nothing was made of yet, so that a spec which is changed
    to and fro trains nothing twice; work orders of Jobs, and what their pods meet by; and while nothing is desired,
    because the data cannot be seen, all that was made. A record that cannot be read stays, and what is named as it is.
    A comparison stays with both that were compared.
    """
    newest = [*observed.revisions[-limit:], *_unused(observed)[-limit:]] if desired_keys else observed.records
    in_pods = {said.key for pod in observed.all_serving_pods if (said := told(pod))}
    worked_on = {job.key for job in observed.jobs if not desired_keys or job.unfinished}
    unreadable = {record.key for record in observed.unreadable}
    beside = observed.beside.deployed_key if observed.beside else None
    keys = {*desired_keys, serving_key, observed.deployed_key, beside, *in_pods, *worked_on, *unreadable, *asked_keys}
    keys |= {revision.key for revision in newest}
    keys |= {one.key for one in observed.comparisons if {one.candidate.key, one.current.key} <= keys}
    return frozenset(key for key in keys if key)


def retained(
    observed: Observed,
    *,
    keys: Collection[str],
    known: bool,
    unfit: Collection[Object],
    artifacts: Artifacts,
    void: Collection[str] = (),
) -> Iterator[Name]:
    """Children of keys that stay as they are.

    A record whose artifact is gone (``void``: or may be) records nothing; one that is only on its way out may still be
    served. Names say what belongs to a key, never labels, which anybody may change. ``known``: something is desired.
    """
    lost = {keyed_name(observed.owner.name, key) for key in void}
    lost |= {
        keyed_name(observed.owner.name, revision.key)
        for revision in observed.records
        if is_gone(revision.record, observed, artifacts)
    }
    names = {keyed_name(observed.owner.name, key) for key in keys}
    gone = {obj["metadata"]["name"] for obj in unfit}
    for kind, objects in observed.children.items():
        for name in (obj["metadata"]["name"] for obj in objects):
            if name in names and not (name in lost if kind == CONTROLLER_REVISION else name in gone):
                yield kind, name
    if not known:
        claims = observed.children.get(PERSISTENT_VOLUME_CLAIM, ())
        yield from ((PERSISTENT_VOLUME_CLAIM, claim["metadata"]["name"]) for claim in claims)
    for job in observed.jobs:
        yield from ((kind, job.name) for kind in (CONFIG_MAP, SERVICE, NETWORK_POLICY))
        if not known:
            yield JOB, job.name


def _unused(observed: Observed) -> list[Revision]:
    """Results of stages that were to be followed by another one, which never came to a result; the oldest first."""
    parents = {revision.record.parent for revision in observed.records}
    unused = (revision for revision in observed.records if not revision.number and revision.key not in parents)
    return sorted(unused, key=lambda revision: revision.created)


def is_gone(record: StageRecord, observed: Observed, artifacts: Artifacts) -> bool:
    """Whether a recorded artifact is lost for certain: it is nowhere, not even on its way out."""
    store, location = location_of(record, artifacts)
    return not observed.holds(record, artifacts) and store.leaving(location, observed.children) is None
