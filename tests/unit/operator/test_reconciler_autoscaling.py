"""What autoscalers are told, what they say, and whom they leave the number of pods to."""

from typing import Any

import pytest
from tests.support.world import NAMESPACE, World

from modelservice.contract.serving import Autoscaling
from modelservice.contract.serving_metrics import QUEUE_WAIT_SECONDS, REQUESTS_IN_FLIGHT
from modelservice_operator.domain.builders.scaling_metrics import SCALING_METRICS
from modelservice_operator.kinds import DEPLOYMENT, HORIZONTAL_POD_AUTOSCALER, ref_of
from modelservice_operator.machinery.errors import Conflict, Forbidden
from modelservice_operator.objects import Object, Ref


def test_an_autoscaler_looks_at_the_server_and_not_at_sidecars() -> None:
    world = World()
    world.serve(serving={"autoscaling": {"maxReplicas": 5}})
    (metric,) = world.one(HORIZONTAL_POD_AUTOSCALER)["spec"]["metrics"]
    (container,) = world.one(DEPLOYMENT)["spec"]["template"]["spec"]["containers"]
    assert metric["type"] == "ContainerResource"
    assert metric["containerResource"]["container"] == container["name"]
    assert "cpu" in container["resources"]["requests"]


def told(**targets: int) -> list[Any]:
    """What an autoscaler with these targets is told to look at."""
    world = World()
    world.serve(serving={"autoscaling": {"maxReplicas": 5, **targets}, "resources": {"requests": {"memory": "1Gi"}}})
    metrics: list[Any] = world.one(HORIZONTAL_POD_AUTOSCALER)["spec"]["metrics"]
    return metrics


def test_without_a_target_it_aims_at_seventy_percent_of_the_cpu() -> None:
    (metric,) = told()
    assert metric["containerResource"]["name"] == "cpu"
    assert metric["containerResource"]["target"] == {"type": "Utilization", "averageUtilization": 70}


def test_memory_is_that_of_the_server_too() -> None:
    (metric,) = told(targetMemoryUtilization=80)
    assert metric["containerResource"] == {
        "name": "memory",
        "container": "server",
        "target": {"type": "Utilization", "averageUtilization": 80},
    }


@pytest.mark.parametrize(
    ("field", "value", "name", "quantity"),
    [
        ("targetInFlight", 8, REQUESTS_IN_FLIGHT, "8"),
        ("targetInFlight", 2000, REQUESTS_IN_FLIGHT, "2k"),
        ("targetQueueMilliseconds", 50, QUEUE_WAIT_SECONDS, "50m"),
    ],
)
def test_what_servers_tell_of_themselves_is_an_average_over_pods(
    field: str, value: int, name: str, quantity: str
) -> None:
    (metric,) = told(**{field: value})
    assert metric == {
        "type": "Pods",
        "pods": {"metric": {"name": name}, "target": {"type": "AverageValue", "averageValue": quantity}},
    }


def test_what_is_a_second_is_so_in_the_canonical_form_in_which_it_comes_back() -> None:
    world = World()
    batching = {"maxQueueMilliseconds": 5000}
    world.serve(serving={"autoscaling": {"maxReplicas": 5, "targetQueueMilliseconds": 2000}, "batching": batching})
    (metric,) = world.one(HORIZONTAL_POD_AUTOSCALER)["spec"]["metrics"]
    assert metric["pods"]["target"]["averageValue"] == "2"


def test_several_targets_stand_beside_each_other_and_cpu_only_where_it_is_said() -> None:
    metrics = told(targetInFlight=8, targetMemoryUtilization=80)
    assert [one["type"] for one in metrics] == ["ContainerResource", "Pods"]
    assert len(told(targetCPUUtilization=50, targetInFlight=8, targetMemoryUtilization=80)) == 3


def test_each_target_has_a_metric() -> None:
    fields = {name for name in Autoscaling.model_fields if name.startswith("target_")}
    assert {metric.field for metric in SCALING_METRICS} == fields


def test_an_autoscaler_is_told_the_pace_that_is_asked_for_and_no_other() -> None:
    world = World()
    slow, quick = {"stabilizationSeconds": 0, "podsPerMinute": 2}, {"stabilizationSeconds": 600}
    world.serve(serving={"autoscaling": {"maxReplicas": 5, "scaleUp": slow, "scaleDown": quick}})
    assert world.one(HORIZONTAL_POD_AUTOSCALER)["spec"]["behavior"] == {
        "scaleUp": {
            "stabilizationWindowSeconds": 0,
            "policies": [{"type": "Pods", "value": 2, "periodSeconds": 60}],
        },
        "scaleDown": {"stabilizationWindowSeconds": 600},
    }
    world.service(serving={"autoscaling": {"maxReplicas": 5, "scaleUp": {}}})
    world.settle()
    assert "behavior" not in world.one(HORIZONTAL_POD_AUTOSCALER)["spec"]


