"""On a second real node: artifacts in object storage are served there, and two workers train one model, one lost.

Both stories are told side by side, as those of one node are.
"""

import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future

import pytest
from tests.cluster.images import recorded
from tests.cluster.kube import get, kubectl
from tests.cluster.network import CONTROL_PLANE
from tests.e2e.second_node import SECOND
from tests.e2e.stories import Stories, Story
from tests.support import object_store
from tests.support.client import keep_asking, predict
from tests.support.e2e import (
    PATIENCE_SECONDS,
    Object,
    Space,
    condition,
    config_map,
    eventually,
    model_service,
    network,
    progress,
)
from tests.support.installation import Installation
from tests.support.tables import FLOWERS, IRIS

from modelservice_operator.constants import LABEL_NAME

pytestmark = [pytest.mark.cluster, pytest.mark.alone]

ROWS = [row for row, _ in FLOWERS]
SPECIES = [species for _, species in FLOWERS]
EPOCHS = 400
"""Over a network, whose every step waits for two messages: ten seconds."""
SOME = 15
"""Percent, after which there is a checkpoint, of which one is made each second."""


@pytest.fixture(scope="module")
def told(
    second_node_begun: Future[None], installation: Installation, make_space: Callable[[str], Space]
) -> Iterator[Stories]:
    """The stories of this module, begun once there is a second node with the images that serve and train."""
    second_node_begun.result()
    # A scheduler that does not know of them yet sends pods to where they are.
    brought = {recorded()["server"], recorded()["trainer"]}
    eventually(lambda: brought <= images_of(SECOND.name), what="images that the second node tells of")
    kubectl("uncordon", CONTROL_PLANE.name, SECOND.name)
    object_store.make_bucket("models")
    stories = [
        Story(name=tell.__name__, tell=tell, arguments={}, seconds=seconds)
        for tell, seconds in ((serve_on_both_and_on_the_other_alone, 30), (lose_one_of_two_workers, 60))
    ]
    running = Stories(stories, make_space=make_space)
    yield running
    running.finish()


def images_of(node: str) -> set[str]:
    """Names of the images that a node tells of."""
    (found,) = (one for one in get("nodes")["items"] if one["metadata"]["name"] == node)
    return {name for image in found["status"].get("images", ()) for name in image["names"]}


def nodes_of(space: Space, stage: str) -> list[str]:
    """The nodes on which a stage's pods run, those that are going left out."""
    pods = [pod for pod in space.pods("flowers", stage) if "deletionTimestamp" not in pod["metadata"]]
    return sorted(pod["spec"].get("nodeName", "") for pod in pods)


def test_trained_on_one_node_served_on_both_and_on_the_other_alone(told: Stories) -> None:
    told.result(serve_on_both_and_on_the_other_alone.__name__)


def serve_on_both_and_on_the_other_alone(space: Space) -> None:
    here = {"kubernetes.io/hostname": CONTROL_PLANE.name}
    space.apply(
        config_map("flowers", IRIS),
        object_store.secret("bucket"),
        model_service(
            "flowers",
            artifacts={"uri": "s3://models/two-nodes", "secretRef": {"name": "bucket"}},
            training={"nodeSelector": here},
            serving={"replicas": 2},
        ),
        config_map("kept", IRIS),
        model_service("kept", training={"nodeSelector": here}),
    )
    ready = space.wait_ready("flowers")
    space.wait_ready("kept")
    assert condition(ready, "ArtifactsPortable").get("status", "True") == "True"
    assert nodes_of(space, "train") == [CONTROL_PLANE.name]
    assert nodes_of(space, "serve") == [CONTROL_PLANE.name, SECOND.name]
    for pod in space.pods("flowers", "serve"):
        assert predict(f"{pod['status']['podIP']}:8080", "flowers", ROWS) == SPECIES

    with keep_asking(space.address("flowers"), "flowers", ROWS, pause=0.05, most=6000) as asked:
        # The operator stays: it is the model's pods that a drained node has to let go.
        selector = f"--pod-selector={LABEL_NAME}=flowers"
        kubectl("drain", CONTROL_PLANE.name, selector, "--delete-emptydir-data", "--timeout=90s", timeout=120)
        eventually(lambda: nodes_of(space, "serve") == [SECOND.name] * 2, what="both replicas on the other node")
        space.wait_ready("flowers")
    assert (asked.failures, set(asked.answers)) == ([], {200})
    assert space.service("flowers")["status"]["digest"] == ready["status"]["digest"]
    need_a_claim_that_the_drained_node_holds(space)


def need_a_claim_that_the_drained_node_holds(space: Space) -> None:
    """A second replica is wanted, and may go to the other node alone: a ReadWriteOnce claim keeps it from there."""
    (pod,) = space.pods("kept", "serve")
    assert pod["spec"]["nodeName"] == CONTROL_PLANE.name
    space.kubectl("scale", "mdsvc", "kept", "--replicas=2")

    def is_busy() -> str:
        ready = condition(space.service("kept"), "Ready")
        return str(ready["message"]) if ready["reason"] == "VolumeBusy" else ""

    message = eventually(is_busy, what="VolumeBusy")
    key = space.service("kept")["status"]["key"]
    user = f"PersistentVolumeClaim kept-{key} is used by Pod {pod['metadata']['name']} on node {CONTROL_PLANE.name}"
    assert user in message
    assert predict(space.address("kept"), "kept", ROWS) == SPECIES


def workers(space: Space) -> list[Object]:
    """The pods of the training that have not ended, by their names: those of worker 0 first."""
    pods = [pod for pod in space.pods("pair", "train") if "deletionTimestamp" not in pod["metadata"]]
    going = [pod for pod in pods if pod["status"].get("phase") in {"Pending", "Running"}]
    return sorted(going, key=lambda pod: str(pod["metadata"]["name"]))


def test_two_workers_on_two_nodes_go_on_after_one_was_killed(told: Stories) -> None:
    told.result(lose_one_of_two_workers.__name__)


def lose_one_of_two_workers(space: Space) -> None:
    space.apply(
        config_map("pair", IRIS),
        object_store.secret("bucket"),
        network(
            "pair",
            artifacts={"uri": "s3://models/two-workers", "secretRef": {"name": "bucket"}},
            training={"workers": 2, "epochs": EPOCHS, "checkpoint": {"everySeconds": 1}},
        ),
    )

    eventually(lambda: progress(space.service("pair")) >= SOME, what="a training under way", seconds=PATIENCE_SECONDS)
    first, second = workers(space)
    assert {pod["spec"]["nodeName"] for pod in (first, second)} == {CONTROL_PLANE.name, SECOND.name}
    killed = time.monotonic()
    space.kubectl("delete", "pod", second["metadata"]["name"], "--grace-period=0", "--force")

    def has_ended() -> Object | None:
        pods = [pod for pod in space.pods("pair", "train") if pod["metadata"]["uid"] == first["metadata"]["uid"]]
        ended = [one["state"].get("terminated") for pod in pods for one in pod["status"]["containerStatuses"]]
        return next(filter(None, ended), None)

    ended = eventually(has_ended, what="the end of the other worker", seconds=60)
    assert ended is not None
    assert time.monotonic() - killed < 60
    assert (ended["exitCode"], json.loads(ended["message"])["result"]["reason"]) == (75, "PeerLost")
    ready = space.wait_ready("pair")
    logs = [space.kubectl("logs", pod["metadata"]["name"]) for pod in space.pods("pair", "train")]
    assert any("train went on from epoch" in log for log in logs)
    assert predict(space.address("pair"), "pair", ROWS) == SPECIES
    assert ready["status"]["revisions"][0]["number"] == 1
