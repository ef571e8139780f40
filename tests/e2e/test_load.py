"""Pods as busy as their CPU limit lets them be: one is killed, the inputs shift, and all are replaced."""

import os
import re
import signal
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
import pytest
from tests.support.containers import connections, process_of, throttled
from tests.support.dashboards import DASHBOARDS, queries
from tests.support.e2e import PATIENCE_SECONDS, Object, Space, config_map, eventually, is_ready, model_service
from tests.support.installation import Installation
from tests.support.load import Load, bodies_of, keep_busy
from tests.support.prometheus import Prometheus, prometheus
from tests.support.tables import IRIS

from modelservice.contract.places import SERVING_PORT

pytestmark = pytest.mark.cluster

CLIENTS, EACH = 8, 50
"""Requests at a time, and rows of each: a pod has far more to do than who asks it."""
ASKED = 4
"""Connections of a pod of which clients have some, whoever else scrapes and probes it."""
PERIODS = 10
"""Of 0.1 s, in which a pod used up its limit before they were over."""
LITTLE, MUCH = 0.25, 1.0
"""Population stability indices."""
HEADER, *LINES = [line.split(",") for line in IRIS.split()]
ROWS = [dict(zip(HEADER[:-1], map(float, line[:-1]), strict=True)) for line in LINES]
# In another order than in the file, so that every request has flowers of all species.
MIXED = [row for first in range(50) for row in ROWS[first::50]]
USUAL = bodies_of(MIXED, each=EACH)
SHIFTED = bodies_of([{**row, "petal_width": row["petal_width"] + 3} for row in MIXED], each=EACH)
BUSY: Object = {
    "replicas": 2,
    "batching": {"maxQueueMilliseconds": 10_000},
    "resources": {"requests": {"cpu": "20m"}, "limits": {"cpu": "100m", "memory": "512Mi"}},
}


def pods(space: Space) -> list[Object]:
    """Pods that serve and stay."""
    return [pod for pod in space.pods("flowers", "serve") if "deletionTimestamp" not in pod["metadata"]]


def restarted(space: Space, name: str) -> bool:
    """Whether a pod's container was started again and is ready."""
    (status,) = next(pod for pod in pods(space) if pod["metadata"]["name"] == name)["status"]["containerStatuses"]
    return bool(status["restartCount"] == 1 and status["ready"])


def drift(pod: Object) -> float | None:
    """How far the shifted column is from its spread in training, as a pod measured it last; None before it did."""
    with httpx.Client(trust_env=False, timeout=30) as client:
        page = client.get(f"http://{pod['status']['podIP']}:{SERVING_PORT}/metrics").text
    found = re.search(r'^modelservice_feature_drift_psi\{column="petal_width"\} (\S+)', page, re.MULTILINE)
    return None if found is None else float(found[1])


def watched(space: Space, installation: Installation, found: Prometheus) -> None:
    """Have Prometheus scrape the operator and both pods, with the labels that the chart's monitors give them."""
    operators = {pod["status"]["podIP"]: {"pod": pod["metadata"]["name"]} for pod in installation.pods()}
    found.scrape("modelservice-operator", {f"{address}:8080": labels for address, labels in operators.items()})
    models = {
        f"{pod['status']['podIP']}:{SERVING_PORT}": {
            "namespace": space.name,
            "pod": pod["metadata"]["name"],
            "model": "flowers",
        }
        for pod in pods(space)
    }
    found.scrape("models", models)


def unanswered(space: Space, found: Prometheus) -> list[str]:
    """Queries of the dashboards that give no series."""
    chosen = {"$namespace": space.name, "$model": "flowers", "$__rate_interval": "30s"}
    asked = [query for dashboard in DASHBOARDS for query in queries(dashboard)]
    for name, value in chosen.items():
        asked = [query.replace(name, value) for query in asked]
    return [query for query in asked if not found.series(query)]


def answered_on(load: Load, count: int = 100) -> None:
    """Wait until so many more requests were answered."""
    enough = load.answers[200] + count
    eventually(lambda: load.answers[200] >= enough, what=f"{count} more answers")


@pytest.mark.story(150)
def test_load_at_the_limit_through_a_kill_and_a_rollout(space: Space, installation: Installation) -> None:
    with TemporaryDirectory() as folder, prometheus(Path(folder)) as found:
        watched(space, installation, found)
        told_under_load(space, installation, found)


def told_under_load(space: Space, installation: Installation, found: Prometheus) -> None:
    space.apply(config_map("flowers", IRIS), model_service("flowers", serving=BUSY))
    space.wait_ready("flowers")
    killed, stays = pods(space)
    watched(space, installation, found)
    processes = [process_of(pod) for pod in (killed, stays)]
    enough = [throttled(process) + PERIODS for process in processes]
    with keep_busy(space.address("flowers"), "flowers", USUAL, clients=CLIENTS) as load:
        eventually(
            lambda: all(throttled(one) >= least for one, least in zip(processes, enough, strict=True)),
            what="two pods at their limit",
        )

        # A Service gives connections to pods by chance: one is killed that clients wait for.
        eventually(lambda: connections(processes[0], SERVING_PORT) >= ASKED, what="clients of the pod to kill")

        # Killed, it loses the requests that it had; all that come later are answered. A process at its limit takes a
        # while to close its sockets: who was cut off by one of them may have come back by another one.
        os.kill(processes[0], signal.SIGKILL)
        answered_on(load)
        eventually(
            lambda: restarted(space, killed["metadata"]["name"]),
            what="the pod that was killed",
            seconds=PATIENCE_SECONDS,
        )
        lost = list(load.lost)
        assert 1 <= max(Counter(lost).values(), default=0) <= 2
        assert set(load.answers) == {200}
        before = eventually(lambda: drift(stays), what="a first look at the inputs", seconds=PATIENCE_SECONDS)
        eventually(lambda: not unanswered(space, found), what="series for all queries of the dashboards", seconds=30)

        # Both pods are replaced, at the limit still, and lose nothing.
        load.bodies = SHIFTED
        refused = load.refused
        space.patch("flowers", {"serving": {"env": [{"name": "ROLLED", "value": "1"}]}})
        old = {killed["metadata"]["uid"], stays["metadata"]["uid"]}

        def rolled() -> list[Object] | None:
            found = pods(space)
            new = is_ready(space.service("flowers")) and old.isdisjoint(pod["metadata"]["uid"] for pod in found)
            return found if new and len(space.pods("flowers", "serve")) == 2 else None

        replaced: Any = eventually(rolled, what="two other pods", seconds=PATIENCE_SECONDS)
        answered_on(load)
        assert load.lost == lost
        assert load.refused == refused
        assert set(load.answers) == {200}
        after = eventually(lambda: drift(replaced[0]), what="a look at inputs that shifted", seconds=PATIENCE_SECONDS)
    assert before is not None
    assert before < LITTLE
    assert after is not None
    assert after > MUCH
