"""NetworkPolicies, where they are kept: who is allowed reaches a model and its training, and nobody else does."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from tests.cluster.base_image import base_reference
from tests.cluster.network import CONTROL_PLANE, NAMESPACES
from tests.cluster.shell import run
from tests.support.cluster import kubectl
from tests.support.e2e import Space, config_map, eventually, network, progress
from tests.support.pods import build_container, build_pod
from tests.support.policies import kept
from tests.support.tables import IRIS

from modelservice.contract.places import PROGRESS_PORT, RENDEZVOUS_PORT, SERVING_PORT
from modelservice_operator.kinds import POD

pytestmark = pytest.mark.cluster

EPOCHS = 3000
"""Of two workers, more than are done while it is looked at who reaches them; then a few epochs are enough."""
CONNECT = "import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), 1.5).close()"
SLEEP = "import time; time.sleep(900)"


def reaches(space: Space, address: str, port: int) -> bool:
    """Whether a pod of the namespace, which is nobody's, can connect."""
    command = ("exec", "asker", "--", "python3", "-c", CONNECT, address, str(port))
    done = kubectl("--namespace", space.name, *command, kubeconfig=space.user)
    assert done.returncode == 0 or "timed out" in done.stderr, done.stderr
    return done.returncode == 0


def is_open(address: str, port: int) -> bool:
    """Whether somebody listens, as seen from the node."""
    namespace = f"--net={NAMESPACES / CONTROL_PLANE.name}"
    return run("nsenter", namespace, "python3", "-c", CONNECT, address, str(port), check=False).returncode == 0


def bring_asker(space: Space) -> None:
    container = build_container("asker", base_reference(), "python3", "-c", SLEEP)
    space.apply(build_pod("asker", container, terminationGracePeriodSeconds=0))

    def runs() -> bool:
        pod = space.api.get(POD, space.name, "asker")
        return pod is not None and pod["status"].get("phase") == "Running"

    eventually(runs, what="a pod that asks")


@pytest.mark.story(70)
def test_who_is_allowed_reaches_a_model_and_its_training_and_nobody_else_does(space: Space) -> None:
    other = replace(space, name=f"{space.name}-b")
    other.create()
    try:
        for one in (space, other):
            bring_asker(one)
        with kept(space.api, space.name), ThreadPoolExecutor() as pool:
            space.apply(config_map("flowers", IRIS), network("flowers", training={"workers": 2, "epochs": EPOCHS}))
            # Workers found each other, and the operator its way to the progress.
            space.wait("flowers", lambda one: progress(one) >= 1, what="is trained by two workers")
            worker = min(space.pods("flowers", "train"), key=lambda pod: pod["metadata"]["name"])
            ports = [(worker["status"]["podIP"], port) for port in (PROGRESS_PORT, RENDEZVOUS_PORT)]
            asked = [pool.submit(reaches, one, *port) for one in (space, other) for port in ports]
            opened = [is_open(*port) for port in ports]
            assert [one.result() for one in asked] == [False] * 4
            assert opened == [True] * 2
            assert progress(space.service("flowers")) < 100

            space.patch("flowers", {"training": {"workers": None, "epochs": 5}})
            space.wait_ready("flowers")
            (pod,) = space.pods("flowers", "serve")
            model = pod["status"]["podIP"]
            assert (reaches(space, model, SERVING_PORT), reaches(other, model, SERVING_PORT)) == (True, False)
            assert (reaches(space, space.address("flowers"), 80), reaches(other, space.address("flowers"), 80)) == (
                True,
                False,
            )

            named = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": other.name}}}
            space.patch("flowers", {"serving": {"allowFrom": {"scope": "None", "peers": [named]}}})
            eventually(lambda: reaches(other, model, SERVING_PORT), what="a way for the namespace that is named")
            assert not reaches(space, model, SERVING_PORT)
            assert [one["metadata"]["name"] for one in space.pods("flowers", "serve")] == [pod["metadata"]["name"]]
    finally:
        other.remove()