ABLE = {"type": "AbleToScale", "status": "True", "reason": "SucceededGetScale"}
SEES = {"type": "ScalingActive", "status": "True", "reason": "ValidMetricFound"}
BLIND = {
    "type": "ScalingActive",
    "status": "False",
    "reason": "FailedGetContainerResourceMetric",
    "message": "unable to fetch metrics",
}
UNABLE_TO = "the HPA was unable to compute the replica count: unable to get metric"
CUSTOM = "unable to fetch metrics from custom metrics API"
PODS = {**BLIND, "reason": "FailedGetPodsMetric"}
DEAF = {
    **BLIND,
    "message": "failed to get cpu usage: unable to get metrics for resource cpu: unable to fetch metrics from resource"
    " metrics API: the server could not find the requested resource (get pods.metrics.k8s.io)",
}
NO_ADAPTER = {
    **PODS,
    "message": f"{UNABLE_TO} x: {CUSTOM}: no custom metrics API (custom.metrics.k8s.io) registered",
}
NO_RULE = {**PODS, "message": f"{UNABLE_TO} x: {CUSTOM}: the server could not find the metric x for pods"}
TWO = {
    "type": "ScalingActive",
    "status": "False",
    "reason": "AmbiguousSelector",
    "message": "pods by selector a=b are controlled by multiple HPAs: [{keda-hpa-churn default} {churn default}]",
}
UNABLE = {"type": "AbleToScale", "status": "False", "reason": "FailedGetScale", "message": "no scale subresource"}


@pytest.mark.parametrize(
    ("conditions", "status", "reason", "words"),
    [
        ([], "Unknown", "NotDecidedYet", ""),
        ([ABLE], "Unknown", "NotDecidedYet", ""),
        ([ABLE, SEES], "True", "Scaling", "1 to 5 replicas"),
        ([ABLE, BLIND], "False", "FailedGetContainerResourceMetric", "the autoscaler says: unable to fetch metrics"),
        ([ABLE, DEAF], "False", "MetricsUnavailable", "metrics.k8s.io is not served: install metrics-server"),
        (
            [ABLE, NO_ADAPTER],
            "False",
            "MetricsUnavailable",
            "; custom.metrics.k8s.io is not served: install pro",
        ),
        ([ABLE, NO_RULE], "False", "MetricsUnavailable", "; custom.metrics.k8s.io answers and has no such metric"),
        ([ABLE, TWO], "False", "AmbiguousSelector", "{keda-hpa-churn default}"),
        ([ABLE, TWO], "False", "AmbiguousSelector", "delete the other one"),
        ([UNABLE, BLIND], "False", "FailedGetScale", "no scale subresource"),
    ],
)
def test_what_an_autoscaler_says_of_itself_is_a_condition(
    conditions: list[Any], status: str, reason: str, words: str
) -> None:
    world = World()
    world.serve(serving={"autoscaling": {"maxReplicas": 5}})
    world.kube.store({**world.one(HORIZONTAL_POD_AUTOSCALER), "status": {"conditions": conditions}})
    world.settle()
    found = world.condition("Autoscaled")
    assert (found["status"], found["reason"]) == (status, reason)
    assert words in found["message"]
    assert world.ready() == ("True", "Serving")
    world.service()
    world.settle()
    assert world.condition("Autoscaled") == {}


def test_a_metric_that_is_not_seen_beside_others_is_named() -> None:
    world = World()
    world.serve(serving={"autoscaling": {"maxReplicas": 5, "targetCPUUtilization": 70, "targetInFlight": 8}})
    seen = {"type": "ContainerResource", "containerResource": {"name": "cpu"}}
    status = {"conditions": [ABLE, SEES], "currentMetrics": [seen, {"type": ""}]}
    world.kube.store({**world.one(HORIZONTAL_POD_AUTOSCALER), "status": status})
    world.settle()
    found = world.condition("Autoscaled")
    assert (found["status"], found["reason"]) == ("False", "MetricMissing")
    assert f"{REQUESTS_IN_FLIGHT} of custom.metrics.k8s.io" in found["message"]
    assert "cpu" not in found["message"]


def scale_deployment(world: World, replicas: int, *, manager: str) -> None:
    """Set the number by the scale subresource of our Deployment, as an autoscaler and ``kubectl scale`` do."""
    deployment = world.one(DEPLOYMENT)
    deployment["spec"]["replicas"] = replicas
    fields: dict[str, Any] = {"f:spec": {"f:replicas": {}}}
    deployment["metadata"]["managedFields"] = [{"manager": manager, "subresource": "scale", "fieldsV1": fields}]
    said = world.kube.applied[ref_of(deployment)]
    said["modelservice-operator"]["spec"].pop("replicas", None)  # an update takes the field away from who applied it
    said[manager] = {"spec": {"replicas": replicas}}
    world.kube.store(deployment)


