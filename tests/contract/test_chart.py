"""The chart: what its values reach, what it refuses, and what its pod may do."""

import json
import re
from typing import Any

import kubernetes_validate
import pytest
import yaml
from tests.support.dashboards import DASHBOARDS
from tests.support.helm import CHART, NAMESPACE, ROOT, HelmError, helm_objects, helm_template

from modelservice.contract.artifacts import Artifacts
from modelservice_operator.config import Settings, from_environment
from modelservice_operator.constants import LABEL_METRICS_PORT, OPERATOR_POD_LABELS
from modelservice_operator.crd.schema import structural_schema

Values = dict[str, Any]

EVERYTHING: Values = {
    "replicas": 2,
    "image": {"registry": "registry.example.com", "digest": "sha256:" + "a" * 64, "pullPolicy": "Always"},
    "trainerImage": {"tag": "v1"},
    "serverImage": {"digest": "sha256:" + "b" * 64},
    "imagePullSecrets": [{"name": "one"}, {"name": "two"}],
    "watch": {"namespaces": ["team-a", "team-b"]},
    "defaults": {"artifacts": {"volumeClaim": {"accessModes": ["ReadWriteMany"], "size": "2Gi"}}},
    "networkPolicy": {"ingressNamespaces": ["ingress"], "prometheusNamespaces": ["monitoring"]},
    "metrics": {
        "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
        "podMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
        "rules": {"enabled": True, "labels": {"release": "prometheus"}},
        "dashboards": {"enabled": True},
    },
    "logLevel": "debug",
    "workers": 8,
    "priorityClassName": "system-cluster-critical",
    "podAnnotations": {"example.com/a": "b"},
    "podLabels": {"team": "platform"},
    "nodeSelector": {"kubernetes.io/os": "linux"},
    "tolerations": [{"operator": "Exists"}],
    "serviceAccount": {"annotations": {"example.com/role": "operator"}},
}


def find(objects: list[dict[str, Any]], kind: str, name: str | None = None) -> list[dict[str, Any]]:
    return [one for one in objects if one["kind"] == kind and name in {None, one["metadata"]["name"]}]


def operator_pod(values: Values | None = None, *, kube_version: str | None = None) -> dict[str, Any]:
    (deployment,) = find(helm_objects(values, kube_version=kube_version), "Deployment")
    pod: dict[str, Any] = deployment["spec"]["template"]["spec"]
    return pod


def env() -> list[dict[str, Any]]:
    variables: list[dict[str, Any]] = operator_pod()["containers"][0]["env"]
    return variables


def settings(values: Values | None = None, *, kube_version: str | None = None) -> Settings:
    """The operator's settings as its pod would read them."""
    environment = {
        one["name"]: one.get("value", "from-the-downward-api")
        for one in operator_pod(values, kube_version=kube_version)["containers"][0]["env"]
    }
    unknown = environment.keys() - {
        name.upper() if name.startswith("pod_") else f"MODELSERVICE_{name.upper()}" for name in Settings.model_fields
    }
    assert unknown == set()
    return from_environment(environment)


@pytest.mark.parametrize("values", [{}, EVERYTHING], ids=["defaults", "everything"])
def test_objects_are_valid_for_kubernetes(values: Values) -> None:
    for one in helm_objects(values):
        if one["apiVersion"].startswith("monitoring.coreos.com/"):
            continue
        kubernetes_validate.validate(one, kubernetes_validate.latest_version(), strict=True)


def test_each_alert_has_its_page_in_the_runbook() -> None:
    groups = yaml.safe_load((CHART / "files" / "alerts.yaml").read_text(encoding="utf-8"))["groups"]
    runbook = (ROOT / "docs" / "runbook.md").read_text(encoding="utf-8")
    assert [rule["alert"] for group in groups for rule in group["rules"]] == re.findall(
        r"^## (.*)", runbook, re.MULTILINE
    )


