"""A second node of the cluster, for as long as a session needs it."""

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

from tests.cluster import load
from tests.cluster.images import recorded
from tests.cluster.kube import get, kubectl
from tests.cluster.lifecycle import recorded_nodes
from tests.cluster.network import CONTROL_PLANE, NodeAddress
from tests.cluster.paths import ROOT

SECOND = NodeAddress(2)


@contextmanager
def begin_second_node() -> Iterator[Future[None]]:
    """Begin to bring it up; nothing is scheduled on it until somebody uncordons it. Of two nodes, both stay."""
    had = len(recorded_nodes())
    with ThreadPoolExecutor(1, thread_name_prefix="second-node") as pool:
        begun = pool.submit(_bring_up_with_images)
        try:
            yield begun
        finally:
            begun.exception()
            kubectl("uncordon", CONTROL_PLANE.name)
            _bring_up(had)
    assert len(get("nodes")["items"]) == had


def _bring_up_with_images() -> None:
    _bring_up(SECOND.index)
    kubectl("cordon", SECOND.name)
    load.into_nodes([recorded()["server"], recorded()["trainer"]], [SECOND])


def _bring_up(nodes: int) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.cluster", "up", f"--nodes={nodes}"],
        cwd=ROOT, text=True, capture_output=True, check=False, timeout=180,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
