"""`make demo`: install the operator with Helm, apply the iris sample, watch it train, and ask it something.

Everything goes through one context: the local cluster's, or the one that KUBE_CONTEXT names.
"""

import json
import os
import shlex
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from tests.cluster.images import recorded_sizes
from tests.cluster.paths import IMAGE_SIZES
from tests.support.helm import CHART, IMAGES, ROOT

SAMPLE = ROOT / "manifests" / "samples" / "iris.yaml"
RELEASE = "modelservice-operator"
OPERATOR_NAMESPACE = "modelservice-system"
NAMESPACE = "modelservice-demo"
NAME = "iris"
DEADLINE_SECONDS = 600
MISSING_TABLE = "ConfigMapNotFound"
"""Reason while the operator knows the ModelService, and not yet the ConfigMap that stands after it in its file."""
RESTRICTED = "pod-security.kubernetes.io/enforce=restricted"

console = Console(highlight=False)


class DemoError(Exception):
    """Something did not work; the text says what and what to look at."""


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """kubectl and helm on one context; None is the current context of KUBECONFIG."""

    context: str | None

    def kubectl(self, *args: str, stdin: str | None = None, timeout: float = 60) -> str:
        """Run kubectl and answer with what it prints."""
        context = ["--context", self.context] if self.context else []
        return _run(["kubectl", *context, *args], stdin=stdin, timeout=timeout)

    def helm(self, *args: str, timeout: float = 300) -> str:
        """Run helm and answer with what it prints."""
        context = ["--kube-context", self.context] if self.context else []
        return _run(["helm", *context, *args], timeout=timeout)

    def service(self) -> dict[str, Any]:
        """The ModelService as it is now."""
        found: dict[str, Any] = json.loads(self.kubectl("get", "modelservice", NAME, "-n", NAMESPACE, "-o", "json"))
        return found

    @property
    def shell(self) -> str:
        """How a person types kubectl for this cluster."""
        return f"kubectl --context {self.context}" if self.context else "kubectl"


