"""What to do: from what is desired and what is, the writes. A converged ModelService gives none."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from modelservice.contract.resource import ModelServiceSpec
from modelservice.contract.serving import Serving
from modelservice_operator.config import Settings
from modelservice_operator.constants import REPLICAS_FIELD_MANAGER
from modelservice_operator.domain.attempts import Attempt, Start, look_at, start
from modelservice_operator.domain.builders.identity import build_network_policy, build_service_account
from modelservice_operator.domain.builders.record import build_record
from modelservice_operator.domain.builders.serving import (
    build_autoscaler,
    build_deployment,
    build_disruption_budget,
    build_replicas_holder,
    build_service,
)
from modelservice_operator.domain.data import DataState
from modelservice_operator.domain.diff import Changes, Desired, Part, diff
from modelservice_operator.domain.jobs import JobPhase
from modelservice_operator.domain.observe import Observed
from modelservice_operator.domain.records import Revision, StoredTemplate
from modelservice_operator.domain.retention import retained
from modelservice_operator.domain.stages import pipeline
from modelservice_operator.domain.stores import location_of, settled_artifacts
from modelservice_operator.domain.template import choose_template
from modelservice_operator.kinds import (
    DEPLOYMENT,
    HORIZONTAL_POD_AUTOSCALER,
    JOB,
    POD_DISRUPTION_BUDGET,
    SERVICE,
)

_SERVING_KINDS = (DEPLOYMENT, SERVICE, HORIZONTAL_POD_AUTOSCALER, POD_DISRUPTION_BUDGET)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The writes, and the decisions that they follow from.

    ``attempts`` are the steps of the pipeline in order, none while the data is not known; ``pending`` is the one whose
    result is waited for. ``desired`` is the result of the last one, ``serving`` the revision to serve now (an older one
    while the desired one is made).
    """

    changes: Changes
    attempts: tuple[Attempt, ...] = ()
    pending: Attempt | None = None
    desired: Revision | None = None
    serving: Revision | None = None

    @property
    def key(self) -> str | None:
        """What spec and data ask for."""
        return self.attempts[-1].step.key if self.attempts else None


def plan(spec: ModelServiceSpec, observed: Observed, data: DataState, settings: Settings) -> Plan:
    """Decide. Pure: the same picture gives the same plan."""
    attempts = tuple(
        look_at(step, spec=spec, observed=observed, settings=settings, data=data)
        for step in pipeline(spec, data.digest)
    )
    keys = tuple(attempt.step.key for attempt in attempts)
    parent, pending = _pending(attempts)
    begin = Start()
    if pending is not None and not spec.suspend:
        begin = start(
            pending,
            parent.result if parent else None,
            desired_keys=keys,
            spec=spec,
            observed=observed,
            settings=settings,
            data=data,
        )
    desired = _numbered(observed, attempts[-1].result) if attempts else None
    serving = desired or _numbered(observed, _meanwhile(spec, observed, settings))
    kept = retained(
        observed,
        desired_keys=keys,
        serving_key=serving.key if serving else None,
        unfit=begin.unfit,
        artifacts=settled_artifacts(spec, settings),
        limit=spec.revision_history_limit,
    )
    parts = (
        Part(desired=tuple(_identity(spec, observed, settings))),
        *(_stage(spec, observed, one, begin if one is pending else None, last=one is attempts[-1]) for one in attempts),
        _serve(spec, observed, settings, serving),
        Part(kept=frozenset(kept)),
    )
    return Plan(changes=diff(observed, parts), attempts=attempts, pending=pending, desired=desired, serving=serving)


def _pending(attempts: tuple[Attempt, ...]) -> tuple[Attempt | None, Attempt | None]:
    """The last step with a result, and the one after it; what a later step came to needs no earlier one any more."""
    done = max((number for number, attempt in enumerate(attempts) if attempt.result), default=-1)
    return attempts[done] if done >= 0 else None, attempts[done + 1] if done + 1 < len(attempts) else None


def _numbered(observed: Observed, result: Revision | None) -> Revision | None:
    """What is to be served is a revision, and has a number."""
    return replace(result, number=observed.next_number) if result is not None and not result.number else result


