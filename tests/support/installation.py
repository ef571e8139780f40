"""The operator under test: installed by Helm from the chart of this checkout, with the images that were built."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support.cluster import cluster_environment, kubectl
from tests.support.e2e import Api, eventually
from tests.support.helm import CHART, IMAGES, NAMESPACE, RELEASE, ROOT

from modelservice_operator.constants import LEASE_NAME
from modelservice_operator.kinds import DEPLOYMENT, LEASE, POD

_LABELS = f"app.kubernetes.io/name={CHART.name},app.kubernetes.io/instance={RELEASE}"


def image_values() -> dict[str, Any]:
    """Chart values for the images of ``build/images.json``."""
    record = Path(os.environ.get("MODELSERVICE_IMAGES", ROOT / "build" / "images.json"))
    assert record.exists(), f"{record} is missing: run `make load`"
    images = json.loads(record.read_text(encoding="utf-8"))
    values = {}
    for part, name in IMAGES.items():
        repository, _, tag = images[name].rpartition(":")
        values[part] = {"repository": repository, "tag": tag}
    return values


def helm(*args: str, stdin: str | None = None, timeout: float = 180) -> str:
    """Run the virtual environment's helm and answer with what it prints."""
    environment = dict(cluster_environment())
    environment["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), environment.get("PATH", "")])
    command = ["helm", "--namespace", NAMESPACE, *args]
    done = subprocess.run(
        command, input=stdin, env=environment, capture_output=True, text=True, check=False, timeout=timeout
    )
    assert done.returncode == 0, f"helm {' '.join(args)}: {done.stderr}"
    return done.stdout


@dataclass(frozen=True, kw_only=True)
class Installation:
    """One release of the chart; ``was_there`` tells one that a demo made, which is left in place."""

    api: Api
    admin: Path
    values: dict[str, Any] = field(default_factory=image_values)

    def was_there(self) -> bool:
        """Whether the release is installed."""
        return bool(helm("list", "--short", "--filter", f"^{RELEASE}$").strip())

    def install(self, **values: Any) -> None:
        """Install or upgrade, and wait; a CRD that was applied by other means is taken over."""
        desired = {**self.values, **values}
        helm(
            "upgrade", "--install", RELEASE, str(CHART), "--create-namespace", "--take-ownership",
            "--reset-values", "--values", "-", "--wait", "--timeout", "2m", stdin=json.dumps(desired),
        )  # fmt: skip
        self.wait_leader()

    def roll_back(self) -> None:
        """Go back to what was installed before the last change, and wait."""
        helm("rollback", RELEASE, "--wait", "--timeout", "2m")
        self.wait_leader()

    def uninstall(self) -> None:
        """Take the operator away; the CRD stays, and with it all ModelServices."""
        helm("uninstall", RELEASE, "--wait")

    def kubectl(self, *args: str | Path) -> str:
        """Run kubectl as the administrator in the operator's namespace."""
        return self.kubectl_cluster(*args, "--namespace", NAMESPACE)

    def kubectl_cluster(self, *args: str | Path) -> str:
        """Run kubectl as the administrator."""
        done = kubectl(*args, kubeconfig=self.admin, timeout=120)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def scale(self, replicas: int) -> None:
        """Set the number of operator pods, and wait until that many are ready and no other is left."""
        self.kubectl("scale", f"deployment/{RELEASE}", f"--replicas={replicas}")
        self.wait_pods(replicas)

    def wait_pods(self, replicas: int) -> None:
        """Wait until exactly so many pods of the operator are there, all of them ready."""

        def settled() -> bool:
            deployment = self.api.get(DEPLOYMENT, NAMESPACE, RELEASE)
            ready = (deployment or {}).get("status", {}).get("readyReplicas", 0)
            return bool(ready == replicas == len(self.pods()))

        eventually(settled, what=f"{replicas} operator pods", seconds=90)

    def pods(self) -> list[dict[str, Any]]:
        """Pods of the operator."""
        return self.api.list(POD, NAMESPACE, labels=_LABELS)

    def leader(self) -> str:
        """Name of the pod that holds the Lease, or nothing."""
        lease = self.api.get(LEASE, NAMESPACE, LEASE_NAME)
        holder: str = (lease or {}).get("spec", {}).get("holderIdentity") or ""
        return holder

    def wait_leader(self, *, other_than: str = "") -> str:
        """Wait until a pod that is there leads."""

        def look() -> str:
            holder = self.leader()
            return holder if holder != other_than and holder in {p["metadata"]["name"] for p in self.pods()} else ""

        return eventually(look, what="a leading operator", seconds=60)

    def metrics(self, pod: str) -> dict[str, float]:
        """All samples of a pod's /metrics, by name with labels; read through the apiserver, as Prometheus is not."""
        path = f"/api/v1/namespaces/{NAMESPACE}/pods/{pod}:8080/proxy/metrics"
        lines = [line for line in self.kubectl("get", "--raw", path).splitlines() if not line.startswith("#")]
        return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}

    def writes(self) -> dict[str, float]:
        """Objects written by the operator that leads, since its start, by verb and kind."""
        metrics = self.metrics(self.leader())
        return {name: value for name, value in metrics.items() if name.startswith("modelservice_operator_writes_total")}
