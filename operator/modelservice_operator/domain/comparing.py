"""Whether a result is compared with what serves before it may take its place, and how that stands."""

from modelservice_operator.domain.attempts import StepState, step_state
from modelservice_operator.domain.inputs import Inputs
from modelservice_operator.domain.promotion import candidate_of
from modelservice_operator.domain.records import Revision
from modelservice_operator.domain.requirements import refusal
from modelservice_operator.domain.stages import COMPARE, Step
from modelservice_operator.domain.stages.compare import pair_key


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