def foreign_autoscaler(world: World) -> Ref:
    """As KEDA makes one of a ScaledObject."""
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "churn"}
    metadata = {"name": "keda-hpa-churn", "namespace": NAMESPACE}
    kind = {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler"}
    return ref_of(world.kube.store({**kind, "metadata": metadata, "spec": {"scaleTargetRef": target}}))


def test_an_autoscaler_of_somebody_else_is_let_be_and_said() -> None:
    world = World()
    world.serve(serving={"replicas": 2})
    foreign = foreign_autoscaler(world)
    for replicas in (4, 5, 2, 6, 1):
        scale_deployment(world, replicas, manager="kube-controller-manager")
        world.settle()
        assert world.one(DEPLOYMENT)["spec"]["replicas"] == replicas
        world.roll_out()
        world.settle()
        assert world.ready() == ("True", "Serving")
        found = world.condition("Autoscaled")
        assert (found["status"], found["reason"]) == ("False", "ScaledByAnother")
        assert "HorizontalPodAutoscaler keda-hpa-churn scales Deployment churn" in found["message"]
        assert "serving.replicas (2)" in found["message"]
    writes = len(world.kube.writes)
    scale_deployment(world, 3, manager="kube-controller-manager")
    assert world.reconcile() is not None, "no event tells that it goes"
    assert [kind for _, kind, _ in world.writes_since(writes) if kind == "Deployment"] == []
    world.remove(foreign)
    world.settle()
    assert world.one(DEPLOYMENT)["spec"]["replicas"] == 2
    assert world.condition("Autoscaled") == {}


def test_the_number_of_our_deployment_is_ours_where_no_autoscaler_says_it() -> None:
    world = World()
    world.serve(serving={"replicas": 2})
    scale_deployment(world, 4, manager="kubectl")
    world.settle()
    assert world.one(DEPLOYMENT)["spec"]["replicas"] == 2
    assert world.condition("Autoscaled") == {}


def test_nobody_is_asked_for_autoscalers_while_the_number_is_what_we_wrote() -> None:
    world = World()
    world.serve(serving={"replicas": 2})
    assert [verb for verb, _, _ in world.kube.reads if verb == "autoscalers"] == []


def test_while_autoscalers_cannot_be_read_the_number_stays() -> None:
    world = World()
    world.serve(serving={"replicas": 2})
    scale_deployment(world, 4, manager="kube-controller-manager")
    world.kube.failures = {("autoscalers", "HorizontalPodAutoscaler"): Forbidden("no right to list")}
    world.reconcile()
    assert world.one(DEPLOYMENT)["spec"]["replicas"] == 4
    assert "no right to list" in world.condition("Ready")["message"]


def test_ours_goes_when_autoscaling_is_taken_away_though_another_one_stays() -> None:
    world = World()
    world.serve(serving={"autoscaling": {"maxReplicas": 5}})
    foreign_autoscaler(world)
    scale_deployment(world, 3, manager="kube-controller-manager")
    world.service()
    world.settle()
    assert world.ours(HORIZONTAL_POD_AUTOSCALER) == []
    assert world.one(DEPLOYMENT)["spec"]["replicas"] == 3
    assert world.condition("Autoscaled")["reason"] == "ScaledByAnother"


def taken_away() -> World:
    """What had three pods by an autoscaler, which is taken away; their number is to be handed back."""
    world = World()
    world.serve(serving={"autoscaling": {"maxReplicas": 5}})
    scale_deployment(world, 3, manager="kube-controller-manager")
    world.roll_out()
    world.settle()
    world.service()
    world.sync()
    return world


def test_a_number_that_somebody_wrote_before_is_handed_back_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody changes what is not kept of the ModelService, so that no event asks for another pass."""
    world = taken_away()
    scale = world.kube.scale

    async def conflicting(ref: Ref, *, replicas: int, version: str) -> Object:
        raise Conflict(f"{ref}: the object has been modified: {replicas} of {version}")

    monkeypatch.setattr(world.kube, "scale", conflicting)
    for _ in range(3):
        again = world.reconcile_unaware()
        assert again is not None
        assert again <= 5
    assert world.condition("Ready")["reason"] != "WriteFailed", "it is nobody's fault"
    monkeypatch.setattr(world.kube, "scale", scale)
    world.settle()
    assert world.spec()["serving"]["replicas"] == 3


def test_a_write_that_never_succeeds_is_tried_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    world = taken_away()
    world.kube.failures = {("scale", "ModelService"): Forbidden("no right")}
    monkeypatch.setattr(world.reconciler, "_failures", {world.key: 10**6})
    assert world.reconcile() == 30
