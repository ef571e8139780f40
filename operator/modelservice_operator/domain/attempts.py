"""How a step of the pipeline stands: which Job counts, what came of it, and what the next attempt consists of."""

from collections.abc import Collection
from dataclasses import dataclass
from functools import partial

from modelservice.contract.failure import Failure
from modelservice_operator.domain.builders.encryption import current_secret
from modelservice_operator.domain.builders.job import attempt_id, build_attempt, run_hash
from modelservice_operator.domain.inputs import Inputs
from modelservice_operator.domain.jobs import JobPhase, StageJob
from modelservice_operator.domain.metadata import is_current, stamped
from modelservice_operator.domain.names import job_name
from modelservice_operator.domain.observe import Observed, told
from modelservice_operator.domain.records import ComparisonRecord, Revision, compared_artifact, record_of
from modelservice_operator.domain.stages import Step
from modelservice_operator.domain.stores import location_of, store_of
from modelservice_operator.domain.unproven import unproven_claims
from modelservice_operator.kinds import CONFIG_MAP, JOB, NETWORK_POLICY, SERVICE, ref_of
from modelservice_operator.objects import Object


@dataclass(frozen=True, kw_only=True)
class StepState:
    """How a step stands.

    ``parent`` is the result that it starts from, None for the first step and while there is none. ``job`` is the one
    that counts, ``result`` what came of it, recorded or just reported (then without a number); ``comparison`` that of a
    step that makes nothing. ``kept`` are the Jobs of the step that are not overtaken. ``leaving`` is what holds its
    artifact and is on its way out: until it is gone nothing counts, and no Job is kept, since the pods of one that
    ended hold a claim, too. ``unproven`` is a claim in the place of its own that nobody vouches for, no Job either.
    """

    step: Step
    parent: Revision | None = None
    job: StageJob | None = None
    result: Revision | None = None
    comparison: ComparisonRecord | None = None
    kept: tuple[StageJob, ...] = ()
    leaving: Object | None = None
    unproven: Object | None = None


def step_state(step: Step, inputs: Inputs, *, parent: Revision | None) -> StepState:
    """Find the Job that counts and the result of a step.

    A record whose artifact is gone from its store is none. The report of a Job counts, not its end: a sidecar may keep
    the pod, and with it the Job, running.
    """
    if (leaving := _leaving(step, inputs)) is not None:
        return StepState(step=step, parent=parent, leaving=leaving)
    if step.against is None and (unproven := _unproven(step, inputs)) is not None:
        return StepState(step=step, parent=parent, unproven=unproven)
    job = _current(step, inputs, parent)
    comparison = _comparison(step, job, inputs, parent)
    held, result = (True, None) if step.against else _result(step, job, inputs, parent)
    done = result is not None or comparison is not None
    own = [one for one in inputs.observed.jobs if one.key == step.key]
    kept = tuple(one for one in own if not _is_superseded(one, job, held=held, done=done))
    return StepState(step=step, parent=parent, job=job, result=result, comparison=comparison, kept=kept)


@dataclass(frozen=True, kw_only=True)
class NextAttempt:
    """What is to be there so that a step goes on: what its store needs, its order and its Job.

    ``unfit`` are children of the store that must go first: those on their way out, and those that were asked for in
    another way and hold nothing for certain. One that may hold something is used as it is.
    """

    objects: tuple[Object, ...] = ()
    unfit: tuple[Object, ...] = ()


