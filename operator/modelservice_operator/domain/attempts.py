"""How a step of the pipeline stands: which Job counts, what came of it, and what the next attempt consists of."""

from collections.abc import Collection
from dataclasses import dataclass

from modelservice.contract.resource import ModelServiceSpec
from modelservice_operator.config import Settings
from modelservice_operator.domain.builders.job import attempt_id, build_attempt, run_hash
from modelservice_operator.domain.data import DataState
from modelservice_operator.domain.jobs import JobPhase, StageJob
from modelservice_operator.domain.metadata import is_current, stamped
from modelservice_operator.domain.names import job_name
from modelservice_operator.domain.observe import Observed
from modelservice_operator.domain.records import Revision, record_of
from modelservice_operator.domain.stages import Step
from modelservice_operator.domain.stores import location_of, settled_artifacts, store_of
from modelservice_operator.kinds import ref_of
from modelservice_operator.objects import Object


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """How a step stands.

    ``job`` is the one that counts, ``result`` what came of it, recorded or just reported (then without a number).
    ``kept`` are the Jobs of the step that are not overtaken.
    """

    step: Step
    job: StageJob | None = None
    result: Revision | None = None
    kept: tuple[StageJob, ...] = ()


def look_at(step: Step, *, spec: ModelServiceSpec, observed: Observed, settings: Settings, data: DataState) -> Attempt:
    """Find the Job that counts and the result of a step.

    A record whose artifact is gone from its store is none. The report of a Job counts, not its end: a sidecar may keep
    the pod, and with it the Job, running.
    """
    job = _current(step, spec, observed, settings)
    held, result = _result(step, job, spec=spec, observed=observed, settings=settings, data=data)
    own = [one for one in observed.jobs if one.key == step.key]
    kept = tuple(one for one in own if not _is_superseded(one, job, held=held, done=result is not None))
    return Attempt(step=step, job=job, result=result, kept=kept)


@dataclass(frozen=True, kw_only=True)
class Start:
    """What is to be there so that a step goes on: what its store needs, its order and its Job.

    ``unfit`` are children of the store that were asked for in another way and hold nothing: they must go first.
    """

    objects: tuple[Object, ...] = ()
    unfit: tuple[Object, ...] = ()


def start(
    attempt: Attempt,
    parent: Revision | None,
    *,
    desired_keys: Collection[str],
    spec: ModelServiceSpec,
    observed: Observed,
    settings: Settings,
    data: DataState,
) -> Start:
    """The next attempt at a step; nothing while one counts, or Jobs that it has overtaken are not gone."""
    step = attempt.step
    overtaken = (job for job in observed.jobs if job.key not in desired_keys or job.key == step.key)
    if attempt.job is not None or any(job.unfinished for job in overtaken):
        return Start()
    if observed.unreadable_record(step.key) is not None:
        return Start()
    objects = build_attempt(
        step,
        owner=observed.owner,
        spec=spec,
        settings=settings,
        data=data,
        children=observed.children,
        parent=parent,
        attempt=_name(step, spec, observed, settings).rpartition("-")[2],
    )
    unfit = tuple(obj for obj in objects.store if not _fits(observed, obj))
    return Start(unfit=unfit) if unfit else Start(objects=(*objects.store, *objects.work))


def _fits(observed: Observed, obj: Object) -> bool:
    """Whether a child of that name is absent, or neither on its way out nor asked for in another way."""
    live = observed.child(ref_of(obj).kind, obj["metadata"]["name"])
    return live is None or (not live["metadata"].get("deletionTimestamp") and is_current(live, stamped(obj)))


def _result(
    step: Step,
    job: StageJob | None,
    *,
    spec: ModelServiceSpec,
    observed: Observed,
    settings: Settings,
    data: DataState,
) -> tuple[bool, Revision | None]:
    """Whether the store holds something for the step, and the result."""
    artifacts = settled_artifacts(spec, settings)
    if (recorded := observed.record(step.key)) is not None:
        store, location = location_of(recorded.record, artifacts)
        held = store.holds(location, observed.children)
        return held, recorded if held else None
    store = store_of(artifacts)
    location = store.locate(artifacts, observed.owner, step.key)
    held = store.holds(location, observed.children)
    unreadable = observed.unreadable_record(step.key) is not None
    if unreadable or not held or job is None or job.success is None or data.digest is None:
        return held, None
    record = record_of(
        job.success,
        parent=step.parent,
        uri=location.uri,
        secret=location.secret,
        data_digest=data.digest,
        image=job.image,
    )
    return held, Revision(number=0, record=record)


def _is_superseded(job: StageJob, current: StageJob | None, *, held: bool, done: bool) -> bool:
    """Jobs that ended stay for their logs, unless what they stored is gone, or another attempt has taken over."""
    if job.phase is JobPhase.SUCCEEDED:
        return not held
    return job is not current and not (done and job.phase is JobPhase.FAILED)


def _name(step: Step, spec: ModelServiceSpec, observed: Observed, settings: Settings) -> str:
    """Of the first attempt; or of the second, where the first ended well without a report that can be read.

    The second finds the artifact of the first, verifies it and reports it: it works only if there is none.
    """
    first = _attempt_name(step, spec, observed, settings, retry=0)
    lost = any(job.name == first and job.lost_report for job in observed.jobs)
    return _attempt_name(step, spec, observed, settings, retry=1) if lost else first


def _attempt_name(step: Step, spec: ModelServiceSpec, observed: Observed, settings: Settings, *, retry: int) -> str:
    attempt = attempt_id(step, spec, settings, retry=retry)
    return job_name(observed.owner.name, stage=step.stage.name, key=step.key, attempt=attempt)


def _current(step: Step, spec: ModelServiceSpec, observed: Observed, settings: Settings) -> StageJob | None:
    """The Job of that name, or one that works on the same key in the same way on another operator's image."""
    name = _name(step, spec, observed, settings)
    if (named := next((job for job in observed.jobs if job.name == name), None)) is not None:
        return named
    run, missing = run_hash(step, spec, settings), observed.missing_images
    alike = (job for job in observed.jobs if job.key == step.key and job.run == run and job.image not in missing)
    going_well = (
        job
        for job in alike
        if job.phase is JobPhase.RUNNING or (job.phase is JobPhase.SUCCEEDED and not job.lost_report)
    )
    return next(going_well, None)
