"""What the conditions say: one finding for each, with the reason and the words for people."""

from collections.abc import Iterator

from modelservice_operator.crd.status import ConditionType
from modelservice_operator.domain.assessment import Assessment
from modelservice_operator.domain.autoscaled import autoscaled, scaled_by_another
from modelservice_operator.domain.conditions import Finding
from modelservice_operator.domain.encoders import EncoderState, width_change
from modelservice_operator.domain.observe import Observed
from modelservice_operator.domain.promotion import COMPARING, PAUSED, PROMOTED, ROLLED_BACK
from modelservice_operator.domain.records import Revision
from modelservice_operator.domain.requirements import comparison_text
from modelservice_operator.domain.rollout import Rollout, rollout
from modelservice_operator.domain.stages import Stage, asked_stages
from modelservice_operator.kinds import SERVICE

_SUSPENDED = "{activity} waits until spec.suspend is false"


def findings(assessment: Assessment) -> list[Finding]:
    """All conditions, before they have a time."""
    problem = assessment.problem
    ready = assessment.rolled_out and problem is None
    reason, message = (problem.reason, problem.message) if problem else _remarked(assessment)
    stalled = problem is not None and problem.waits_for_change
    rests = stalled or assessment.suspended or (problem is not None and problem.rests)
    found = [
        Finding(type=ConditionType.READY, status=ready, reason=reason, message=message),
        available(assessment.observed, assessment.rollout),
        Finding(type=ConditionType.PROGRESSING, status=not (ready or rests), reason=reason),
        Finding(
            type=ConditionType.STALLED,
            status=stalled,
            reason=reason if stalled else "NotStalled",
            message=message if stalled else "",
        ),
        *([_data_ready(assessment)] if assessment.data.needed else []),
        *([_encoder_ready(assessment, assessment.encoder)] if assessment.encoder is not None else []),
        *(_stage_finding(stage, assessment) for stage in asked_stages(assessment.spec)),
        *_promoted(assessment),
        _served(assessment),
    ]
    if (autoscaling := assessment.spec.serving.autoscaling) is not None:
        found.append(autoscaled(assessment.observed, autoscaling))
    elif assessment.observed.scalers:
        found.append(scaled_by_another(assessment.observed, assessment.spec.serving.replicas))
    if assessment.runtime is not None:
        found.append(assessment.runtime)
    if (portability := assessment.portability) is not None:
        found.append(
            Finding(
                type=ConditionType.ARTIFACTS_PORTABLE,
                status=portability.portable,
                reason=portability.reason,
                message=portability.message,
            )
        )
    if assessment.observed.unreadable:
        words = "; ".join(record.message for record in assessment.observed.unreadable)
        found.append(
            Finding(type=ConditionType.RECORDS_READABLE, status=False, reason="RecordUnreadable", message=words)
        )
    if assessment.spec.suspend:
        found.append(_suspended(assessment))
    return found


def _suspended(assessment: Assessment) -> Finding:
    """What was asked for is said once it is so: a Job may take a while to end, or be kept by a finalizer."""
    kind, running = ConditionType.SUSPENDED, [job.name for job in assessment.observed.jobs if job.unfinished]
    if running:
        return Finding(type=kind, status=False, reason="JobRuns", message=f"Job {', '.join(running)} has not ended")
    words = _waits(assessment) if assessment.suspended else "nothing is left to do"
    return Finding(type=kind, status=True, reason="Suspended", message=words)


def _waits(assessment: Assessment) -> str:
    return _SUSPENDED.format(activity=assessment.pending_stage.activity)


