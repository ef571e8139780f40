"""Flux's source- and kustomize-controller as processes beside the cluster, for the Kustomizations of one namespace."""

import json
import os
import secrets
import socket
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.cluster.toolchain import GO_ENVIRONMENT, binary, find_go
from tests.support.cluster import cluster_environment, kubectl
from tests.support.e2e import Api, Holds, condition, wait_established
from tests.support.git_server import BRANCH

from modelservice_operator.objects import Kind

Object = dict[str, Any]

GIT_REPOSITORY = Kind("source.toolkit.fluxcd.io", "v1", "GitRepository", "gitrepositories")
KUSTOMIZATION = Kind("kustomize.toolkit.fluxcd.io", "v1", "Kustomization", "kustomizations")
CONTROLLERS = ("source-controller", "kustomize-controller")
REQUESTED = "reconcile.fluxcd.io/requestedAt"


def crd_folders() -> Sequence[Path]:
    """The folders of the controllers' CRDs, in their Go modules."""
    return [_module_folder(name) / "config" / "crd" / "bases" for name in CONTROLLERS]


def _module_folder(name: str) -> Path:
    module = Path(__file__).parents[1] / "cluster" / "go" / name
    command = [find_go(), "list", "-m", "-f", "{{.Dir}}", f"github.com/fluxcd/{name}"]
    environment = {**os.environ, **GO_ENVIRONMENT}
    done = subprocess.run(command, cwd=module, env=environment, capture_output=True, text=True, check=True)
    return Path(done.stdout.strip())


@dataclass(frozen=True, kw_only=True)
class Flux:
    """Both controllers, running, as a person with rights in their namespace uses them."""

    api: Api
    namespace: str
    kubeconfig: Path

    def apply(self, *objects: Object) -> None:
        """Apply objects in the namespace."""
        listed = json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
        self._kubectl("apply", "-f", "-", given=listed)

    def reconcile(self, name: str) -> None:
        """Fetch a repository and apply the Kustomization of its name, as ``flux reconcile --with-source`` does."""
        token = secrets.token_hex(4)
        for kind in (GIT_REPOSITORY, KUSTOMIZATION):
            self._kubectl("annotate", "--overwrite", kind.plural, name, f"{REQUESTED}={token}")
            self.wait(kind, name, lambda one: one.get("status", {}).get("lastHandledReconcileAt") == token)

    def request(self, name: str) -> None:
        """Have a repository fetched; what depends on it follows by itself."""
        self._kubectl("annotate", "--overwrite", GIT_REPOSITORY.plural, name, f"{REQUESTED}={secrets.token_hex(4)}")

    def wait(self, kind: Kind, name: str, holds: Holds, *, seconds: float = 240) -> Object:
        """Wait until an object is in a state, and answer with it."""
        found: Object = {}
        for found in self.api.states(kind, self.namespace, name, seconds=seconds):
            if holds(found):
                return found
        raise AssertionError(f"{kind.kind} {name}: not within {seconds:.0f} s, but {json.dumps(found.get('status'))}")

    def wait_judged(self, name: str, commit: str, *status: str, seconds: float = 240) -> Object:
        """Wait until Flux says of a commit that the Kustomization is in one of these states, and answer with Ready."""

        def holds(one: Object) -> bool:
            attempted = one.get("status", {}).get("lastAttemptedRevision")
            ready = condition(one, "Ready")
            return attempted == revision(commit) and ready.get("status") in status and commit in str(ready)

        return condition(self.wait(KUSTOMIZATION, name, holds, seconds=seconds), "Ready")

    def delete(self, kind: Kind, name: str) -> None:
        """Delete an object, and wait until its finalizer let it go."""
        self._kubectl("delete", kind.plural, name, "--timeout=90s")

    def _kubectl(self, *args: str, given: str | None = None) -> None:
        done = kubectl("--namespace", self.namespace, *args, input=given, kubeconfig=self.kubeconfig, timeout=120)
        assert done.returncode == 0, done.stderr


def revision(commit: str) -> str:
    """How Flux names a commit."""
    return f"{BRANCH}@sha1:{commit}"


@contextmanager
def installed_crds(kubeconfig: Path) -> Iterator[None]:
    """The CRDs of Flux are served while inside; where they were there before, they are left alone."""
    names = [f"{kind.plural}.{kind.group}" for kind in (GIT_REPOSITORY, KUSTOMIZATION)]
    if kubectl("get", "crd", *names, kubeconfig=kubeconfig).returncode == 0:
        yield
        return
    files = [argument for folder in crd_folders() for argument in ("-f", str(folder))]
    applied = kubectl("apply", "--server-side", *files, kubeconfig=kubeconfig)
    assert applied.returncode == 0, applied.stderr
    try:
        for name in names:
            wait_established(name, kubeconfig=kubeconfig)
        yield
    finally:
        kubectl("delete", "--wait=false", *files, kubeconfig=kubeconfig)


@contextmanager
def flux(folder: Path, namespace: str, *, api: Api, kubeconfig: Path) -> Iterator[Flux]:
    """Both controllers run until the context ends.

    Args:
        folder: an empty one, for what they keep and log.
        namespace: where their Kustomizations are; no other one is looked at.
    """
    storage = folder / "storage"
    storage.mkdir()
    with socket.create_server(("127.0.0.1", 0)) as probe:
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    quiet = ("--watch-all-namespaces=false", "--metrics-addr=0", "--health-addr=0", "--log-level=debug")
    options = {
        "source-controller": (
            f"--storage-path={storage}",
            f"--storage-addr={address}",
            f"--storage-adv-addr={address}",
        ),
        "kustomize-controller": ("--requeue-dependency=2s",),
    }
    told = {"KUBECONFIG": str(kubeconfig), "RUNTIME_NAMESPACE": namespace, "TMPDIR": str(folder)}
    environment = {**cluster_environment(), **told}
    with ExitStack() as stack:
        for name in CONTROLLERS:
            command = [binary(name), *quiet, *options[name]]
            stack.enter_context(_running(command, environment, folder / f"{name}.log"))
        yield Flux(api=api, namespace=namespace, kubeconfig=kubeconfig)


@contextmanager
def _running(command: Sequence[str], environment: Mapping[str, str], log: Path) -> Iterator[None]:
    with log.open("wb") as sink:
        process = subprocess.Popen(
            command, env=dict(environment), stdin=subprocess.DEVNULL, stdout=sink, stderr=subprocess.STDOUT
        )
        try:
            yield
        finally:
            process.terminate()
            process.wait(timeout=60)
