"""How each stage stands and what keeps it: the middle between a plan and the words of the status."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

from modelservice.contract.artifacts import Artifacts
from modelservice.contract.failure import About
from modelservice.contract.progress import Progress
from modelservice.contract.resource import ModelServiceSpec
from modelservice_operator.config import Settings
from modelservice_operator.domain.attempts import StepState
from modelservice_operator.domain.canary import Trial
from modelservice_operator.domain.conditions import Finding
from modelservice_operator.domain.currency import runtime_current
from modelservice_operator.domain.data import DataState
from modelservice_operator.domain.diagnose import (
    CRASH_LOOP,
    SERVING_SECTION,
    failure_problem,
    memory_limit_of,
    pending_problem,
    pod_problem,
    with_remedy,
)
from modelservice_operator.domain.drift import IMPOSED
from modelservice_operator.domain.encoders import EncoderState
from modelservice_operator.domain.expiry import AGAIN
from modelservice_operator.domain.jobs import JobPhase
from modelservice_operator.domain.observe import Observed
from modelservice_operator.domain.plan import Plan
from modelservice_operator.domain.problem import Problem
from modelservice_operator.domain.progress import Headway, headway
from modelservice_operator.domain.promotion import PAUSED, PENDING, Promotion
from modelservice_operator.domain.queueing import QueueSays
from modelservice_operator.domain.requirements import input_changes
from modelservice_operator.domain.rollout import Rollout, rollout
from modelservice_operator.domain.stages import Work, asked_stages
from modelservice_operator.domain.stores import Portability, location_of, settled_artifacts, store_of
from modelservice_operator.domain.unproven import unproven_claims, unproven_words
from modelservice_operator.domain.waits import claim_problem, job_problem, serving_wait, stage_wait
from modelservice_operator.objects import Object

_SHOWN = 3
"""Additions, artifacts and claims that are named; the others are counted."""


@dataclass(frozen=True, kw_only=True)
class Diagnostics:
    """What the reconciler learned besides the cache: live progress, last warnings, and a refused write.

    ``artifacts`` is the last warning about what the store needs, such as a claim that does not bind: it is the cause
    of what the pods of the ``stage`` say.
    """

    progress: Progress | None = None
    queue: QueueSays | None = None
    artifacts: Problem | None = None
    stage: Problem | None = None
    serving: Problem | None = None
    refused: Problem | None = None


@dataclass(frozen=True, kw_only=True)
class Assessment:
    """Everything that the status is made from.

    ``data_problem`` is what the owner of the data has to mend, ``stage_problem`` what keeps the pending stage, ``wait``
    what nothing is wrong with, but is waited for; ``encoder`` how the shared one stands, if one is asked, and
    ``encoder_gone`` that the one is not there which what serves asks; ``remarks`` what is another way than asked for,
    and is lived with. ``runtime`` is how current the server is, where there is one.
    """

    spec: ModelServiceSpec
    observed: Observed
    data: DataState
    planned: Plan
    rollout: Rollout | None
    portability: Portability | None
    headway: Headway
    encoder: EncoderState | None
    encoder_gone: Problem | None
    data_problem: Problem | None
    stage_problem: Problem | None
    promotion_problem: Problem | None
    serving_problem: Problem | None
    refused: Problem | None
    runtime: Finding | None = None
    wait: str = ""
    remarks: tuple[str, ...] = ()

    @property
    def trying(self) -> Trial | None:
        """A canary that goes on by itself."""
        trial = self.planned.trial
        return None if trial is None or trial.held else trial

    @cached_property
    def rolled_out(self) -> bool:
        """Whether all replicas serve what is to serve: its pods say so, and the Service leads to them."""
        if self.trying is not None:
            return False
        goal, served, state = self.planned.goal, self.observed.served, self.rollout
        if goal is None or self.observed.deployed_key != goal.key or state is None or not state.complete:
            return False
        there = served is not None and (served.key, served.digest) == (goal.key, goal.digest)
        return state.desired == 0 or (there and bool(self.observed.reached))

    @property
    def pending_stage(self) -> Work:
        """The stage that is waited for; the first one while the data is not known."""
        pending = self.planned.pending
        return pending.step.stage if pending else asked_stages(self.spec)[0]

    @property
    def suspended(self) -> bool:
        """Whether a stage waits for ``spec.suspend`` to end."""
        return self.spec.suspend and self.planned.desired is None

    @cached_property
    def problem(self) -> Problem | None:
        """The first thing that fails, in the order in which the stages follow each other."""
        # What crashed a moment ago answers until it crashes again: that is one problem, not many.
        looping = self.serving_problem is not None and self.serving_problem.reason == CRASH_LOOP
        serving = self.serving_problem if looping or not self.rolled_out else None
        encoder = self.encoder.problem if self.encoder is not None else None
        found = self.data_problem or encoder or self.refused or self.stage_problem or self.promotion_problem or serving
        # While a newer revision is made, that is what goes on.
        return found or (self.encoder_gone if self.planned.pending is None else None)


def assess(
    spec: ModelServiceSpec,
    observed: Observed,
    data: DataState,
    *,
    planned: Plan,
    diagnostics: Diagnostics,
    settings: Settings,
    now: datetime,
    encoder: EncoderState | None = None,
    encoder_gone: Problem | None = None,
) -> Assessment:
    """Put together what is known about each stage."""
    stage = _stage_problem(spec, observed, planned.pending, diagnostics, now)
    pending = planned.pending
    wait = stage_wait(pending, observed, now=now) if pending else serving_wait(observed, now=now)
    of_data = stage if stage is not None and stage.about is About.DATA else None
    portability = None
    if planned.serving is not None:
        store, location = location_of(planned.serving.record, settled_artifacts(spec, settings))
        portability = store.portability(location, observed.holders)
    return Assessment(
        spec=spec,
        observed=observed,
        data=data,
        planned=planned,
        rollout=rollout(observed.deployment),
        portability=portability,
        headway=headway(planned, diagnostics.progress, observed.service.get("status", {}), stuck=stage is not None),
        encoder=encoder,
        encoder_gone=encoder_gone,
        data_problem=data.problem or of_data,
        stage_problem=None if of_data or data.problem else stage,
        promotion_problem=_promotion_problem(planned.promotion),
        serving_problem=_first_problem(observed, diagnostics, now) if planned.serving else None,
        refused=diagnostics.refused,
        runtime=runtime_current(spec, observed, planned, settings),
        wait=wait,
        remarks=(
            *([encoder_gone.message] if encoder_gone else []),
            *_remarks(spec, observed, planned, settled_artifacts(spec, settings)),
        ),
    )


def _promotion_problem(promotion: Promotion) -> Problem | None:
    """That what is asked for may not serve, or that nothing serves until somebody promotes it."""
    waits = promotion.reason in {PENDING, PAUSED} and promotion.serving is None
    if not promotion.fails and not waits:
        return None
    return Problem(reason=promotion.reason, message=promotion.message, waits_for_change=promotion.fails, rests=True)


def _remarks(spec: ModelServiceSpec, observed: Observed, planned: Plan, artifacts: Artifacts) -> Iterator[str]:
    left = planned.changes.left
    for ref, extra in left[:_SHOWN]:
        yield f"{ref.kind.kind} {ref.name}: {extra} {IMPOSED}"
    if len(left) > _SHOWN:
        yield f"{len(left) - _SHOWN} more additions are left"
    again = f"it is tried again every {AGAIN.seconds // 60} minutes"
    yield from (f"{words} ({again})" for words in planned.expiry.failed[:_SHOWN])
    if len(planned.expiry.failed) > _SHOWN:
        yield f"{len(planned.expiry.failed) - _SHOWN} more artifacts could not be deleted"
    yield from planned.expiry.waits
    yield from _of_nobody(observed)
    strategy = (observed.deployment or {}).get("spec", {}).get("strategy", {}).get("type")
    if spec.serving.rollout is None and strategy == "Recreate":
        yield "its old pods ended before new ones started, since no node had a GPU for both (see spec.serving.rollout)"
    yield from _waiting(planned)
    if (goal := planned.goal) is not None:
        earlier = (one for one in observed.revisions if one.turn < goal.turn)
        before = max(earlier, key=lambda one: one.turn, default=None)
        if before is not None and (words := input_changes(before.record, goal.record)):
            yield f"the inputs changed against revision {before.number}, {words}"
    if planned.serving is not None:
        store, location = location_of(planned.serving.record, artifacts)
    elif planned.pending is not None:
        store = store_of(artifacts)
        location = store.locate(artifacts, observed.owner, planned.pending.step.key)
    else:
        return
    if words := store.unlike(location, artifacts, observed.children):
        yield words


def _of_nobody(observed: Observed) -> Iterator[str]:
    """Claims that nobody vouches for, whether or not a stage waits for the name of one."""
    found = list(unproven_claims(observed).values())
    yield from map(unproven_words, found[:_SHOWN])
    if len(found) > _SHOWN:
        yield f"{len(found) - _SHOWN} more claims are labelled as ours and belong to nobody"


def _waiting(planned: Plan) -> Iterator[str]:
    """What is not rolled out, and why; and how far a canary is, where Ready speaks of something else."""
    if planned.promotion.message:
        yield planned.promotion.message
    if planned.trial is not None and (planned.trial.held or planned.desired is None):
        yield planned.trial.words


def _blocked(observed: Observed, pending: StepState, diagnostics: Diagnostics, now: datetime) -> Problem | None:
    """What must be seen to before the Job of the pending stage counts."""
    if (record := observed.unreadable_record(pending.step.key)) is not None:
        message = f"{record.message}; or delete it, and it is made anew"
        return Problem(reason="RecordUnreadable", message=message, waits_for_change=True)
    if (job := pending.job) is not None and job.lost_report:
        message = f"Job {job.name} ended twice without a report that can be read: see its log, then delete it"
        return Problem(reason="ReportUnreadable", message=message, waits_for_change=True)
    return claim_problem(pending, observed, now=now) or job_problem(pending, diagnostics.queue)


def _stage_problem(
    spec: ModelServiceSpec, observed: Observed, pending: StepState | None, diagnostics: Diagnostics, now: datetime
) -> Problem | None:
    """What keeps the pending stage from going on."""
    if pending is None:
        return None
    if (blocked := _blocked(observed, pending, diagnostics, now)) is not None:
        return blocked
    if (job := pending.job) is None:
        return diagnostics.stage
    section = pending.step.stage.job(spec).section
    if job.phase is JobPhase.FAILED and not job.awaits_report:
        return failure_problem(job, activity=pending.step.stage.activity, section=section)
    limit = memory_limit_of(job.obj)
    waiting = (pod_problem(pod, section=section, memory_limit=limit, observed=observed) for pod in reversed(job.pods))
    found = diagnostics.artifacts or next((problem for problem in waiting if problem), None)
    return found or pending_problem(job, section=section) or diagnostics.stage


def _first_problem(observed: Observed, diagnostics: Diagnostics, now: datetime) -> Problem | None:
    """What keeps serving pods from running: those of a canary first, which are the newer ones."""
    found = _serving_problem(observed.beside, diagnostics, now) if observed.beside else None
    return found or _serving_problem(observed, diagnostics, now)


def _serving_problem(observed: Observed, diagnostics: Diagnostics, now: datetime) -> Problem | None:
    """What keeps the newest serving pods from running."""
    if observed.deployment is None:
        return diagnostics.serving
    limit = memory_limit_of(observed.deployment)
    pods = reversed(observed.serving_pods)
    waiting = (
        pod_problem(pod, section=SERVING_SECTION, memory_limit=limit, now=now, observed=observed) for pod in pods
    )
    found = next((problem for problem in waiting if problem), None)
    return found or _replica_failure(observed.deployment) or diagnostics.serving


def _replica_failure(deployment: Object) -> Problem | None:
    for condition in deployment.get("status", {}).get("conditions", ()):
        if condition["type"] == "ReplicaFailure" and condition["status"] == "True":
            message = with_remedy(condition.get("message", ""), section=SERVING_SECTION)
            return Problem(reason=condition.get("reason", "ReplicaFailure"), message=message)
    return None
