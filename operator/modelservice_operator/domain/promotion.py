"""Which revision serves: the newest result where it is promoted, the pinned one, or what served before."""

from dataclasses import dataclass, replace

from modelservice.contract.serving import PinRevision
from modelservice_operator.domain.attempts import StepState
from modelservice_operator.domain.comparing import candidate_of
from modelservice_operator.domain.inputs import Inputs
from modelservice_operator.domain.last_good import Choice, what_differs
from modelservice_operator.domain.observe import Observed
from modelservice_operator.domain.records import Revision
from modelservice_operator.domain.requirements import Candidate, refusal

PROMOTED, REFUSED, COMPARING, PENDING, PINNED, NOT_KEPT, FETCHING, ROLLED_BACK, PAUSED, KEEPING = (
    "Promoted",
    "PromotionRefused",
    "Comparing",
    "PromotionPending",
    "Pinned",
    "PinnedRevisionNotKept",
    "PinnedRevisionFetching",
    "RolledBack",
    "Paused",
    "KeepingForHeads",
)


@dataclass(frozen=True, kw_only=True)
class Promotion:
    """What serves, None where nothing does; ``reason`` and ``message`` tell why it is not the newest result.

    ``fails``: it is not what the spec asks for, and only a change of the spec, or another model, mends it.
    """

    serving: Revision | None
    reason: str = PROMOTED
    message: str = ""
    fails: bool = False


def promote(
    inputs: Inputs, result: Revision | None, current: Revision | None, judged: StepState | None = None
) -> Promotion:
    """Decide.

    Args:
        inputs: what is asked for, and what is there.
        result: that of the last stage, None while it is not there.
        current: what serves, or would if nothing new came.
        judged: how the comparison of both stands, None where none is asked for.
    """
    pin = inputs.spec.serving.pin_revision
    if pin is not None:
        return _pinned(pin, inputs, result, current)
    if result is None:
        return Promotion(serving=current)
    candidate = candidate_of(inputs, result, current)
    if candidate is None:
        return Promotion(serving=result)  # what serves was promoted, and stays so
    # What is written down is known the next time, whatever happens in between.
    known = inputs.observed.comparison(judged.step.key) if judged else None
    if judged is not None and known is None:
        return Promotion(serving=current, reason=COMPARING)
    return _asked(inputs, result, current, replace(candidate, comparison=known.comparison if known else None))


def _asked(inputs: Inputs, result: Revision, current: Revision | None, candidate: Candidate) -> Promotion:
    """What the requirements say of a result, and then a person, where one is to be asked."""
    promotion = inputs.spec.promotion
    missed = refusal(promotion, candidate)
    if missed is not None:
        message = f"the model of key {result.key} is not promoted, {_stays(current, inputs.observed)}: {missed}"
        return Promotion(serving=current, reason=REFUSED, message=message, fails=True)
    if promotion is not None and promotion.manual:
        return Promotion(
            serving=current, reason=PENDING, message=_waits(result, f", {_stays(current, inputs.observed)}")
        )
    return Promotion(serving=result)


def _pinned(pin: PinRevision, inputs: Inputs, result: Revision | None, current: Revision | None) -> Promotion:
    found = find_pinned(pin, inputs, result)
    if found is None:
        stays = _stays(current, inputs.observed)
        kept = ", ".join(str(one.number) for one in inputs.observed.revisions) or "none"
        message = f"spec.serving.pinRevision names {pin.words}, which is not kept, {stays}; revisions kept: {kept}"
        if pin.source is not None:
            message = f"{pin.words} is to be fetched from {pin.uri}, as spec.serving.pinRevision says, {stays}"
        # What is being trained may turn out to be what is meant. What is deployed and on its way out is left as it is.
        going = inputs.observed.record(inputs.observed.deployed_key)
        stands = going is not None and _is_meant(pin, going)
        return Promotion(
            serving=None if stands else current,
            reason=NOT_KEPT if pin.source is None else FETCHING,
            message=message,
            fails=result is not None,
        )
    if result is None or found.key == result.key:
        return Promotion(serving=found)
    number = f"revision {found.number}" if found.number else f"the model of key {found.key}"
    message = f"{number} serves, as spec.serving.pinRevision says; {_waits(result)}"
    return Promotion(serving=found, reason=PINNED, message=message)


