"""Whether what serves runs on the server image that this operator brings, and if not, what brings it."""

from modelservice.contract.resource import ModelServiceSpec
from modelservice_operator.config import Settings
from modelservice_operator.crd.status import ConditionType
from modelservice_operator.domain.builders.serving import choose_engine, server_image
from modelservice_operator.domain.conditions import Finding
from modelservice_operator.domain.observe import Observed, image_of
from modelservice_operator.domain.plan import Plan
from modelservice_operator.domain.promotion import PAUSED, ROLLED_BACK

_PINNED = "comes with the next revision, or by spec.serving.runtimePolicy: FollowOperator"


def runtime_current(spec: ModelServiceSpec, observed: Observed, planned: Plan, settings: Settings) -> Finding | None:
    """The condition; None while nothing is there to serve.

    Ready pods tell by their own image; where none is ready, the Deployment does.
    """
    if planned.serving is None or observed.deployment is None:
        return None
    newest = server_image(choose_engine(spec.serving, planned.serving.record), settings)
    found = {image_of(pod) for pod in observed.answering} or {image_of(observed.deployment["spec"].get("template", {}))}
    older = sorted(image for image in found if image and image != newest)
    if not older and not planned.waits:
        return Finding(type=ConditionType.RUNTIME_CURRENT, status=True, reason="Current", message=newest)
    reason, words = _why(spec, planned)
    serves = ", ".join(older) if older else f"an older pod template of {newest}"
    message = f"{serves} serves; {newest if older else 'the one of this operator'} {words}"
    return Finding(type=ConditionType.RUNTIME_CURRENT, status=False, reason=reason, message=message)


def _why(spec: ModelServiceSpec, planned: Plan) -> tuple[str, str]:
    if not spec.serving.follows_operator:
        return "Pinned", _PINNED
    if planned.waits:
        return "WaitsForTurn", "comes once others are rolled out (chart value followAtOnce)"
    if planned.promotion.reason == ROLLED_BACK:
        return ROLLED_BACK, "was taken back: see Served"
    if planned.promotion.reason == PAUSED or spec.serving.paused:
        return PAUSED, "waits until spec.serving.paused is false"
    return "RollingOut", "is being rolled out"
