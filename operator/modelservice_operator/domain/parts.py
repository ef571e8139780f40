"""What a plan consists of: the children of each concern, in the order in which they are written."""

from collections.abc import Iterator

from modelservice.contract.resource import ModelServiceSpec
from modelservice.contract.serving import Serving
from modelservice_operator.config import Settings
from modelservice_operator.constants import ENDING_FIELD_MANAGER
from modelservice_operator.domain.attempts import StepState
from modelservice_operator.domain.builders.identity import build_network_policy, build_service_account
from modelservice_operator.domain.builders.job import build_end
from modelservice_operator.domain.builders.record import build_comparison, build_record, is_template
from modelservice_operator.domain.builders.scaling import build_autoscaler, build_disruption_budget
from modelservice_operator.domain.builders.serving import build_canary, build_deployment, build_service, speaks_tls
from modelservice_operator.domain.canary import Trial, stays_beside
from modelservice_operator.domain.diff import Desired, Part, Phase
from modelservice_operator.domain.inputs import Inputs
from modelservice_operator.domain.jobs import JobPhase
from modelservice_operator.domain.last_good import Choice
from modelservice_operator.domain.metadata import Owner
from modelservice_operator.domain.names import canary_name
from modelservice_operator.domain.observe import Observed
from modelservice_operator.domain.records import Revision, StoredTemplate
from modelservice_operator.domain.replicas import handed_back, is_scaled, replicas_holder
from modelservice_operator.domain.retention import is_gone
from modelservice_operator.domain.rollout_records import kept_templates, tried, written
from modelservice_operator.domain.stores import location_of, store_of
from modelservice_operator.kinds import (
    CONTROLLER_REVISION,
    DEPLOYMENT,
    HORIZONTAL_POD_AUTOSCALER,
    JOB,
    POD_DISRUPTION_BUDGET,
)
from modelservice_operator.objects import Ref
from modelservice_operator.remembering import remembered

_SERVING_KINDS = (DEPLOYMENT, HORIZONTAL_POD_AUTOSCALER, POD_DISRUPTION_BUDGET)


def foundations(inputs: Inputs, *, stays: StoredTemplate | None) -> tuple[Part, ...]:
    """What every stage needs; and the Service, so that a name which is taken is found before anything is trained.

    ``stays`` is the template that pods have whatever the spec says of them by now. While pods answer that do not speak
    as those to come, the Service leads to both, so that clients change over when they can.
    """
    observed, serving = inputs.observed, inputs.spec.serving
    asked = serving.tls is not None if stays is None else speaks_tls(stays.template)
    spoken = {speaks_tls(pod) for pod in observed.all_answering}
    both = (not asked) in spoken
    tls = not asked if both and asked not in spoken else asked
    return _foundations(observed.owner, serving, inputs.settings, tls, both)


@remembered(512)
def _foundations(owner: Owner, serving: Serving, settings: Settings, tls: bool, both: bool) -> tuple[Part, ...]:
    objects = (
        build_service_account(owner),
        build_network_policy(owner, serving, settings),
        build_service(owner, serving, tls=tls, both=both),
    )
    return tuple(Part(desired=(Desired(obj=obj),), phase=Phase.FIRST) for obj in objects)


def names_to_be(spec: ModelServiceSpec, observed: Observed) -> Iterator[Ref]:
    """Names of what will serve, to be looked at once: before the first training."""
    if observed.deployment is None and not observed.jobs:
        owner, serving = observed.owner, spec.serving
        yield Ref(DEPLOYMENT, owner.namespace, owner.name)
        if serving.autoscaling is not None:
            yield Ref(HORIZONTAL_POD_AUTOSCALER, owner.namespace, owner.name)
        if serving.canary is not None:
            yield Ref(DEPLOYMENT, owner.namespace, canary_name(owner.name))
        if (serving.autoscaling.min_replicas if serving.autoscaling else serving.replicas) > 1:
            yield Ref(POD_DISRUPTION_BUDGET, owner.namespace, owner.name)


def stage_part(observed: Observed, state: StepState, *, stop: bool, revisions: tuple[Revision, ...]) -> Part:
    """The record of a result that others build on, and the Jobs that are not overtaken; one that hopes in vain ends.

    What is served is recorded as a revision, where it is served. ``stop``: a Job without a result is not to run on.
    """
    result = state.result
    served = result is not None and any(one.key == result.key for one in revisions)
    desired: tuple[Desired, ...] = ()
    if result is not None and result.obj is None and not served:
        desired = (Desired(obj=build_record(observed.owner, result), immutable=True),)
    return _with_jobs(desired, state, stopped=stop and result is None)


