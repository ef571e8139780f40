"""What to say: the status of a ModelService, from the plan and what was observed. Pure, so it can be made again."""

from datetime import datetime
from typing import Any

from modelservice.contract.evaluation import Evaluation
from modelservice.contract.resource import API_VERSION, KIND
from modelservice.contract.serving import Autoscaling
from modelservice_operator.crd.status import ConditionType, RevisionPhase
from modelservice_operator.crd.status import Stage as StageWord
from modelservice_operator.domain.assessment import Assessment, Rollout, rollout
from modelservice_operator.domain.builders.serving import selector_labels
from modelservice_operator.domain.clamp import clamped
from modelservice_operator.domain.conditions import Finding, to_conditions
from modelservice_operator.domain.example import example_request
from modelservice_operator.domain.names import service_url
from modelservice_operator.domain.observe import Observed, told
from modelservice_operator.domain.problem import Problem
from modelservice_operator.domain.records import Revision, metric_text
from modelservice_operator.domain.stages import Stage, asked_stages
from modelservice_operator.kinds import HORIZONTAL_POD_AUTOSCALER, SERVICE
from modelservice_operator.objects import Object

_ABILITIES = ("AbleToScale", "ScalingActive")
"""Conditions of an autoscaler; while it sees no metric the last one is False."""

_METRICS_REMEDY = "(is metrics-server installed, and does it answer?)"
_SUSPENDED = "{activity} waits until spec.suspend is false"


def summarize(assessment: Assessment, *, now: datetime) -> Object:
    """The whole object to apply to the status subresource."""
    observed, planned, state = assessment.observed, assessment.planned, assessment.rollout
    live = observed.service.get("status", {})
    findings = _findings(assessment)
    status: dict[str, Any] = {
        "observedGeneration": observed.generation,
        "conditions": to_conditions(
            findings, before=live.get("conditions", []), generation=observed.generation, now=now
        ),
        "stage": str(_stage_word(assessment)),
        "key": planned.key,
        "dataDigest": assessment.data.digest,
        "progress": assessment.progress,
        "replicas": state.total if state else 0,
        "selector": ",".join(f"{name}={value}" for name, value in selector_labels(observed.owner).items()),
        "revisions": [_revision_status(revision, assessment) for revision in _newest_first(assessment)],
    }
    status |= _answers(observed)
    return _status_object(observed, {name: value for name, value in status.items() if value is not None})


def _answers(observed: Observed) -> dict[str, Any]:
    """What answers requests, as ready pods tell by what they were started with; all None while none is ready."""
    served, reached = observed.served, observed.child(SERVICE, observed.owner.name) is not None
    if served is None:
        return dict.fromkeys(("revision", "digest", "metric", "url", "example"))
    evaluation = served.record.evaluation
    return {
        "revision": served.number or None,
        "digest": served.digest,
        "metric": metric_text(evaluation.primary_metric) if evaluation else None,
        "url": service_url(observed.owner.name, observed.owner.namespace) if reached else None,
        "example": example_request(observed.owner, served.record) if reached else None,
    }


def summarize_invalid(observed: Observed, problem: Problem, *, now: datetime) -> Object:
    """The status of a ModelService whose spec cannot be read; whatever serves goes on serving."""
    live = observed.service.get("status", {})
    state = rollout(observed.deployment)
    findings = [
        Finding(type=ConditionType.READY, status=False, reason=problem.reason, message=problem.message),
        _available(observed, state),
        Finding(type=ConditionType.PROGRESSING, status=False, reason=problem.reason),
        Finding(type=ConditionType.STALLED, status=True, reason=problem.reason, message=problem.message),
    ]
    conditions = to_conditions(findings, before=live.get("conditions", []), generation=observed.generation, now=now)
    changed = {"observedGeneration": observed.generation, "conditions": conditions, "stage": StageWord.FAILED.value}
    status = {**live, **changed, **_answers(observed)}
    return _status_object(observed, {name: value for name, value in status.items() if value is not None})


def _status_object(observed: Observed, status: dict[str, Any]) -> Object:
    owner = observed.owner
    metadata = {"name": owner.name, "namespace": owner.namespace, "resourceVersion": observed.version}
    return {"apiVersion": API_VERSION, "kind": KIND, "metadata": metadata, "status": clamped(status)}


