"""What to do: from what is desired and what is, the writes. A converged ModelService gives none."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from types import MappingProxyType

from modelservice.contract.resource import ModelServiceSpec
from modelservice_operator.config import Settings
from modelservice_operator.constants import ENDING_FIELD_MANAGER, FINALIZER_FIELD_MANAGER
from modelservice_operator.domain.attempts import NextAttempt, StepState, next_attempt, step_state
from modelservice_operator.domain.builders.finalizer import build_finalizer, has_finalizer
from modelservice_operator.domain.builders.identity import build_network_policy, build_service_account
from modelservice_operator.domain.builders.job import build_end
from modelservice_operator.domain.builders.record import build_comparison, build_record, is_template
from modelservice_operator.domain.builders.scaling import build_autoscaler, build_disruption_budget
from modelservice_operator.domain.builders.serving import build_canary, build_deployment, build_service
from modelservice_operator.domain.canary import Trial, held_trial, stays_beside, trial
from modelservice_operator.domain.comparing import comparison_state
from modelservice_operator.domain.data import DataState
from modelservice_operator.domain.diff import Apply, Changes, Desired, Lane, LetGo, Part, Phase, diff
from modelservice_operator.domain.expiry import Expiry, expire
from modelservice_operator.domain.inputs import Inputs
from modelservice_operator.domain.jobs import JobPhase
from modelservice_operator.domain.judging import Readings
from modelservice_operator.domain.last_good import Choice, choose, hold
from modelservice_operator.domain.names import canary_name
from modelservice_operator.domain.observe import Observed
from modelservice_operator.domain.outliving import outliving
from modelservice_operator.domain.promotion import (
    COMPARING,
    Promotion,
    behind_heads,
    find_pinned,
    paused,
    promote,
    rolled_back,
)
from modelservice_operator.domain.records import Revision, StoredTemplate
from modelservice_operator.domain.replicas import handed_back, is_scaled, replicas_holder, serving_replicas
from modelservice_operator.domain.retention import is_gone, kept_keys, retained
from modelservice_operator.domain.rollout_records import kept_templates, tried, written
from modelservice_operator.domain.sharing import share
from modelservice_operator.domain.stages import Step, pipeline
from modelservice_operator.domain.stores import location_of, store_of
from modelservice_operator.kinds import (
    CONTROLLER_REVISION,
    DEPLOYMENT,
    HORIZONTAL_POD_AUTOSCALER,
    JOB,
    POD_DISRUPTION_BUDGET,
)
from modelservice_operator.objects import Ref

_SERVING_KINDS = (DEPLOYMENT, HORIZONTAL_POD_AUTOSCALER, POD_DISRUPTION_BUDGET)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The writes, and the decisions that they follow from.

    ``steps`` are those of the pipeline in order, none while the data is not known; ``pending`` is the one whose result
    is waited for, the comparison of the last one with what serves among them. ``desired`` is the result of the last
    one, once nothing is waited for; ``promotion`` tells which revision serves now: an older one while the desired one
    is made, or is not promoted; ``trial`` is a canary beside it. ``replicas`` is to be written into ``spec.serving``
    (see ``handed_back``). ``keeps``: an older revision is kept for heads, whose end no event of ours tells. ``waits``:
    a newer operator's server is to be rolled out, once it is the turn of this ModelService. ``expiry`` is what is done
    about artifacts that are kept no more.
    """

    changes: Changes
    promotion: Promotion
    steps: tuple[StepState, ...] = ()
    pending: StepState | None = None
    desired: Revision | None = None
    trial: Trial | None = None
    replicas: int | None = None
    keeps: bool = False
    waits: bool = False
    expiry: Expiry = field(default_factory=Expiry)

    @property
    def serving(self) -> Revision | None:
        """The revision to serve now."""
        return self.promotion.serving

    @property
    def goal(self) -> Revision | None:
        """The revision with which all that is asked for is done; None while there is none, or it may not serve."""
        if self.desired is None or self.promotion.fails:
            return None
        return self.trial.candidate.revision if self.trial and not self.trial.held else self.serving

    @property
    def key(self) -> str | None:
        """What spec and data ask for."""
        return self.steps[-1].step.key if self.steps else None


