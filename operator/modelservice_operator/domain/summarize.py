"""What to say: the status of a ModelService, from the plan and what was observed. Pure, so it can be made again."""

from datetime import datetime
from typing import Any

from modelservice.contract.resource import API_VERSION, KIND
from modelservice_operator.api.status import ConditionType, RevisionPhase, Stage
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
from modelservice_operator.domain.situation import Rollout, Situation, rollout

_SUSPENDED = "training waits until spec.suspend is false"


def summarize(situation: Situation, *, now: datetime) -> Object:
    """The whole object to apply to the status subresource."""
    observed, planned, state = situation.observed, situation.planned, situation.rollout
    live = observed.service.get("status", {})
    findings = _findings(situation)
    status: dict[str, Any] = {
        "observedGeneration": observed.generation,
        "conditions": to_conditions(
            findings, before=live.get("conditions", []), generation=observed.generation, now=now
        ),
        "stage": _stage(situation).value,
        "key": planned.key,
        "dataDigest": situation.data.digest,
        "progress": situation.progress,
        "replicas": state.total if state else 0,
        "selector": ",".join(f"{name}={value}" for name, value in selector_labels(observed.owner).items()),
        "revisions": [_revision_status(revision, situation) for revision in _newest_first(situation)],
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


def _findings(situation: Situation) -> list[Finding]:
    planned, problem = situation.planned, situation.problem
    ready = situation.rolled_out and problem is None
    reason, message = (problem.reason, problem.message) if problem else _course(situation)
    stalled = problem is not None and problem.waits_for_change
    findings = [
        Finding(type=ConditionType.READY, status=ready, reason=reason, message=message),
        _available(situation.rollout),
        Finding(type=ConditionType.PROGRESSING, status=not (ready or stalled or situation.suspended), reason=reason),
        Finding(
            type=ConditionType.STALLED,
            status=stalled,
            reason=reason if stalled else "NotStalled",
            message=message if stalled else "",
        ),
        _data_ready(situation),
        _trained(situation),
        _served(situation),
    ]
    if planned.target is not None:
        findings.append(_portable(shares_node(situation.observed.claim(planned.target.key))))
    if situation.spec.suspend:
        words = _SUSPENDED if situation.suspended else "nothing is left to train"
        findings.append(Finding(type=ConditionType.SUSPENDED, status=True, reason="Suspended", message=words))
    return findings


def _course(situation: Situation) -> tuple[str, str]:
    """Reason and message of Ready while nothing fails."""
    planned = situation.planned
    if situation.suspended:
        return "Suspended", _SUSPENDED
    if planned.wanted is None:
        meanwhile = f"revision {planned.target.number} serves meanwhile" if planned.target else None
        return "Training", ", ".join(filter(None, [f"training key {planned.key}", situation.progress, meanwhile]))
    if situation.rolled_out:
        return "Serving", f"{_replicas(situation.rollout)} serve revision {planned.wanted.number}"
    return "Deploying", f"revision {planned.wanted.number}: {_replicas(situation.rollout)} are available"


def _replicas(state: Rollout | None) -> str:
    return f"{state.available} of {state.wanted} replicas" if state else "0 replicas"


def _available(state: Rollout | None) -> Finding:
    some = state is not None and state.available > 0
    words = f"{_replicas(state)} answer requests" if some else "no replica answers requests"
    return Finding(
        type=ConditionType.AVAILABLE, status=some, reason="Answering" if some else "NoReplica", message=words
    )


def _data_ready(situation: Situation) -> Finding:
    kind, problem, wanted = ConditionType.DATA_READY, situation.data_problem, situation.planned.wanted
    if problem is not None:
        return Finding(type=kind, status=False, reason=problem.reason, message=problem.message)
    if wanted is None:
        return Finding(type=kind, status=None, reason="NotReadYet", message=f"found {situation.data.file}")
    sizes = f"{wanted.data.rows} rows, {wanted.data.features} features, {wanted.data.classes} classes"
    return Finding(type=kind, status=True, reason="Read", message="; ".join([sizes, *wanted.data.notes]))


def _trained(situation: Situation) -> Finding:
    kind, problem, wanted = ConditionType.TRAINED, situation.training_problem, situation.planned.wanted
    if wanted is not None:
        return Finding(type=kind, status=True, reason="Trained", message=_accuracy(wanted))
    if problem is not None:
        return Finding(type=kind, status=False, reason=problem.reason, message=problem.message)
    if situation.data_problem is not None:
        return Finding(type=kind, status=False, reason="DataNotReady")
    reason = "Suspended" if situation.suspended else "Training"
    return Finding(type=kind, status=False, reason=reason, message=situation.progress or "")


def _accuracy(revision: Revision) -> str:
    metrics = revision.metrics
    low, high = metrics.accuracy_interval
    return (
        f"revision {revision.number}: test accuracy {metrics.accuracy:.3f} "
        f"(95 % interval {low:.3f} to {high:.3f}, {metrics.test_rows} rows)"
    )


def _served(situation: Situation) -> Finding:
    kind, planned, problem = ConditionType.SERVED, situation.planned, situation.serving_problem
    if planned.wanted is None:
        words = f"revision {planned.target.number} serves meanwhile" if planned.target else ""
        return Finding(type=kind, status=False, reason="NotTrained", message=words)
    if situation.rolled_out:
        return Finding(type=kind, status=True, reason="Served", message=f"revision {planned.wanted.number}")
    if problem is not None:
        return Finding(type=kind, status=False, reason=problem.reason, message=problem.message)
    return Finding(type=kind, status=False, reason="Deploying", message=f"{_replicas(situation.rollout)} are available")


def _portable(shared_node: bool) -> Finding:
    kind = ConditionType.ARTIFACTS_PORTABLE
    if not shared_node:
        return Finding(type=kind, status=True, reason="ReadWriteMany", message="any node can mount the artifacts")
    words = "all pods of a revision share one node; use spec.artifacts.volumeClaim.accessModes: [ReadWriteMany]"
    return Finding(type=kind, status=False, reason="ReadWriteOnce", message=words)


def _stage(situation: Situation) -> Stage:
    if situation.suspended:
        return Stage.SUSPENDED
    problem = situation.problem
    if problem is not None and problem.waits_for_change:
        return Stage.FAILED
    if situation.planned.wanted is not None:
        return Stage.SERVING if situation.rolled_out else Stage.DEPLOYING
    return Stage.TRAINING


def _newest_first(situation: Situation) -> list[Revision]:
    """All recorded revisions, and the wanted one, whose record may have been written only just now."""
    revisions = {revision.number: revision for revision in situation.observed.revisions}
    if situation.planned.wanted is not None:
        revisions[situation.planned.wanted.number] = situation.planned.wanted
    return [revisions[number] for number in sorted(revisions, reverse=True)]


def _revision_status(revision: Revision, situation: Situation) -> Object:
    entry = {
        "number": revision.number,
        "key": revision.key,
        "digest": revision.digest,
        "dataDigest": revision.data_digest,
        "rows": revision.data.rows,
        "metrics": revision.metrics.model_dump(mode="json"),
        "parameters": revision.parameters,
        "image": revision.image,
        "phase": _phase(revision, situation).value,
        "createdAt": situation.observed.created.get(revision.key),
    }
    return {name: value for name, value in entry.items() if value is not None}


def _phase(revision: Revision, situation: Situation) -> RevisionPhase:
    observed, state = situation.observed, situation.rollout
    if situation.planned.target is not None and revision.key == situation.planned.target.key:
        complete = state is not None and state.complete and observed.deployed_key == revision.key
        return RevisionPhase.SERVING if complete else RevisionPhase.DEPLOYING
    in_pods = any(pod["metadata"]["labels"].get(LABEL_REVISION) == revision.key for pod in observed.serving_pods)
    return RevisionPhase.SERVING if in_pods else RevisionPhase.RETIRED
