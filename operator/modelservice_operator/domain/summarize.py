"""What to say: the status of a ModelService, from the plan and what was observed. Pure, so it can be made again."""

from datetime import datetime
from typing import Any

from modelservice.contract.evaluation import Evaluation
from modelservice.contract.manifest import CompressionSummary
from modelservice.contract.resource import API_VERSION, KIND
from modelservice.contract.server_flags import ACCESS
from modelservice_operator.crd.status import ConditionType, RevisionPhase
from modelservice_operator.crd.status import Stage as StageWord
from modelservice_operator.domain.assessment import Assessment
from modelservice_operator.domain.builders.serving import selector_labels, speaks_tls
from modelservice_operator.domain.clamp import clamped
from modelservice_operator.domain.conditions import Finding, to_conditions
from modelservice_operator.domain.example import example_request
from modelservice_operator.domain.findings import available, findings
from modelservice_operator.domain.names import service_url
from modelservice_operator.domain.observe import Observed, arguments_of, image_of, told
from modelservice_operator.domain.problem import Problem
from modelservice_operator.domain.queueing import QUEUED
from modelservice_operator.domain.records import Revision, StageRecord, metric_text
from modelservice_operator.domain.rollout import rollout
from modelservice_operator.kinds import SERVICE
from modelservice_operator.objects import Object

_USERS = 64
"""Heads that are named."""


def summarize(assessment: Assessment, *, now: datetime) -> Object:
    """The whole object to apply to the status subresource."""
    observed, planned, state = assessment.observed, assessment.planned, assessment.rollout
    live = observed.service.get("status", {})
    status: dict[str, Any] = {
        "observedGeneration": observed.generation,
        "conditions": to_conditions(
            findings(assessment), before=live.get("conditions", []), generation=observed.generation, now=now
        ),
        "stage": str(_stage_word(assessment)),
        "key": planned.key,
        "dataDigest": assessment.data.digest if assessment.data.needed else None,
        "progress": assessment.headway.percent,
        "eta": assessment.headway.eta,
        "lastRevision": max(observed.last_number, planned.serving.number if planned.serving else 0) or None,
        "replicas": state.total if state else 0,
        "selector": ",".join(f"{name}={value}" for name, value in selector_labels(observed.owner).items()),
        "revisions": _revisions(assessment),
        "encoder": observed.encoder,
        "usedBy": [head.name for head in observed.heads][:_USERS] or None,
    }
    status |= _answers(observed)
    return _status_object(observed, {name: value for name, value in status.items() if value is not None})


def _answers(observed: Observed) -> dict[str, Any]:
    """What answers requests, as ready pods tell by what they were started with; all None while none is ready."""
    served, service = observed.served, observed.child(SERVICE, observed.owner.name)
    if served is None:
        return dict.fromkeys(("revision", "digest", "serverImage", "metric", "source", "url", "example"))
    evaluation = served.record.evaluation
    tls = speaks_tls(observed.all_answering[-1])
    url = service_url(observed.owner.name, observed.owner.namespace, tls=tls) if service else None
    return {
        "revision": served.number or None,
        "digest": observed.settled_digest,
        "serverImage": image_of(observed.all_answering[-1]),
        "metric": metric_text(evaluation.primary_metric) if evaluation else None,
        "source": served.record.source,
        "url": url,
        "example": _example(observed, served.record, url) if url else None,
    }


def _example(observed: Observed, record: StageRecord, url: str) -> str:
    """How to ask the pods that serve, by what they were told of callers."""
    template = (observed.deployment or {}).get("spec", {}).get("template", {})
    access = arguments_of(template).get(ACCESS, "")
    keyed, certified = (f'"{name}":' in access for name in ("auth", "clientCertificates"))
    return example_request(observed.owner, record, url, key=keyed, certificate=certified)


