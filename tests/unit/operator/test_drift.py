"""What others added to a child: found in the fields that decide, with field and manager, in an order to remove."""

import copy
from typing import Any

import pytest

from modelservice_operator.domain.drift import SOMEBODY, extras
from modelservice_operator.kinds import (
    CONFIG_MAP,
    DEPLOYMENT,
    HORIZONTAL_POD_AUTOSCALER,
    NETWORK_POLICY,
    POD_DISRUPTION_BUDGET,
    SERVICE,
)
from modelservice_operator.objects import Kind, Object

CONTAINER: Object = {
    "name": "server",
    "image": "i",
    "env": [{"name": "A", "value": "1"}],
    "ports": [{"name": "http", "containerPort": 8080}],
    "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],  # noqa: S108 - a path in a pod
    "resources": {"limits": {"memory": "1Gi"}},
    "readinessProbe": {"httpGet": {"path": "/", "port": "http"}},
}
WANTED: dict[Kind, Object] = {
    DEPLOYMENT: {
        "selector": {"matchLabels": {"a": "b"}},
        "strategy": {"type": "RollingUpdate"},
        "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [CONTAINER]}},
    },
    SERVICE: {"selector": {"a": "b"}, "ports": [{"name": "http", "port": 80, "protocol": "TCP"}]},
    NETWORK_POLICY: {"podSelector": {"matchLabels": {"a": "b"}}, "ingress": [{"from": [{"podSelector": {}}]}]},
    POD_DISRUPTION_BUDGET: {"selector": {"matchLabels": {"a": "b"}}},
    HORIZONTAL_POD_AUTOSCALER: {"maxReplicas": 3, "behavior": {"scaleUp": {"stabilizationWindowSeconds": 60}}},
    CONFIG_MAP: {},
}
POD = ("spec", "template", "spec")
SERVER = (*POD, "containers", 0)


def changed(kind: Kind, *where: Any, value: Any, foreign: list[Object] | None = None) -> Object:
    """A live object that is as it is to be, but for one place."""
    live: Object = {"metadata": {"foreign": foreign or []}, "spec": copy.deepcopy(WANTED[kind])}
    at: Any = live
    for step in where[:-1]:
        at = at[step] if isinstance(at, list) else at.setdefault(step, {})
    if isinstance(at, list):
        at.insert(where[-1], value)
    else:
        at[where[-1]] = value
    return live


@pytest.mark.parametrize("kind", WANTED, ids=lambda kind: str(kind.kind))
def test_what_is_as_it_is_to_be_has_nothing_extra(kind: Kind) -> None:
    live: Object = {"metadata": {}, "spec": copy.deepcopy(WANTED[kind])}
    assert extras(live, {"spec": WANTED[kind]}, kind) == ()


@pytest.mark.parametrize(
    ("kind", "where", "value", "pointer", "path"),
    [
        (SERVICE, ("spec", "selector", "x/y"), "", "/spec/selector/x~1y", "spec.selector.x/y"),
        (SERVICE, ("spec", "ports", 1), {"name": "p", "port": 22}, "/spec/ports/1", "spec.ports[22/TCP]"),
        (
            NETWORK_POLICY,
            ("spec", "podSelector", "matchLabels", "c"),
            "d",
            "/spec/podSelector/matchLabels/c",
            "spec.podSelector.matchLabels.c",
        ),
        (
            NETWORK_POLICY,
            ("spec", "ingress", 0, "from", 0, "podSelector", "matchLabels"),
            {"c": "d"},
            "/spec/ingress/0/from/0/podSelector/matchLabels/c",
            "spec.ingress[0].from[0].podSelector.matchLabels.c",
        ),
        (NETWORK_POLICY, ("spec", "egress"), [{"to": []}], "/spec/egress", "spec.egress"),
        (
            POD_DISRUPTION_BUDGET,
            ("spec", "selector", "matchExpressions"),
            [{"key": "a"}],
            "/spec/selector/matchExpressions",
            "spec.selector.matchExpressions",
        ),
        (
            DEPLOYMENT,
            (*SERVER, "env", 0),
            {"name": "B"},
            "/spec/template/spec/containers/0/env/0",
            "spec.template.spec.containers[server].env[B]",
        ),
        (
            DEPLOYMENT,
            (*POD, "containers", 0),
            {"name": "miner", "image": "x"},
            "/spec/template/spec/containers/0",
            "spec.template.spec.containers[miner]",
        ),
        (
            DEPLOYMENT,
            (*SERVER, "volumeMounts", 1),
            {"name": "tmp", "mountPath": "/x"},
            "/spec/template/spec/containers/0/volumeMounts/1",
            "spec.template.spec.containers[server].volumeMounts[/x]",
        ),
        (
            DEPLOYMENT,
            (*SERVER, "resources", "limits", "cpu"),
            "1m",
            "/spec/template/spec/containers/0/resources/limits/cpu",
            "spec.template.spec.containers[server].resources.limits.cpu",
        ),
        (
            DEPLOYMENT,
            (*POD, "tolerations"),
            [{"operator": "Exists"}],
            "/spec/template/spec/tolerations",
            "spec.template.spec.tolerations",
        ),
        (
            DEPLOYMENT,
            ("spec", "template", "metadata", "annotations"),
            {"inject": "yes"},
            "/spec/template/metadata/annotations/inject",
            "spec.template.metadata.annotations.inject",
        ),
    ],
)
def test_an_addition_is_found_and_named(kind: Kind, where: Any, value: Any, pointer: str, path: str) -> None:
    (found,) = extras(changed(kind, *where, value=value), {"spec": WANTED[kind]}, kind)
    assert (found.pointer, found.path, found.manager) == (pointer, path, SOMEBODY)
    foreign: list[Object] = [{"manager": "kubectl-edit", "path": path}]
    (found,) = extras(changed(kind, *where, value=value, foreign=foreign), {"spec": WANTED[kind]}, kind)
    assert str(found) == f"{path} (set by kubectl-edit)"


