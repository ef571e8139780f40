"""The pages of docs/how-to about images, typed as they stand there by an administrator.

Each installs a release beside the one of all tests, which it finds at work, so it never gets ready: that its image is
pulled and runs is what is looked at. What documents leave open is replaced, and gigabytes by a small image: each
replacement is below.
"""

import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
from tests.cluster import engine
from tests.cluster.base_image import pause_reference
from tests.cluster.paths import REGISTRY_STORAGE
from tests.support.document_runs import IMAGES
from tests.support.documents import typed_by
from tests.support.e2e import Space, eventually, says
from tests.support.helm import RELEASE, ROOT
from tests.support.installation import Installation, helm
from tests.support.private_registry import PASSWORD, private_registry
from tests.support.typing_in import Shell, terminal

from modelservice_operator.constants import LABEL_NAME
from modelservice_operator.kinds import POD

pytestmark = pytest.mark.cluster

ROLLED_OUT = "kubectl rollout status deployment/modelservice-operator -n modelservice-system --timeout=5m"


@pytest.mark.story(90)
def test_pages_about_images_lead_where_they_say(space: Space, installation: Installation) -> None:
    if engine.name() == "docker":
        pytest.skip("docker's daemon trusts no certificate that is made for a test, buildah does")
    images = installation.values
    with (
        private_registry(storage=REGISTRY_STORAGE) as asking,
        terminal(space.admin, space.name, PASSWORD=PASSWORD, **asking.variables) as shell,
    ):
        a_registry_that_asks(space, shell, asking.host, images)
    with private_registry(asks=False) as inside, terminal(space.admin, space.name, **inside.variables) as shell:
        no_internet(space, shell, inside.host, images)


def a_registry_that_asks(space: Space, shell: Shell, host: str, images: dict[str, Any]) -> None:
    """It holds what the cluster's own registry holds, so the images are there already."""
    operator = f"{host}/modelservice/operator:{images['image']['tag']}"
    digest = run(shell, "skopeo", "inspect", "--format={{.Digest}}", f"docker://{operator}").strip()
    pushed = f'load.into_registry({{"pause": "{pause_reference()}"}}, "{host}/ml")'
    with release(replace(space, name=f"{space.name}-system")) as system:
        answers = shell.type(
            typed_by(IMAGES, "docs/how-to/private-registry.md"),
            instead={
                "make push REGISTRY=registry.example.com/ml": ours(f"print(*{pushed}.values())"),
                "registry.example.com/ml": host,
                "registry.example.com": host,
                "1f0c6a52b9de": images["image"]["tag"],
                "7b1e90c3d4aa": images["trainerImage"]["tag"],
                "c95d02e8f17b": images["serverImage"]["tag"],
                "sha256:09cb6a4f9d3a9c3f7d2be0a4bcd5f1c8a7e0d1c9b8f7e6d5c4b3a29180f0e1d2": digest,
                ROLLED_OUT: runs(system),
                "-f values.yaml": f"-f values.yaml {beside(space)}",
                "modelservice-system": system.name,
                "team-a": space.name,
                # No node has it, so nothing is trained: which Secrets the pod has is what is looked at.
                "  training:\n": "  training:\n    nodeSelector: {disk: none}\n",
            },
        )
        first, *_ = answers.values()
        assert first.split() == [pause_reference().replace("localhost", f"{host}/ml")]
        by_digest = f"{host}/modelservice/operator@{digest}"
        eventually(lambda: by_digest in running(system), what="the operator by its digest")
    space.wait("churn", says("Unschedulable"), what="waits for its node")
    (pod,) = space.api.list(POD, space.name, labels=f"{LABEL_NAME}=churn")
    assert pod["spec"]["imagePullSecrets"] == [{"name": "registry"}]


def no_internet(space: Space, shell: Shell, host: str, images: dict[str, Any]) -> None:
    """The operator's image and the chart are what a release begins with."""
    operator = f"{images['image']['repository']}:{images['image']['tag']}"
    carried = {"operator": operator, "trainer": pause_reference(), "server": pause_reference()}
    written = f'load.into_bundle({carried}, Path("modelservice-bundle.tar"))'
    with release(replace(space, name=f"{space.name}-offline")) as system:
        shell.type(
            typed_by(IMAGES, "docs/how-to/offline.md"),
            instead={
                "make bundle": ours(written),
                "registry.example.com": host,
                ROLLED_OUT: runs(system),
                "-f ../values.yaml": f"-f ../values.yaml {beside(space)}",
                "modelservice-system": system.name,
                "namespace: team-a": f"namespace: {space.name}",
            },
        )
        assert running(system) == {f"{host}/ml/operator:0.1.0"}


def ours(code: str) -> str:
    """A command that does what a target of make does, with other images."""
    program = f"from pathlib import Path; from tests.cluster import load; {code}"
    return f"PYTHONPATH={ROOT} {sys.executable} -c {shlex.quote(program)}"


def beside(space: Space) -> str:
    """Values of a release that leaves what is of the whole cluster to the one of all tests."""
    return f"--set crds.enabled=false,rbac.aggregate=false --set watch.namespaces={{{space.name}}}"


@contextmanager
def release(system: Space) -> Iterator[Space]:
    """The namespace of a release, which is taken away with it."""
    try:
        yield system
    finally:
        helm("uninstall", RELEASE, "--ignore-not-found", "--namespace", system.name)
        system.remove()


def run(shell: Shell, *command: str) -> str:
    """What a command prints."""
    done = subprocess.run(command, env=shell.environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def runs(system: Space) -> str:
    """A command that waits until a pod of a release runs."""
    phases = f"kubectl get pods -n {system.name} -o jsonpath='{{.items[*].status.phase}}'"
    return f"until {phases} | grep -q Running; do sleep 0.3; done"


def running(system: Space) -> set[str]:
    """The images of a release's containers that run."""
    return {
        pod["spec"]["containers"][0]["image"]
        for pod in system.api.list(POD, system.name)
        if any("running" in one["state"] for one in pod["status"].get("containerStatuses", ()))
    }
