"""What may go: revisions beyond the limit, with their claims, Jobs and tasks."""

from collections.abc import Iterator

from modelservice_operator.constants import LABEL_REVISION
from modelservice_operator.domain.metadata import Object
from modelservice_operator.domain.observe import JobPhase, Observed
from modelservice_operator.kinds import CONFIG_MAP, CONTROLLER_REVISION, JOB, PERSISTENT_VOLUME_CLAIM, Kind

_KEYED_KINDS = (CONTROLLER_REVISION, PERSISTENT_VOLUME_CLAIM)


def outdated(
    observed: Observed, *, wanted: str | None, target: str | None, starting: frozenset[str], limit: int
) -> Iterator[tuple[Kind, Object]]:
    """Children that nothing needs any more.

    Kept are the newest ``limit`` revisions, and whatever is wanted, served, still in a pod, or being trained; the Jobs
    of the wanted key, for their logs; and the tasks of Jobs, those about to start (``starting``) included. While
    nothing is wanted, because the data cannot be seen, what any Job trained stays too. A record whose claim was deleted
    records nothing.
    """
    newest = sorted(observed.revisions, key=lambda revision: revision.number)[-limit:]
    in_pods = {pod["metadata"]["labels"].get(LABEL_REVISION) for pod in observed.serving_pods}
    training = {
        job.key for job in observed.jobs if wanted is None or job.phase in (JobPhase.RUNNING, JobPhase.DELETING)
    }
    keys = {wanted, target, observed.deployed_key} | {revision.key for revision in newest} | in_pods | training
    for kind in _KEYED_KINDS:
        yield from ((kind, obj) for obj in observed.children.get(kind, ()) if _key(obj) not in keys and not _going(obj))
    claimed = {_key(claim) for claim in observed.children.get(PERSISTENT_VOLUME_CLAIM, ())}
    for record in observed.children.get(CONTROLLER_REVISION, ()):
        if _key(record) in keys and _key(record) not in claimed and not _going(record):
            yield CONTROLLER_REVISION, record
    finished = [job for job in observed.jobs if job.phase in (JobPhase.SUCCEEDED, JobPhase.FAILED)]
    yield from ((JOB, job.obj) for job in finished if wanted is not None and job.key != wanted)
    jobs = {job.name for job in observed.jobs} | starting
    for task in observed.children.get(CONFIG_MAP, ()):
        if task["metadata"]["name"] not in jobs and not _going(task):
            yield CONFIG_MAP, task


def _key(obj: Object) -> str | None:
    key: str | None = obj["metadata"]["labels"].get(LABEL_REVISION)
    return key


def _going(obj: Object) -> bool:
    return bool(obj["metadata"].get("deletionTimestamp"))
