"""DNS, metrics, dynamic volumes and two GPUs that only the scheduler believes in.

The add-ons run as processes beside the kubelet, so they need no image; the cluster sees them through a Service
without selector and an EndpointSlice at the first node's address.
"""

import json
from typing import Any

from tests.cluster import pki
from tests.cluster.controlplane import healthy
from tests.cluster.kube import get, kubectl
from tests.cluster.network import CONTROL_PLANE, DNS_SERVICE_IP, NodeAddress
from tests.cluster.paths import CONFIG, KUBECONFIG, VOLUMES, write_if_changed
from tests.cluster.processes import Component
from tests.cluster.shell import wait_for
from tests.cluster.toolchain import binary

FAKE_GPUS = "2"
PROVISIONER = "rancher.io/local-path"  # a StorageClass's cannot be changed, and clusters of earlier checkouts have it

# Names outside the cluster do not exist here: a test must not ask the machine's resolvers for anything. They have a
# block of their own because `template` would answer before `kubernetes`.
COREFILE = """cluster.local:53 in-addr.arpa:53 ip6.arpa:53 {{
    bind {ip}
    errors
    ready {ip}:8181
    kubernetes cluster.local in-addr.arpa ip6.arpa {{
        kubeconfig {kubeconfig}
        ttl 5
    }}
    cache 5
}}
.:53 {{
    bind {ip}
    errors
    template ANY ANY {{
        rcode NXDOMAIN
    }}
}}
"""


def coredns() -> Component:
    """Build CoreDNS."""
    corefile = CONFIG / "Corefile"
    write_if_changed(corefile, COREFILE.format(ip=CONTROL_PLANE.ip, kubeconfig=KUBECONFIG))
    return Component(
        name="coredns",
        argv=[binary("coredns"), "-conf", str(corefile)],
        netns=CONTROL_PLANE.name,
        files=[corefile],
        ready=lambda: healthy(8181, "/ready", tls=False),
    )


def metrics_server() -> Component:
    """Build metrics-server; it panics unless the apiserver answers, so it comes last."""
    argv = [
        binary("metrics-server"),
        f"--kubeconfig={KUBECONFIG}",
        f"--authentication-kubeconfig={KUBECONFIG}",
        f"--authorization-kubeconfig={KUBECONFIG}",
        f"--bind-address={CONTROL_PLANE.ip}",
        "--secure-port=4443",
        f"--tls-cert-file={pki.certificate('apiserver')}",  # signed for this address
        f"--tls-private-key-file={pki.key('apiserver')}",
        f"--kubelet-certificate-authority={pki.CA}",
        f"--kubelet-client-certificate={pki.certificate('apiserver-kubelet-client')}",
        f"--kubelet-client-key={pki.key('apiserver-kubelet-client')}",
        "--kubelet-preferred-address-types=InternalIP",
        "--metric-resolution=15s",  # must stay above its 10 s time limit for a kubelet
    ]
    return Component(name="metrics-server", argv=argv, netns=CONTROL_PLANE.name, ready=lambda: healthy(4443, "/livez"))


def local_path_provisioner() -> Component:
    """Build the provisioner of the default StorageClass."""
    argv = [
        binary("local-path-provisioner"),
        f"--root={VOLUMES}",
        f"--kubeconfig={KUBECONFIG}",
        f"--provisioner={PROVISIONER}",
    ]
    return Component(name="local-path-provisioner", argv=argv, netns=CONTROL_PLANE.name)


def objects() -> list[dict[str, Any]]:
    """Return what makes the add-ons visible in the cluster."""
    storage_class = {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": "local-path", "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
        "provisioner": PROVISIONER,
        "volumeBindingMode": "WaitForFirstConsumer",
        "reclaimPolicy": "Delete",
    }
    metrics_api = {
        "apiVersion": "apiregistration.k8s.io/v1",
        "kind": "APIService",
        "metadata": {"name": "v1beta1.metrics.k8s.io"},
        "spec": {
            "group": "metrics.k8s.io",
            "version": "v1beta1",
            "groupPriorityMinimum": 100,
            "versionPriority": 100,
            "service": {"name": "metrics-server", "namespace": "kube-system", "port": 4443},
            "insecureSkipTLSVerify": True,  # signed for the address, while the aggregator asks for a name
        },
    }
    return [
        storage_class,
        *_service("kube-dns", {"dns": ("UDP", 53), "dns-tcp": ("TCP", 53)}, cluster_ip=DNS_SERVICE_IP),
        *_service("metrics-server", {"https": ("TCP", 4443)}),
        metrics_api,
    ]


def _service(name: str, ports: dict[str, tuple[str, int]], cluster_ip: str | None = None) -> list[dict[str, Any]]:
    listed = [{"name": port, "protocol": protocol, "port": number} for port, (protocol, number) in ports.items()]
    metadata = {"name": name, "namespace": "kube-system"}
    return [
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": metadata,
            "spec": {"ports": listed, **({"clusterIP": cluster_ip} if cluster_ip else {})},
        },
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": metadata | {"labels": {"kubernetes.io/service-name": name}},
            "addressType": "IPv4",
            "endpoints": [{"addresses": [CONTROL_PLANE.ip], "conditions": {"ready": True}}],
            "ports": listed,
        },
    ]


def label_nodes(nodes: list[NodeAddress]) -> None:
    """Give each node a zone, as a cloud would."""
    for node in nodes:
        kubectl("label", "--overwrite", "node", node.name, f"topology.kubernetes.io/zone=zone-{node.index}")


def ensure_fake_gpus(node: NodeAddress) -> None:
    """Announce GPUs in the node's status; a kubelet that registers anew forgets them, so this is done at each start."""

    def announced() -> bool:
        status = get("node", node.name)["status"]
        if all(status[part].get("nvidia.com/gpu") == FAKE_GPUS for part in ("capacity", "allocatable")):
            return True
        patch = [
            {"op": "add", "path": f"/status/{part}/nvidia.com~1gpu", "value": FAKE_GPUS}
            for part in ("capacity", "allocatable")
        ]
        kubectl("patch", "node", node.name, "--subresource=status", "--type=json", "-p", json.dumps(patch))
        return False

    kubectl("label", "--overwrite", "node", node.name, "nvidia.com/gpu.present=true")
    wait_for(announced, what="two fake GPUs in the node's status", timeout=30, poll=0.3)


def metrics_available() -> bool:
    """Tell whether the metrics API answers through the aggregator."""
    conditions = get("apiservice", "v1beta1.metrics.k8s.io").get("status", {}).get("conditions", [])
    return any(condition["type"] == "Available" and condition["status"] == "True" for condition in conditions)
