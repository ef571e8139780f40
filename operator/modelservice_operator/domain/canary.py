"""The steps of a canary: a candidate beside what serves, with more pods from step to step, until it is rolled out.

A step begins with a document of its own, beside the stored templates, which only the operator writes and nobody can
change: the apiserver's time on it is when the step began. All else is read off the cluster in each pass.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from modelservice.contract.rollout import Canary, CanaryStep
from modelservice_operator.domain.builders.record import numbered
from modelservice_operator.domain.builders.serving import speaks_tls
from modelservice_operator.domain.inputs import Inputs
from modelservice_operator.domain.judging import is_judged, serving_pods, tried_pods
from modelservice_operator.domain.last_good import (
    Choice,
    as_it_is,
    as_it_was,
    began,
    failure_of,
    last_good,
    step_of,
    steps_of,
    what_differs,
)
from modelservice_operator.domain.observe import Observed, ready_since
from modelservice_operator.domain.records import Revision, TemplateRevision
from modelservice_operator.domain.rollout import is_deployed, newest_pods, rollout, was_complete
from modelservice_operator.domain.weights import Split, weights


@dataclass(frozen=True, kw_only=True)
class Trial:
    """A canary under way: ``stable`` stays as it is deployed, ``candidate`` has pods beside it.

    ``number`` of the step counts from 1, of ``steps``; ``begun`` is its document, None before it is written. ``until``
    is when its pods will have been ready for long enough, None while one is not ready. ``held`` says until when it
    stays as it is, and is empty where it goes on.
    """

    stable: Choice
    candidate: Choice
    step: CanaryStep
    number: int
    steps: int
    split: Split
    available: int = 0
    begun: TemplateRevision | None = None
    until: datetime | None = None
    held: str = ""

    @property
    def words(self) -> str:
        """How far it is; the share is what the numbers of pods come to."""
        split, revision = self.split, self.candidate.revision
        what = f"revision {revision.number}"
        if revision.key == self.stable.revision.key:
            what = f"{what} with {what_differs(self.candidate, self.stable)}"
        asked = f", {self.step.weight} % asked" if split.percent != self.step.weight else ""
        since = self.begun.obj["metadata"].get("creationTimestamp") if self.begun else None
        words = f"Canary {self.number}/{self.steps}: {split.percent} % ({split.canary} of {split.total} pods{asked})"
        return " ".join(filter(None, (words, f"of {what}", f"since {since}" if since else "", self._next)))

    @property
    def _next(self) -> str:
        if self.held:
            return f"stays until {self.held}"
        if not self.split.canary:
            return "(it waits for spec.serving.replicas above 0)"
        if self.until is None and self.available == self.split.canary:
            return "(their metrics are not read yet)"
        if self.until is None:
            return f"({self.available} of {self.split.canary} are ready)"
        what = "the rollout" if self.number == self.steps else "the next step"
        return f"({what} at {self.until:%Y-%m-%dT%H:%M:%SZ})"


def trial(inputs: Inputs, wanted: Choice, current: Revision | None, *, replicas: int) -> Trial | None:
    """The step that a canary is at; None where what is wanted is rolled out as it is, or serves already.

    Args:
        inputs: what is asked for, and what is there.
        wanted: what is to be rolled out.
        current: the revision that is deployed.
        replicas: how many pods serve.
    """
    serving, observed, canary = inputs.spec.serving, inputs.observed, inputs.spec.serving.canary
    if canary is None or serving.pin_revision is not None or wanted.instead_of or wanted.held:
        return None
    begun = step_of(observed, wanted.variant)
    stable = _stable(inputs, wanted, current, under_way=begun is not None)
    if stable is None or stable.variant == wanted.variant:
        return None
    if begun is None and not (replicas and _may_begin(observed, stable, wanted)):
        return None
    candidate = replace(wanted, revision=_without_turn(wanted.revision))
    found = _at(canary, begun, stable, candidate, replicas=replicas)
    found = replace(found, available=_available(inputs, found), until=_until(inputs, found))
    if found.until is None or inputs.now < found.until:
        return found
    if found.number == found.steps:
        return None
    return _at(canary, None, stable, candidate, replicas=replicas, number=found.number + 1)


def held_trial(inputs: Inputs, stable: Choice | None, *, replicas: int, until: str) -> Trial | None:
    """A canary that stays as it is ``until`` something is so, whatever the spec asks for by now."""
    observed, canary = inputs.observed, inputs.spec.serving.canary
    begun = next(steps_of(observed), None)
    revision = observed.record(begun.document.key) if begun else None
    if canary is None or stable is None or observed.canary is None or begun is None or revision is None:
        return None
    candidate = Choice(revision=revision, stored=begun.document.serving)
    if candidate.variant == stable.variant:
        return None
    found = _at(canary, begun, stable, candidate, replicas=replicas)
    return replace(found, available=_available(inputs, found), held=until)


def stays_beside(inputs: Inputs, choice: Choice) -> bool:
    """Whether the Deployment of a canary is left as it is, though no step is under way any more.

    It is until its revision is rolled out, or until its failure is written down; or while rollouts are paused.
    """
    observed, beside = inputs.observed, inputs.observed.beside
    if beside is None or inputs.spec.serving.paused:
        return True
    if choice.instead_of is not None:
        return failure_of(observed, choice.instead_of.variant) is None
    if beside.deployed_key != choice.revision.key or not is_deployed(choice.stored, beside):
        return False
    state = rollout(observed.deployment)
    return state is None or not (state.complete and is_deployed(choice.stored, observed))


def _stable(inputs: Inputs, wanted: Choice, current: Revision | None, *, under_way: bool) -> Choice | None:
    """What serves beside a canary: what is deployed, or was before somebody changed or deleted it."""
    observed = inputs.observed
    found = as_it_is(observed, current) if observed.deployment is not None and current is not None else None
    if found is not None and (found.variant != wanted.variant or is_deployed(found.stored, observed)):
        return found
    if not under_way:
        return found
    last = _served_last(observed)
    before = as_it_was(observed, last) if last is not None and last.key == wanted.revision.key else None
    if before is not None and before.variant != wanted.variant:
        return before
    if before is not None and _is_handed_over(before):
        return found
    lost = last_good(inputs, wanted)
    return replace(lost, held=True) if lost else found


def _is_handed_over(before: Choice) -> bool:
    """Whether the steps of what was rolled out last are over, rather than its record new and without a turn yet."""
    revision = before.revision
    return revision.turn > revision.number or before.stored != revision.record.serving


def _may_begin(observed: Observed, stable: Choice, wanted: Choice) -> bool:
    """Whether there is something to be careful with, and the candidate could get requests.

    What served last is put back where somebody changed the Deployment: that is no new revision. Pods with TLS and those
    without have ports of their own, so that how many there are of each decides no share of requests.
    """
    last = _served_last(observed)
    if last is not None and last.key == wanted.revision.key != stable.revision.key:
        return False
    serves = bool(observed.answering) or (observed.deployment is not None and was_complete(observed.deployment))
    return serves and speaks_tls(stable.stored.template) == speaks_tls(wanted.stored.template)


def _served_last(observed: Observed) -> Revision | None:
    """The revision with the last turn: a candidate gets one above its number when it is rolled out."""
    return max(observed.revisions, key=lambda one: one.turn, default=None)


def _without_turn(revision: Revision) -> Revision:
    """A candidate has a number, and no turn to serve until it is rolled out."""
    recorded = numbered(revision.obj)[1] if revision.obj else 0
    return replace(revision, turn=max(revision.number, recorded))


def _at(
    canary: Canary,
    begun: TemplateRevision | None,
    stable: Choice,
    candidate: Choice,
    *,
    replicas: int,
    number: int = 1,
) -> Trial:
    """The step of a document, or the one of this number, which is to begin; of steps that are fewer by now the last."""
    number = min((begun.document.canary if begun else None) or number, len(canary.steps))
    step = canary.steps[number - 1]
    return Trial(
        stable=stable,
        candidate=candidate,
        step=step,
        number=number,
        steps=len(canary.steps),
        split=weights(step.weight, replicas),
        begun=begun,
    )


def _available(inputs: Inputs, found: Trial) -> int:
    beside = inputs.observed.beside
    if beside is None or not is_deployed(found.candidate.stored, beside):
        return 0
    return sum(ready_since(pod) is not None for pod in newest_pods(beside))


def _until(inputs: Inputs, found: Trial) -> datetime | None:
    """When all pods of the step will have been ready for long enough; None while not all of them are."""
    beside, begun = inputs.observed.beside, found.begun
    if beside is None or begun is None or not is_deployed(found.candidate.stored, beside):
        return None
    state, times = rollout(beside.deployment), [ready_since(pod) for pod in newest_pods(beside)]
    ready = [time for time in times if time is not None]
    if state is None or not state.complete or not len(ready) == len(times) == state.desired == found.split.canary > 0:
        return None
    read = _read_since(inputs, beside)
    return None if read is None else max([began(begun), *ready, *read]) + timedelta(seconds=found.step.hold_seconds)


def _read_since(inputs: Inputs, beside: Observed) -> list[datetime] | None:
    """Since when the pods of both sides are read, where they are to be judged; None while they are not."""
    if not is_judged(inputs.spec.serving.canary):
        return []
    sides = (tried_pods(beside), serving_pods(inputs.observed))
    mine, theirs = ([inputs.readings.get(pod["metadata"]["uid"]) for pod in pods] for pods in sides)
    there = [one.since for one in mine if one is not None]
    others = [one.since for one in theirs if one is not None]
    if len(there) < len(mine) or (theirs and not others):
        return None
    return [*there, *sorted(others)[:1]]