def _headway(assessment: Assessment) -> tuple[str, str]:
    """Reason and message of Ready while nothing fails."""
    planned = assessment.planned
    if assessment.suspended:
        return "Suspended", _waits(assessment)
    if planned.desired is None:
        stage, key = assessment.pending_stage, planned.pending.step.key if planned.pending else None
        words = (f"{stage.activity} key {key}", assessment.headway.words, assessment.wait, _meanwhile(assessment))
        return str(stage.word), ", ".join(filter(None, words))
    number = planned.goal.number if planned.goal else None
    if assessment.trying is not None:
        wait = assessment.wait if assessment.trying.split.canary else ""
        return "Canary", "; ".join(filter(None, (assessment.trying.words, wait)))
    if assessment.rolled_out:
        return "Serving", f"{_replicas(assessment.rollout)} serve revision {number}"
    available = f"revision {number}: {_replicas(assessment.rollout)} are available"
    return "Deploying", "; ".join(filter(None, (available, assessment.wait)))


def _remarked(assessment: Assessment) -> tuple[str, str]:
    """The headway, with what else is to be known of it."""
    reason, message = _headway(assessment)
    return reason, "; ".join((message, *assessment.remarks))


def _meanwhile(assessment: Assessment) -> str:
    served = assessment.observed.served
    return f"revision {served.number} serves meanwhile" if served and served.number else ""


def _replicas(state: Rollout | None) -> str:
    return f"{state.available} of {state.desired} replicas" if state else "0 replicas"


def available(observed: Observed, state: Rollout | None) -> Finding:
    """Whether requests are answered: a pod is ready, and the Service as it is now leads to it."""
    kind, reached = ConditionType.AVAILABLE, len(observed.reached)
    beside = rollout(observed.canary.deployment) if observed.canary else None
    if reached:
        asked = (state.desired if state else reached) + (beside.desired if beside else 0)
        return Finding(
            type=kind, status=True, reason="Answering", message=f"{reached} of {asked} replicas answer requests"
        )
    if observed.all_answering:
        name, served = observed.owner.name, observed.child(SERVICE, observed.owner.name)
        words = f"Service {name} leads to no ready replica" if served else f"no Service {name} of ours is there"
        return Finding(type=kind, status=False, reason="NotSelected", message=words)
    return Finding(type=kind, status=False, reason="NoReplica", message="no replica answers requests")


def _data_ready(assessment: Assessment) -> Finding:
    kind, problem = ConditionType.DATA_READY, assessment.data_problem
    if problem is not None:
        status = False if assessment.data.known else None
        return Finding(type=kind, status=status, reason=problem.reason, message=problem.message)
    read = [state.result.record.data for state in assessment.planned.steps if state.result]
    data = read[-1] if read else None
    if data is None:
        return Finding(type=kind, status=None, reason="NotReadYet", message=f"found {assessment.data.file}")
    return Finding(type=kind, status=True, reason="Read", message="; ".join([data.sizes, *data.notes]))


def _encoder_ready(assessment: Assessment, encoder: EncoderState) -> Finding:
    """Whether the encoder answers that a head asks."""
    kind, problem = ConditionType.ENCODER_READY, encoder.problem or assessment.encoder_gone
    if problem is not None:
        return Finding(type=kind, status=False, reason=problem.reason, message=problem.message)
    words, goal = f"{encoder.name} answers as {encoder.digest}", assessment.planned.goal
    before = [one for one in assessment.observed.revisions if goal is not None and one.number < goal.number]
    if goal is None or not before or (change := width_change(before[-1].record, goal.record)) is None:
        return Finding(type=kind, status=True, reason="Answering", message=words)
    said = f"{words}; {change} in revision {before[-1].number}"
    return Finding(type=kind, status=True, reason="WidthChanged", message=said)


