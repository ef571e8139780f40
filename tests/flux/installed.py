"""Flux as it is installed: the CRDs of two of its controllers, from their own Go modules, and both as processes.

They look at one namespace, with the rights of the cluster's administrator, and meet each other at the loopback.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import yaml
from tests.bench.kwok.process import free_port, running
from tests.cluster.controlplane import healthy
from tests.cluster.shell import tail
from tests.cluster.toolchain import binary, sources
from tests.support.e2e import Space, wait_established

from modelservice_operator.objects import Kind

BUCKET = Kind("source.toolkit.fluxcd.io", "v1", "Bucket", "buckets")
KUSTOMIZATION = Kind("kustomize.toolkit.fluxcd.io", "v1", "Kustomization", "kustomizations")
CONTROLLERS = ("source-controller", "kustomize-controller")

_CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
_LOOPBACK = "127.0.0.1"
_SECONDS = 600.0
"""For a controller's start; the machine may be busy."""


@contextmanager
def flux_on(space: Space, folder: Path) -> Iterator[None]:
    """Install Flux and run it for a namespace; when it is left, nothing of it stays in the cluster."""
    definitions = [sources(name, f"github.com/fluxcd/{name}") / "config" / "crd" / "bases" for name in CONTROLLERS]
    kinds = [yaml.safe_load(path.read_text()) for each in definitions for path in each.glob("*.yaml")]
    names = [kind["metadata"]["name"] for kind in kinds]
    _check_that_there_is_no_flux(space, names)
    try:
        for each in definitions:
            # Server-side: they are larger than the annotation of a client-side apply may be.
            space.as_admin("apply", "--server-side", "--filename", each)
        for name in names:
            wait_established(name, kubeconfig=space.admin)
        with _controllers(space, folder):
            yield
    finally:
        _release(space)
        for each in definitions:
            space.as_admin("delete", "--ignore-not-found", "--filename", each)


def _check_that_there_is_no_flux(space: Space, names: list[str]) -> None:
    """Refuse a cluster that has Flux: with its CRDs all that it applies would be deleted."""
    found = [name for name in names if space.api.request("GET", f"{_CRDS}/{name}").get("kind") != "Status"]
    assert found == [], f"{', '.join(found)}: this cluster has Flux; if no one uses it, `kubectl delete crd` them"


@contextmanager
def _controllers(space: Space, folder: Path) -> Iterator[None]:
    storage = folder / "artifacts"
    for each in (storage, folder / "tmp"):
        each.mkdir()
    address = f"{_LOOPBACK}:{free_port()}"
    options = {
        "source-controller": [
            f"--storage-path={storage}",
            f"--storage-addr={address}",
            f"--storage-adv-addr={address}",
        ],
        # A commit that comes while models train is taken up at once: docs/how-to/flux.md.
        "kustomize-controller": ["--feature-gates=CancelHealthCheckOnNewRevision=true"],
    }
    own = {"KUBECONFIG": str(space.admin), "RUNTIME_NAMESPACE": space.name, "TMPDIR": str(folder / "tmp")}
    with ExitStack() as stack:
        for name in CONTROLLERS:
            port = free_port()
            shared = [f"--health-addr={_LOOPBACK}:{port}", "--metrics-addr=0", "--watch-all-namespaces=false"]
            argv = [binary(name), *shared, *options[name]]
            process = stack.enter_context(running(name, argv, folder=folder, env=own))

            def answers(port: int = port) -> bool:
                return healthy(port, "/readyz", tls=False, host=_LOOPBACK)

            process.wait_until(answers, what=f"{name} is ready", seconds=_SECONDS)
        try:
            yield
        except BaseException as error:
            for name in CONTROLLERS:
                error.add_note(f"the last lines of {name}'s log:\n{tail(folder / f'{name}.log')}")
            raise


def _release(space: Space) -> None:
    """Let go what a story that failed left behind: nobody else takes the finalizers of Flux away."""
    for kind in (KUSTOMIZATION, BUCKET):
        found = space.api.request("GET", kind.path(space.name))
        for obj in found.get("items", ()):
            path = kind.path(space.name, obj["metadata"]["name"])
            patch = {"metadata": {"finalizers": None}}
            space.api.request("PATCH", path, patch, content_type="application/merge-patch+json")