def summarize_invalid(observed: Observed, problem: Problem, *, now: datetime) -> Object:
    """The status of a ModelService whose spec cannot be read; whatever serves goes on serving."""
    live = observed.service.get("status", {})
    state = rollout(observed.deployment)
    found = [
        Finding(type=ConditionType.READY, status=False, reason=problem.reason, message=problem.message),
        available(observed, state),
        Finding(type=ConditionType.PROGRESSING, status=False, reason=problem.reason),
        Finding(type=ConditionType.STALLED, status=True, reason=problem.reason, message=problem.message),
    ]
    conditions = to_conditions(found, before=live.get("conditions", []), generation=observed.generation, now=now)
    changed = {
        "observedGeneration": observed.generation,
        "conditions": conditions,
        "stage": StageWord.FAILED.value,
        "replicas": state.total if state else 0,
        "encoder": observed.encoder,
    }
    # How far a stage is was said of another spec, and nobody looks any more.
    status = {**live, **changed, **_answers(observed), "progress": None, "eta": None}
    return _status_object(observed, {name: value for name, value in status.items() if value is not None})


def _status_object(observed: Observed, status: dict[str, Any]) -> Object:
    owner = observed.owner
    metadata = {"name": owner.name, "namespace": owner.namespace, "resourceVersion": observed.version}
    # What is stored already was cut when it was said, and most passes say it again.
    within = status if status == observed.service.get("status") else clamped(status)
    return {"apiVersion": API_VERSION, "kind": KIND, "metadata": metadata, "status": within}


def _stage_word(assessment: Assessment) -> str:
    if assessment.suspended:
        return StageWord.SUSPENDED
    problem = assessment.problem
    if problem is not None and problem.waits_for_change:
        return StageWord.FAILED
    if problem is not None and problem.reason == QUEUED:
        return StageWord.QUEUED
    if assessment.planned.desired is not None and assessment.planned.serving is None:
        return StageWord.WAITING
    if assessment.planned.desired is not None:
        return StageWord.SERVING if assessment.rolled_out else StageWord.DEPLOYING
    return assessment.pending_stage.word


def _revisions(assessment: Assessment) -> list[Object]:
    """All recorded revisions, the newest first, and the desired one, whose record may have been written only just now.

    Of a record that cannot be read stays what was said while it could.
    """
    observed, desired = assessment.observed, assessment.planned.desired
    unreadable = {record.key for record in observed.unreadable}
    said = observed.service.get("status", {}).get("revisions", ())
    entries = {one["number"]: one for one in said if one["key"] in unreadable}
    entries |= {revision.number: _revision_status(revision, assessment) for revision in observed.revisions}
    if desired is not None and desired.number:
        entries[desired.number] = _revision_status(desired, assessment)
    return [entries[number] for number in sorted(entries, reverse=True)]


def _revision_status(revision: Revision, assessment: Assessment) -> Object:
    record = revision.record
    entry = {
        "number": revision.number,
        "key": revision.key,
        "digest": revision.digest,
        "dataDigest": record.data_digest,
        "uri": record.artifact.uri,
        "source": record.source,
        "family": record.family,
        "task": record.task,
        "rows": record.data.rows if record.data else None,
        **(_evaluation_status(record.evaluation) if record.evaluation else {}),
        "parameters": record.parameters,
        "sizeBytes": record.artifact_bytes,
        "compression": _compression_status(record.compression) if record.compression else None,
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


def _compression_status(found: CompressionSummary) -> Object:
    """What was reported; without the sentence and the budget, which the condition says."""
    place = {"chosen", "control"}
    left_out: Any = {"message": True, "budget": True, "bytes_before": True, "bytes_after": True}
    left_out |= {"before": place, "after": place, "controls": {"__all__": place}}
    return found.model_dump(mode="json", by_alias=True, exclude_none=True, exclude=left_out)


def _phase(revision: Revision, assessment: Assessment) -> RevisionPhase:
    observed, state = assessment.observed, assessment.rollout
    if assessment.planned.serving is not None and revision.key == assessment.planned.serving.key:
        complete = state is not None and state.complete and observed.deployed_key == revision.key
        return RevisionPhase.SERVING if complete else RevisionPhase.DEPLOYING
    if assessment.planned.trial is not None and revision.key == assessment.planned.trial.candidate.revision.key:
        return RevisionPhase.CANARY
    if any(one.document.failed and one.document.key == revision.key for one in observed.templates):
        return RevisionPhase.FAILED
    in_pods = any((said := told(pod)) is not None and said.key == revision.key for pod in observed.all_serving_pods)
    return RevisionPhase.SERVING if in_pods else RevisionPhase.RETIRED
