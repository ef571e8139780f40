"""Talking to the cluster that KUBECONFIG names, or else to the local one of ``tests/cluster``."""

import functools
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx
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
    binary, environment = _program(kubeconfig)
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


def _program(kubeconfig: str | Path | None) -> tuple[str, dict[str, str]]:
    """kubectl, and what its environment is."""
    environment = dict(cluster_environment())
    binary = shutil.which("kubectl", path=environment.get("PATH"))
    if binary is None:
        raise NoClusterError(f"kubectl is missing: {REMEDY}")
    if kubeconfig is not None:
        environment["KUBECONFIG"] = str(kubeconfig)
    return binary, environment


@contextmanager
def apiserver(kubeconfig: str | Path | None = None) -> Iterator[httpx.Client]:
    """A client of the apiserver, with the rights of the kubeconfig: for hundreds of requests of one test.

    Raises:
        NoClusterError: kubectl or the cluster is missing.
    """
    binary, environment = _program(kubeconfig)
    command = [binary, "proxy", "--port=0"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            said = process.stdout.readline()
            found = re.search(r"127\.0\.0\.1:\d+", said)
            if found is None:
                raise NoClusterError(f"`kubectl proxy` says {said!r}: {REMEDY}")
            with httpx.Client(base_url=f"http://{found[0]}", timeout=60, trust_env=False) as client:
                yield client
        finally:
            process.terminate()


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
