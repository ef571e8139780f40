"""Numbers of replicas: by hand, by an autoscaler, and on the way from one to the other."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from tests.e2e.stories import CHANGED
from tests.support.client import keep_asking
from tests.support.custom_metrics import custom_metrics_api
from tests.support.document_runs import SCALING
from tests.support.documents import typed_by
from tests.support.e2e import (
    LIGHT,
    PATIENCE_SECONDS,
    Object,
    Space,
    condition,
    config_map,
    eventually,
    is_ready,
    model_service,
    network,
)
from tests.support.load import keep_busy
from tests.support.tables import FLOWERS, IRIS
from tests.support.typing_in import terminal

from modelservice_operator.kinds import DEPLOYMENT, HORIZONTAL_POD_AUTOSCALER

pytestmark = pytest.mark.cluster


def replicas(space: Space) -> int:
    deployment = space.api.get(DEPLOYMENT, space.name, "flowers")
    assert deployment is not None
    wanted: int = deployment["spec"]["replicas"]
    return wanted


def said(service: Object) -> str:
    """What the autoscaler says of itself, in a word."""
    reason: str = condition(service, "Autoscaled")["reason"]
    return reason


@contextmanager
def watched_replicas(space: Space) -> Iterator[set[int]]:
    """All numbers of replicas that the Deployment asks for while the context lasts."""
    seen, done = {replicas(space)}, threading.Event()

    def watch() -> None:
        while not done.wait(0.05):
            seen.add(replicas(space))

    watching = threading.Thread(target=watch, name="watches replicas")
    watching.start()
    try:
        yield seen
    finally:
        done.set()
        watching.join()


@pytest.mark.story(100, cast=CHANGED)
def test_replicas_by_kubectl_scale_survive_the_way_to_autoscaling(space: Space) -> None:
    space.apply(config_map("flowers", IRIS), network("flowers"))
    space.wait_ready("flowers")
    space.kubectl("scale", "modelservice", "flowers", "--replicas=3")
    assert space.wait_ready("flowers")["status"]["replicas"] == 3
    with watched_replicas(space) as seen:
        # The user's file no longer says replicas, and says autoscaling.
        autoscaling = {"minReplicas": 1, "maxReplicas": 4, "targetCPUUtilization": 100}
        space.patch("flowers", {"serving": {"replicas": None, "autoscaling": autoscaling}})

        def owned() -> bool:
            autoscaler = space.api.get(HORIZONTAL_POD_AUTOSCALER, space.name, "flowers")
            return autoscaler is not None and autoscaler.get("status", {}).get("desiredReplicas", 0) > 0

        eventually(owned, what="the autoscaler's first decision")
        space.wait_ready("flowers")
    assert min(seen) >= 3
    with watched_replicas(space) as seen:
        space.patch("flowers", {"serving": {"autoscaling": None}})
        eventually(lambda: not space.children(HORIZONTAL_POD_AUTOSCALER, "flowers"), what="the autoscaler's end")
        kept = space.wait_ready("flowers")
    assert min(seen) >= 3
    assert kept["spec"]["serving"]["replicas"] == kept["status"]["replicas"] >= 3
    space.kubectl("scale", "modelservice", "flowers", "--replicas=1")
    assert space.wait_ready("flowers")["status"]["replicas"] == 1


@pytest.mark.story(150)
def test_load_brings_more_replicas(space: Space) -> None:
    # Half of the 20m that LIGHT asks for: probes alone stay below, some hundred requests a second do not.
    autoscaling = {"minReplicas": 1, "maxReplicas": 2, "targetCPUUtilization": 50}
    space.apply(config_map("flowers", IRIS), model_service("flowers", serving={"autoscaling": autoscaling, **LIGHT}))
    space.wait_ready("flowers")
    rows = [row for row, _ in FLOWERS]
    with keep_asking(space.address("flowers"), "flowers", rows, pause=0.01, most=12_000, threads=1) as asked:
        eventually(lambda: replicas(space) == 2, what="a second replica", seconds=PATIENCE_SECONDS)
    assert asked.failures == []
    space.wait("flowers", lambda one: is_ready(one) and one["status"]["replicas"] == 2, what="serves with both")

    # By what the servers tell, where somebody serves it: requests wait for company, so that few make a load.
    by_requests = {"maxReplicas": 3, "targetCPUUtilization": None, "targetInFlight": 1}
    space.patch("flowers", {"serving": {"autoscaling": by_requests, "batching": {"maxDelayMilliseconds": 100}}})
    space.wait("flowers", lambda one: said(one) == "MetricsUnavailable", what="the API that lacks")
    message = condition(space.service("flowers"), "Autoscaled")["message"]
    assert "; custom.metrics.k8s.io is not served: install prometheus-adapter" in message
    assert replicas(space) == 2
    bodies = [json.dumps({"instances": [row]}).encode() for row in rows]
    with custom_metrics_api(space), keep_busy(space.address("flowers"), "flowers", bodies, clients=8) as load:
        eventually(lambda: replicas(space) == 3, what="a third replica", seconds=PATIENCE_SECONDS)
        space.wait("flowers", lambda one: said(one) == "Scaling", what="the autoscaler sees its metric")
        with terminal(space.admin, space.name) as shell:
            (served,) = shell.type(
                typed_by(SCALING, "docs/how-to/autoscaling.md"), instead={"team-a": space.name, "v1beta1": "v1beta2"}
            ).values()
        assert len(json.loads(served)["items"]) >= 2  # the third pod may be on its way still
    assert set(load.answers) == {200}
