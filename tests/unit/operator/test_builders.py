"""Every child as YAML, against golden files: ``UPDATE_GOLDEN=1 pytest ...`` rewrites them, git shows what changed."""

import os
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.support.world import World, compared

from modelservice.contract.base import MAX_NAME_LENGTH
from modelservice.contract.keys import ATTEMPT_LENGTH, KEY_LENGTH
from modelservice.contract.places import ACCESS_PATH
from modelservice.contract.pods import PodSettings, Resources
from modelservice.contract.resource import ModelServiceSpec
from modelservice.contract.serving import Serving
from modelservice_operator.constants import ANNOTATION_APPLIED, ANNOTATION_REPLICA_SET
from modelservice_operator.domain.builders import job, serving
from modelservice_operator.domain.builders.identity import build_network_policy
from modelservice_operator.domain.builders.pods import container_environment, merged_resources
from modelservice_operator.domain.builders.scaling import build_replicas_holder
from modelservice_operator.domain.metadata import Owner, covers, is_current, stamped
from modelservice_operator.domain.names import job_name, keyed_name
from modelservice_operator.domain.stages import STAGES
from modelservice_operator.kinds import CHILD_KINDS, DEPLOYMENT, POD, SERVICE

GOLDEN = Path(__file__).parents[2] / "data" / "golden"


def jwt(**jwks: Any) -> dict[str, Any]:
    """Settings of tokens whose keys lie there."""
    return {"issuer": "https://issuer", "audience": "iris", "jwks": jwks}