def _findings(assessment: Assessment) -> list[Finding]:
    problem = assessment.problem
    ready = assessment.rolled_out and problem is None
    reason, message = (problem.reason, problem.message) if problem else _headway(assessment)
    stalled = problem is not None and problem.waits_for_change
    rests = stalled or assessment.suspended or (problem is not None and problem.rests)
    findings = [
        Finding(type=ConditionType.READY, status=ready, reason=reason, message=message),
        _available(assessment.observed, assessment.rollout),
        Finding(type=ConditionType.PROGRESSING, status=not (ready or rests), reason=reason),
        Finding(
            type=ConditionType.STALLED,
            status=stalled,
            reason=reason if stalled else "NotStalled",
            message=message if stalled else "",
        ),
        _data_ready(assessment),
        *(_stage_finding(stage, assessment) for stage in asked_stages(assessment.spec)),
        _served(assessment),
    ]
    if (autoscaling := assessment.spec.serving.autoscaling) is not None:
        findings.append(_autoscaled(assessment, autoscaling))
    if (found := assessment.portability) is not None:
        findings.append(
            Finding(
                type=ConditionType.ARTIFACTS_PORTABLE,
                status=found.portable,
                reason=found.reason,
                message=found.message,
            )
        )
    if assessment.observed.unreadable:
        words = "; ".join(record.message for record in assessment.observed.unreadable)
        findings.append(
            Finding(type=ConditionType.RECORDS_READABLE, status=False, reason="RecordUnreadable", message=words)
        )
    if assessment.spec.suspend:
        findings.append(_suspended(assessment))
    return findings


def _suspended(assessment: Assessment) -> Finding:
    """What was asked for is said once it is so: a Job may take a while to end, or be kept by a finalizer."""
    kind, running = ConditionType.SUSPENDED, [job.name for job in assessment.observed.jobs if job.unfinished]
    if running:
        return Finding(type=kind, status=False, reason="JobRuns", message=f"Job {', '.join(running)} has not ended")
    words = _waits(assessment) if assessment.suspended else "nothing is left to do"
    return Finding(type=kind, status=True, reason="Suspended", message=words)


def _pending_stage(assessment: Assessment) -> Stage:
    """The stage that is waited for; the first one while the data is not known."""
    pending = assessment.planned.pending
    return pending.step.stage if pending else asked_stages(assessment.spec)[0]


def _waits(assessment: Assessment) -> str:
    return _SUSPENDED.format(activity=_pending_stage(assessment).activity)


def _headway(assessment: Assessment) -> tuple[str, str]:
    """Reason and message of Ready while nothing fails."""
    planned = assessment.planned
    if assessment.suspended:
        return "Suspended", _waits(assessment)
    if planned.desired is None:
        stage, key = _pending_stage(assessment), planned.pending.step.key if planned.pending else None
        words = (f"{stage.activity} key {key}", assessment.progress, assessment.wait, _meanwhile(assessment))
        return str(stage.word), ", ".join(filter(None, words))
    if assessment.rolled_out:
        return "Serving", f"{_replicas(assessment.rollout)} serve revision {planned.desired.number}"
    available = f"revision {planned.desired.number}: {_replicas(assessment.rollout)} are available"
    return "Deploying", "; ".join(filter(None, (available, assessment.wait)))


def _meanwhile(assessment: Assessment) -> str:
    served = assessment.observed.served
    return f"revision {served.number} serves meanwhile" if served and served.number else ""


def _replicas(state: Rollout | None) -> str:
    return f"{state.available} of {state.desired} replicas" if state else "0 replicas"


def _available(observed: Observed, state: Rollout | None) -> Finding:
    """Whether requests are answered: a pod is ready, and the Service as it is now leads to it."""
    kind, reached = ConditionType.AVAILABLE, len(observed.reached)
    if reached:
        asked = state.desired if state else reached
        return Finding(
            type=kind, status=True, reason="Answering", message=f"{reached} of {asked} replicas answer requests"
        )
    if observed.answering:
        name, served = observed.owner.name, observed.child(SERVICE, observed.owner.name)
        words = f"no ready replica is selected by Service {name}" if served else f"no Service {name} of ours is there"
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
    sizes = f"{data.rows} rows, {data.features} features"
    classes = f", {data.classes} classes" if data.classes is not None else ""
    return Finding(type=kind, status=True, reason="Read", message="; ".join([f"{sizes}{classes}", *data.notes]))


def _stage_finding(stage: Stage, assessment: Assessment) -> Finding:
    """The condition of a stage: what its result means, or what it waits for."""
    planned, pending = assessment.planned, _pending_stage(assessment)
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
    if stage is not pending:
        return Finding(type=stage.condition, status=False, reason=f"Not{pending.condition}")
    reason = "Suspended" if assessment.suspended else str(stage.word)
    return Finding(type=stage.condition, status=False, reason=reason, message=assessment.progress or "")


