"""NetworkPolicies, kept on the nodes of the local cluster, whose network plugin keeps none.

Test-only: what our policies say becomes rules of nftables on the bridge of each node's pods. A TCP connection is judged
by its first packet; all else passes, answers of DNS among it. Rules of ingress alone are known, and others refused. A
policy is as good as it stands: pods that come and go are looked for several times a second.
"""

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

from tests.cluster.lifecycle import recorded_nodes
from tests.cluster.network import NAMESPACES, NodeAddress
from tests.cluster.shell import run
from tests.support.e2e import Api

from modelservice_operator.kinds import NETWORK_POLICY, POD

Object = dict[str, Any]
Labels = Mapping[str, str]

EVERY: Final = 0.2
"""Seconds between two looks."""
_OPERATORS: Final[Mapping[str, Callable[[str | None, Sequence[str]], bool]]] = {
    "In": lambda value, values: value in values,
    "NotIn": lambda value, values: value not in values,
    "Exists": lambda value, _: value is not None,
    "DoesNotExist": lambda value, _: value is None,
}


class Cluster(NamedTuple):
    """What policies speak of: labels of namespaces by name, and pods, of which those with an address count."""

    namespaces: Mapping[str, Labels]
    pods: Sequence[Object]


class Opening(NamedTuple):
    """Whom a rule lets in, and where; None is everybody, and every port."""

    sources: frozenset[str] | None
    ports: frozenset[int] | None


def openings(policies: Iterable[Object], cluster: Cluster) -> dict[str, list[Opening]]:
    """For each address of a pod that a policy selects, who is let in; those of other pods are left out.

    Raises:
        ValueError: a policy says what is not known here.
    """
    found: dict[str, list[Opening]] = {}
    for policy in policies:
        spec, namespace = policy["spec"], policy["metadata"]["namespace"]
        if spec.get("policyTypes") != ["Ingress"]:
            raise ValueError(f"{policy['metadata']['name']}: {spec.get('policyTypes')}; only Ingress is kept")
        rules = [_opening(rule, namespace, cluster) for rule in spec.get("ingress", [])]
        for address in _addresses(cluster, {"podSelector": spec["podSelector"]}, namespace):
            found.setdefault(address, []).extend(rules)
    return found


def ruleset(table: str, opened: Mapping[str, Sequence[Opening]], *, kubelets: Iterable[str]) -> str:
    """The table of nftables that keeps them, in the place of the one of before.

    Args:
        table: its name.
        opened: see ``openings``.
        kubelets: addresses of nodes, which no policy keeps out.
    """
    lines = [f"ip saddr {_set(kubelets)} return"]
    for address, rules in sorted(opened.items()):
        begins = f"ip daddr {address} tcp flags & (syn | ack) == syn"
        for sources, ports in rules:
            if sources == frozenset():
                continue
            whom = "" if sources is None else f" ip saddr {_set(sources)}"
            where = "" if ports is None else f" tcp dport {_set(map(str, ports))}"
            lines.append(f"{begins}{whom}{where} return")
        lines.append(f"{begins} drop")
    hooks = [f"chain {hook} {{ type filter hook {hook} priority 0; jump decide; }}" for hook in ("forward", "output")]
    made = ["chain decide {", *lines, "}", *hooks]
    # What is not there cannot be deleted, so it is made first.
    return "\n".join(
        [f"add table bridge {table}", f"delete table bridge {table}", f"table bridge {table} {{", *made, "}", ""]
    )


@contextmanager
def kept(api: Api, *spaces: str) -> Iterator[None]:
    """Keep the policies of these namespaces for as long as the context lasts."""
    table, nodes, done = f"policies_{spaces[0].replace('-', '_')}", recorded_nodes(), threading.Event()
    failures: list[Exception] = []
    _keep(api, spaces, table, nodes, before="")

    def follow() -> None:
        standing = ""
        while not done.wait(EVERY):
            try:
                standing = _keep(api, spaces, table, nodes, before=standing)
            except Exception as error:  # the test that relies on it says so
                failures.append(error)
                return

    keeping = threading.Thread(target=follow, name="keeps policies")
    keeping.start()
    try:
        yield
    finally:
        done.set()
        keeping.join()
        for node in nodes:
            _nft(node, f"delete table bridge {table}\n")
    assert failures == []


def _keep(api: Api, spaces: Sequence[str], table: str, nodes: Sequence[NodeAddress], *, before: str) -> str:
    namespaces = api.request("GET", "/api/v1/namespaces")["items"]
    cluster = Cluster(
        {one["metadata"]["name"]: one["metadata"].get("labels", {}) for one in namespaces}, api.list(POD, None)
    )
    policies = [policy for space in spaces for policy in api.list(NETWORK_POLICY, space)]
    kubelets = [address for node in nodes for address in (node.ip, _gateway(node))]
    rules = ruleset(table, openings(policies, cluster), kubelets=kubelets)
    if rules != before:
        for node in nodes:
            _nft(node, rules)
    return rules


def _gateway(node: NodeAddress) -> str:
    """The node's own address on the bridge of its pods."""
    return f"{node.pod_range.rpartition('.')[0]}.1"


def _nft(node: NodeAddress, rules: str) -> None:
    run("nsenter", f"--net={NAMESPACES / node.name}", "nft", "-f", "-", stdin=rules)


def _opening(rule: Object, namespace: str, cluster: Cluster) -> Opening:
    sources = ports = None
    if rule.get("from"):
        sources = frozenset(address for peer in rule["from"] for address in _addresses(cluster, peer, namespace))
    if rule.get("ports"):
        ports = frozenset(int(port["port"]) for port in rule["ports"])  # our ports are numbers
    return Opening(sources, ports)


def _addresses(cluster: Cluster, peer: Object, namespace: str) -> Iterator[str]:
    """Addresses of the pods that a peer selects."""
    if unknown := set(peer) - {"podSelector", "namespaceSelector"}:
        raise ValueError(f"a peer by {', '.join(unknown)} is not kept")
    inside = peer.get("namespaceSelector")
    for pod in cluster.pods:
        where, address = pod["metadata"]["namespace"], pod.get("status", {}).get("podIP")
        if not address or pod["spec"].get("hostNetwork"):
            continue
        chosen = where == namespace if inside is None else _selects(inside, cluster.namespaces.get(where, {}))
        if chosen and _selects(peer.get("podSelector", {}), pod["metadata"].get("labels", {})):
            yield address


def _selects(selector: Object, labels: Labels) -> bool:
    alike = selector.get("matchLabels", {}).items() <= labels.items()
    return alike and all(
        _OPERATORS[one["operator"]](labels.get(one["key"]), one.get("values", ()))
        for one in selector.get("matchExpressions", [])
    )


def _set(values: Iterable[str]) -> str:
    return f"{{ {', '.join(sorted(values))} }}"
