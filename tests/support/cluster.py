"""Talking to the cluster that KUBECONFIG names, or else to the local one of ``tests/cluster``."""

import functools
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.support.helm import ROOT

REMEDY = "run `make cluster-up`, or set KUBECONFIG"


class NoClusterError(Exception):
    """There is no cluster to test on; the text says what to do."""


@functools.cache
def cluster_environment() -> Mapping[str, str]:
    """PATH with kubectl, and KUBECONFIG: the caller's own, or what ``python -m tests.cluster env`` exports.

    Raises:
        NoClusterError: There is neither.
    """
    if "KUBECONFIG" in os.environ:
        return dict(os.environ)
    script = 'set -e; exports="$("$0" -m tests.cluster env)"; eval "$exports"; env -0'
    done = subprocess.run(
        ["sh", "-c", script, sys.executable], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60
    )
    exported = dict(line.split("=", 1) for line in done.stdout.split("\0") if "=" in line)
    if done.returncode != 0 or "KUBECONFIG" not in exported:
        raise NoClusterError(f"no cluster is known: {REMEDY}\n{done.stderr.strip()[-500:]}")
    return exported


def kubectl(
    *args: str | Path,
    input: str | None = None,  # noqa: A002 - as subprocess.run names it
    kubeconfig: str | Path | None = None,
    timeout: float = 60,
) -> subprocess.CompletedProcess[str]:
    """Run kubectl and catch what it prints; a refusal is an answer too, so the exit status is the caller's to judge.

    Raises:
        NoClusterError: kubectl or the cluster is missing.
    """
    environment = dict(cluster_environment())
    binary = shutil.which("kubectl", path=environment.get("PATH"))
    if binary is None:
        raise NoClusterError(f"kubectl is missing: {REMEDY}")
    if kubeconfig is not None:
        environment["KUBECONFIG"] = str(kubeconfig)
    return subprocess.run(
        [binary, *map(str, args)],
        cwd=ROOT,
        env=environment,
        input=input,
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout,
    )


def find_kubeconfig() -> Path:
    """The kubeconfig of a cluster that answers.

    Raises:
        NoClusterError: No cluster is known, or it does not answer.
    """
    path = Path(cluster_environment()["KUBECONFIG"])
    if not path.exists():
        raise NoClusterError(f"there is no cluster at {path}: {REMEDY}")
    ready = kubectl("get", "--raw", "/readyz", kubeconfig=path)
    if ready.returncode != 0:
        raise NoClusterError(f"the cluster of {path} does not answer: {REMEDY}\n{ready.stderr.strip()}")
    return path