def _meanwhile(spec: ModelServiceSpec, observed: Observed, settings: Settings) -> Revision | None:
    """What goes on serving: the deployed revision, else the newest whose artifact is still there.

    None where the record of the deployed one cannot be read: then the Deployment stays as it is.
    """
    if observed.unreadable_record(observed.deployed_key) is not None:
        return None
    if (deployed := observed.record(observed.deployed_key)) is not None:
        return deployed
    artifacts = settled_artifacts(spec, settings)
    for revision in reversed(observed.revisions):
        store, location = location_of(revision.record, artifacts)
        if store.holds(location, observed.children):
            return revision
    return None


def _identity(spec: ModelServiceSpec, observed: Observed, settings: Settings) -> Iterator[Desired]:
    yield Desired(obj=build_service_account(observed.owner))
    yield Desired(obj=build_network_policy(observed.owner, spec.serving, settings))


def _stage(spec: ModelServiceSpec, observed: Observed, attempt: Attempt, begin: Start | None, *, last: bool) -> Part:
    """The record of a result that others build on, what the step goes on with, and the Jobs that are not overtaken.

    The last result is recorded as a revision, where it is served.
    """
    desired: list[Desired] = []
    if not last and attempt.result is not None and attempt.result.obj is None:
        desired.append(Desired(obj=build_record(observed.owner, attempt.result), immutable=True))
    if begin is not None:
        desired += [Desired(obj=obj, immutable=True) for obj in begin.objects]
    stopped = spec.suspend and begin is not None
    jobs = [job for job in attempt.kept if not (stopped and job.phase is JobPhase.RUNNING)]
    return Part(desired=tuple(desired), kept=frozenset((JOB, job.name) for job in jobs))


def _serve(spec: ModelServiceSpec, observed: Observed, settings: Settings, revision: Revision | None) -> Part:
    """The record of the revision, then what serves it; what stands stays as it is while there is none to serve."""
    if revision is None:
        named = ((kind, obj["metadata"]["name"]) for kind in _SERVING_KINDS for obj in observed.children.get(kind, ()))
        return Part(kept=frozenset(named))
    owner, serving = observed.owner, spec.serving
    stored = choose_template(spec, observed, settings, revision.record)
    desired = [*_record(observed, revision, stored), *_replicas_holder(observed, serving)]
    desired.append(Desired(obj=build_deployment(owner, serving, revision, stored)))
    desired.append(Desired(obj=build_service(owner, serving)))
    if serving.autoscaling:
        desired.append(Desired(obj=build_autoscaler(owner, serving.autoscaling)))
    replicas = serving.autoscaling.min_replicas if serving.autoscaling else serving.replicas
    store, location = location_of(revision.record, settled_artifacts(spec, settings))
    if replicas > 1 and store.portability(location, observed.children).portable:
        desired.append(Desired(obj=build_disruption_budget(owner)))
    return Part(desired=tuple(desired))


def _record(observed: Observed, revision: Revision, stored: StoredTemplate) -> Iterator[Desired]:
    """A record that is new; or one that was an intermediate result and now gets its number."""
    if revision.obj is None:
        record = revision.record.model_copy(update={"serving": stored})
        yield Desired(obj=build_record(observed.owner, replace(revision, record=record)), immutable=True)
    elif revision.obj.get("revision", 0) != revision.number:
        yield Desired(obj=build_record(observed.owner, revision))


def _replicas_holder(observed: Observed, serving: Serving) -> Iterator[Desired]:
    """On the way to an autoscaler somebody must say the number; at 0 an autoscaler takes itself for switched off."""
    deployment, autoscaler = observed.deployment, observed.child(HORIZONTAL_POD_AUTOSCALER, observed.owner.name)
    if serving.autoscaling and deployment and not autoscaler:
        held = max(deployment["spec"].get("replicas", 1), serving.autoscaling.min_replicas)
        yield Desired(obj=build_replicas_holder(observed.owner, held), manager=REPLICAS_FIELD_MANAGER)