def test_all_of_the_monitoring_is_there_when_it_is_asked_for() -> None:
    objects = helm_objects(EVERYTHING)
    (rules,), (dashboards,) = find(objects, "PrometheusRule"), find(objects, "ConfigMap")
    assert rules["spec"] == yaml.safe_load((CHART / "files" / "alerts.yaml").read_text(encoding="utf-8"))
    assert {name: json.loads(text)["title"] for name, text in dashboards["data"].items()} == {
        f"{one.name}.json": one.title for one in DASHBOARDS
    }
    (monitor,) = find(objects, "PodMonitor")
    assert monitor["spec"]["namespaceSelector"] == {"matchNames": ["team-a", "team-b"]}
    assert [one["port"] for one in monitor["spec"]["podMetricsEndpoints"]] == ["http", "status"]
    label = LABEL_METRICS_PORT.replace("/", "_").replace(".", "_").replace("-", "_")
    dropped = monitor["spec"]["podMetricsEndpoints"][0]["relabelings"][0]
    assert dropped["sourceLabels"] == [f"__meta_kubernetes_pod_label_{label}"]
    assert not find(helm_objects(), "ConfigMap")


def test_nothing_in_it_is_random() -> None:
    assert helm_template(values=EVERYTHING) == helm_template(values=EVERYTHING)


def test_default_settings() -> None:
    read = settings()
    assert read.trainer_image == "modelservice/trainer:0.1.0"
    assert read.server_image == "modelservice/server:0.1.0"
    assert read.watch_namespaces == ()
    assert read.default_artifacts is None
    assert read.log_level == "info"


def test_the_pod_knows_its_name_namespace_and_service_account() -> None:
    fields = {one["name"]: one["valueFrom"]["fieldRef"]["fieldPath"] for one in env() if "valueFrom" in one}
    assert fields == {
        "POD_NAME": "metadata.name",
        "POD_NAMESPACE": "metadata.namespace",
        "POD_SERVICE_ACCOUNT": "spec.serviceAccountName",
    }


def test_values_reach_the_operator() -> None:
    read = settings(EVERYTHING)
    assert read.trainer_image == "registry.example.com/modelservice/trainer:v1"
    assert read.server_image == "registry.example.com/modelservice/server@sha256:" + "b" * 64
    assert read.image_pull_policy == "Always"
    assert read.image_pull_secrets == ("one", "two")
    assert read.watch_namespaces == ("team-a", "team-b")
    assert read.ingress_namespaces == ("ingress",)
    assert read.prometheus_namespaces == ("monitoring",)
    assert (read.log_level, read.workers) == ("debug", 8)
    assert read.default_artifacts is not None
    assert read.default_artifacts.volume_claim is not None
    assert read.default_artifacts.volume_claim.size == "2Gi"
    pod = operator_pod(EVERYTHING)
    assert pod["containers"][0]["image"] == "registry.example.com/modelservice/operator@sha256:" + "a" * 64
    assert pod["imagePullSecrets"] == [{"name": "one"}, {"name": "two"}]
    assert pod["priorityClassName"] == "system-cluster-critical"


def test_each_image_may_come_from_a_registry_of_its_own() -> None:
    read = settings({"image": {"registry": "a.example.com"}, "trainerImage": {"registry": "b.example.com"}})
    assert read.trainer_image.startswith("b.example.com/")
    assert read.server_image.startswith("a.example.com/")


def test_artifacts_may_go_to_object_storage_by_default() -> None:
    values = {"defaults": {"artifacts": {"uri": "s3://models/all", "secretRef": {"name": "models"}}}}
    artifacts = settings(values).default_artifacts
    assert artifacts is not None
    assert (artifacts.uri, artifacts.volume_claim) == ("s3://models/all", None)
    assert artifacts.secret_ref is not None
    assert artifacts.secret_ref.name == "models"


