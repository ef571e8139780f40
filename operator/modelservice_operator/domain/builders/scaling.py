"""The objects that decide how many pods serve: autoscaler, disruption budget, and what holds their number meanwhile."""

from modelservice.contract.serving import Autoscaling, ScalingPace
from modelservice_operator.constants import ANNOTATION_REPLICAS, STAGE_SERVE
from modelservice_operator.domain.builders.scaling_metrics import build_metrics
from modelservice_operator.domain.builders.serving import selector_labels
from modelservice_operator.domain.metadata import Owner
from modelservice_operator.objects import Object


def build_replicas_holder(owner: Owner, replicas: int) -> Object:
    """Says only the number of replicas, under a second field manager, until the autoscaler has written its own."""
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": owner.name, "namespace": owner.namespace},
        "spec": {"replicas": replicas},
    }


def build_autoscaler(owner: Owner, autoscaling: Autoscaling, replicas: int) -> Object:
    """A HorizontalPodAutoscaler; ``replicas``: what the spec says beside it (see ``handed_back``)."""
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {
            **owner.metadata(owner.name, stage=STAGE_SERVE),
            "annotations": {ANNOTATION_REPLICAS: str(replicas)},
        },
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": owner.name},
            "minReplicas": autoscaling.min_replicas,
            "maxReplicas": autoscaling.max_replicas,
            "metrics": build_metrics(autoscaling),
            **_behavior(autoscaling),
        },
    }


def _behavior(autoscaling: Autoscaling) -> Object:
    """What is said of the pace; the autoscaler's own defaults decide the rest."""
    paces = {"scaleUp": _pace(autoscaling.scale_up), "scaleDown": _pace(autoscaling.scale_down)}
    said = {direction: pace for direction, pace in paces.items() if pace}
    return {"behavior": said} if said else {}


def _pace(pace: ScalingPace | None) -> Object:
    if pace is None:
        return {}
    window, pods = pace.stabilization_seconds, pace.pods_per_minute
    return {
        **({"stabilizationWindowSeconds": window} if window is not None else {}),
        **({"policies": [{"type": "Pods", "value": pods, "periodSeconds": 60}]} if pods is not None else {}),
    }


def build_disruption_budget(owner: Owner) -> Object:
    """Lets a drain take one serving pod at a time; a pod that is not ready may always go."""
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": owner.metadata(owner.name, stage=STAGE_SERVE),
        "spec": {
            "maxUnavailable": 1,
            "selector": {"matchLabels": selector_labels(owner)},
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
        },
    }
