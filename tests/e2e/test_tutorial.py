"""The tutorial's second half: the same file in a cluster, typed by a user of a namespace."""

import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from tests.support.cluster import cluster_environment
from tests.support.document_runs import TUTORIAL, TUTORIAL_IN_A_CLUSTER
from tests.support.documents import Command, typed_by
from tests.support.e2e import Space
from tests.support.helm import ROOT

pytestmark = pytest.mark.cluster

PAGE = "docs/tutorial.md"


@pytest.mark.story(90)
def test_the_tutorial_in_a_cluster(space: Space) -> None:
    commands = [step.text for step in typed_by(TUTORIAL_IN_A_CLUSTER, PAGE) if isinstance(step, Command)]
    (file,) = [
        step.text for step in typed_by(TUTORIAL, PAGE) if isinstance(step, Command) and "cat > iris" in step.text
    ]
    script = [
        "set -eu",
        f"kubectl config set-context --current --namespace={space.name}",
        file,
        "sed -i 's/logistic: {}/gradientBoosting: {rounds: 30}/' iris.yaml",
        *commands,
    ]
    environment = {**os.environ, **cluster_environment()}
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
    with TemporaryDirectory() as folder:
        (Path(folder) / "iris.csv").write_bytes((ROOT / "tests" / "data" / "iris.csv").read_bytes())
        (Path(folder) / "kubeconfig").write_bytes(Path(space.user).read_bytes())
        done = subprocess.run(
            ["bash", "-c", "\n".join(script)],
            cwd=folder,
            env={**environment, "KUBECONFIG": str(Path(folder) / "kubeconfig")},
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    for said in (
        "! trains a model (",
        "Ready=True Serving",
        '"setosa"',
        "Stalled=True",
        "did you mean species?",
        "revision 1 (accuracy",
    ):
        assert said in done.stdout, done.stdout