def plan(
    spec: ModelServiceSpec,
    observed: Observed,
    data: DataState,
    settings: Settings,
    *,
    now: datetime,
    readings: Readings = MappingProxyType({}),
    may_follow: bool = True,
) -> Plan:
    """Decide. Pure: the same picture, at the same time, gives the same plan."""
    inputs = Inputs(
        spec=spec, observed=observed, data=data, settings=settings, now=now, readings=readings, may_follow=may_follow
    )
    steps = _steps(inputs)
    keys = tuple(state.step.key for state in steps)
    # What a later step came to needs no earlier one any more.
    first_needed = 1 + max((number for number, state in enumerate(steps) if state.result), default=-1)
    pending = steps[first_needed] if first_needed < len(steps) else None
    result = steps[-1].result if steps else None
    current = _meanwhile(inputs, steps)
    judged = comparison_state(inputs, result, current)
    promotion = promote(inputs, result, current, judged)
    compares = promotion.reason == COMPARING
    if judged is not None:
        keys = (*keys, judged.step.key)
        pending = judged if compares else None
    begin = NextAttempt()
    if pending is not None and pending.comparison is None and not spec.suspend:
        begin = next_attempt(pending, inputs, desired_keys=keys)
    asked = _numbered(observed, promotion.serving)
    choice = choose(inputs, asked, known=result is not None) if asked else None
    if choice is not None and choice.failed is not None:
        promotion = rolled_back(promotion, choice, stalled=result is not None and not compares)
    replicas, trying = serving_replicas(spec.serving, observed), None
    if spec.serving.paused:
        wanted, choice = choice, hold(inputs, current)
        promotion = paused(promotion, wanted, choice)
    # What heads ask is kept elsewhere before a canary begins, and stays there as long as that lasts.
    sharing = share(inputs, choice)
    stands = hold(inputs, current)
    behind = choice is not None and choice.failed is None and stands is not None and sharing.waits is not None
    until = _canary_stays(inputs, choice, stands, known=bool(steps), behind=behind)
    if behind and choice and stands and sharing.waits:
        promotion, choice = behind_heads(promotion, choice, stands, sharing.waits), stands
    if until:
        trying = held_trial(inputs, choice, replicas=replicas, until=until)
    elif choice is not None and (trying := trial(inputs, choice, current, replicas=replicas)) is not None:
        choice = trying.stable
    serving = _numbered(observed, choice.revision) if choice else None
    revisions = tuple(filter(None, (trying.candidate.revision if trying else None, serving)))
    kept = kept_keys(
        observed,
        desired_keys=keys,
        serving_key=serving.key if serving else None,
        limit=spec.revision_history_limit,
        asked_keys=sharing.keys,
    )
    expiry = expire(inputs, kept_keys=kept, wanted_keys=keys)
    stays = retained(
        observed, keys=kept, known=bool(keys), unfit=begin.unfit, artifacts=inputs.artifacts, void=expiry.void
    )
    parts = (
        *_foundations(inputs, stays=choice.stored if choice and (choice.held or choice.instead_of) else None),
        *(
            _stage(observed, state, stop=spec.suspend or number < first_needed, revisions=revisions)
            for number, state in enumerate(steps)
        ),
        *([_comparison(observed, judged, stop=spec.suspend)] if judged else []),
        Part(
            desired=tuple(Desired(obj=obj, immutable=True) for obj in begin.objects),
            checks=tuple(_names_to_be(spec, observed)),
        ),
        _serve(inputs, replace(choice, revision=serving)) if choice and serving else _waiting_to_serve(inputs),
        _try(inputs, trying) if trying else Part(),
        *sharing.parts,
        expiry.part,
        Part(kept=frozenset(stays)),
    )
    changes = diff(observed, parts, outliving=outliving(observed, inputs.artifacts))
    changes = replace(changes, lanes=(*_finalizer(inputs), *changes.lanes))
    return Plan(
        changes=changes,
        promotion=replace(promotion, serving=serving),
        steps=steps,
        pending=pending,
        desired=None if compares else next((one for one in revisions if result and one.key == result.key), result),
        trial=trying,
        replicas=handed_back(spec.serving, observed) if serving else None,
        keeps=sharing.keeps,
        waits=choice is not None and choice.waits,
        expiry=expiry,
    )


def _finalizer(inputs: Inputs) -> Iterator[Lane]:
    """The finalizer, where it is to be there and is not, or the other way round."""
    owner, asked = inputs.observed.owner, inputs.artifacts.deletes
    if asked != has_finalizer(inputs.observed.service):
        said = Apply(obj=build_finalizer(owner, there=True), uid=owner.uid, manager=FINALIZER_FIELD_MANAGER)
        yield Lane(actions=(said if asked else LetGo(owner=owner),), phase=Phase.FIRST)


def _canary_stays(inputs: Inputs, choice: Choice | None, stands: Choice | None, *, known: bool, behind: bool) -> str:
    """Until when a canary is left as it is, in words; empty where it goes on, or is ended.

    ``known``: what is asked for; ``behind``: what heads ask is to be kept elsewhere first. Neither says anything of the
    candidate, and to begin anew would cost it its steps.
    """
    serving = inputs.spec.serving
    if serving.paused:
        return "spec.serving.paused is false"
    if behind:
        return "what heads ask is kept elsewhere"
    meanwhile = choice is not None and stands is not None and choice.variant == stands.variant
    return "it is known what is asked for" if meanwhile and not known and serving.pin_revision is None else ""


def _steps(inputs: Inputs) -> tuple[StepState, ...]:
    """How each step of the pipeline stands; each one starts from the result of the one before."""
    states: list[StepState] = []
    for step in _pipeline(inputs):
        states.append(step_state(step, inputs, parent=states[-1].result if states else None))
    return tuple(states)