@pytest.mark.parametrize(
    ("version", "said", "mounted"),
    [("1.34.2", None, False), ("1.35.0", None, True), ("1.36.3", False, False), ("1.34.2", True, True)],
)
def test_nodes_mount_images_from_1_35_on_unless_somebody_says(version: str, said: bool | None, mounted: bool) -> None:
    values = {"defaults": {"imageVolumes": said}}
    assert settings(values, kube_version=version).image_volumes is mounted


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"replica": 2}, "replica"),
        ({"image": {"repo": "x"}}, "repo"),
        ({"crds": {"keep": "yes"}}, "keep"),
        ({"watch": {"namespaces": "team-a"}}, "namespaces"),
        ({"watch": {"namespaces": ["Team_A"]}}, "namespaces"),
        ({"image": {"digest": "sha256:1234"}}, "digest"),
        ({"defaults": {"artifacts": {"volumeClaim": {"accessModes": ["ReadOnlyMany"]}}}}, "accessModes"),
        ({"defaults": {"artifacts": {"uri": "s3://models/"}}}, "uri"),
        ({"defaults": {"artifacts": {"secretRef": {"name": "models"}}}}, "uri"),
        ({"defaults": {"artifacts": {"uri": "s3://models", "volumeClaim": {}}}}, "artifacts"),
        ({"defaults": {"artifacts": {"image": {"repository": "r.example/m"}, "volumeClaim": {}}}}, "artifacts"),
        ({"defaults": {"artifacts": {"image": {"repository": "https://r.example/m"}}}}, "repository"),
        ({"runtimeImage": {"tag": "v1"}}, "runtimeImage"),
        ({"serverImage": {"pullPolicy": "Always"}}, "pullPolicy"),
        ({"logLevel": "INFO"}, "logLevel"),
        ({"workers": 0}, "workers"),
        ({"imagePullSecrets": ["name"]}, "imagePullSecrets"),
    ],
    ids=lambda value: json.dumps(value) if isinstance(value, dict) else value,
)
def test_wrong_values_are_refused(values: Values, said: str) -> None:
    with pytest.raises(HelmError, match=re.escape(said)):
        helm_template(values=values)


def test_the_schema_knows_every_value_and_the_contract_of_artifacts() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
    artifacts = schema["properties"]["defaults"]["properties"]["artifacts"]["properties"]
    desired = structural_schema(Artifacts)["properties"]
    assert artifacts.keys() == desired.keys()
    claim, desired_claim = artifacts["volumeClaim"], desired["volumeClaim"]["properties"]
    assert claim["properties"].keys() == desired_claim.keys()
    assert claim["properties"]["accessModes"]["items"]["enum"] == desired_claim["accessModes"]["items"]["enum"]
    assert artifacts["uri"]["maxLength"] == desired["uri"]["maxLength"]
    assert artifacts["uri"]["pattern"] in desired["uri"]["x-kubernetes-validations"][0]["rule"]
    image, desired_image = artifacts["image"]["properties"], desired["image"]["properties"]
    assert image.keys() == desired_image.keys()
    assert image["repository"]["maxLength"] == desired_image["repository"]["maxLength"]
    assert image["repository"]["pattern"] in desired_image["repository"]["x-kubernetes-validations"][0]["rule"]


def test_pod_security_restricted() -> None:
    pod = operator_pod()
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in pod["containers"]:
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
    assert all(volume.keys() == {"name", "emptyDir"} for volume in pod["volumes"])


def test_network_policies_of_models_know_the_operators_pods_under_any_name() -> None:
    (deployment,) = find(helm_objects({"nameOverride": "models", "podLabels": {"team": "a"}}), "Deployment")
    assert OPERATOR_POD_LABELS.items() <= deployment["spec"]["template"]["metadata"]["labels"].items()


def test_the_probed_port_is_the_operators() -> None:
    (container,) = operator_pod()["containers"]
    assert container["ports"] == [{"name": "http", "containerPort": settings().http_port}]
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert container[probe]["httpGet"]["port"] == "http"


