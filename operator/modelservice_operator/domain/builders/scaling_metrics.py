"""What an autoscaler can look at: another metric is one more member, and a field of ``spec.serving.autoscaling``."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from modelservice.contract.quantities import canonical_quantity
from modelservice.contract.serving import Autoscaling
from modelservice.contract.serving_metrics import QUEUE_WAIT_SECONDS, REQUESTS_IN_FLIGHT
from modelservice_operator.constants import SERVING_CONTAINER
from modelservice_operator.objects import Object


@dataclass(frozen=True, kw_only=True)
class MetricsApi:
    """An API of the cluster that serves metrics to autoscalers.

    ``said_as`` is what an autoscaler calls it, ``served_by`` who serves it where nothing else is installed.
    """

    group: str
    said_as: str
    served_by: str


RESOURCE_METRICS: Final = MetricsApi(group="metrics.k8s.io", said_as="resource metrics API", served_by="metrics-server")
CUSTOM_METRICS: Final = MetricsApi(
    group="custom.metrics.k8s.io",
    said_as="custom metrics API",
    served_by="prometheus-adapter with the rules of docs/how-to/autoscaling.md",
)
METRICS_APIS: Final = (RESOURCE_METRICS, CUSTOM_METRICS)


@dataclass(frozen=True, kw_only=True)
class ScalingMetric:
    """A metric with a target: the field that says it, the API that serves it, and what an autoscaler is told.

    ``name`` is what the API calls the metric.
    """

    field: str
    name: str
    api: MetricsApi
    build: Callable[[str, int], Object]


def _of_server(name: str, percent: int) -> Object:
    """Utilisation of the server alone: over whole pods a sidecar without a request would leave it without a percentage.

    Meshes inject such ones.
    """
    target = {"type": "Utilization", "averageUtilization": percent}
    resource = {"name": name, "container": SERVING_CONTAINER, "target": target}
    return {"type": "ContainerResource", "containerResource": resource}


def _of_pods(name: str, average: str) -> Object:
    return {
        "type": "Pods",
        "pods": {"metric": {"name": name}, "target": {"type": "AverageValue", "averageValue": average}},
    }


def _requests(name: str, number: int) -> Object:
    return _of_pods(name, canonical_quantity(str(number)))


def _seconds(name: str, milliseconds: int) -> Object:
    return _of_pods(name, canonical_quantity(f"{milliseconds}m"))


SCALING_METRICS: Final = (
    ScalingMetric(field="target_cpu_utilization", name="cpu", api=RESOURCE_METRICS, build=_of_server),
    ScalingMetric(field="target_memory_utilization", name="memory", api=RESOURCE_METRICS, build=_of_server),
    ScalingMetric(field="target_in_flight", name=REQUESTS_IN_FLIGHT, api=CUSTOM_METRICS, build=_requests),
    ScalingMetric(field="target_queue_milliseconds", name=QUEUE_WAIT_SECONDS, api=CUSTOM_METRICS, build=_seconds),
)


def metrics_of(autoscaling: Autoscaling) -> list[ScalingMetric]:
    """The members that have a target, in their order."""
    return [metric for metric in SCALING_METRICS if metric.field in autoscaling.targets]


def build_metrics(autoscaling: Autoscaling) -> list[Object]:
    """What an autoscaler is told to look at, one for each of ``metrics_of``."""
    return [metric.build(metric.name, autoscaling.targets[metric.field]) for metric in metrics_of(autoscaling)]
