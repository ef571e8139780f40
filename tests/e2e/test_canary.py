"""A canary on a real cluster: both revisions answer behind one Service, and nobody who asks notices."""

import httpx
import pytest
from tests.support.client import keep_asking
from tests.support.e2e import (
    PENALTY,
    Object,
    Space,
    condition,
    config_map,
    eventually,
    is_ready,
    model_service,
    ridge,
    says,
)
from tests.support.tables import FLOWERS, IRIS

from modelservice_operator.kinds import DEPLOYMENT

pytestmark = pytest.mark.cluster

ROWS = [row for row, _ in FLOWERS]
STEPS = [{"weight": 10, "holdSeconds": 5}, {"weight": 50, "holdSeconds": 20}]
LIMITS: Object = {"maxErrorRate": 0.05, "maxLatencyRatio": 50}
"""So loose that only what is broken misses them; a step ends only if the operator can read the pods."""

SERVING: Object = {"replicas": 2, "rollout": {"canary": {"steps": STEPS, **LIMITS}}}


def answering(space: Space) -> set[str]:
    """Revisions that answer, each request on a connection of its own: the Service chooses the pod."""
    url = f"http://{space.address('flowers')}/v2/models/flowers"
    pages = (httpx.get(url, trust_env=False, timeout=10).json() for _ in range(12))
    return {version for page in pages for version in page["versions"]}


def pods(space: Space) -> dict[str, str]:
    """UIDs of all serving pods, by name."""
    found = (pod["metadata"] for pod in space.pods("flowers", "serve"))
    return {metadata["name"]: metadata["uid"] for metadata in found}


def deployments(space: Space) -> list[str]:
    return [one["metadata"]["name"] for one in space.children(DEPLOYMENT, "flowers")]


@pytest.mark.story(170)
def test_a_canary_takes_over_in_steps_and_a_bad_one_is_withdrawn(space: Space) -> None:
    space.apply(config_map("flowers", IRIS), model_service("flowers", serving=SERVING))
    space.wait_ready("flowers")
    first = pods(space)
    with keep_asking(space.address("flowers"), "flowers", ROWS, pause=0.05, most=8000, threads=2) as asked:
        space.patch("flowers", {"model": ridge(PENALTY * 2)})
        begun = "Canary 1/2: 33 % (1 of 3 pods, 10 % asked) of revision 2 since 2"
        space.wait("flowers", says("Canary", begun), what="has a canary")
        halfway = says("Canary", "Canary 2/2: 50 % (2 of 4 pods) of revision 2 since 2", "(the rollout at 2")
        middle = space.wait("flowers", halfway, what="is at its second step, all pods ready")
        assert condition(middle, "Available")["message"] == "4 of 4 replicas answer requests"
        assert first.items() <= pods(space).items(), "what served is not touched"
        eventually(lambda: answering(space) == {"1", "2"}, what="answers of both revisions", seconds=60)
        second = space.wait_ready("flowers")["status"]
        assert (second["revision"], second["replicas"]) == (2, 2)
        eventually(lambda: len(pods(space)) == 2, what="the end of the canary")
    assert (asked.failures, set(asked.answers)) == ([], {200})
    assert asked.answers[200] > 100
    assert deployments(space) == ["flowers"]
    assert answering(space) == {"2"}
    withdraws_what_crashes(space)


def withdraws_what_crashes(space: Space) -> None:
    """Revision 2 serves; the canary of revision 3 runs out of memory."""
    small: Object = {"resources": {"requests": {"memory": "40Mi"}, "limits": {"memory": "40Mi"}}}
    serves = pods(space)
    with keep_asking(space.address("flowers"), "flowers", ROWS, pause=0.05, most=8000, threads=2) as asked:
        space.patch("flowers", {"model": ridge(PENALTY * 3), "serving": small})
        bad = says("RolledBack", "revision 3", "canary 1/2", "OOMKilled")
        taken = space.wait("flowers", bad, what="has its canary withdrawn")
        eventually(lambda: pods(space) == serves, what="the end of the canary, and nothing else")
    assert (asked.failures, set(asked.answers)) == ([], {200})
    assert (taken["status"]["revision"], condition(taken, "Available")["status"]) == (2, "True")
    assert deployments(space) == ["flowers"]
    assert not is_ready(space.service("flowers"))
    eventually(lambda: space.warned("flowers", "RolledBack"), what="an event RolledBack", seconds=60)