def next_attempt(state: StepState, inputs: Inputs, *, desired_keys: Collection[str]) -> NextAttempt:
    """The next attempt at a step; nothing while one counts, or Jobs that it has overtaken are not gone.

    Of one that counts, only what its pod could not start without is made again if somebody deleted it.
    """
    step, observed = state.step, inputs.observed
    robbed = state.job if state.job and _was_robbed(state.job, step, inputs) else None
    counts = state.job is not None and robbed is None
    held = state.unproven is not None or observed.unreadable_record(step.key) is not None
    if counts or held or _is_deleted_by_a_job(state):
        return NextAttempt()
    objects = build_attempt(
        step,
        owner=observed.owner,
        spec=inputs.spec,
        settings=inputs.settings,
        data=inputs.data,
        children=observed.holders,
        parent=state.parent,
        attempt=robbed.attempt if robbed else _attempt_id(step, inputs, state.parent),
    )
    if robbed:
        wanted = (*objects.store, objects.order, *objects.peers)
        return NextAttempt(objects=tuple(obj for obj in wanted if _is_absent(observed, obj)))
    unlike = [obj for obj in objects.store if not _fits(observed, obj)]
    unfit = tuple(obj for obj in unlike if _may_go(step, inputs, obj))
    overtaken = (job for job in observed.jobs if job.key not in desired_keys or job.key == step.key)
    if unfit or any(job.unfinished for job in overtaken):
        return NextAttempt(unfit=unfit)
    store = (obj for obj in objects.store if obj not in unlike)
    return NextAttempt(objects=(*store, objects.order, *objects.peers, objects.job))


def _is_deleted_by_a_job(state: StepState) -> bool:
    """Whether a Job deletes what lies there, which would delete what is stored anew, too."""
    return state.leaving is not None and ref_of(state.leaving).kind == JOB


def _was_robbed(job: StageJob, step: Step, inputs: Inputs) -> bool:
    """Whether a Job runs without its order, what its result is to lie in, or what its pods meet by: gone before use.

    What was there when it succeeded is another matter: an empty one in its place would be taken for its result.
    """
    if job.phase is not JobPhase.RUNNING or job.success is not None:
        return False
    store = store_of(inputs.artifacts)
    location = store.locate(inputs.artifacts, inputs.observed.owner, step.key)
    held = step.against is not None or store.holds(location, inputs.observed.children)
    kinds = (CONFIG_MAP, SERVICE, NETWORK_POLICY) if job.workers > 1 else (CONFIG_MAP,)
    return not held or any(inputs.observed.child(kind, job.name) is None for kind in kinds)


def _is_absent(observed: Observed, obj: Object) -> bool:
    return observed.child(ref_of(obj).kind, obj["metadata"]["name"]) is None


def _fits(observed: Observed, obj: Object) -> bool:
    """Whether a child of that name is absent, or neither on its way out nor asked for in another way."""
    live = observed.child(ref_of(obj).kind, obj["metadata"]["name"])
    return live is None or (not live["metadata"].get("deletionTimestamp") and is_current(live, stamped(obj)))


def _may_go(step: Step, inputs: Inputs, obj: Object) -> bool:
    """Whether a child of the store goes already, or holds nothing for certain.

    A claim that was never bound holds nothing; nor does one whose Job failed, or is about to be tried again, while
    nothing tells that another one ended well. That a Job is gone proves nothing.
    """
    observed = inputs.observed
    live = observed.child(ref_of(obj).kind, obj["metadata"]["name"]) or {"metadata": {}}
    if live["metadata"].get("deletionTimestamp") or live.get("status", {}).get("phase") == "Pending":
        return True
    jobs = [job for job in observed.jobs if job.key == step.key]
    failed = any(job.phase is JobPhase.FAILED or isinstance(job.result, Failure) for job in jobs)
    succeeded = any(job.phase is JobPhase.SUCCEEDED or job.success for job in jobs)
    told_keys = {said.key for pod in observed.all_serving_pods if (said := told(pod))}
    recorded = observed.record(step.key) or observed.unreadable_record(step.key)
    served = step.key in {observed.deployed_key, *told_keys}
    return failed and not succeeded and not recorded and not served


def _leaving(step: Step, inputs: Inputs) -> Object | None:
    """What holds, or is to hold, the artifact of a step, and is on its way out."""
    observed = inputs.observed
    if (recorded := observed.record(step.key)) is not None:
        store, location = location_of(recorded.record, inputs.artifacts)
    else:
        store = store_of(inputs.artifacts)
        location = store.locate(inputs.artifacts, observed.owner, step.key)
    return store.leaving(location, observed.children)