def comparison_part(observed: Observed, state: StepState, *, stop: bool) -> Part:
    """The record of a comparison, and its Jobs."""
    found = state.comparison
    record = () if found is None else (Desired(obj=build_comparison(observed.owner, found), immutable=True),)
    return _with_jobs(record, state, stopped=stop and found is None)


def _with_jobs(desired: tuple[Desired, ...], state: StepState, *, stopped: bool) -> Part:
    jobs = [job for job in state.kept if not (stopped and job.phase is JobPhase.RUNNING)]
    ends = (Desired(obj=build_end(job.obj), manager=ENDING_FIELD_MANAGER) for job in jobs if job.tries_in_vain)
    return Part(desired=(*desired, *ends), kept=frozenset((JOB, job.name) for job in jobs))


def waiting_to_serve(inputs: Inputs) -> Part:
    """What stands stays as it is, but for a Deployment whose artifact is gone.

    Its pods would start on the volume of the next training, end since nothing lies there, and be started ever more
    rarely: long after the training they would still wait.
    """
    observed = inputs.observed
    named = {(kind, obj["metadata"]["name"]) for kind in _SERVING_KINDS for obj in observed.children.get(kind, ())}
    revisions = filter(is_template, observed.children.get(CONTROLLER_REVISION, ()))
    named |= {(CONTROLLER_REVISION, obj["metadata"]["name"]) for obj in revisions}
    if _has_nothing_to_serve(inputs):
        named.discard((DEPLOYMENT, observed.owner.name))
    return Part(kept=frozenset(named))


def _has_nothing_to_serve(inputs: Inputs) -> bool:
    """Whether what the Deployment's pods are told to serve is gone from its store, and none of them answers."""
    observed, key = inputs.observed, inputs.observed.deployed_key
    if key is None or observed.answering or observed.unreadable_record(key) is not None:
        return False
    if (recorded := observed.record(key)) is not None:
        return is_gone(recorded.record, observed, inputs.artifacts)
    store = store_of(inputs.artifacts)
    location = store.locate(inputs.artifacts, observed.owner, key)
    return not store.holds(location, observed.children) and store.leaving(location, observed.children) is None


def serve(inputs: Inputs, choice: Choice) -> Part:
    """The record of the revision, then what serves it; before that, what failed in its place."""
    spec, observed = inputs.spec, inputs.observed
    owner, serving, revision, stored = observed.owner, spec.serving, choice.revision, choice.stored
    replicas = None if is_scaled(serving, observed) else serving.replicas
    deployment = build_deployment(owner, serving, revision, stored, replicas=replicas)
    desired = [*written(observed, choice), *replicas_holder(observed, serving, deployment)]
    desired.append(Desired(obj=deployment))
    if serving.autoscaling:
        desired.append(Desired(obj=build_autoscaler(owner, serving.autoscaling, serving.replicas)))
    least = serving.autoscaling.min_replicas if serving.autoscaling else serving.replicas
    store, location = location_of(revision.record, inputs.artifacts)
    portable = store.portability(location, observed.holders).portable
    if least > 1 and portable:
        desired.append(Desired(obj=build_disruption_budget(owner)))
    # Until its number is written down, the autoscaler is what holds it.
    kept = {(HORIZONTAL_POD_AUTOSCALER, owner.name)} if handed_back(serving, observed) is not None else set()
    if least > 1 and portable is None:
        kept.add((POD_DISRUPTION_BUDGET, owner.name))
    if stays_beside(inputs, choice):
        kept.add((DEPLOYMENT, canary_name(owner.name)))
    kept |= {
        (CONTROLLER_REVISION, name) for name in kept_templates(observed, choice, limit=spec.revision_history_limit)
    }
    return Part(desired=tuple(desired), kept=frozenset(kept))


def try_out(inputs: Inputs, trying: Trial) -> Part:
    """What is written down of the step of a canary, then its pods."""
    observed, candidate = inputs.observed, trying.candidate
    canary = build_canary(
        observed.owner,
        inputs.spec.serving,
        candidate.revision,
        candidate.stored,
        replicas=trying.split.canary,
    )
    return Part(desired=(*tried(observed, trying), Desired(obj=canary)))