@pytest.mark.parametrize("value", ["", [], {}, 0, False, None])
def test_a_zero_value_says_no_more_than_its_absence(value: Any) -> None:
    live = changed(DEPLOYMENT, *POD, "hostNetwork", value=value, foreign=[{"manager": "m", "path": "spec"}])
    assert extras(live, {"spec": WANTED[DEPLOYMENT]}, DEPLOYMENT) == ()


@pytest.mark.parametrize(
    ("where", "value"),
    [
        ((*POD, "dnsPolicy"), "ClusterFirst"),
        ((*POD, "terminationGracePeriodSeconds"), 30),
        ((*SERVER, "imagePullPolicy"), "IfNotPresent"),
        ((*SERVER, "readinessProbe", "httpGet", "scheme"), "HTTP"),
        ((*SERVER, "ports", 0, "protocol"), "TCP"),
    ],
)
def test_a_default_of_the_apiserver_is_nobodys_addition(where: Any, value: Any) -> None:
    live = changed(DEPLOYMENT, *where, value=value, foreign=[{"manager": "m", "path": "spec.template"}])
    assert extras(live, {"spec": WANTED[DEPLOYMENT]}, DEPLOYMENT) == ()


def test_what_the_apiserver_fills_in_of_a_pace_is_an_addition_only_where_somebody_holds_it() -> None:
    kind, where = HORIZONTAL_POD_AUTOSCALER, ("spec", "behavior", "scaleDown")
    filled = {"selectPolicy": "Max", "policies": [{"type": "Percent", "value": 100, "periodSeconds": 15}]}
    assert extras(changed(kind, *where, value=filled), {"spec": WANTED[kind]}, kind) == ()
    foreign: list[Object] = [{"manager": "kubectl-edit", "path": "spec.behavior.scaleDown.selectPolicy"}]
    disabled = {**filled, "selectPolicy": "Disabled"}
    (found,) = extras(changed(kind, *where, value=disabled, foreign=foreign), {"spec": WANTED[kind]}, kind)
    assert str(found) == "spec.behavior.scaleDown (set by kubectl-edit)"


@pytest.mark.parametrize("opened", ["ClusterIP", "NodePort", "LoadBalancer"])
def test_who_opens_a_service_to_the_outside_may(opened: str) -> None:
    live = changed(SERVICE, "spec", "type", value=opened, foreign=[{"manager": "m", "path": "spec"}])
    live["spec"] |= {"clusterIP": "192.0.2.1", "clusterIPs": ["192.0.2.1"], "ipFamilies": ["IPv4"]}
    live["spec"] |= {"ipFamilyPolicy": "SingleStack", "internalTrafficPolicy": "Cluster", "sessionAffinity": "None"}
    assert extras(live, {"spec": WANTED[SERVICE]}, SERVICE) == ()


@pytest.mark.parametrize("where", [("spec", "paused"), (*POD, "hostNetwork"), (*POD, "runtimeClassName")])
def test_a_single_value_is_an_addition_if_somebody_is_known_to_hold_it(where: Any) -> None:
    path = ".".join(where)
    others = [{"manager": "m", "path": "spec.template.spec.hostPID"}]
    assert (
        extras(changed(DEPLOYMENT, *where, value="x", foreign=others), {"spec": WANTED[DEPLOYMENT]}, DEPLOYMENT) == ()
    )
    foreign = [*others, {"manager": "kubectl-rollout", "path": path}]
    (found,) = extras(changed(DEPLOYMENT, *where, value="x", foreign=foreign), {"spec": WANTED[DEPLOYMENT]}, DEPLOYMENT)
    assert (found.path, found.manager) == (path, "kubectl-rollout")


def test_a_restart_that_people_ask_for_is_theirs() -> None:
    asked = {"kubectl.kubernetes.io/restartedAt": "2026-01-01T00:00:00Z"}
    live = changed(DEPLOYMENT, "spec", "template", "metadata", "annotations", value=asked)
    assert extras(live, {"spec": WANTED[DEPLOYMENT]}, DEPLOYMENT) == ()


def test_later_items_come_first_so_that_all_can_be_removed() -> None:
    live = changed(DEPLOYMENT, *SERVER, "env", 0, value={"name": "B"})
    live["spec"]["template"]["spec"]["containers"][0]["env"].append({"name": "C"})
    found = extras(live, {"spec": WANTED[DEPLOYMENT]}, DEPLOYMENT)
    assert [one.pointer.rsplit("/", 1)[1] for one in found] == ["2", "0"]


def test_what_does_not_decide_is_not_compared() -> None:
    live = changed(DEPLOYMENT, "spec", "replicas", value=5, foreign=[{"manager": "m", "path": "spec"}])
    assert extras(live, {"spec": WANTED[DEPLOYMENT]}, DEPLOYMENT) == ()
