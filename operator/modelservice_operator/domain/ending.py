"""How a ModelService ends whose artifacts in object storage go with it: a finalizer waits for a Job, but not for long.

A deletion must never be stuck: what cannot be deleted soon stays where it is, and is said.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from modelservice.contract.resource import ModelServiceSpec
from modelservice.contract.work_order import KEY_PATTERN
from modelservice_operator.config import Settings
from modelservice_operator.constants import ORPHANS
from modelservice_operator.domain.builders.deletion import build_final_deletion
from modelservice_operator.domain.expiry import failure_words
from modelservice_operator.domain.jobs import JobPhase, StageJob, parse_job
from modelservice_operator.domain.metadata import controller_uid
from modelservice_operator.domain.names import final_job_name, parse_deletion_name
from modelservice_operator.domain.observe import Observed
from modelservice_operator.domain.stages import pipeline
from modelservice_operator.domain.stores import settled_artifacts, store_of
from modelservice_operator.domain.unproven import unproven_claims
from modelservice_operator.kinds import JOB
from modelservice_operator.objects import Object

PATIENCE = timedelta(minutes=5)
"""How long a ModelService waits for its artifacts to be deleted."""


@dataclass(frozen=True, kw_only=True)
class Ending:
    """What is to be done next: stop Jobs, make one, let go of the ModelService, or wait.

    ``left`` says why something stays in the storage, in words; empty where nothing does, or nobody wants it deleted.
    """

    stop: tuple[StageJob, ...] = ()
    job: Object | None = None
    over: bool = False
    left: str = ""


def end(spec: ModelServiceSpec | None, observed: Observed, settings: Settings, *, now: datetime) -> Ending:
    """Decide; ``spec`` is None where it cannot be read.

    Pods that train are stopped first: they would store again what is deleted. Those that serve need nothing of the
    storage any more.
    """
    if spec is None:
        return Ending(over=True, left="the spec cannot be read, so nothing was deleted")
    job = _final_job(observed)
    if not settled_artifacts(spec, settings).deletes:
        return _called_off(job)
    if _is_orphaned(observed):
        return _called_off(job, left="children of it stay without an owner, and so does what they serve")
    if job is not None and not job.unfinished:
        return Ending(over=True, left="" if job.phase is JobPhase.SUCCEEDED else failure_words(job))
    if _since(observed) + PATIENCE <= now:
        return Ending(over=True, left=_late(job))
    return _next(spec, observed, settings, begun=job is not None)


def _next(spec: ModelServiceSpec, observed: Observed, settings: Settings, *, begun: bool) -> Ending:
    unfinished = tuple(one for one in observed.jobs if one.unfinished)
    if begun or unfinished:
        return Ending(stop=tuple(one for one in unfinished if one.phase is JobPhase.RUNNING))
    # One that is none, as of a record that somebody made up, would have all of them refused.
    keys = sorted({key for key in _keys(spec, observed, settings) if re.fullmatch(KEY_PATTERN, key)})
    if not keys:
        return Ending(over=True)
    return Ending(job=build_final_deletion(observed.owner, spec, settings, keys))


def _called_off(job: StageJob | None, left: str = "") -> Ending:
    """What is stored is to stay: a Job that deletes it already is stopped."""
    stop = (job,) if job is not None and job.phase is JobPhase.RUNNING else ()
    return Ending(stop=stop, over=True, left=left)


def _late(job: StageJob | None) -> str:
    words = f"it was not done within {PATIENCE.seconds // 60} minutes"
    if job is None or (since := job.suspended_since) is None:
        return words
    return f"{words}: Job {job.name} is suspended since {since}, and whoever did so must let it run"


def _is_orphaned(observed: Observed) -> bool:
    """Whether children stay, and what they serve with them: they lost their owner, or are about to."""
    unproven = unproven_claims(observed)
    left = (
        obj
        for kind, obj in observed.adoptable
        if not (kind == JOB and _deletes(observed, obj)) and obj["metadata"]["name"] not in unproven
    )
    return ORPHANS in observed.service["metadata"].get("finalizers", ()) or next(left, None) is not None


def _deletes(observed: Observed, job: Object) -> bool:
    return parse_deletion_name(observed.owner.name, job["metadata"]["name"]) is not None


def _final_job(observed: Observed) -> StageJob | None:
    """Our Job that deletes everything, which belongs to nobody."""
    owner = observed.owner
    name = final_job_name(owner.name, owner.uid)
    for kind, obj in observed.adoptable:
        if kind == JOB and obj["metadata"]["name"] == name:
            pods = [pod for pod in observed.pods if controller_uid(pod) == obj["metadata"]["uid"]]
            return parse_job(obj, pods, service=owner.name)
    return None


def _since(observed: Observed) -> datetime:
    return datetime.fromisoformat(observed.service["metadata"]["deletionTimestamp"])


def _keys(spec: ModelServiceSpec, observed: Observed, settings: Settings) -> Iterator[str]:
    """Keys of all that was, or may have been, stored where this ModelService stores now.

    Records may be gone already, as with ``--cascade=foreground``: the status tells of them, too, and together with the
    spec it tells what was being made. What is recorded elsewhere is not here: the spec alone has changed.
    """
    artifacts, status = settled_artifacts(spec, settings), observed.service.get("status", {})
    store, owner = store_of(artifacts), observed.owner
    recorded = {one["key"]: one.get("uri", "") for one in status.get("revisions", ())}
    recorded |= {one.key: one.record.artifact.uri for one in observed.records}
    yield from (key for key, uri in recorded.items() if uri == store.locate(artifacts, owner, key).uri)
    others = [one.key for one in observed.unreadable]
    others += [step.key for step in pipeline(spec, status.get("dataDigest"))]
    others += [job.key for job in (*observed.jobs, *observed.deletions)]
    yield from (key for key in others if key not in recorded)
