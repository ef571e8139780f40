"""Objects whose events may say why nothing goes on: what waits, and for whose sake."""

from dataclasses import dataclass

from modelservice.contract.resource import ModelServiceSpec
from modelservice_operator.config import Settings
from modelservice_operator.domain.diagnose import SERVING_SECTION
from modelservice_operator.domain.jobs import JobPhase, StageJob
from modelservice_operator.domain.observe import Observed
from modelservice_operator.domain.plan import Plan
from modelservice_operator.domain.rollout import rollout
from modelservice_operator.domain.stores import settled_artifacts, store_of
from modelservice_operator.objects import Object

ARTIFACTS_SECTION = "spec.artifacts"


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """An object whose events may say why nothing goes on.

    ``concern`` is the field of ``Diagnostics`` that its last warning belongs to, ``section`` the part of the spec.
    """

    concern: str
    section: str
    obj: Object


def waiting_objects(spec: ModelServiceSpec, observed: Observed, planned: Plan, settings: Settings) -> list[Waiting]:
    """Objects whose events may say why nothing goes on; the closest cause first."""
    found: list[Waiting] = []
    pending = planned.pending
    if pending is not None and pending.job is not None and pending.job.phase is JobPhase.RUNNING:
        artifacts, section = settled_artifacts(spec, settings), pending.step.stage.job(spec).section
        store = store_of(artifacts)
        location = store.locate(artifacts, observed.owner, pending.step.key)
        found += [_artifacts(obj) for obj in store.waiting(location, observed.children)]
        objects = [pod for pod in pending.job.pods if _is_waiting(pod)]
        if pending.job.suspended_since is None and _lacks_pods(pending.job):
            objects.append(pending.job.obj)
        found += [Waiting(concern="stage", section=section, obj=obj) for obj in objects]
    for one in (observed.beside, observed):
        found += _waiting_to_serve(one) if one is not None else []
    return found


def _waiting_to_serve(observed: Observed) -> list[Waiting]:
    state = rollout(observed.deployment)
    if observed.deployment is None or state is None or state.complete:
        return []
    objects = [pod for pod in observed.serving_pods if _is_waiting(pod)]
    objects = objects if observed.serving_pods else [observed.deployment]
    return [Waiting(concern="serving", section=SERVING_SECTION, obj=obj) for obj in objects]


def _artifacts(obj: Object) -> Waiting:
    return Waiting(concern="artifacts", section=ARTIFACTS_SECTION, obj=obj)


def _lacks_pods(job: StageJob) -> bool:
    return not job.pods or job.workers > sum(map(_is_there, job.pods)) > 0


def _is_there(pod: Object) -> bool:
    return pod.get("status", {}).get("phase") not in {"Succeeded", "Failed"}


def _is_waiting(pod: Object) -> bool:
    return bool(pod.get("status", {}).get("phase") == "Pending")