def _pipeline(inputs: Inputs) -> tuple[Step, ...]:
    """The steps of the spec; of a pin with an address the artifact is what is kept of its digest, whoever made it."""
    steps, pin = pipeline(inputs.spec, inputs.data.digest), inputs.spec.serving.pin_revision
    kept = find_pinned(pin, inputs) if pin is not None and pin.source is not None else None
    return steps if kept is None else tuple(replace(step, key=kept.key) for step in steps)


def _numbered(observed: Observed, result: Revision | None) -> Revision | None:
    """What is to be served is a revision, has a number, and the last turn of all."""
    if result is None:
        return None
    number = result.number or observed.number_of(result)
    others = max((one.turn for one in observed.revisions if one.key != result.key), default=0)
    turn = max(number, result.turn)
    return replace(result, number=number, turn=turn if turn > others else others + 1)


def _meanwhile(inputs: Inputs, steps: tuple[StepState, ...]) -> Revision | None:
    """What goes on serving: the deployed revision, else the last one that served whose artifact is there to stay.

    None where there is none to go on with: the record of the deployed revision cannot be read, or was lost while the
    artifact was not; or its artifact is gone or on its way out, and there is no other. To serve an older model instead
    of a record that cannot be read would be worse than to change nothing.
    """
    observed, key = inputs.observed, inputs.observed.deployed_key
    if observed.unreadable_record(key) is not None:
        return None
    reported = (state.result for state in steps if state.result and state.result.key == key)
    deployed = observed.record(key) or next(reported, None)
    if deployed is not None and observed.holds(deployed.record, inputs.artifacts):
        return deployed
    if key is not None:
        store = store_of(inputs.artifacts)
        if store.holds(store.locate(inputs.artifacts, observed.owner, key), observed.children):
            return None
    held = (one for one in observed.revisions if observed.holds(one.record, inputs.artifacts))
    return max(held, key=lambda one: one.turn, default=None)


def _foundations(inputs: Inputs, *, stays: StoredTemplate | None) -> Iterator[Part]:
    """What every stage needs; and the Service, so that a name which is taken is found before anything is trained.

    ``stays`` is the template that pods have whatever the spec says of them by now.
    """
    owner, serving = inputs.observed.owner, inputs.spec.serving
    for obj in (
        build_service_account(owner),
        build_network_policy(owner, serving, inputs.settings),
        build_service(owner, serving, stays=stays),
    ):
        yield Part(desired=(Desired(obj=obj),), phase=Phase.FIRST)


def _names_to_be(spec: ModelServiceSpec, observed: Observed) -> Iterator[Ref]:
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


def _stage(observed: Observed, state: StepState, *, stop: bool, revisions: tuple[Revision, ...]) -> Part:
    """The record of a result that others build on, and the Jobs that are not overtaken; one that hopes in vain ends.

    What is served is recorded as a revision, where it is served. ``stop``: a Job without a result is not to run on.
    """
    result = state.result
    served = result is not None and any(one.key == result.key for one in revisions)
    desired: tuple[Desired, ...] = ()
    if result is not None and result.obj is None and not served:
        desired = (Desired(obj=build_record(observed.owner, result), immutable=True),)
    return _with_jobs(desired, state, stopped=stop and result is None)


def _comparison(observed: Observed, state: StepState, *, stop: bool) -> Part:
    """The record of a comparison, and its Jobs."""
    found = state.comparison
    record = () if found is None else (Desired(obj=build_comparison(observed.owner, found), immutable=True),)
    return _with_jobs(record, state, stopped=stop and found is None)


def _with_jobs(desired: tuple[Desired, ...], state: StepState, *, stopped: bool) -> Part:
    jobs = [job for job in state.kept if not (stopped and job.phase is JobPhase.RUNNING)]
    ends = (Desired(obj=build_end(job.obj), manager=ENDING_FIELD_MANAGER) for job in jobs if job.tries_in_vain)
    return Part(desired=(*desired, *ends), kept=frozenset((JOB, job.name) for job in jobs))


def _waiting_to_serve(inputs: Inputs) -> Part:
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


def _serve(inputs: Inputs, choice: Choice) -> Part:
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
    if least > 1 and store.portability(location, observed.children).portable:
        desired.append(Desired(obj=build_disruption_budget(owner)))
    # Until its number is written down, the autoscaler is what holds it.
    kept = {(HORIZONTAL_POD_AUTOSCALER, owner.name)} if handed_back(serving, observed) is not None else set()
    if stays_beside(inputs, choice):
        kept.add((DEPLOYMENT, canary_name(owner.name)))
    kept |= {
        (CONTROLLER_REVISION, name) for name in kept_templates(observed, choice, limit=spec.revision_history_limit)
    }
    return Part(desired=tuple(desired), kept=frozenset(kept))


def _try(inputs: Inputs, trying: Trial) -> Part:
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
