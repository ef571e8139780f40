"""What tests keep NetworkPolicies by says what they say: an error there would prove nothing about ours."""

from typing import Any

import pytest
from tests.support.policies import Cluster, Opening, openings, ruleset

CLUSTER = Cluster(
    {"a": {"kubernetes.io/metadata.name": "a", "team": "x"}, "b": {"kubernetes.io/metadata.name": "b"}},
    [
        {"metadata": {"namespace": space, "labels": labels}, "spec": {}, "status": {"podIP": address}}
        for space, labels, address in (
            ("a", {"app": "model"}, "10.0.0.1"),
            ("a", {"app": "client"}, "10.0.0.2"),
            ("b", {"app": "client"}, "10.0.0.3"),
            ("b", {}, None),
        )
    ],
)
MODEL = {"matchLabels": {"app": "model"}}


def policy(*ingress: Any, **spec: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": "p", "namespace": "a"},
        "spec": {"podSelector": MODEL, "policyTypes": ["Ingress"], "ingress": [*ingress], **spec},
    }


@pytest.mark.parametrize(
    ("peer", "sources"),
    [
        ({"podSelector": {}}, {"10.0.0.1", "10.0.0.2"}),
        ({"namespaceSelector": {}}, {"10.0.0.1", "10.0.0.2", "10.0.0.3"}),
        ({"namespaceSelector": {"matchLabels": {"team": "x"}}}, {"10.0.0.1", "10.0.0.2"}),
        ({"namespaceSelector": {}, "podSelector": {"matchLabels": {"app": "client"}}}, {"10.0.0.2", "10.0.0.3"}),
        (
            {"namespaceSelector": {"matchExpressions": [{"key": "team", "operator": "DoesNotExist"}]}},
            {"10.0.0.3"},
        ),
        (
            {"podSelector": {"matchExpressions": [{"key": "app", "operator": "In", "values": ["client"]}]}},
            {"10.0.0.2"},
        ),
    ],
)
def test_peers_are_the_pods_that_kubernetes_means(peer: Any, sources: set[str]) -> None:
    found = openings([policy({"from": [peer], "ports": [{"protocol": "TCP", "port": 8080}]})], CLUSTER)
    assert found == {"10.0.0.1": [Opening(frozenset(sources), frozenset({8080}))]}


def test_who_is_selected_and_let_in_by_nobody_is_closed() -> None:
    assert openings([policy()], CLUSTER) == {"10.0.0.1": []}
    rules = ruleset("t", {"10.0.0.1": []}, kubelets=["10.0.0.254"])
    assert "ip daddr 10.0.0.1 tcp flags & (syn | ack) == syn drop" in rules
    assert "ip daddr 10.0.0.2" not in rules


def test_a_rule_without_peers_or_ports_opens_all() -> None:
    found = openings([policy({})], CLUSTER)
    assert found == {"10.0.0.1": [Opening(None, None)]}
    assert "ip daddr 10.0.0.1 tcp flags & (syn | ack) == syn return" in ruleset("t", found, kubelets=["10.0.0.254"])


def test_peers_that_are_no_pods_let_nobody_in() -> None:
    rules = ruleset("t", {"10.0.0.1": [Opening(frozenset(), None)]}, kubelets=["10.0.0.254"])
    assert rules.count("10.0.0.1") == 1


@pytest.mark.parametrize(
    "unknown", [policy(policyTypes=["Ingress", "Egress"]), policy({"from": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]})]
)
def test_what_is_not_known_is_refused(unknown: Any) -> None:
    with pytest.raises(ValueError, match=r"kept"):
        openings([unknown], CLUSTER)
