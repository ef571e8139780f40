"""What is written down of a rollout: the record of its revision, the template of its pods, what failed before it."""

from collections.abc import Iterator
from dataclasses import replace

from modelservice_operator.domain.builders.record import build_record, build_template, numbered
from modelservice_operator.domain.canary import Trial
from modelservice_operator.domain.diff import Desired
from modelservice_operator.domain.last_good import Choice, failure_of, proof, steps_of
from modelservice_operator.domain.observe import Observed
from modelservice_operator.domain.records import Revision, StoredTemplate, TemplateRevision
from modelservice_operator.domain.rollout import is_deployed, rollout


def written(observed: Observed, choice: Choice) -> Iterator[Desired]:
    """What is to be there before the Deployment changes, in this order."""
    yield from _failure(observed, choice)
    yield from _record(observed, choice.revision, choice.stored)
    yield from _template(observed, choice.revision, choice.stored)


def kept_templates(observed: Observed, choice: Choice, *, limit: int) -> Iterator[str]:
    """What may be gone back to, while what is asked for is not rolled out; and what must not be tried again.

    Of the steps of canaries the last one: it says how far its canary is, and the ones before say nothing any more.
    """
    if not observed.templates:
        return
    yield from _own_templates(observed, choice)
    state = rollout(observed.deployment)
    done = state is not None and state.complete and is_deployed(choice.stored, observed)
    if choice.instead_of is None and not choice.held and done and observed.deployed_key == choice.revision.key:
        return
    bad = failure_of(observed, choice.instead_of.variant) if choice.instead_of else None
    proven = {proof(pod) for pod in observed.answering}
    works = (one for one in observed.templates if proof(one.document.serving.template) in proven)
    steps = [*steps_of(observed)][:1]
    others = [one for one in observed.templates if one.document.canary is None]
    for template in (*others[-2 * limit :], *steps, *works, *([bad] if bad else [])):
        yield template.obj["metadata"]["name"]


def _own_templates(observed: Observed, choice: Choice) -> Iterator[str]:
    """What other revisions were served with last whose records hold no template, since each was an intermediate result.

    Each is kept as long as its record, as those are that lie in one; not what failed, of which nothing tells for ever.
    """
    without = {one.key for one in observed.revisions if one.record.serving is None} - {choice.revision.key}
    rolled_out = (one for one in observed.templates if one.document.is_rolled_out)
    fit = (one for one in rolled_out if failure_of(observed, one.document.variant) is None)
    last = {one.document.key: one for one in fit}
    yield from (one.obj["metadata"]["name"] for key, one in last.items() if key in without)


def tried(observed: Observed, trial: Trial) -> Iterator[Desired]:
    """What is to be there before a canary has the pods of its step: that it began first, since all else follows.

    Its template lies in the document of its step alone, until it is rolled out.
    """
    key, stored = trial.candidate.revision.key, trial.candidate.stored
    number = trial.begun.number if trial.begun else _next_template(observed)
    yield Desired(obj=build_template(observed.owner, key, stored, number=number, canary=trial.number), immutable=True)
    yield from _record(observed, trial.candidate.revision, stored)


def _failure(observed: Observed, choice: Choice) -> Iterator[Desired]:
    """What is written down of a rollout that is taken back, before it is."""
    bad = choice.instead_of
    if bad is not None and failure_of(observed, bad.variant) is None:
        obj = build_template(
            observed.owner, bad.revision.key, bad.stored, number=_next_template(observed), failed=choice.failed
        )
        yield Desired(obj=obj, immutable=True)


def _record(observed: Observed, revision: Revision, stored: StoredTemplate) -> Iterator[Desired]:
    """A record that is new, or gets its number or another turn to serve."""
    if revision.obj is None:
        record = revision.record.model_copy(update={"serving": stored})
        yield Desired(obj=build_record(observed.owner, replace(revision, record=record)), immutable=True)
    elif numbered(revision.obj) != (revision.number, revision.turn):
        yield Desired(obj=build_record(observed.owner, revision))


def _template(observed: Observed, revision: Revision, stored: StoredTemplate) -> Iterator[Desired]:
    """A template that is rolled out, where the record does not hold it."""
    if revision.obj is not None and stored != revision.record.serving:
        # Stored before it is applied, so that the next pass, or a newer operator, serves the same.
        known = next((one for one in observed.templates if _stores(one, revision.key, stored)), None)
        number = known.number if known else _next_template(observed)
        yield Desired(obj=build_template(observed.owner, revision.key, stored, number=number), immutable=True)


def _stores(template: TemplateRevision, key: str, stored: StoredTemplate) -> bool:
    document = template.document
    said = (document.key, document.serving, document.failed, document.canary)
    return said == (key, stored, None, None)


def _next_template(observed: Observed) -> int:
    return 1 + max((one.number for one in observed.templates), default=0)
