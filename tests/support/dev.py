"""`make dev`: the operator of this checkout, outside the cluster, against a context of the kubeconfig.

It installs nothing and touches no operator that runs in the cluster: where one does, it says what to do and ends.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from tests.cluster.paths import IMAGES_RECORD, KUBECONFIG, TOOLS
from tests.support.helm import CHART, NAMESPACE, ROOT

CRD = "modelservices.modelservice.dev"
HTTP_PORT = 8090
"""Not the operator's usual 8080, where `modelservice serve` listens."""

Kubectl = Callable[..., str]
"""Runs kubectl with arguments and answers with what it printed."""


class DevError(Exception):
    """Why the operator was not started; the text says what to do."""


def environment_of(
    environ: Mapping[str, str], *, images: Mapping[str, str], kubeconfig: Path, namespace: str
) -> dict[str, str]:
    """What the operator sees; a variable that the caller has set stays.

    Args:
        environ: the caller's environment.
        images: names of the images by part, as ``make load`` recorded them.
        kubeconfig: holds the one context to work on.
        namespace: where the Lease is kept.
    """
    defaults = {
        "MODELSERVICE_TRAINER_IMAGE": images["trainer"],
        "MODELSERVICE_SERVER_IMAGE": images["server"],
        "MODELSERVICE_HTTP_PORT": str(HTTP_PORT),
        "POD_NAMESPACE": namespace,
    }
    return {**defaults, **environ, "KUBECONFIG": str(kubeconfig)}


def recorded_images(record: Path) -> dict[str, str]:
    """The images that training and serving pods run on.

    Raises:
        DevError: nobody built them.
    """
    if not record.exists():
        raise DevError(f"{record} is missing: run `make load` (KIND=name: into kind) or `make push REGISTRY=host/path`")
    images: dict[str, str] = json.loads(record.read_text(encoding="utf-8"))
    return images


def lease_namespace(kubectl: Kubectl) -> str:
    """Where the Lease goes: the chart's namespace where there is one, so that only one of both operators writes.

    Raises:
        DevError: the CRD is missing, or an operator runs in the cluster.
    """
    if not kubectl("get", "crd", CRD, "--ignore-not-found", "-o", "name"):
        raise DevError("the cluster knows no ModelServices: run `kubectl apply --server-side -f manifests/crds`")
    chart = f"app.kubernetes.io/name={CHART.name}"
    selector = f"{chart},modelservice.dev/component=operator"
    listed = json.loads(kubectl("get", "pods", "--all-namespaces", "-l", selector, "-o", "json"))
    if found := operators(listed["items"]):
        stop = " && ".join(f"kubectl scale deployment -n {space} -l {chart} --replicas=0" for space in found)
        raise DevError(
            f"an operator runs in namespace {', '.join(found)}, and two would compete: stop it with `{stop}`,"
            " and give it its replicas back when you are done"
        )
    return NAMESPACE if kubectl("get", "namespace", NAMESPACE, "--ignore-not-found", "-o", "name") else "default"


def operators(pods: Sequence[Mapping[str, Any]]) -> list[str]:
    """Namespaces in which a pod of an operator still runs."""
    running = (pod for pod in pods if pod.get("status", {}).get("phase") not in {"Succeeded", "Failed"})
    return sorted({pod["metadata"]["namespace"] for pod in running})


def kubectl_of(environ: Mapping[str, str]) -> Kubectl:
    """kubectl on the context that KUBE_CONTEXT names, else on the current one.

    Without a kubeconfig of one's own, the local cluster's is meant.

    Raises:
        DevError: kubectl is missing.
    """
    path = os.pathsep.join([environ.get("PATH", ""), str(TOOLS)])
    binary = shutil.which("kubectl", path=path)
    if binary is None:
        raise DevError("kubectl is missing: install it, or run `make cluster-up`")
    context = ("--context", environ["KUBE_CONTEXT"]) if environ.get("KUBE_CONTEXT") else ()
    own = "KUBECONFIG" in environ or (Path.home() / ".kube" / "config").exists()
    inherited = {**environ, "PATH": path, **({} if own else {"KUBECONFIG": str(KUBECONFIG)})}

    def run(*arguments: str) -> str:
        command = [binary, *context, *arguments]
        done = subprocess.run(command, env=inherited, capture_output=True, text=True, timeout=60, check=False)
        if done.returncode != 0:
            raise DevError(f"kubectl {' '.join(arguments)}: {done.stderr.strip()}")
        return done.stdout.strip()

    return run


def main() -> int:
    """Run the operator until Ctrl-C; exit code 1 where it must not be started."""
    try:
        images = recorded_images(Path(os.environ.get("MODELSERVICE_IMAGES", IMAGES_RECORD)))
        kubectl = kubectl_of(os.environ)
        namespace = lease_namespace(kubectl)
        # The context as it is now: whoever switches contexts later does not move a running operator.
        kubeconfig = kubectl("config", "view", "--minify", "--flatten", "--raw")
    except DevError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    with tempfile.TemporaryDirectory(prefix="modelservice-dev-") as folder:  # only its owner may look into it
        path = Path(folder) / "kubeconfig"
        path.write_text(kubeconfig, encoding="utf-8")
        variables = environment_of(os.environ, images=images, kubeconfig=path, namespace=namespace)
        context = yaml.safe_load(kubeconfig)["current-context"]
        sys.stderr.write(
            f"operator on context {context}, Lease in {namespace}, probes and metrics on"
            f" localhost:{variables['MODELSERVICE_HTTP_PORT']}; Ctrl-C ends it\n"
        )
        return _run([sys.executable, "-m", "modelservice_operator"], variables)


def _run(command: Sequence[str], variables: Mapping[str, str]) -> int:
    """Run a command that hears Ctrl-C itself, and wait for its end."""
    with subprocess.Popen(command, env=variables, cwd=ROOT) as process:
        while True:
            try:
                return process.wait()
            except KeyboardInterrupt:
                continue


if __name__ == "__main__":
    sys.exit(main())