def _run(command: list[str], *, stdin: str | None = None, timeout: float) -> str:
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=timeout, check=False)
    if done.returncode != 0:
        raise DemoError(f"{shlex.join(command)}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def image_values() -> list[str]:
    """Helm values for the images that `make images`, `make load` or `make push` made."""
    record = Path(os.environ.get("MODELSERVICE_IMAGES", ROOT / "build" / "images.json"))
    if not record.exists():
        raise DemoError(f"{record} is missing: run `make load KIND=name` or `make push REGISTRY=host/path` first")
    images: dict[str, str] = json.loads(record.read_text())
    values = []
    for part, name in IMAGES.items():
        repository, tag = images[name].rsplit(":", 1)
        values += ["--set", f"{part}.repository={repository}", "--set", f"{part}.tag={tag}"]
    return values


def install(cluster: Cluster) -> None:
    """Install or upgrade the operator, and wait for it."""
    cluster.helm(
        "upgrade", "--install", RELEASE, str(CHART), "--namespace", OPERATOR_NAMESPACE, "--create-namespace",
        *image_values(), "--wait", "--timeout", "4m",
    )  # fmt: skip


def apply_sample(cluster: Cluster) -> int:
    """Apply the sample in a namespace of its own; answers with the generation to wait for."""
    namespace = cluster.kubectl("create", "namespace", NAMESPACE, "--dry-run=client", "-o", "yaml")
    cluster.kubectl("apply", "-f", "-", stdin=namespace)
    cluster.kubectl("label", "namespace", NAMESPACE, RESTRICTED, "--overwrite")
    cluster.kubectl("apply", "-n", NAMESPACE, "-f", str(SAMPLE))
    return int(cluster.service()["metadata"]["generation"])


def condition(service: dict[str, Any], kind: str) -> dict[str, Any]:
    """The condition of this type, or an empty one before the operator has said anything."""
    conditions = service.get("status", {}).get("conditions", [])
    return next((one for one in conditions if one["type"] == kind), {})


def holds(service: dict[str, Any], kind: str, generation: int) -> bool:
    """Whether the condition of this type is True of this generation."""
    found = condition(service, kind)
    return found.get("status") == "True" and found.get("observedGeneration") == generation


def wait_ready(cluster: Cluster, generation: int) -> tuple[dict[str, Any], dict[str, float]]:
    """Show each step until the service is Ready; answers with it, and after how many seconds each stage was seen.

    Raises:
        DemoError: it is Stalled, or not Ready in time.
    """
    started = time.monotonic()
    reached: dict[str, float] = {}
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("waiting for the operator")
        said = ""
        while time.monotonic() - started < DEADLINE_SECONDS:
            service = cluster.service()
            ready, stalled = condition(service, "Ready"), condition(service, "Stalled")
            if holds(service, "Ready", generation):
                return service, {**reached, "Ready": time.monotonic() - started}
            # Nothing goes on before somebody changes something, but for the table, which `apply` made a moment later.
            if holds(service, "Stalled", generation) and stalled["reason"] != MISSING_TABLE:
                raise DemoError(f"{stalled['reason']}: {stalled['message']}\n{diagnosis(cluster)}")
            if stage := service.get("status", {}).get("stage"):
                reached.setdefault(stage, time.monotonic() - started)
            now = f"{ready.get('reason', 'Pending')}: {ready.get('message', 'waiting for the operator')}"
            progress.update(task, description=now)
            if now != said:
                progress.console.print(f"  {time.monotonic() - started:4.0f} s  {now}", markup=False, soft_wrap=True)
                said = now
            time.sleep(0.5)
    raise DemoError(f"not Ready after {DEADLINE_SECONDS} s: {said}\n{diagnosis(cluster)}")


def diagnosis(cluster: Cluster) -> str:
    """What a person would look at first."""
    pods = cluster.kubectl("get", "pods", "-n", NAMESPACE, "-o", "wide")
    events = cluster.kubectl("get", "events", "-n", NAMESPACE, "--sort-by=.lastTimestamp")
    return f"{pods}\n{events[-3000:]}"


def predict(cluster: Cluster) -> tuple[str, str]:
    """Send one row through the Service, by way of the apiserver's proxy: works wherever kubectl works."""
    path = f"/api/v1/namespaces/{NAMESPACE}/services/{NAME}:http/proxy/v1/models/{NAME}:predict"
    body = json.dumps(
        {"instances": [{"sepal_length": 6.3, "sepal_width": 3.3, "petal_length": 6.0, "petal_width": 2.5}]}
    )
    return body, cluster.kubectl("create", "--raw", path, "-f", "-", stdin=body)


def sizes(cluster: Cluster) -> list[str]:
    """What was measured: resident memory of the server, and the images where this checkout built them."""
    look = ("--", "grep", "VmRSS", "/proc/1/status")
    try:
        resident = cluster.kubectl("exec", "-n", NAMESPACE, f"deployment/{NAME}", "-c", "server", *look)
        lines = [f"server         {int(resident.split()[1]) * 1024 / 1e6:.0f} MB resident"]
    except DemoError as error:  # not everybody may look into pods, and the model serves all the same
        lines = [f"server         memory not known: {error}"]
    if IMAGE_SIZES.exists():
        built = ", ".join(f"{name} {size:,} MB" for name, size in recorded_sizes().items())
        lines.append(f"images         {built}, uncompressed")
    return lines


def report(cluster: Cluster, service: dict[str, Any], reached: dict[str, float], asked: str, answered: str) -> None:
    """Say what was reached and where to go on."""
    status = service["status"]
    revision = status["revisions"][0]
    primary = next(metric for metric in revision["metrics"] if metric["name"] == revision["primaryMetric"])
    (prediction,) = json.loads(answered)["predictions"]
    shell = cluster.shell
    lines = [
        f"test {primary['name']:<10}{primary['value']:.3f}   "
        f"95 % interval {primary['low']:.3f} to {primary['high']:.3f}, {revision['testRows']} rows never trained on",
        f"asked          {asked}",
        f"answered       {json.dumps(prediction)}",
        f"since apply    {', '.join(f'{step} {seconds:.1f} s' for step, seconds in reached.items())}",
        *sizes(cluster),
        "",
        "from any pod of the namespace:",
        status["example"],
        "",
        "where to look next:",
        *([] if cluster.context else ['  eval "$(make -s env)"']),
        f"  {shell} port-forward -n {NAMESPACE} svc/{NAME} 8080:80     # then open localhost:8080/docs",
        f"  {shell} get mdsvc -n {NAMESPACE}",
        f"  {shell} describe mdsvc {NAME} -n {NAMESPACE}",
        f"  {shell} explain modelservice.spec.training",
        f"  {shell} edit mdsvc {NAME} -n {NAMESPACE}     # try spec.training.epochs: the old revision serves meanwhile",
    ]
    console.rule(f"{NAME} serves revision {status['revision']}", align="left")
    for line in lines:
        console.print(line, markup=False, soft_wrap=True)  # whole lines: a person copies them


def main() -> int:
    """Run the demo."""
    cluster = Cluster(context=os.environ.get("KUBE_CONTEXT") or None)
    started = time.monotonic()
    try:
        console.print("installing the operator with Helm")
        install(cluster)
        console.print(f"applying {SAMPLE.relative_to(ROOT)} in namespace {NAMESPACE}")
        service, reached = wait_ready(cluster, apply_sample(cluster))
        asked, answered = predict(cluster)
        report(cluster, service, reached, asked, answered)
    except (DemoError, subprocess.TimeoutExpired) as error:
        console.print(str(error), style="red", markup=False, soft_wrap=True)
        return 1
    console.print(f"done in {time.monotonic() - started:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