def _index(stage: Stage, assessment: Assessment) -> int:
    return asked_stages(assessment.spec).index(stage)


def _served(assessment: Assessment) -> Finding:
    kind, planned, problem = ConditionType.SERVED, assessment.planned, assessment.serving_problem
    if planned.desired is None:
        reason = f"Not{_pending_stage(assessment).condition}"
        return Finding(type=kind, status=False, reason=reason, message=_meanwhile(assessment))
    if assessment.rolled_out:
        return Finding(type=kind, status=True, reason="Served", message=f"revision {planned.desired.number}")
    if problem is not None:
        return Finding(type=kind, status=False, reason=problem.reason, message=problem.message)
    return Finding(
        type=kind, status=False, reason="Deploying", message=f"{_replicas(assessment.rollout)} are available"
    )


def _autoscaled(assessment: Assessment, autoscaling: Autoscaling) -> Finding:
    """What the autoscaler says of itself: it decides nothing while it sees no metric, and pods serve all the same."""
    kind, observed = ConditionType.AUTOSCALED, assessment.observed
    autoscaler = observed.child(HORIZONTAL_POD_AUTOSCALER, observed.owner.name) or {}
    said = {one["type"]: one for one in autoscaler.get("status", {}).get("conditions", ())}
    wrong = (said[name] for name in _ABILITIES if said.get(name, {}).get("status") == "False")
    if (failed := next(wrong, None)) is not None:
        message = f"the autoscaler says: {failed.get('message', '')} {_METRICS_REMEDY}"
        return Finding(type=kind, status=False, reason=failed.get("reason", ""), message=message)
    if said.get(_ABILITIES[-1], {}).get("status") != "True":
        return Finding(type=kind, status=None, reason="NotDecidedYet")
    words = f"{autoscaling.min_replicas} to {autoscaling.max_replicas} replicas"
    return Finding(type=kind, status=True, reason="Scaling", message=words)


def _stage_word(assessment: Assessment) -> str:
    if assessment.suspended:
        return StageWord.SUSPENDED
    problem = assessment.problem
    if problem is not None and problem.waits_for_change:
        return StageWord.FAILED
    if assessment.planned.desired is not None:
        return StageWord.SERVING if assessment.rolled_out else StageWord.DEPLOYING
    return _pending_stage(assessment).word


def _newest_first(assessment: Assessment) -> list[Revision]:
    """All recorded revisions, and the desired one, whose record may have been written only just now."""
    revisions = {revision.number: revision for revision in assessment.observed.revisions}
    if assessment.planned.desired is not None:
        revisions[assessment.planned.desired.number] = assessment.planned.desired
    return [revisions[number] for number in sorted(revisions, reverse=True)]


def _revision_status(revision: Revision, assessment: Assessment) -> Object:
    record = revision.record
    entry = {
        "number": revision.number,
        "key": revision.key,
        "digest": revision.digest,
        "dataDigest": record.data_digest,
        "uri": record.artifact.uri,
        "family": record.family,
        "task": record.task,
        "rows": record.data.rows if record.data else None,
        **(_evaluation_status(record.evaluation) if record.evaluation else {}),
        "parameters": record.parameters,
        "sizeBytes": record.artifact_bytes,
        "image": record.image,
        "phase": _phase(revision, assessment).value,
        "createdAt": revision.obj["metadata"].get("creationTimestamp") if revision.obj else None,
    }
    return {name: value for name, value in entry.items() if value is not None}


def _evaluation_status(evaluation: Evaluation) -> Object:
    return {
        "primaryMetric": evaluation.primary,
        "metrics": [metric.model_dump(mode="json", exclude_none=True) for metric in evaluation.metrics],
        "testRows": evaluation.rows,
    }


def _phase(revision: Revision, assessment: Assessment) -> RevisionPhase:
    observed, state = assessment.observed, assessment.rollout
    if assessment.planned.serving is not None and revision.key == assessment.planned.serving.key:
        complete = state is not None and state.complete and observed.deployed_key == revision.key
        return RevisionPhase.SERVING if complete else RevisionPhase.DEPLOYING
    in_pods = any((said := told(pod)) is not None and said.key == revision.key for pod in observed.serving_pods)
    return RevisionPhase.SERVING if in_pods else RevisionPhase.RETIRED