def rolled_back(promotion: Promotion, choice: Choice, *, stalled: bool) -> Promotion:
    """What serves in place of a rollout that failed.

    Args:
        promotion: what was to serve.
        choice: what serves instead, and why.
        stalled: whether nothing else is under way, so that only a change brings more.
    """
    bad, before = choice.instead_of or choice, f"revision {choice.revision.number} serves again"
    what, again = f"revision {bad.revision.number}", "spec.serving or the model changes"
    if bad.revision.key == choice.revision.key and bad.stored.asked == choice.stored.asked:
        what, again = f"{what} with {what_differs(bad, choice)}", f"{again}, or the operator brings another one"
        before = f"{before} with the one of before"
    elif bad.revision.key == choice.revision.key:
        before = f"{before} as before spec.serving changed"
    words = (
        f"the rollout of {what} failed and was taken back, {before} ({choice.failed}); it is tried again"
        f" when {again}, or once spec.serving.pinRevision names it"
    )
    message = "; ".join(filter(None, (words, promotion.message)))
    return replace(promotion, reason=ROLLED_BACK, message=message, fails=stalled or promotion.fails)


def paused(promotion: Promotion, wanted: Choice | None, held: Choice | None) -> Promotion:
    """What serves while rollouts are paused, and what waits.

    Args:
        promotion: what were to serve.
        wanted: what would be rolled out.
        held: what is deployed, None where nothing is.
    """
    serving = held.revision if held else None
    if wanted is None or (held is not None and wanted.variant == held.variant):
        return replace(promotion, serving=serving)
    same = held is not None and held.revision.key == wanted.revision.key
    what = what_differs(wanted, held) if held is not None and same else _words(wanted.revision)
    stays = f"revision {serving.number} stays as it is" if serving else "nothing is rolled out"
    words = f"{what} waits until spec.serving.paused is false, {stays}"
    message = "; ".join(filter(None, (words, promotion.message)))
    return replace(promotion, serving=serving, reason=PAUSED, message=message)


def behind_heads(promotion: Promotion, wanted: Choice, held: Choice, waits: str) -> Promotion:
    """What serves until what heads ask is kept elsewhere.

    Args:
        promotion: what were to serve.
        wanted: what would be rolled out.
        held: what is deployed.
        waits: what has to be there first.
    """
    message = "; ".join(filter(None, (f"{_words(wanted.revision)} waits: {waits}", promotion.message)))
    return replace(promotion, serving=held.revision, reason=KEEPING, message=message)


def _words(revision: Revision) -> str:
    """What has served is a revision; what never did has a number only once it does."""
    recorded = revision.obj.get("revision") if revision.obj else None
    return f"revision {recorded}" if recorded else f"the model of key {revision.key}"


def find_pinned(pin: PinRevision, inputs: Inputs, result: Revision | None = None) -> Revision | None:
    """What is meant, and whose artifact is there: what is deployed, else the newest.

    Args:
        pin: names it.
        inputs: what is there.
        result: that of the last stage, None while it is not there.
    """
    known = [*inputs.observed.records, *([result] if result is not None and result.obj is None else [])]
    meant = [one for one in reversed(known) if _is_meant(pin, one)]
    meant.sort(key=lambda one: one.key != inputs.observed.deployed_key)
    return next((one for one in meant if inputs.observed.holds(one.record, inputs.artifacts)), None)


def _is_meant(pin: PinRevision, revision: Revision) -> bool:
    return pin.number in (None, revision.number) and pin.digest in (None, revision.digest)


def _stays(current: Revision | None, observed: Observed) -> str:
    if current is not None and current.number:
        return f"revision {current.number} stays"
    return "what serves stays, whose record was lost" if observed.answering else "nothing is served"


def _waits(result: Revision, meanwhile: str = "") -> str:
    return f"the model of key {result.key} waits for spec.serving.pinRevision.digest {result.digest}{meanwhile}"
