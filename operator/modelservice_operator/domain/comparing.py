"""Whether a result is compared with what serves before it may take its place, and how that stands."""

from modelservice.contract.artifacts import Artifacts
from modelservice_operator.domain.attempts import StepState, step_state
from modelservice_operator.domain.builders.encryption import secret_of
from modelservice_operator.domain.inputs import Inputs
from modelservice_operator.domain.records import Revision
from modelservice_operator.domain.requirements import Candidate, refusal
from modelservice_operator.domain.stages import COMPARE, Step
from modelservice_operator.domain.stages.compare import pair_key
from modelservice_operator.domain.stores import location_of


def candidate_of(inputs: Inputs, result: Revision | None, current: Revision | None) -> Candidate | None:
    """The result, where it has to show something before it serves; None where it serves already, or a person decides.

    Args:
        inputs: what is asked for, and what is there.
        result: that of the last stage, None while it is not there.
        current: what serves, or would if nothing new came.
    """
    if inputs.spec.serving.pin_revision is not None or result is None:
        return None
    if current is not None and current.key == result.key:
        return None
    deployed = inputs.observed.deployed_key
    compared = inputs.observed.record(deployed) or current
    unknown = deployed is not None and (compared is None or compared.key != deployed)
    held = compared is not None and inputs.observed.holds(compared.record, inputs.artifacts)
    rival = compared if held else current
    return Candidate(
        record=result.record,
        current=compared,
        unreadable=unknown,
        rival=rival,
        apart=_apart(inputs.artifacts, result, rival) if rival is not None else None,
    )


def comparison_state(inputs: Inputs, result: Revision | None, current: Revision | None) -> StepState | None:
    """How the comparison of a result with what serves stands; None where none is asked for.

    Nor is it where the result falls short of another requirement: it would not be promoted whatever came out.

    Args:
        inputs: what is asked for, and what is there.
        result: that of the last stage, None while it is not there.
        current: what serves, or would if nothing new came.
    """
    spec = inputs.spec
    candidate = candidate_of(inputs, result, current)
    if candidate is None or result is None or spec.promotion is None or not spec.promotion.compared_metrics:
        return None
    against = candidate.compared_with
    if against is None or refusal(spec.promotion, candidate) is not None:
        return None
    step = Step(stage=COMPARE, key=pair_key(spec, result, against), parent=result.key, against=against)
    return step_state(step, inputs, parent=result)


def _apart(artifacts: Artifacts, first: Revision, second: Revision) -> str | None:
    """Why one pod cannot open two results at once: each needs a Secret of its own, in words; None where it can."""
    pair = (first, second)
    needed = {("encrypted with keys of", secret_of(one.record.artifact, artifacts)) for one in pair}
    places = [location_of(one.record, artifacts)[1] for one in pair]
    needed |= {(f"stored {place.within}", place.secret) for place in places if place.within}
    for what in sorted({what for what, _ in needed}):
        found = sorted(secret for words, secret in needed if words == what and secret is not None)
        if len(found) > 1:
            return f"they are {what} different Secrets ({', '.join(found)})"
    return None