@pytest.mark.parametrize(("replicas", "budgets"), [(1, 0), (2, 1)])
def test_a_disruption_budget_only_where_it_leaves_one_pod(replicas: int, budgets: int) -> None:
    assert len(find(helm_objects({"replicas": replicas}), "PodDisruptionBudget")) == budgets
    assert ("affinity" in operator_pod({"replicas": replicas})) is bool(budgets)


class TestRbac:
    def test_cluster_wide_unless_namespaces_are_named(self) -> None:
        objects = helm_objects()
        assert len(find(objects, "ClusterRoleBinding")) == 2
        for binding in find(objects, "ClusterRoleBinding"):
            assert find(objects, "ClusterRole", binding["roleRef"]["name"])
        assert [role["metadata"]["namespace"] for role in find(objects, "Role")] == [NAMESPACE]

    def test_named_namespaces_get_roles_and_only_other_releases_are_looked_for_everywhere(self) -> None:
        objects = helm_objects({"watch": {"namespaces": ["team-a", "team-b"]}})
        (binding,) = find(objects, "ClusterRoleBinding")
        assert binding["roleRef"]["name"].endswith("-rivals")
        assert {role["metadata"]["namespace"] for role in find(objects, "Role")} == {"team-a", "team-b", NAMESPACE}
        assert {one["metadata"]["namespace"] for one in find(objects, "RoleBinding")} == {"team-a", "team-b", NAMESPACE}

    def test_no_wildcards_and_no_secrets(self) -> None:
        for role in [*find(helm_objects(), "ClusterRole"), *find(helm_objects(), "Role")]:
            for rule in role["rules"]:
                said = [*rule["apiGroups"], *rule["resources"], *rule["verbs"]]
                assert "*" not in said
                assert "secrets" not in said

    def test_namespace_users_get_models_but_not_their_status(self) -> None:
        for name in ("edit", "admin"):
            (role,) = [
                one for one in find(helm_objects(), "ClusterRole") if one["metadata"]["name"].endswith(f"-{name}")
            ]
            assert role["metadata"]["labels"][f"rbac.authorization.k8s.io/aggregate-to-{name}"] == "true"
            verbs = {resource: set(rule["verbs"]) for rule in role["rules"] for resource in rule["resources"]}
            assert {"create", "patch", "delete"} <= verbs["modelservices"]
            assert {"patch", "update"} <= verbs["modelservices/scale"]
            assert "modelservices/status" not in verbs

    def test_can_be_left_out(self) -> None:
        objects = helm_objects({"rbac": {"create": False, "aggregate": False}})
        assert not [one for one in objects if one["apiVersion"].startswith("rbac.")]


class TestCrd:
    def test_stays_when_the_chart_goes(self) -> None:
        (crd,) = find(helm_objects(), "CustomResourceDefinition")
        assert crd["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"

    def test_goes_with_the_chart_where_that_is_wanted(self) -> None:
        (crd,) = find(helm_objects({"crds": {"keep": False}}), "CustomResourceDefinition")
        assert "helm.sh/resource-policy" not in crd["metadata"].get("annotations", {})

    def test_can_be_left_out(self) -> None:
        assert find(helm_objects({"crds": {"enabled": False}}), "CustomResourceDefinition") == []


class TestNetworkPolicy:
    def test_nobody_gets_in_by_default(self) -> None:
        (policy,) = find(helm_objects(), "NetworkPolicy")
        assert policy["spec"]["policyTypes"] == ["Ingress"]
        assert policy["spec"]["ingress"] == []

    def test_prometheus_gets_in(self) -> None:
        (policy,) = find(helm_objects(EVERYTHING), "NetworkPolicy")
        (rule,) = policy["spec"]["ingress"]
        (peer,) = rule["from"]
        assert peer["namespaceSelector"]["matchExpressions"][0]["values"] == ["monitoring"]
        assert rule["ports"] == [{"port": "http", "protocol": "TCP"}]
