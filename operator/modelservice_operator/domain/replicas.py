"""Who says how many pods serve: the spec, an autoscaler, and between the two another field manager.

An autoscaler that somebody else put on our Deployment is let be: two that write one number would never end.
"""

from collections.abc import Iterator

from modelservice.contract.rollout import MAX_REPLICAS
from modelservice.contract.serving import Serving
from modelservice_operator.constants import ANNOTATION_REPLICAS, REPLICAS_FIELD_MANAGER
from modelservice_operator.domain.builders.scaling import build_replicas_holder
from modelservice_operator.domain.diff import Desired
from modelservice_operator.domain.metadata import bears_stamp, stamped
from modelservice_operator.domain.observe import Observed
from modelservice_operator.kinds import HORIZONTAL_POD_AUTOSCALER
from modelservice_operator.objects import Object


def is_scaled(serving: Serving, observed: Observed) -> bool:
    """Whether an autoscaler says the number, ours or somebody else's, or one did and that is not written down yet."""
    by_another = observed.scalers is None or bool(observed.scalers)
    return serving.autoscaling is not None or by_another or handed_back(serving, observed) is not None


def serving_replicas(serving: Serving, observed: Observed) -> int:
    """How many pods serve, as the spec or the autoscaler says; 0 while there is no Deployment that says it."""
    if not is_scaled(serving, observed):
        return serving.replicas
    return int(observed.deployment["spec"].get("replicas", 1)) if observed.deployment else 0


def handed_back(serving: Serving, observed: Observed) -> int | None:
    """The number of replicas that an autoscaler leaves, to be stored as if ``kubectl scale`` had said it.

    None where there is nothing to hand back: autoscaling goes on, or whoever took it away said another number.
    """
    deployment, autoscaler = observed.deployment, observed.child(HORIZONTAL_POD_AUTOSCALER, observed.owner.name)
    if serving.autoscaling is not None or deployment is None or autoscaler is None:
        return None
    beside = autoscaler["metadata"].get("annotations", {}).get(ANNOTATION_REPLICAS)
    number = min(int(deployment["spec"].get("replicas", 1)), MAX_REPLICAS)
    return number if beside == str(serving.replicas) and number != serving.replicas else None


def replicas_holder(observed: Observed, serving: Serving, desired: Object) -> Iterator[Desired]:
    """On the way to an autoscaler somebody must say the number; at 0 an autoscaler takes itself for switched off.

    ``desired`` is the Deployment that no longer says it; once that is applied, the number is held.
    """
    live, autoscaler = observed.deployment, observed.child(HORIZONTAL_POD_AUTOSCALER, observed.owner.name)
    if serving.autoscaling and live and not autoscaler and not bears_stamp(live, stamped(desired)):
        held = max(live["spec"].get("replicas", 1), serving.autoscaling.min_replicas)
        yield Desired(obj=build_replicas_holder(observed.owner, held), manager=REPLICAS_FIELD_MANAGER)