def _stage_finding(stage: Stage, assessment: Assessment) -> Finding:
    """The condition of a stage: what its result means, or what it waits for."""
    planned, pending = assessment.planned, assessment.pending_stage
    results = [state.result for state in planned.steps[_index(stage, assessment) :] if state.result]
    if results:
        # Where only a later stage's record is left, it tells the same of the model that came of both.
        result = planned.desired if planned.desired and results[0].key == planned.desired.key else results[0]
        verdict = stage.verdict(result.record)
        number = f"revision {result.number}: " if result.number and verdict.message else ""
        return Finding(
            type=stage.condition, status=verdict.status, reason=verdict.reason, message=f"{number}{verdict.message}"
        )
    problem = assessment.stage_problem
    if problem is not None and stage is pending:
        return Finding(type=stage.condition, status=False, reason=problem.reason, message=problem.message)
    if assessment.data_problem is not None:
        return Finding(type=stage.condition, status=False, reason="DataNotReady")
    if assessment.encoder is not None and assessment.encoder.problem is not None:
        return Finding(type=stage.condition, status=False, reason="EncoderNotReady")
    if stage is not pending:
        return Finding(type=stage.condition, status=False, reason=f"Not{pending.condition}")
    reason = "Suspended" if assessment.suspended else str(stage.word)
    return Finding(type=stage.condition, status=False, reason=reason, message=assessment.headway.words)


def _index(stage: Stage, assessment: Assessment) -> int:
    return asked_stages(assessment.spec).index(stage)


def _promoted(assessment: Assessment) -> Iterator[Finding]:
    """Whether the newest result serves, where that is not a matter of course."""
    spec, planned, promotion = assessment.spec, assessment.planned, assessment.planned.promotion
    if spec.promotion is None and spec.serving.pin_revision is None:
        return
    kind, goal = ConditionType.PROMOTED, planned.goal
    if promotion.reason == COMPARING:
        problem = assessment.stage_problem or assessment.data_problem
        reason, words = (problem.reason, problem.message) if problem else (COMPARING, assessment.headway.words)
        yield Finding(type=kind, status=False, reason="Suspended" if assessment.suspended else reason, message=words)
    elif promotion.reason != PROMOTED:
        yield Finding(type=kind, status=False, reason=promotion.reason, message=promotion.message)
    elif goal is None:
        yield Finding(type=kind, status=False, reason=f"Not{assessment.pending_stage.condition}")
    else:
        said = (f"revision {goal.number}", *_compared(assessment, goal))
        yield Finding(type=kind, status=True, reason=PROMOTED, message="; ".join(said))


def _compared(assessment: Assessment, goal: Revision) -> Iterator[str]:
    """What the last comparison of what serves with another one came to, where one is asked for."""
    promotion = assessment.spec.promotion
    asked = promotion.compared_metrics if promotion is not None else ()
    records = [one for one in assessment.observed.comparisons if one.candidate.digest == goal.digest]
    if asked and not records and goal.number == 1:
        yield "the first model has nothing to be worse than"
    if not records:
        return
    last = max(records, key=lambda one: one.current.number)
    for metric in last.comparison.metrics:
        if metric.name in asked:
            yield comparison_text(metric, rows=last.comparison.rows, number=last.current.number)


def _served(assessment: Assessment) -> Finding:
    kind, planned, problem = ConditionType.SERVED, assessment.planned, assessment.serving_problem
    if planned.desired is None:
        reason = f"Not{assessment.pending_stage.condition}"
        return Finding(type=kind, status=False, reason=reason, message=_meanwhile(assessment))
    promotion = planned.promotion
    if promotion.reason == ROLLED_BACK or (promotion.reason == PAUSED and promotion.serving is None):
        return Finding(type=kind, status=False, reason=promotion.reason, message=promotion.message)
    if planned.goal is None:
        return Finding(type=kind, status=False, reason=f"Not{ConditionType.PROMOTED}", message=_meanwhile(assessment))
    if assessment.rolled_out:
        return Finding(type=kind, status=True, reason="Served", message=f"revision {planned.goal.number}")
    if problem is not None:
        return Finding(type=kind, status=False, reason=problem.reason, message=problem.message)
    reason, message = "Deploying", f"{_replicas(assessment.rollout)} are available"
    if assessment.trying is not None:
        reason, message = "Canary", assessment.trying.words
    return Finding(type=kind, status=False, reason=reason, message=message)