def _unproven(step: Step, inputs: Inputs) -> Object | None:
    """The claim that stands where that of the step is to be, and that nobody vouches for."""
    if not (claims := unproven_claims(inputs.observed)):
        return None
    store = store_of(inputs.artifacts)
    holders = store.holders(store.locate(inputs.artifacts, inputs.observed.owner, step.key))
    return next((claims[name] for _, name in holders if name in claims), None)


def _result(step: Step, job: StageJob | None, inputs: Inputs, parent: Revision | None) -> tuple[bool, Revision | None]:
    """Whether the store holds something for the step, and the result."""
    observed, data = inputs.observed, inputs.data
    if (recorded := observed.record(step.key)) is not None:
        held = observed.holds(recorded.record, inputs.artifacts)
        return held, recorded if held else None
    store = store_of(inputs.artifacts)
    location = store.locate(inputs.artifacts, observed.owner, step.key)
    held = store.holds(location, observed.children)
    unreadable = observed.unreadable_record(step.key) is not None
    if unreadable or not held or job is None or job.success is None or data.digest is None:
        return held, None
    lies = store.settle(location, inputs.artifacts, stored_as=job.success.stored_as)
    record = record_of(
        job.success,
        parent=step.parent,
        uri=lies.uri,
        secret=lies.secret,
        data_digest=data.digest if data.needed else None,
        image=job.image,
        source=parent.record.source if parent else None,
        encryption_secret=current_secret(inputs.artifacts),
    )
    return held, Revision(number=0, record=record)


def _comparison(
    step: Step, job: StageJob | None, inputs: Inputs, candidate: Revision | None
) -> ComparisonRecord | None:
    """What a comparison came to, recorded or just reported."""
    current = step.against
    if current is None or candidate is None:
        return None
    recorded = inputs.observed.comparison(step.key)
    if recorded is not None or job is None or job.compared is None:
        return recorded
    return ComparisonRecord(
        key=step.key,
        candidate=compared_artifact(candidate),
        current=compared_artifact(current),
        comparison=job.compared.comparison,
        image=job.image,
    )


def _is_superseded(job: StageJob, current: StageJob | None, *, held: bool, done: bool) -> bool:
    """Jobs that ended stay for their logs, unless what they stored is gone, or another attempt has taken over.

    One that told its result has ended, though its controller may say so later.
    """
    if job.phase is JobPhase.SUCCEEDED or job.success or job.compared:
        return not held
    return job is not current and not (done and job.phase is JobPhase.FAILED)


def _attempt_id(step: Step, inputs: Inputs, parent: Revision | None) -> str:
    """Of the first attempt; or of the second, where the first ended well without a report that can be read.

    The second finds the artifact of the first, verifies it and reports it: it works only if there is none.
    """
    build = partial(attempt_id, step, inputs.spec, inputs.settings, data=inputs.data, parent=parent)
    first = build(retry=0)
    name = _job_name(step, inputs, first)
    return build(retry=1) if any(job.name == name and job.lost_report for job in inputs.observed.jobs) else first


def _job_name(step: Step, inputs: Inputs, attempt: str) -> str:
    return job_name(inputs.observed.owner.name, stage=step.stage.name, key=step.key, attempt=attempt)


def _current(step: Step, inputs: Inputs, parent: Revision | None) -> StageJob | None:
    """The Job of the attempt that is due, or one that works on the same key in the same way and goes well.

    Such a one is on another operator's image, or began from a parent that was lost since.
    """
    observed = inputs.observed
    name = _job_name(step, inputs, _attempt_id(step, inputs, parent))
    if (named := next((job for job in observed.jobs if job.name == name), None)) is not None:
        return named
    run, missing = run_hash(step, inputs.spec, inputs.settings, data=inputs.data), observed.missing_images
    alike = (job for job in observed.jobs if job.key == step.key and job.run == run and job.image not in missing)
    going_well = (
        job
        for job in alike
        if job.phase is JobPhase.RUNNING or (job.phase is JobPhase.SUCCEEDED and not job.lost_report)
    )
    return next(going_well, None)
