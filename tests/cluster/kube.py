"""Talking to the cluster as its administrator, through kubectl."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from tests.cluster.paths import KUBECONFIG
from tests.cluster.shell import run
from tests.cluster.toolchain import binary


def kubectl(*arguments: str, stdin: str | None = None, check: bool = True, timeout: float = 60) -> str:
    """Run kubectl with the administrator's kubeconfig and return what it printed."""
    command = (binary("kubectl"), f"--kubeconfig={KUBECONFIG}", *arguments)
    return run(*command, stdin=stdin, check=check, timeout=timeout).stdout


def apply(objects: Iterable[Mapping[str, Any]]) -> None:
    """Apply objects on the server's side, without kubectl's own validation: it fails while metrics-server is down."""
    manifest = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)})
    options = ("--server-side", "--validate=false", "--force-conflicts", "--field-manager=cluster-up")
    kubectl("apply", *options, "-f", "-", stdin=manifest)


def get(*arguments: str) -> dict[str, Any]:
    """Read an object, or a list of them; an empty object where there is none."""
    output = kubectl("get", *arguments, "-o", "json", "--ignore-not-found")
    loaded: dict[str, Any] = json.loads(output) if output.strip() else {}
    return loaded
