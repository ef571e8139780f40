"""What is rolled out, and with which pod template: what is asked for, or what served well before, once that failed.

A rollout that failed is written down beside the templates, by what was served and how: so that it is tried once, and an
operator that was started anew knows. Nothing else is remembered, and what is served in its place is not judged.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import chain
from typing import Any

from modelservice_operator.constants import ANNOTATION_INPUTS
from modelservice_operator.domain.inputs import Inputs
from modelservice_operator.domain.judging import judge
from modelservice_operator.domain.observe import Observed, told
from modelservice_operator.domain.records import Revision, StoredTemplate, TemplateRevision
from modelservice_operator.domain.rollout import is_deployed, newest_pods
from modelservice_operator.domain.template import choose_template, paced, rolled_out
from modelservice_operator.domain.verdict import canary_failure, rollout_failure

_WORDS = 512


@dataclass(frozen=True, kw_only=True)
class Choice:
    """A revision and the template of its pods.

    ``failed`` says why it is not what was asked for, which is ``instead_of``; None where it is. ``held``: it is left as
    it is deployed, whatever the spec says by now. ``waits``: a newer operator's template is next, when its turn comes.
    """

    revision: Revision
    stored: StoredTemplate
    instead_of: "Choice | None" = None
    failed: str | None = None
    held: bool = False
    waits: bool = False

    @property
    def variant(self) -> tuple[str, str]:
        """What is served and how: the same again is not tried again."""
        return self.revision.key, self.stored.inputs


def choose(inputs: Inputs, asked: Revision, *, known: bool) -> Choice:
    """Decide what is rolled out.

    Args:
        inputs: what is asked for, and what is there.
        asked: what is to serve, with its number.
        known: whether a model of what spec and data ask for is there; else ``asked`` serves meanwhile.
    """
    observed, serving = inputs.observed, inputs.spec.serving
    pinned = serving.pin_revision is not None
    if not (known or pinned) and any(one.document.failed for one in observed.templates):
        kept = as_it_is(observed, asked)
        if kept is not None:
            return kept
    stored, waits = choose_template(inputs, asked)
    choice = Choice(revision=asked, stored=stored, waits=waits)
    if pinned:
        return choice  # a person knows better
    # While rollouts are paused nothing is taken back, so nothing is judged.
    failed = _failed_before(observed, choice.variant) or (None if serving.paused else _fails(inputs, choice))
    good = last_good(inputs, choice) if failed else None
    if good is None:
        return choice
    stored = paced(good.stored, inputs, good.revision.record)
    return Choice(revision=good.revision, stored=stored, instead_of=choice, failed=failed)


def hold(inputs: Inputs, current: Revision | None) -> Choice | None:
    """What goes on while rollouts are paused: what is deployed, as it is; what was, where the Deployment was lost."""
    if current is None:
        return None
    if inputs.observed.deployment is not None:
        return as_it_is(inputs.observed, current)
    was = as_it_was(inputs.observed, current)
    return was or Choice(revision=current, stored=choose_template(inputs, current).stored, held=True)


def what_differs(one: Choice, other: Choice) -> str:
    """What is another way in one of two choices of the same revision, in words."""
    return "the server of this operator" if one.stored.asked == other.stored.asked else "another spec.serving"


def failure_of(observed: Observed, variant: tuple[str, str]) -> TemplateRevision | None:
    """What was written down of a rollout that failed."""
    found = (one for one in observed.templates if one.document.variant == variant)
    return next((one for one in found if one.document.failed), None)


def step_of(observed: Observed, variant: tuple[str, str]) -> TemplateRevision | None:
    """The document of the step that a canary is at; None while it has not begun."""
    return next((one for one in steps_of(observed) if one.document.variant == variant), None)


def steps_of(observed: Observed) -> Iterator[TemplateRevision]:
    """The documents of steps of canaries that did not fail, the newest first."""
    for one in reversed(observed.templates):
        document = one.document
        if document.canary is not None and failure_of(observed, document.variant) is None:
            yield one


def began(step: TemplateRevision) -> datetime:
    """When a step began: the apiserver's time on its document."""
    return datetime.fromisoformat(step.obj["metadata"]["creationTimestamp"])


def _fails(inputs: Inputs, choice: Choice) -> str | None:
    """Why the rollout of a choice, or the canary before it, fails; None while it does not."""
    observed, canary = inputs.observed, inputs.spec.serving.canary
    why = rollout_failure(observed, choice.revision.key, choice.stored)
    begun, beside = step_of(observed, choice.variant), observed.beside
    # Once it is rolled out, the rollout alone is judged.
    if canary is not None and begun is not None and beside is not None and not is_deployed(choice.stored, observed):
        found = canary_failure(beside, choice.stored, began=began(begun), now=inputs.now)
        found = found or judge(canary, observed, inputs.readings)
        why = f"canary {begun.document.canary}/{len(canary.steps)}: {found}" if found else why
    return why[:_WORDS] if why else None


def _failed_before(observed: Observed, variant: tuple[str, str]) -> str | None:
    known = failure_of(observed, variant)
    return known.document.failed if known else None


def as_it_is(observed: Observed, asked: Revision) -> Choice | None:
    """What is deployed, with the template that it has, or had before somebody changed it."""
    if observed.deployed_key != asked.key:
        return None
    deployed = (one for one in _choices(observed, asked) if is_deployed(one.stored, observed))
    found = next(deployed, None)
    return replace(found, held=True) if found else as_it_was(observed, asked)


def as_it_was(observed: Observed, revision: Revision) -> Choice | None:
    """A revision with the template that was rolled out last of it; None where none was, or none is known to work."""
    found = next(_choices(observed, revision), None)
    return replace(found, held=True) if found else None


def _choices(observed: Observed, revision: Revision) -> Iterator[Choice]:
    """A revision with each template that was rolled out of it and did not fail, the newest first."""
    return (Choice(revision=revision, stored=stored) for stored in rolled_out(observed, revision.record))


def last_good(inputs: Inputs, bad: Choice) -> Choice | None:
    """What ready pods serve still, what serves in its place already, or the last other revision; None where none did.

    Another template of the same revision counts only while a ready pod has it: it may never have worked. Once it is
    deployed in place of what failed it stays, whether or not its pods are ready at this moment.
    """
    observed, fails = inputs.observed, is_deployed(bad.stored, inputs.observed)
    newest = {pod["metadata"]["name"] for pod in newest_pods(observed)} if fails else set()
    proven = {proof(pod) for pod in observed.answering if pod["metadata"]["name"] not in newest}
    there = (one for one in observed.revisions if observed.holds(one.record, inputs.artifacts))
    last = sorted(there, key=lambda one: one.turn, reverse=True)
    choices = [one for revision in last for one in _choices(observed, revision) if one.variant != bad.variant]
    in_place = [] if fails else [one for one in choices if is_deployed(one.stored, observed)]
    works = (one for one in (*in_place, *choices) if proof(one.stored.template) in proven)
    others = (one for one in choices if one.revision.key != bad.revision.key)
    return next(chain(works, in_place, others), None)


def proof(pod: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """What a pod, or a pod template, says of itself; pods of an older release do not say from what they were built."""
    said, annotations = told(pod), pod["metadata"].get("annotations") or {}
    return said.key if said else None, annotations.get(ANNOTATION_INPUTS)
