"""What to say: the status of a ModelService, from the plan and what was observed. Pure, so it can be made again."""

from datetime import datetime
from typing import Any

from modelservice.contract.resource import API_VERSION, KIND
from modelservice_operator.crd.status import ConditionType, RevisionPhase, Stage
from modelservice_operator.constants import LABEL_REVISION
from modelservice_operator.domain.builders.serving import selector_labels
from modelservice_operator.domain.builders.training import shares_node
from modelservice_operator.domain.conditions import Finding, to_conditions
from modelservice_operator.domain.example import example_request
from modelservice_operator.domain.metadata import Object
from modelservice_operator.domain.names import service_url
from modelservice_operator.domain.observe import Observed
from modelservice_operator.domain.problem import Problem
from modelservice_operator.domain.revisions import Revision
from modelservice_operator.domain.assessment import Rollout, Assessment, rollout

_SUSPENDED = "training waits until spec.suspend is false"


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
        "stage": _stage(assessment).value,
        "key": planned.key,
        "dataDigest": assessment.data.digest,
        "progress": assessment.progress,
        "replicas": state.total if state else 0,
        "selector": ",".join(f"{name}={value}" for name, value in selector_labels(observed.owner).items()),
        "revisions": [_revision_status(revision, assessment) for revision in _newest_first(assessment)],
    }
    if planned.target is not None:
        status |= {
            "revision": planned.target.number,
            "digest": planned.target.digest,
            "url": service_url(observed.owner.name, observed.owner.namespace),
            "example": example_request(observed.owner, planned.target),
        }
    return _status_object(observed, {name: value for name, value in status.items() if value is not None})


def summarize_invalid(observed: Observed, problem: Problem, *, now: datetime) -> Object:
    """The status of a ModelService whose spec cannot be read; whatever serves goes on serving."""
    live = observed.service.get("status", {})
    state = rollout(observed.deployment)
    findings = [
        Finding(type=ConditionType.READY, status=False, reason=problem.reason, message=problem.message),
        _available(state),
        Finding(type=ConditionType.PROGRESSING, status=False, reason=problem.reason),
        Finding(type=ConditionType.STALLED, status=True, reason=problem.reason, message=problem.message),
    ]
    conditions = to_conditions(findings, before=live.get("conditions", []), generation=observed.generation, now=now)
    changed = {"observedGeneration": observed.generation, "conditions": conditions, "stage": Stage.FAILED.value}
    return _status_object(observed, {**live, **changed})


def _status_object(observed: Observed, status: dict[str, Any]) -> Object:
    metadata = {"name": observed.owner.name, "namespace": observed.owner.namespace}
    return {"apiVersion": API_VERSION, "kind": KIND, "metadata": metadata, "status": status}


def _findings(assessment: Assessment) -> list[Finding]:
    planned, problem = assessment.planned, assessment.problem
    ready = assessment.rolled_out and problem is None
    reason, message = (problem.reason, problem.message) if problem else _course(assessment)
    stalled = problem is not None and problem.waits_for_change
    findings = [
        Finding(type=ConditionType.READY, status=ready, reason=reason, message=message),
        _available(assessment.rollout),
        Finding(type=ConditionType.PROGRESSING, status=not (ready or stalled or assessment.suspended), reason=reason),
        Finding(
            type=ConditionType.STALLED,
            status=stalled,
            reason=reason if stalled else "NotStalled",
            message=message if stalled else "",
        ),
        _data_ready(assessment),
        _trained(assessment),
        _served(assessment),
    ]
    if planned.target is not None:
        findings.append(_portable(shares_node(assessment.observed.claim(planned.target.key))))
    if assessment.spec.suspend:
        words = _SUSPENDED if assessment.suspended else "nothing is left to train"
        findings.append(Finding(type=ConditionType.SUSPENDED, status=True, reason="Suspended", message=words))
    return findings


def _course(assessment: Assessment) -> tuple[str, str]:
    """Reason and message of Ready while nothing fails."""
    planned = assessment.planned
    if assessment.suspended:
        return "Suspended", _SUSPENDED
    if planned.wanted is None:
        meanwhile = f"revision {planned.target.number} serves meanwhile" if planned.target else None
        return "Training", ", ".join(filter(None, [f"training key {planned.key}", assessment.progress, meanwhile]))
    if assessment.rolled_out:
        return "Serving", f"{_replicas(assessment.rollout)} serve revision {planned.wanted.number}"
    return "Deploying", f"revision {planned.wanted.number}: {_replicas(assessment.rollout)} are available"


def _replicas(state: Rollout | None) -> str:
    return f"{state.available} of {state.wanted} replicas" if state else "0 replicas"


