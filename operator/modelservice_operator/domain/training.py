"""Which training attempt counts, which are overtaken, and what the next one consists of."""

from dataclasses import dataclass

from modelservice.contract.resource import ModelServiceSpec
from modelservice_operator.config import Settings
from modelservice_operator.constants import STAGE_TRAIN
from modelservice_operator.domain.builders.training import (
    attempt_id,
    build_claim,
    build_job,
    build_task,
    claim_settings,
    run_hash,
)
from modelservice_operator.domain.metadata import Object, is_current, stamped
from modelservice_operator.domain.names import job_name
from modelservice_operator.domain.observe import DataState, JobPhase, Observed, TrainingJob


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """The state of the training stage for one key.

    ``current`` is the Job that counts; ``superseded`` are unfinished or failed Jobs that must be gone before
    ``objects`` (claim, task, Job; empty until then) are made; ``unfit_claim`` was asked for in another way and holds
    nothing.
    """

    current: TrainingJob | None = None
    superseded: tuple[TrainingJob, ...] = ()
    unfit_claim: Object | None = None
    objects: tuple[Object, ...] = ()


def choose_attempt(
    spec: ModelServiceSpec, observed: Observed, settings: Settings, *, key: str | None, data: DataState
) -> Attempt:
    """Find the Job of the wanted key and way to run, or say what stands before it, or what it is made of.

    While the data cannot be seen, what runs goes on: nothing says that it is no longer wanted.
    """
    if key is None or data.digest is None or data.file is None:
        return Attempt()
    name = _attempt_name(spec, observed, settings, key=key)
    current = _current(spec, observed, settings, key=key, name=name)
    held = observed.claim(key)
    superseded = tuple(job for job in observed.jobs if _is_superseded(job, current, key=key, claim=held))
    if observed.revision(key) is not None and held is not None:
        return Attempt(current=current, superseded=tuple(j for j in superseded if j.phase is not JobPhase.FAILED))
    if superseded or (current is not None and current.phase is JobPhase.DELETING):
        return Attempt(current=current, superseded=superseded)
    if current is not None:
        return Attempt(current=current)
    attempt = name.rsplit("-", 1)[1]
    claim = build_claim(observed.owner, claim_settings(spec, settings), key=key)
    task = build_task(observed.owner, spec, key=key, attempt=attempt, digest=data.digest, file=data.file)
    job = build_job(observed.owner, spec, settings, key=key, attempt=attempt, file=data.file)
    return _begin(held, claim, (claim, task, job))


def _begin(held: Object | None, claim: Object, objects: tuple[Object, ...]) -> Attempt:
    """Begin, unless the claim of an earlier attempt is on its way out or was asked for in another way."""
    if held is not None and held["metadata"].get("deletionTimestamp"):
        return Attempt()
    if held is not None and not is_current(held, stamped(claim)):
        return Attempt(unfit_claim=held)
    return Attempt(objects=objects)


def _is_superseded(job: TrainingJob, current: TrainingJob | None, *, key: str, claim: Object | None) -> bool:
    """A Job that ended well stays for its logs, unless what it stored is gone with its claim."""
    if job.phase is JobPhase.SUCCEEDED:
        return job.key == key and claim is None
    return job is not current


def _attempt_name(spec: ModelServiceSpec, observed: Observed, settings: Settings, *, key: str) -> str:
    """The first attempt; or the second, where the first ended well without a report that can be read.

    The second finds the artifact of the first, verifies it and reports it: it trains only if there is none.
    """
    names = [
        job_name(observed.owner.name, stage=STAGE_TRAIN, key=key, attempt=attempt_id(spec, settings, retry=retry))
        for retry in (0, 1)
    ]
    lost = any(job.name == names[0] and job.lost_report for job in observed.jobs)
    return names[1] if lost else names[0]


def _current(
    spec: ModelServiceSpec, observed: Observed, settings: Settings, *, key: str, name: str
) -> TrainingJob | None:
    """The Job of that name, or one that trains the same key in the same way on another operator's image."""
    named = next((job for job in observed.jobs if job.name == name), None)
    if named is not None:
        return named
    alike = [
        job
        for job in observed.jobs
        if job.key == key and job.run == run_hash(spec, settings) and job.image not in observed.missing_images
    ]
    going_well = [
        job
        for job in alike
        if job.phase is JobPhase.RUNNING or (job.phase is JobPhase.SUCCEEDED and not job.lost_report)
    ]
    return going_well[0] if going_well else None
