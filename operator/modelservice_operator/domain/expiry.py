"""What lies in object storage for revisions that are kept no more, and is deleted where ``deletionPolicy`` says so.

A record is all that the operator knows of a folder there, so it stays until a Job has deleted the folder. As long as
that Job is there, what the record says counts for nothing (see ``stores.object_storage``): whoever wants the same
result again waits for the end of the Job, then makes it anew.
"""

import json
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial

from modelservice.contract.failure import Failure
from modelservice_operator.constants import ANNOTATION_RUN
from modelservice_operator.domain.builders.deletion import build_deletion
from modelservice_operator.domain.diff import Desired, Name, Part
from modelservice_operator.domain.inputs import Inputs
from modelservice_operator.domain.jobs import JobPhase, StageJob
from modelservice_operator.domain.names import keyed_name
from modelservice_operator.domain.records import Revision
from modelservice_operator.domain.stores import store_of
from modelservice_operator.kinds import CONTROLLER_REVISION, JOB
from modelservice_operator.objects import Object

AGAIN = timedelta(minutes=10)
"""When a Job that failed is made once more: a Secret may have been mended, whose content the operator never sees."""


@dataclass(frozen=True, kw_only=True)
class Expiry:
    """What is done about artifacts that are kept no more.

    ``void`` are keys whose records go, since what they record is gone, or is to be looked at anew. ``failed`` says in
    words which artifacts could not be deleted, ``waits`` which one waits for somebody to let its Job run; ``again`` is
    when the first that failed is tried once more.
    """

    part: Part = field(default_factory=Part)
    void: frozenset[str] = frozenset()
    failed: tuple[str, ...] = ()
    waits: tuple[str, ...] = ()
    again: datetime | None = None


def expire(inputs: Inputs, *, kept_keys: Collection[str], wanted_keys: Collection[str]) -> Expiry:
    """Decide: one artifact at a time is deleted, the oldest first; one that cannot be keeps no other from it.

    From the first Job on until its record is gone a key has one, so that nobody takes what is left for an artifact: a
    Job that failed goes when the next try is there.

    Args:
        inputs: what is asked for, and what is there.
        kept_keys: of records that are kept.
        wanted_keys: of results that are asked for now, none while that is not known.
    """
    observed = inputs.observed
    newest = {job.key: job for job in observed.deletions}
    stored = sorted(_stored_here(inputs), key=lambda revision: (revision.created, revision.key))
    named = frozenset(_named_by_the_spec(stored, observed.service["spec"]))
    going = _going(stored, kept_keys, wanted_keys, begun=newest)
    expired = {one.key: one for one in going if one.key not in named}
    ended = {key: job for key, job in newest.items() if not job.unfinished}
    void = {key for key, job in ended.items() if key not in expired or job.phase is JobPhase.SUCCEEDED}
    failed = {key: job for key, job in ended.items() if key not in void}
    recorded = {one.key for one in observed.records}
    kept: set[Name] = {(CONTROLLER_REVISION, keyed_name(observed.owner.name, key)) for key in {*expired, *named} - void}
    kept |= {(JOB, job.name) for job in newest.values() if job.unfinished or job.key in recorded}
    due = ((key, _next_try(inputs, key, newest.get(key))) for key in expired if key not in void)
    unfinished = {key for key, job in newest.items() if job.unfinished}
    # One that waits for a queue which is asked for no more is itself what is unfinished, and goes once its next try is
    # there, whatever else is due.
    begin = next((job for key, job in due if job is not None and unfinished <= {key}), None)
    return Expiry(
        part=Part(desired=(Desired(obj=begin, immutable=True),) if begin else (), kept=frozenset(kept)),
        void=frozenset(void),
        failed=tuple(_words(expired[key], job) for key, job in failed.items()),
        waits=tuple(_waits(job, held) for job in newest.values() if (held := job.held_back)),
        # One whose time has come, and waits for the end of another, is called by that.
        again=min((moment for moment in map(_again, failed.values()) if moment > inputs.now), default=None),
    )


def _going(
    stored: Sequence[Revision], kept_keys: Collection[str], wanted_keys: Collection[str], *, begun: Collection[str]
) -> Iterator[Revision]:
    """Records of what is kept no more, or was begun to be deleted."""
    for one in stored:
        if one.key not in kept_keys or (one.key in begun and one.key not in wanted_keys):
            yield one


def _named_by_the_spec(stored: Sequence[Revision], spec: Object) -> Iterator[str]:
    """Keys of what the spec names by its address, as where a training goes on from weights of before."""
    said = json.dumps(spec) if stored else ""
    return (one.key for one in stored if one.record.artifact.uri in said)


def _stored_here(inputs: Inputs) -> Iterator[Revision]:
    """Records of what lies where this ModelService stores now, if that is to be deleted some day."""
    observed, artifacts = inputs.observed, inputs.artifacts
    if artifacts.deletes:
        store = store_of(artifacts)
        for one in observed.records:
            if one.record.artifact.uri == store.locate(artifacts, observed.owner, one.key).uri:
                yield one


def _next_try(inputs: Inputs, key: str, job: StageJob | None) -> Object | None:
    """The Job that is to be made: the first, or one in the place of a Job that failed some time ago, or otherwise.

    One that was never let run, or not lately, is replaced where it would be made otherwise, as in another queue.
    """
    build = partial(build_deletion, inputs.observed.owner, inputs.spec, inputs.settings, key)
    if job is None:
        return build()
    following = build(after=job.name)
    changed = job.run != following["metadata"]["annotations"][ANNOTATION_RUN]
    if job.unfinished:
        return following if changed and job.suspended_since is not None else None
    return following if changed or _again(job) <= inputs.now else None


def _again(job: StageJob) -> datetime:
    """When a Job that failed is tried once more, from when its controller said so."""
    conditions = job.obj.get("status", {}).get("conditions", ())
    times = [one.get("lastTransitionTime") for one in conditions if one["type"] == "Failed"]
    said = next(filter(None, [*times, job.obj["metadata"].get("creationTimestamp")]))
    return datetime.fromisoformat(said) + AGAIN


def _words(revision: Revision, job: StageJob) -> str:
    what = f"revision {revision.number}" if revision.number else f"result {revision.key}"
    return f"{what} is kept no more, and {revision.record.artifact.uri} could not be deleted: {failure_words(job)}"


def _waits(job: StageJob, held: str) -> str:
    return f"Job {job.name}, which deletes what no revision needs any more, {held}"


def failure_words(job: StageJob) -> str:
    """Why a Job that deletes failed: in its own words, else in those of Kubernetes."""
    if isinstance(job.result, Failure):
        return f"{job.result.reason}: {job.result.message}"
    return f"Job {job.name} failed ({job.failed_reason or 'it does not say why'})"
