"""The operators of these tests would work in the same namespaces as one that is installed: it rests meanwhile.

Nor are they to wait for one that ended without giving its Lease back, as one that was killed does: they would for a
minute, as they should in a cluster that is used.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.cluster import kubectl
from tests.support.e2e import eventually
from tests.support.helm import CHART

from modelservice_operator.constants import LEASE_NAME

_SELECTOR = f"app.kubernetes.io/name={CHART.name}"


def _ask(*args: str) -> dict[str, Any]:
    done = kubectl("get", *args, "--all-namespaces", "--selector", _SELECTOR, "--output", "json")
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def _scale(deployment: dict[str, Any], replicas: int) -> None:
    metadata = deployment["metadata"]
    name = f"deployment/{metadata['name']}"
    done = kubectl("scale", name, "--namespace", metadata["namespace"], f"--replicas={replicas}")
    assert done.returncode == 0, done.stderr


def _forget_leases() -> None:
    """Nobody holds them: no operator runs."""
    done = kubectl("delete", "leases", "--all-namespaces", f"--field-selector=metadata.name={LEASE_NAME}")
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def no_other_release(kubeconfig: Path) -> Iterator[None]:
    """Releases of the chart, as ``make demo`` leaves one, have neither pods nor Leases until the module's tests end."""
    resting = [one for one in _ask("deployments")["items"] if one["spec"]["replicas"]]
    for deployment in resting:
        _scale(deployment, 0)
    if resting:
        eventually(lambda: not _ask("pods")["items"], what="no operator runs in the cluster", seconds=90)
    _forget_leases()
    yield
    for deployment in resting:
        _scale(deployment, deployment["spec"]["replicas"])
