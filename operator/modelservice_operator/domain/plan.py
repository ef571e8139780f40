"""What to do: from what is desired and what is, the writes. A converged ModelService gives none."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from types import MappingProxyType

from modelservice.contract.resource import ModelServiceSpec
from modelservice_operator.config import Settings
from modelservice_operator.constants import FINALIZER_FIELD_MANAGER
from modelservice_operator.domain.attempts import NextAttempt, StepState, next_attempt, step_state
from modelservice_operator.domain.builders.finalizer import build_finalizer, has_finalizer
from modelservice_operator.domain.canary import Trial, held_trial, trial
from modelservice_operator.domain.comparing import comparison_state
from modelservice_operator.domain.data import DataState
from modelservice_operator.domain.diff import Apply, Changes, Desired, Lane, LetGo, Part, Phase, diff
from modelservice_operator.domain.expiry import Expiry, expire
from modelservice_operator.domain.inputs import Inputs
from modelservice_operator.domain.judging import Readings
from modelservice_operator.domain.last_good import Choice, choose, hold
from modelservice_operator.domain.observe import Observed
from modelservice_operator.domain.outliving import outliving
from modelservice_operator.domain.parts import (
    comparison_part,
    foundations,
    names_to_be,
    serve,
    stage_part,
    try_out,
    waiting_to_serve,
)
from modelservice_operator.domain.promotion import (
    COMPARING,
    Promotion,
    behind_heads,
    find_pinned,
    paused,
    promote,
    rolled_back,
)
from modelservice_operator.domain.records import Revision
from modelservice_operator.domain.replicas import handed_back, serving_replicas
from modelservice_operator.domain.retention import kept_keys, retained
from modelservice_operator.domain.sharing import Sharing, share
from modelservice_operator.domain.stages import Step, pipeline
from modelservice_operator.domain.stores import store_of


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
    work = _work(inputs)
    front = _front(inputs, work)
    kept = kept_keys(
        observed,
        desired_keys=work.keys,
        serving_key=front.serving.key if front.serving else None,
        limit=spec.revision_history_limit,
        asked_keys=front.sharing.keys,
    )
    expiry = expire(inputs, kept_keys=kept, wanted_keys=work.keys)
    parts = _parts(inputs, work, front, kept=kept, expiry=expiry)
    changes = diff(observed, parts, outliving=outliving(observed, inputs.artifacts))
    changes = replace(changes, lanes=(*_finalizer(inputs), *changes.lanes))
    result = work.result
    desired = next((one for one in front.revisions if result and one.key == result.key), result)
    return Plan(
        changes=changes,
        promotion=replace(front.promotion, serving=front.serving),
        steps=work.steps,
        pending=work.pending,
        desired=None if work.compares else desired,
        trial=front.trying,
        replicas=handed_back(spec.serving, observed) if front.serving else None,
        keeps=front.sharing.keeps,
        waits=front.choice is not None and front.choice.waits,
        expiry=expiry,
    )


@dataclass(frozen=True, kw_only=True)
class _Work:
    """How far the pipeline is.

    ``first_needed`` is the number of the first step whose result is still needed, ``result`` that of the last one;
    ``current`` is what goes on serving meanwhile, ``judged`` the comparison of both; ``promotion`` what is to be made
    of them before anything is known of how that rolls out. ``begin`` is the next attempt at what is ``pending``.
    """

    steps: tuple[StepState, ...]
    first_needed: int
    result: Revision | None
    current: Revision | None
    judged: StepState | None
    promotion: Promotion
    pending: StepState | None
    begin: NextAttempt = field(default_factory=NextAttempt)

    @property
    def compares(self) -> bool:
        """Whether the result waits for its comparison with what serves."""
        return self.promotion.reason == COMPARING

    @property
    def keys(self) -> tuple[str, ...]:
        """Keys that spec and data ask for, none while the data is not known."""
        return (*(state.step.key for state in self.steps), *([self.judged.step.key] if self.judged else []))


def _work(inputs: Inputs) -> _Work:
    """What came of the steps, what is waited for, and how that begins."""
    steps = _steps(inputs)
    # What a later step came to needs no earlier one any more.
    first_needed = 1 + max((number for number, state in enumerate(steps) if state.result), default=-1)
    pending = steps[first_needed] if first_needed < len(steps) else None
    result = steps[-1].result if steps else None
    current = _meanwhile(inputs, steps)
    judged = comparison_state(inputs, result, current)
    promotion = promote(inputs, result, current, judged)
    if judged is not None:
        pending = judged if promotion.reason == COMPARING else None
    work = _Work(
        steps=steps,
        first_needed=first_needed,
        result=result,
        current=current,
        judged=judged,
        promotion=promotion,
        pending=pending,
    )
    if pending is None or pending.comparison is not None or inputs.spec.suspend:
        return work
    return replace(work, begin=next_attempt(pending, inputs, desired_keys=work.keys))


@dataclass(frozen=True, kw_only=True)
class _Front:
    """What is to serve: ``choice``, and a canary that is ``trying`` to take its place, by what ``promotion`` says."""

    promotion: Promotion
    choice: Choice | None
    trying: Trial | None
    sharing: Sharing
    serving: Revision | None

    @property
    def revisions(self) -> tuple[Revision, ...]:
        """All that pods are to serve, the newest first."""
        return tuple(filter(None, (self.trying.candidate.revision if self.trying else None, self.serving)))


def _front(inputs: Inputs, work: _Work) -> _Front:
    """What serves of what is promoted: nothing that fails, nothing new while that is paused, or is tried first."""
    observed, serving = inputs.observed, inputs.spec.serving
    promotion, current, known = work.promotion, work.current, work.result is not None
    asked = _numbered(observed, promotion.serving)
    choice = choose(inputs, asked, known=known) if asked else None
    if choice is not None and choice.failed is not None:
        promotion = rolled_back(promotion, choice, stalled=known and not work.compares)
    if serving.paused:
        wanted, choice = choice, hold(inputs, current)
        promotion = paused(promotion, wanted, choice)
    # What heads ask is kept elsewhere before a canary begins, and stays there as long as that lasts.
    sharing = share(inputs, choice)
    stands = hold(inputs, current)
    behind = choice is not None and choice.failed is None and stands is not None and sharing.waits is not None
    until = _canary_stays(inputs, choice, stands, known=bool(work.steps), behind=behind)
    if behind and choice and stands and sharing.waits:
        promotion, choice = behind_heads(promotion, choice, stands, sharing.waits), stands
    replicas, trying = serving_replicas(serving, observed), None
    if until:
        trying = held_trial(inputs, choice, replicas=replicas, until=until)
    elif choice is not None and (trying := trial(inputs, choice, current, replicas=replicas)) is not None:
        choice = trying.stable
    revision = _numbered(observed, choice.revision) if choice else None
    return _Front(promotion=promotion, choice=choice, trying=trying, sharing=sharing, serving=revision)


def _parts(inputs: Inputs, work: _Work, front: _Front, *, kept: frozenset[str], expiry: Expiry) -> tuple[Part, ...]:
    """The children of all concerns; what is named in none of them goes."""
    observed, spec, choice, serving = inputs.observed, inputs.spec, front.choice, front.serving
    stays = retained(
        observed,
        keys=kept,
        known=bool(work.keys),
        unfit=work.begin.unfit,
        artifacts=inputs.artifacts,
        void=expiry.void,
    )
    return (
        *foundations(inputs, stays=choice.stored if choice and (choice.held or choice.instead_of) else None),
        *(
            stage_part(observed, state, stop=spec.suspend or number < work.first_needed, revisions=front.revisions)
            for number, state in enumerate(work.steps)
        ),
        *([comparison_part(observed, work.judged, stop=spec.suspend)] if work.judged else []),
        Part(
            desired=tuple(Desired(obj=obj, immutable=True) for obj in work.begin.objects),
            checks=tuple(names_to_be(spec, observed)),
        ),
        serve(inputs, replace(choice, revision=serving)) if choice and serving else waiting_to_serve(inputs),
        try_out(inputs, front.trying) if front.trying else Part(),
        *front.sharing.parts,
        expiry.part,
        Part(kept=frozenset(stays)),
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