def _available(state: Rollout | None) -> Finding:
    some = state is not None and state.available > 0
    words = f"{_replicas(state)} answer requests" if some else "no replica answers requests"
    return Finding(
        type=ConditionType.AVAILABLE, status=some, reason="Answering" if some else "NoReplica", message=words
    )


def _data_ready(assessment: Assessment) -> Finding:
    kind, problem, wanted = ConditionType.DATA_READY, assessment.data_problem, assessment.planned.wanted
    if problem is not None:
        return Finding(type=kind, status=False, reason=problem.reason, message=problem.message)
    if wanted is None:
        return Finding(type=kind, status=None, reason="NotReadYet", message=f"found {assessment.data.file}")
    sizes = f"{wanted.data.rows} rows, {wanted.data.features} features, {wanted.data.classes} classes"
    return Finding(type=kind, status=True, reason="Read", message="; ".join([sizes, *wanted.data.notes]))


def _trained(assessment: Assessment) -> Finding:
    kind, problem, wanted = ConditionType.TRAINED, assessment.training_problem, assessment.planned.wanted
    if wanted is not None:
        return Finding(type=kind, status=True, reason="Trained", message=_accuracy(wanted))
    if problem is not None:
        return Finding(type=kind, status=False, reason=problem.reason, message=problem.message)
    if assessment.data_problem is not None:
        return Finding(type=kind, status=False, reason="DataNotReady")
    reason = "Suspended" if assessment.suspended else "Training"
    return Finding(type=kind, status=False, reason=reason, message=assessment.progress or "")


def _accuracy(revision: Revision) -> str:
    metrics = revision.metrics
    low, high = metrics.accuracy_interval
    return (
        f"revision {revision.number}: test accuracy {metrics.accuracy:.3f} "
        f"(95 % interval {low:.3f} to {high:.3f}, {metrics.test_rows} rows)"
    )


def _served(assessment: Assessment) -> Finding:
    kind, planned, problem = ConditionType.SERVED, assessment.planned, assessment.serving_problem
    if planned.wanted is None:
        words = f"revision {planned.target.number} serves meanwhile" if planned.target else ""
        return Finding(type=kind, status=False, reason="NotTrained", message=words)
    if assessment.rolled_out:
        return Finding(type=kind, status=True, reason="Served", message=f"revision {planned.wanted.number}")
    if problem is not None:
        return Finding(type=kind, status=False, reason=problem.reason, message=problem.message)
    return Finding(type=kind, status=False, reason="Deploying", message=f"{_replicas(assessment.rollout)} are available")


def _portable(shared_node: bool) -> Finding:
    kind = ConditionType.ARTIFACTS_PORTABLE
    if not shared_node:
        return Finding(type=kind, status=True, reason="ReadWriteMany", message="any node can mount the artifacts")
    words = "all pods of a revision share one node; use spec.artifacts.volumeClaim.accessModes: [ReadWriteMany]"
    return Finding(type=kind, status=False, reason="ReadWriteOnce", message=words)


def _stage(assessment: Assessment) -> Stage:
    if assessment.suspended:
        return Stage.SUSPENDED
    problem = assessment.problem
    if problem is not None and problem.waits_for_change:
        return Stage.FAILED
    if assessment.planned.wanted is not None:
        return Stage.SERVING if assessment.rolled_out else Stage.DEPLOYING
    return Stage.TRAINING


def _newest_first(assessment: Assessment) -> list[Revision]:
    """All recorded revisions, and the wanted one, whose record may have been written only just now."""
    revisions = {revision.number: revision for revision in assessment.observed.revisions}
    if assessment.planned.wanted is not None:
        revisions[assessment.planned.wanted.number] = assessment.planned.wanted
    return [revisions[number] for number in sorted(revisions, reverse=True)]


def _revision_status(revision: Revision, assessment: Assessment) -> Object:
    entry = {
        "number": revision.number,
        "key": revision.key,
        "digest": revision.digest,
        "dataDigest": revision.data_digest,
        "rows": revision.data.rows,
        "metrics": revision.metrics.model_dump(mode="json"),
        "parameters": revision.parameters,
        "image": revision.image,
        "phase": _phase(revision, assessment).value,
        "createdAt": assessment.observed.created.get(revision.key),
    }
    return {name: value for name, value in entry.items() if value is not None}


def _phase(revision: Revision, assessment: Assessment) -> RevisionPhase:
    observed, state = assessment.observed, assessment.rollout
    if assessment.planned.target is not None and revision.key == assessment.planned.target.key:
        complete = state is not None and state.complete and observed.deployed_key == revision.key
        return RevisionPhase.SERVING if complete else RevisionPhase.DEPLOYING
    in_pods = any(pod["metadata"]["labels"].get(LABEL_REVISION) == revision.key for pod in observed.serving_pods)
    return RevisionPhase.SERVING if in_pods else RevisionPhase.RETIRED
