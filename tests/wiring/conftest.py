"""The operators of these tests would work in the same namespaces as one that is installed: it rests meanwhile.

Nor are they to wait for one that ended without giving its Lease back, as one that was killed does: they would for a
minute, as they should in a cluster that is used.

What several modules only read is trained once.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.support.cluster import kubectl
from tests.support.e2e import eventually, wait_established
from tests.support.helm import CHART, NAMESPACE, RELEASE, helm_objects
from tests.support.samples import SAMPLES
from tests.unit.runtime.stages.pipelines import produce, train_work

import modelservice
from modelservice.stages.base import Produced
from modelservice_operator.constants import LEASE_NAME
from modelservice_operator.crd.crd import NAME

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


@pytest.fixture(scope="session")
def crd(kubeconfig: Path) -> Path:
    """The kubeconfig of a cluster that has the CRD of this checkout, whatever another one left there."""
    (document,) = [one for one in helm_objects() if one["kind"] == "CustomResourceDefinition"]
    # As helm would have installed it, so that a helm install of the operator takes it over.
    document["metadata"]["annotations"] |= {
        "meta.helm.sh/release-name": RELEASE,
        "meta.helm.sh/release-namespace": NAMESPACE,
    }
    text = yaml.safe_dump(document)
    applied = kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", input=text, kubeconfig=kubeconfig)
    assert applied.returncode == 0, applied.stderr
    wait_established(NAME, kubeconfig=kubeconfig)
    return kubeconfig


@pytest.fixture(scope="session")
def iris_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The artifact of the sample of iris, to be read only."""
    folder = tmp_path_factory.mktemp("models") / "iris"
    modelservice.train(SAMPLES / "iris.yaml", output=folder)
    return folder


@pytest.fixture(scope="session")
def trained() -> Produced:
    """A small network."""
    return produce(train_work(epochs=20, hidden=(32, 32)))


@pytest.fixture(scope="session")
def other() -> Produced:
    """Another one, of the same data."""
    return produce(train_work(epochs=20, hidden=(32, 32), seed=1))


@pytest.fixture(scope="session")
def resting_releases(kubeconfig: Path) -> Iterator[None]:
    """Releases of the chart, as ``make demo`` leaves one, have no pods until the last test has ended."""
    resting = [one for one in _ask("deployments")["items"] if one["spec"]["replicas"]]
    for deployment in resting:
        _scale(deployment, 0)
    if resting:
        eventually(lambda: not _ask("pods")["items"], what="no operator runs in the cluster", seconds=90)
    yield
    for deployment in resting:
        _scale(deployment, deployment["spec"]["replicas"])


@pytest.fixture(scope="module")
def no_other_release(resting_releases: None) -> None:
    """No operator runs but those that the module's tests start, and none held a Lease that it did not give back."""
    _forget_leases()
