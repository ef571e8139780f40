"""Addresses, and one network namespace per node, joined by a bridge on the machine.

198.18.0.0/15 is set aside for tests (RFC 2544), so it collides with nobody's network. Pods and ClusterIPs are
routed from the machine too: an operator or a test can run outside the cluster.
"""

from dataclasses import dataclass
from pathlib import Path

from tests.cluster.shell import run

BRIDGE = "modelservice0"
BRIDGE_IP = "198.18.255.1"
REGISTRY = f"{BRIDGE_IP}:5000"
SERVICE_RANGE = "198.19.0.0/16"
KUBERNETES_SERVICE_IP = "198.19.0.1"
DNS_SERVICE_IP = "198.19.0.10"
POD_RANGES = "198.18.0.0/17"  # of all nodes; the bridge's 198.18.255.0/24 lies outside
NAMESPACES = Path("/run/netns")


@dataclass(frozen=True)
class NodeAddress:
    """The n-th node's name and addresses; n starts at 1."""

    index: int

    @property
    def name(self) -> str:
        """The node's name; its network namespace and its cgroup are called so too."""
        return f"modelservice-{self.index}"

    @property
    def ip(self) -> str:
        """The node's InternalIP."""
        return f"198.18.255.{self.index + 1}"

    @property
    def pod_range(self) -> str:
        """The addresses of this node's pods."""
        return f"198.18.{(self.index - 1) * 16}.0/20"

    @property
    def veth(self) -> str:
        """The machine's end of the cable."""
        return f"ms-node{self.index}"


CONTROL_PLANE = NodeAddress(1)
API_SERVER = f"https://{CONTROL_PLANE.ip}:6443"


def connect(nodes: list[NodeAddress]) -> None:
    """Make what is missing of the bridge, the namespaces, the cables and the routes."""
    if not _has_link(BRIDGE):
        run("ip", "link", "add", BRIDGE, "type", "bridge")
    run("ip", "address", "replace", f"{BRIDGE_IP}/24", "dev", BRIDGE)
    run("ip", "link", "set", BRIDGE, "up")
    for node in nodes:
        _connect_node(node)
    for node in nodes:
        run("ip", "route", "replace", node.pod_range, "via", node.ip)
        for other in nodes:
            if other != node:
                run("ip", "-n", node.name, "route", "replace", other.pod_range, "via", other.ip)
    run("ip", "route", "replace", SERVICE_RANGE, "via", CONTROL_PLANE.ip)


def _connect_node(node: NodeAddress) -> None:
    if run("ip", "-n", node.name, "link", "show", check=False).returncode != 0:
        # A file without a namespace behind it is what a crash leaves.
        run("ip", "netns", "delete", node.name, check=False)
        run("ip", "netns", "add", node.name)
    if not _has_link(node.veth):
        run("ip", "link", "add", node.veth, "type", "veth", "peer", "name", "eth0", "netns", node.name)
    run("ip", "link", "set", node.veth, "master", BRIDGE, "up")
    run("ip", "-n", node.name, "link", "set", "lo", "up")
    run("ip", "-n", node.name, "address", "replace", f"{node.ip}/24", "dev", "eth0")
    run("ip", "-n", node.name, "link", "set", "eth0", "up")
    # Without a route the kernel refuses a ClusterIP before kube-proxy's rules can turn it into a pod's address.
    run("ip", "-n", node.name, "route", "replace", SERVICE_RANGE, "dev", "eth0")
    run("nsenter", f"--net={NAMESPACES / node.name}", "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward")


def disconnect(nodes: list[NodeAddress]) -> None:
    """Remove namespaces, cables and bridge; the routes go with them."""
    for node in nodes:
        _disconnect_node(node)
    if _has_link(BRIDGE):
        run("ip", "link", "delete", BRIDGE)


def take_away(node: NodeAddress, *, others: list[NodeAddress]) -> None:
    """Remove one node's namespace and cable, and the routes to its pods."""
    _disconnect_node(node)
    run("ip", "route", "delete", node.pod_range, check=False)
    for other in others:
        run("ip", "-n", other.name, "route", "delete", node.pod_range, check=False)


def _disconnect_node(node: NodeAddress) -> None:
    if _has_link(node.veth):
        run("ip", "link", "delete", node.veth)
    if (NAMESPACES / node.name).exists():
        run("ip", "netns", "delete", node.name)


def _has_link(name: str) -> bool:
    return Path(f"/sys/class/net/{name}").exists()