CASES: dict[str, dict[str, Any]] = {
    "smallest": {},
    "compressed": {
        "compression": {"maxAccuracyDrop": 0.01, "steps": [{"quantize": {"weights": "Int8"}}]},
        "artifacts": {"uri": "s3://models/team", "secretRef": {"name": "bucket"}},
        "serving": {"grpc": {}},
    },
    "guarded": {
        "serving": {
            "grpc": {},
            "auth": {
                "jwt": {
                    "issuer": "https://kubernetes.default.svc.cluster.local",
                    "audience": "iris",
                    "jwks": {
                        "uri": "https://kubernetes.default.svc/openid/v1/jwks",
                        "caConfigMapRef": {"name": "kube-root-ca.crt"},
                    },
                }
            },
            "tls": {"secretRef": {"name": "iris-tls"}},
        },
    },
    "workers": {
        "model": {"mlp": {"ensemble": 1}},
        "training": {"workers": 3, "resources": {"limits": {"nvidia.com/gpu": "2"}}, "maxRestarts": 2},
        "artifacts": {"uri": "s3://models/team", "cache": {"claimName": "downloads", "size": "1024Mi"}},
    },
    "encrypted": {
        "compression": {"maxAccuracyDrop": 0.01, "steps": [{"quantize": {"weights": "Int8"}}]},
        "artifacts": {"volumeClaim": {}, "encryption": {"secretRef": {"name": "artifact-keys", "key": "2026-11"}}},
    },
    "image": {
        "compression": {"maxAccuracyDrop": 0.01, "steps": [{"quantize": {"weights": "Int8"}}]},
        "artifacts": {
            "image": {
                "repository": "registry.example/models",
                "pushSecretRef": {"name": "push"},
                "pullSecretRef": {"name": "pull"},
            }
        },
    },
    "fetched": {
        "data": None,
        "model": {
            "artifact": {
                "uri": "s3://models/team-a/iris/qp2iu6b5",
                "digest": f"sha256:{'0' * 64}",
                "secretRef": {"name": "elsewhere"},
            }
        },
        "artifacts": {"uri": "s3://models/team-b", "secretRef": {"name": "bucket"}},
    },
    "recreated": {"serving": {"rollout": {"recreate": {}}}},
    "autoscaled": {"serving": {"autoscaling": {"minReplicas": 2, "maxReplicas": 5}}},
    "everything": {
        "training": {
            "optimizer": {"sgd": {"learningRate": 0.1, "momentum": 0.9}},
            "resources": {"limits": {"nvidia.com/gpu": "1", "memory": "4096Mi"}},
            "nodeSelector": {"disk": "fast"},
            "tolerations": [{"key": "gpu", "operator": "Exists", "effect": "NoSchedule"}],
            "runtimeClassName": "nvidia",
            "priorityClassName": "low",
            "env": [
                {"name": "A", "value": "1"},
                {"name": "B", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
            ],
            "envFrom": [{"configMapRef": {"name": "settings"}, "prefix": "X_"}],
            "imagePullSecrets": [{"name": "registry"}],
            "serviceAccountName": "trainer",
            "podMetadata": {"labels": {"team": "a"}, "annotations": {"note": "b"}},
            "timeoutSeconds": 600,
            "maxRestarts": 1,
        },
        "artifacts": {"volumeClaim": {"accessModes": ["ReadWriteMany"], "storageClassName": "nfs", "size": "1024Mi"}},
        "serving": {
            "replicas": 2,
            "runtimeClassName": "gvisor",
            "resources": {"requests": {"cpu": "1500m"}},
            "allowFrom": {"scope": "None", "peers": [{"podSelector": {"matchLabels": {"app": "shop"}}}]},
        },
    },
}


def children(spec: dict[str, Any]) -> str:
    """All children of a service that was trained and rolled out, without what only the apiserver knows."""
    world = World(image_pull_secrets='["chart"]', ingress_namespaces='["ingress"]')
    world.serve(**spec)
    objects = [_said(obj) for kind in CHILD_KINDS if kind != POD for obj in world.ours(kind)]
    return yaml.safe_dump_all(objects, sort_keys=True, width=120)


def compared_children() -> str:
    """What a comparison leaves, with which a worse model is held back: its Job, its order, and its record."""
    gate = {"require": [{"metric": {"name": "accuracy", "notWorseThanCurrent": {"tolerance": 0.01}}}]}
    encryption = {"secretRef": {"name": "artifact-keys", "key": "2026-11"}}
    spec: dict[str, Any] = {"promotion": gate, "artifacts": {"volumeClaim": {}, "encryption": encryption}}
    world = World()
    world.serve(**spec)
    world.service(**spec, training={"epochs": 7})
    world.settle()
    world.bind_claims()
    world.end_stage()
    world.settle()
    key = world.end_stage(compared(world.order(world.job())["key"], worse=0.05))
    world.settle()
    made = [obj for kind in CHILD_KINDS if kind != POD for obj in world.ours(kind)]
    objects = [_said(obj) for obj in made if key in obj["metadata"]["name"]]
    return yaml.safe_dump_all(objects, sort_keys=True, width=120)


def _said(obj: dict[str, Any]) -> dict[str, Any]:
    metadata = {
        name: value
        for name, value in obj["metadata"].items()
        if name in {"name", "namespace", "labels", "annotations", "ownerReferences"}
    }
    if ours := {name: said for name, said in metadata.pop("annotations", {}).items() if name != ANNOTATION_REPLICA_SET}:
        metadata["annotations"] = ours
    return {**{name: value for name, value in obj.items() if name != "status"}, "metadata": metadata}


@pytest.mark.parametrize("case", CASES)
def test_children_are_as_committed(case: str) -> None:
    check_golden(case, children(CASES[case]))


def test_what_a_comparison_leaves_is_as_committed() -> None:
    found = compared_children()
    check_golden("compared", found)
    documents = list(yaml.safe_load_all(found))
    assert sorted(document["kind"] for document in documents) == ["ConfigMap", "ControllerRevision", "Job"]
    check_restricted(next(document for document in documents if document["kind"] == "Job"))


def check_golden(case: str, found: str) -> None:
    path = GOLDEN / f"{case}.yaml"
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(found, encoding="utf-8")
    assert found == path.read_text(encoding="utf-8")


@pytest.mark.parametrize("case", CASES)
def test_pods_pass_restricted_and_have_no_token(case: str) -> None:
    documents = [d for d in yaml.safe_load_all(children(CASES[case])) if d["kind"] in {"Job", "Deployment"}]
    assert {document["kind"] for document in documents} == {"Job", "Deployment"}
    for document in documents:
        check_restricted(document)


def check_restricted(document: dict[str, Any]) -> None:
    """What Pod Security asks for, and no more rights than needed."""
    pod = document["spec"]["template"]["spec"]
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in pod["containers"]:
        security = container["securityContext"]
        assert security["allowPrivilegeEscalation"] is False
        assert security["capabilities"] == {"drop": ["ALL"]}
        assert security["readOnlyRootFilesystem"] is True
    assert all("hostPath" not in volume for volume in pod["volumes"])


def test_the_longest_name_still_fits() -> None:
    service, key, attempt = "a" * MAX_NAME_LENGTH, "k" * KEY_LENGTH, "t" * ATTEMPT_LENGTH
    for stage in STAGES:
        assert len(job_name(service, stage=stage.name, key=key, attempt=attempt)) <= 63
    assert len(keyed_name(service, key)) <= 63


@pytest.mark.parametrize(
    ("asked", "requests", "limits"),
    [
        ({}, {"memory": "1Gi"}, {"memory": "2Gi"}),
        ({"limits": {"memory": "256Mi"}}, None, {"memory": "256Mi"}),
        ({"requests": {"memory": "4Gi"}}, {"memory": "4Gi"}, {"memory": "4Gi"}),
        ({"requests": {"cpu": "1000m"}}, {"memory": "1Gi", "cpu": "1"}, {"memory": "2Gi"}),
    ],
)
def test_resources_are_merged_name_by_name(
    asked: dict[str, dict[str, str]], requests: dict[str, str] | None, limits: dict[str, str]
) -> None:
    defaults = {"requests": {"memory": "1Gi"}, "limits": {"memory": "2Gi"}}
    merged = merged_resources(Resources.model_validate(asked), defaults)
    assert merged.get("requests") == requests
    assert merged["limits"] == limits


def test_the_field_says_what_is_left_out() -> None:
    said = PodSettings.model_fields["resources"].description or ""
    for resources in (job.DEFAULT_RESOURCES, *serving.DEFAULT_RESOURCES.values()):
        requests, limits = resources["requests"], resources["limits"]
        most = f"{limits['cpu']} CPUs and {limits['memory']}" if "cpu" in limits else limits["memory"]
        assert re.search(f"{requests['cpu']}( of CPU)? and {requests['memory']}( requested)?, at most {most}[;.]", said)


@pytest.mark.parametrize(
    ("live", "desired", "covered"),
    [
        ({"a": 1, "b": 2}, {"a": 1}, True),
        ({"a": 1}, {"a": 1, "b": 2}, False),
        ({"a": [{"x": 1, "y": 2}]}, {"a": [{"x": 1}]}, True),
        ({"a": [1, 2]}, {"a": [1]}, False),
        ({}, {"a": {}}, True),
        ({"a": 1}, {"a": {}}, False),
        ({}, {"a": []}, True),
        (None, {"a": 1}, False),
    ],
)
def test_covers_forgives_what_the_apiserver_added_and_nothing_else(live: Any, desired: Any, covered: bool) -> None:
    assert covers(live, desired) is covered


def test_a_field_that_is_no_longer_wanted_is_a_difference() -> None:
    before = stamped({"metadata": {"name": "a"}, "spec": {"x": 1, "y": 2}})
    after = stamped({"metadata": {"name": "a"}, "spec": {"x": 1}})
    assert is_current(before, before)
    assert before["metadata"]["annotations"][ANNOTATION_APPLIED] != after["metadata"]["annotations"][ANNOTATION_APPLIED]
    assert not is_current(before, after)


def test_an_empty_peer_means_the_pods_of_this_namespace() -> None:
    world = World()
    serving = Serving.model_validate({"allowFrom": {"scope": "None", "peers": [{}]}})
    policy = build_network_policy(Owner(name="a", namespace="b", uid="c"), serving, world.settings)
    assert policy["spec"]["ingress"][0]["from"] == [{"podSelector": {}}]


def test_the_holder_of_replicas_says_nothing_else() -> None:
    holder = build_replicas_holder(Owner(name="a", namespace="b", uid="c"), 3)
    assert holder["spec"] == {"replicas": 3}
    assert set(holder["metadata"]) == {"name", "namespace"}


def test_cases_are_valid_specs() -> None:
    smallest = {"data": {"configMap": {"name": "churn"}, "target": "kind"}, "model": {"mlp": {}}}
    for case in CASES.values():
        assert ModelServiceSpec.model_validate({**smallest, **case})


def test_a_variable_that_is_named_twice_is_said_once_and_the_last_one_wins() -> None:
    env = [{"name": "A", "value": "1"}, {"name": "HOME", "value": "/data"}, {"name": "A", "value": "2"}]
    found = container_environment(PodSettings.model_validate({"env": env}))
    values = {variable["name"]: variable.get("value") for variable in found}
    assert len(values) == len(found)
    assert (values["A"], values["HOME"]) == ("2", "/data")


@pytest.mark.parametrize(
    ("said", "mounted"),
    [
        ({}, {}),
        ({"limits": {"perCaller": {"requestsPerSecond": 5}}, "audit": {}}, {}),
        (
            {"auth": {"apiKeys": {"secretRef": {"name": "keys"}}}, "tls": {"secretRef": {"name": "cert"}}},
            {"tls": {"secretName": "cert"}, "api-keys": {"secretName": "keys"}},
        ),
        ({"auth": {"jwt": jwt(secretRef={"name": "set"})}}, {"jwks": {"secretName": "set"}}),
        ({"auth": {"jwt": jwt(configMapRef={"name": "set"})}}, {"jwks": {"name": "set"}}),
        (
            {"auth": {"jwt": jwt(uri="https://issuer/keys", caConfigMapRef={"name": "ca"})}},
            {"jwks-ca": {"name": "ca"}},
        ),
    ],
)
def test_what_callers_are_known_by_is_mounted(said: dict[str, Any], mounted: dict[str, Any]) -> None:
    world = World()
    world.serve(serving=said)
    (deployment,) = world.ours(DEPLOYMENT)
    pod = deployment["spec"]["template"]["spec"]
    (server,) = pod["containers"]
    mounts = {mount["name"]: mount for mount in server["volumeMounts"]}
    volumes = {one["name"]: one for one in pod["volumes"] if mounts[one["name"]]["mountPath"].startswith(ACCESS_PATH)}
    assert {name: one.get("secret") or one["configMap"] for name, one in volumes.items()} == mounted
    assert all(
        mounts[name] == {"name": name, "mountPath": f"{ACCESS_PATH}/{name}", "readOnly": True} for name in volumes
    )
    probed = {server[probe]["httpGet"]["port"] for probe in ("readinessProbe", "startupProbe", "livenessProbe")}
    assert probed == {"status" if mounted else "http"}


def test_a_service_leads_to_no_pod_that_speaks_otherwise() -> None:
    plain, encrypted = World(), World()
    plain.serve(serving={"grpc": {}})
    encrypted.serve(serving={"grpc": {}, "tls": {"secretRef": {"name": "cert"}}})
    named = []
    for world in (plain, encrypted):
        (deployment,), (service,) = world.ours(DEPLOYMENT), world.ours(SERVICE)
        (server,) = deployment["spec"]["template"]["spec"]["containers"]
        pods = {one["name"] for one in server["ports"]} - {"status"}
        assert pods == {one["targetPort"] for one in service["spec"]["ports"]}
        named.append(pods)
    assert named[0].isdisjoint(named[1])


def test_the_url_and_the_example_say_how_to_call() -> None:
    world = World()
    world.serve(serving={"tls": {"secretRef": {"name": "cert"}}, "auth": {"apiKeys": {"secretRef": {"name": "keys"}}}})
    status = world.status()
    assert status["url"] == "https://churn.default.svc"
    assert status["example"].startswith("curl -s --cacert ca.crt https://churn.default.svc/v1/models/churn:predict -H")
    assert ' -H "authorization: Bearer $KEY" ' in status["example"]
    assert "--cert" not in status["example"]


def test_the_example_shows_a_certificate_where_one_is_asked_for() -> None:
    world = World()
    world.serve(serving={"tls": {"secretRef": {"name": "cert"}, "clientCertificates": {}}})
    assert world.status()["example"].startswith("curl -s --cacert ca.crt --cert tls.crt --key tls.key https://churn.")


def test_a_name_with_dollars_reaches_the_server_as_it_is() -> None:
    subjects = ["$(HOME)", "a$$b", "host$"]
    world = World()
    world.serve(serving={"tls": {"secretRef": {"name": "c"}, "clientCertificates": {"subjects": subjects}}})
    (deployment,) = world.ours(DEPLOYMENT)
    (server,) = deployment["spec"]["template"]["spec"]["containers"]
    (told,) = (one for one in server["args"] if one.startswith("--access="))
    for subject in subjects:
        assert f'"{subject.replace("$", "$$")}"' in told


@pytest.mark.parametrize(("said", "scraped"), [({}, []), ({"tls": {"secretRef": {"name": "cert"}}}, [8082])])
def test_prometheus_reaches_the_port_for_metrics(said: dict[str, Any], scraped: list[int]) -> None:
    settings = World(prometheus_namespaces='["monitoring"]').settings
    policy = build_network_policy(Owner(name="a", namespace="b", uid="c"), Serving.model_validate(said), settings)
    scrapers = [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}]
    rules = [rule for rule in policy["spec"]["ingress"] if rule["from"] == scrapers]
    assert [port["port"] for rule in rules for port in rule["ports"]] == scraped
