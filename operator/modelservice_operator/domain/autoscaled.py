"""What the autoscaler says of itself, as a condition: it decides nothing while it sees no metric, and pods serve on."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from modelservice.contract.serving import Autoscaling
from modelservice_operator.crd.status import ConditionType
from modelservice_operator.domain.builders.scaling_metrics import METRICS_APIS, ScalingMetric, metrics_of
from modelservice_operator.domain.conditions import Finding
from modelservice_operator.domain.observe import Observed
from modelservice_operator.kinds import HORIZONTAL_POD_AUTOSCALER

_ABILITIES: Final = ("AbleToScale", "ScalingActive")
"""Conditions of an autoscaler; while it sees no metric the last one is False."""

_UNKNOWN_METRIC: Final = "could not find the metric"
"""Words of an adapter that answers, and serves no such metric."""

_REMEDIES: Final[Mapping[str, str]] = {
    "AmbiguousSelector": "two autoscalers of the same pods both stand still: delete the other one, or leave out"
    " spec.serving.autoscaling and have it scale the ModelService in place of its pods",
}
"""What to do about a reason of Kubernetes' own, where its words do not say it."""


def autoscaled(observed: Observed, autoscaling: Autoscaling) -> Finding:
    """Whether the number of pods follows what was asked for."""
    kind = ConditionType.AUTOSCALED
    autoscaler = observed.child(HORIZONTAL_POD_AUTOSCALER, observed.owner.name) or {}
    status = autoscaler.get("status", {})
    said = {one["type"]: one for one in status.get("conditions", ())}
    wrong = (said[name] for name in _ABILITIES if said.get(name, {}).get("status") == "False")
    if (failed := next(wrong, None)) is not None:
        return _failed(failed)
    if said.get(_ABILITIES[-1], {}).get("status") != "True":
        return Finding(type=kind, status=None, reason="NotDecidedYet")
    if missing := list(_missing(autoscaling, status)):
        words = ", ".join(f"{metric.name} of {metric.api.group}" for metric in missing)
        message = (
            f"the autoscaler goes by its other metrics alone, and takes no pod away: it sees no {words}; events of the"
            " HorizontalPodAutoscaler say why"
        )
        return Finding(type=kind, status=False, reason="MetricMissing", message=message)
    words = f"{autoscaling.min_replicas} to {autoscaling.max_replicas} replicas"
    return Finding(type=kind, status=True, reason="Scaling", message=words)


def scaled_by_another(observed: Observed, replicas: int) -> Finding:
    """That somebody else's autoscaler says the number of pods; ``replicas`` is what the spec says."""
    owner, names = observed.owner.name, ", ".join(observed.scalers or ())
    message = (
        f"HorizontalPodAutoscaler {names} scales Deployment {owner}, so serving.replicas ({replicas}) is not used: have"
        f" it scale ModelService {owner}, or delete it and set serving.autoscaling"
    )
    return Finding(type=ConditionType.AUTOSCALED, status=False, reason="ScaledByAnother", message=message)


def _failed(condition: Mapping[str, Any]) -> Finding:
    """What an autoscaler says is wrong; which API does not answer is in its words."""
    kind, words, reason = ConditionType.AUTOSCALED, condition.get("message", ""), condition.get("reason", "")
    remedy = _REMEDIES.get(reason, "")
    for api in METRICS_APIS:
        if f"unable to fetch metrics from {api.said_as}" not in words:
            continue
        reason = "MetricsUnavailable"
        if _UNKNOWN_METRIC in words:
            remedy = f"{api.group} answers and has no such metric: is it {api.served_by}, and are the pods scraped?"
        else:
            remedy = (
                f"{api.group} is not served: install {api.served_by}; where that is installed, kubectl get apiservices"
                " says what is wrong with it"
            )
    said = f"the autoscaler says: {words}"
    return Finding(type=kind, status=False, reason=reason, message="; ".join(filter(None, (said, remedy))))


def _missing(autoscaling: Autoscaling, status: Mapping[str, Any]) -> Iterator[ScalingMetric]:
    """Metrics that it could not read when it decided by others: it leaves their places empty."""
    seen = status.get("currentMetrics") or ()
    for metric, current in zip(metrics_of(autoscaling), seen, strict=False):
        if not current.get("type"):
            yield metric
