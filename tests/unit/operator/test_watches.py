"""What is watched of which kind, and what is kept of it."""

import copy
import json
from typing import Any

import pytest

from modelservice.contract.serving import Serving
from modelservice_operator.config import Settings
from modelservice_operator.constants import (
    ANNOTATION_APPLIED,
    FIELD_MANAGER,
    FINALIZER,
    LABEL_CLAIM,
    LABEL_NAME,
    LABEL_STAGE,
    MANAGED_BY,
    MANAGED_BY_LABEL,
    OPERATOR_SELECTOR,
    SERVING_CONTAINER,
    STAGE_KEEP,
)
from modelservice_operator.domain.builders.identity import build_network_policy
from modelservice_operator.domain.metadata import Owner
from modelservice_operator.kinds import (
    CONFIG_MAP,
    CONTROLLED_KINDS,
    CONTROLLER_REVISION,
    DEPLOYMENT,
    JOB,
    METADATA_KINDS,
    MODEL_SERVICE,
    NETWORK_POLICY,
    PERSISTENT_VOLUME_CLAIM,
    POD,
    SERVICE,
    WATCHED_KINDS,
)
from modelservice_operator.machinery.watch import Watch
from modelservice_operator.objects import Key, Kind
from modelservice_operator.watches import ARGS_TEXT, WATCHES, owner_of

LABELS = {LABEL_NAME: "a", MANAGED_BY_LABEL: MANAGED_BY}


def watch_of(kind: Kind) -> Watch:
    return next(watch for watch in WATCHES if watch.kind == kind)


def make(name: str = "a-train", *, metadata: dict[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
    named = {"namespace": "n", "name": name, "uid": "u", "resourceVersion": "1", "labels": LABELS}
    return {"apiVersion": "x/v1", "kind": "X", "metadata": {**named, **(metadata or {})}, **fields}


def owned_by(name: str, *, kind: str = "ModelService", api: str = "modelservice.dev/v1alpha1", **extra: Any) -> Any:
    return {"ownerReferences": [{"apiVersion": api, "kind": kind, "name": name, "uid": "m", **extra}]}


def test_every_kind_is_watched_once_and_children_by_our_label() -> None:
    assert tuple(watch.kind for watch in WATCHES) == WATCHED_KINDS
    assert {watch.label_selector for watch in WATCHES if watch.owned} == {OPERATOR_SELECTOR}
    assert [watch.kind for watch in WATCHES if watch.label_selector is None] == [MODEL_SERVICE]
    assert {watch.kind for watch in WATCHES if watch.metadata_only} == set(METADATA_KINDS)
    assert {watch.kind for watch in WATCHES if not watch.verified} == {MODEL_SERVICE, *CONTROLLED_KINDS}


def test_a_label_is_selected_by_name_and_value() -> None:
    watch = watch_of(JOB)
    assert watch.selects(make())
    assert not watch.selects(make(metadata={"labels": {MANAGED_BY_LABEL: "else"}}))
    assert not watch.selects(make(metadata={"labels": None}))
    assert watch_of(MODEL_SERVICE).selects(make(metadata={"labels": None}))


def test_a_service_is_reconciled_for_itself_and_for_its_children() -> None:
    assert watch_of(MODEL_SERVICE).request({"metadata": {"namespace": "n", "name": "a"}}) == Key("n", "a")
    assert watch_of(JOB).request(make()) == Key("n", "a")


def test_a_head_names_the_encoder_that_it_asks_and_that_it_asked() -> None:
    concerns = watch_of(MODEL_SERVICE).concerns
    metadata = {"namespace": "n", "name": "a"}
    asks = {"model": {"encoder": {"service": {"name": "new"}}}}
    assert list(concerns({"metadata": metadata, "spec": asks})) == [Key("n", "new")]
    served = {"encoder": {"name": "old"}}
    both = {"metadata": metadata, "spec": asks, "status": served}
    assert list(concerns(both)) == [Key("n", "new"), Key("n", "old")]
    assert list(concerns({**both, "status": {"encoder": {"name": "new"}}})) == [Key("n", "new")]
    for spec in ({}, {"model": {"encoder": {"uri": "s3://m/a"}}}, {"model": None}, None):
        assert list(concerns({"metadata": metadata, "spec": spec})) == []
    assert list(watch_of(JOB).concerns(make())) == []


def test_of_what_keeps_a_revision_for_heads_its_pods_are_counted() -> None:
    spec = {"replicas": 2, "selector": {"app": "a"}, "template": {"spec": {"containers": [{"image": "i"}]}}}
    labels = {**LABELS, LABEL_STAGE: STAGE_KEEP}
    keeper = make("a-0123456789", metadata={"labels": labels}, spec=spec, status={"availableReplicas": 1})
    kept = watch_of(DEPLOYMENT).transform(keeper)
    assert (kept["spec"], kept["status"]) == ({"replicas": 2}, {"availableReplicas": 1})


@pytest.mark.parametrize("labels", [{}, None, {LABEL_NAME: ""}])
def test_what_carries_no_name_belongs_to_nobody(labels: dict[str, str] | None) -> None:
    assert owner_of(make(metadata={"labels": labels})) is None


def test_a_child_that_lost_its_label_is_found_by_its_controller() -> None:
    assert owner_of(make(metadata={"labels": None, **owned_by("b", controller=True)})) == Key("n", "b")
    assert owner_of(make(metadata=owned_by("b", controller=True))) == Key("n", "b"), "before any label"
    assert owner_of(make(metadata=owned_by("b"))) == Key("n", "a"), "an owner that is no controller says nothing"
    assert owner_of(make(metadata=owned_by("b", controller=True, kind="Job", api="batch/v1"))) == Key("n", "a")


def test_a_pod_keeps_its_node_what_its_server_was_told_and_how_it_fares() -> None:
    fares = {"name": "server", "image": "i", "restartCount": 1, "state": {"running": {}}}
    pod = make(
        spec={
            "nodeName": "n1",
            "volumes": [{"name": "x"}, {"name": "y", "image": {"reference": "r@sha256:1", "pullPolicy": "Always"}}],
            "containers": [
                {"name": "sidecar", "args": ["x"]},
                {
                    "name": SERVING_CONTAINER,
                    "args": ["serve", "--digest=d", "--model=m", "--engine=onnx"],
                    "ports": [{"name": "https", "containerPort": 1}, {"name": "x", "containerPort": 2}],
                },
            ],
        },
        status={"phase": "Running", "qosClass": "x", "containerStatuses": [{**fares, "imageID": "long"}]},
    )
    before = copy.deepcopy(pod)
    kept = watch_of(POD).transform(pod)
    assert kept["spec"] == {
        "nodeName": "n1",
        "containers": [{"name": "server", "args": ["--digest=d", "--model=m"], "ports": [{"name": "https"}]}],
        "volumes": [{"image": {"reference": "r@sha256:1"}}],
    }
    assert kept["status"] == {"phase": "Running", "containerStatuses": [fares]}
    assert "foreign" not in kept["metadata"]
    assert pod == before, "what was given is not changed"


def test_of_a_pods_conditions_those_are_kept_that_are_read() -> None:
    read = [{"type": name, "status": "True"} for name in ("PodScheduled", "DisruptionTarget", "Ready")]
    others = [{"type": name, "status": "True"} for name in ("Initialized", "ContainersReady", "x")]
    kept = watch_of(POD).transform(make(status={"conditions": [*others, *read]}))
    assert kept["status"] == {"conditions": read}
    assert watch_of(POD).transform(make(status={}))["status"] == {}


def test_arguments_that_are_longer_than_ours_are_not_kept() -> None:
    container = {"name": SERVING_CONTAINER, "args": ["--model=" + "x" * ARGS_TEXT, "--digest=y"]}
    assert watch_of(POD).transform(make(spec={"containers": [container]}))["spec"]["containers"] == [{"name": "server"}]


def test_a_job_keeps_how_it_runs_and_of_its_template_the_image_and_the_limits() -> None:
    container = {"name": "stage", "image": "i", "resources": {"limits": {"memory": "1Gi"}}}
    template = {"metadata": {"labels": LABELS}, "spec": {"containers": [{**container, "env": []}], "volumes": []}}
    read = [{"type": name, "status": "True"} for name in ("Suspended", "Failed", "Complete")]
    told = {"startTime": "2026-01-01T00:00:00Z", "conditions": read}
    spec = {"suspend": True, "activeDeadlineSeconds": 5, "template": template}
    unread = {"type": "SuccessCriteriaMet", "status": "True"}
    job = make(
        spec=spec,
        status={"active": 1, "ready": 1, "uncountedTerminatedPods": {}, **told, "conditions": [unread, *read]},
    )
    kept = watch_of(JOB).transform(job)
    assert kept["spec"] == {
        "suspend": True,
        "activeDeadlineSeconds": 5,
        "template": {"spec": {"containers": [container]}},
    }
    assert kept["status"] == told


def test_what_is_named_as_its_service_is_kept_whole_and_another_one_hardly() -> None:
    spec = {"selector": {"app": "a"}, "ports": [{"port": 80}]}
    for kind in (DEPLOYMENT, SERVICE):
        assert watch_of(kind).transform(make("a", spec=spec, status={"x": 1}))["spec"] == spec
        assert set(watch_of(kind).transform(make("b", spec=spec))) == {"apiVersion", "kind", "metadata"}
        assert set(watch_of(kind).transform(make("a", metadata={"labels": {}}, spec=spec))) == {
            *("apiVersion", "kind", "metadata")
        }


def test_of_a_config_map_no_data_are_kept() -> None:
    kept = watch_of(CONFIG_MAP).transform(make(data={"a": "x"}, binaryData={"b": "eA=="}))
    assert set(kept) == {"apiVersion", "kind", "metadata"}


def test_a_record_is_kept_whole_or_without_its_data() -> None:
    transform = watch_of(CONTROLLER_REVISION).transform
    assert transform(make(revision=3, data={"kind": "StageRecord"}))["data"] == {"kind": "StageRecord"}
    large = transform(make(revision=3, data={"rows": list(range(100_000))}))
    assert (large["revision"], "data" in large) == (3, False)


def test_of_metadata_only_what_is_ours_is_kept() -> None:
    theirs = {f"theirs-{number}": "x" * 1000 for number in range(100)}
    obj = make(
        metadata={
            "labels": {**LABELS, **theirs},
            "annotations": {ANNOTATION_APPLIED: "stamp", **theirs},
            "ownerReferences": [{"name": "x" * 1000, "uid": "x"}, *({"name": str(n), "uid": "x"} for n in range(99))],
            "finalizers": ["kubernetes.io/pvc-protection"],
            "generateName": "x" * 1000,
            "deletionTimestamp": "2026-01-01T00:00:00Z",
        }
    )
    for watch in WATCHES:
        kept = watch.transform(obj)["metadata"]
        assert (kept["labels"], kept["annotations"]) == (LABELS, {ANNOTATION_APPLIED: "stamp"})
        assert kept["ownerReferences"] == [{"name": str(n), "uid": "x"} for n in range(16)]
        unread = watch.kind in (MODEL_SERVICE, POD)
        assert kept.get("finalizers", []) == ([] if unread else ["kubernetes.io/pvc-protection"])
        assert kept["deletionTimestamp"] == "2026-01-01T00:00:00Z"
        assert "generateName" not in kept
    many = [*(f"theirs/{number}" for number in range(99)), FINALIZER]
    assert watch_of(MODEL_SERVICE).transform(make(metadata={"finalizers": many}))["metadata"]["finalizers"] == [
        FINALIZER
    ]
    too_long = make(metadata={"annotations": {ANNOTATION_APPLIED: "x" * 257}})
    assert watch_of(JOB).transform(too_long)["metadata"]["annotations"] == {}


def test_fields_that_others_manage_are_kept_as_text() -> None:
    env: dict[str, Any] = {'k:{"name":"FOO"}': {".": {}, "f:name": {}, "f:value": {}}}
    fields = {"f:template": {"f:spec": {"f:containers": {'k:{"name":"server"}': {"f:env": env}}}}}
    managed = [
        {"manager": FIELD_MANAGER, "fieldsV1": {"f:spec": fields}},
        {"manager": "kube-controller-manager", "fieldsV1": {"f:spec": {"f:replicas": {}}}},
        {"manager": "kubectl", "subresource": "scale", "fieldsV1": {"f:spec": {"f:replicas": {}}}},
        {"manager": "kubectl-set", "fieldsV1": {"f:metadata": {"f:labels": {}}, "f:spec": fields}},
    ]
    kept = watch_of(DEPLOYMENT).transform(make("a", metadata={"managedFields": managed}))
    path = "spec.template.spec.containers[server].env[FOO]"
    assert kept["metadata"]["foreign"] == [{"manager": "kubectl-set", "path": path}]
    assert "managedFields" not in kept["metadata"]
    ours = watch_of(DEPLOYMENT).transform(make("a", metadata={"managedFields": managed[:3]}))
    assert "foreign" not in ours["metadata"]
    assert kept["metadata"]["scaledBy"] == ours["metadata"]["scaledBy"] == "kubectl"
    assert (
        "scaledBy" not in watch_of(DEPLOYMENT).transform(make("a", metadata={"managedFields": managed[:2]}))["metadata"]
    )


@pytest.mark.parametrize("watch", WATCHES, ids=lambda watch: watch.kind.kind)
@pytest.mark.parametrize("name", ["a", "b"])
def test_of_what_was_kept_the_same_is_kept_again(watch: Watch, name: str) -> None:
    managed = [{"manager": "kubectl", "fieldsV1": {"f:spec": {"f:x": {}}}}]
    obj = make(
        name,
        metadata={"managedFields": managed, **owned_by(name, controller=True)},
        spec={"nodeName": "n", "containers": [{"name": SERVING_CONTAINER, "args": ["a"]}], "x": ["y"] * 10_000},
        status={"phase": "x"},
        data={"x": 1},
    )
    kept = watch.transform(obj)
    assert watch.transform(kept) == kept


@pytest.mark.parametrize(
    "watch", [watch for watch in WATCHES if watch.kind != MODEL_SERVICE], ids=lambda watch: watch.kind.kind
)
def test_little_is_kept_of_what_a_tenant_wrote_large(watch: Watch) -> None:
    def size(value: Any) -> int:
        if isinstance(value, dict):
            return sum(100 + len(name) + size(item) for name, item in value.items())
        return sum(100 + size(item) for item in value) if isinstance(value, list) else len(str(value))

    wide = [{"name": f"v{number}", "value": "x" * 20} for number in range(30_000)]
    for large in ({"containers": wide, "x": wide}, {"x": "y" * 3_000_000}, {name["name"]: "x" for name in wide}):
        kept = watch.transform(make("a", spec=large, status=large, data=large))
        assert size(kept) < 1_000_000


def test_the_largest_children_that_a_service_can_ask_for_are_kept_whole() -> None:
    text = "x" * 63
    prefix = "a" * 60
    expression = {"key": f"{prefix}.example/{text}", "operator": "In", "values": [f"{n:063}" for n in range(16)]}
    selector = {
        "matchLabels": {f"{prefix}{n:02}.example/{text}": text for n in range(16)},
        "matchExpressions": [expression] * 8,
    }
    serving = {"allowFrom": {"peers": [{"namespaceSelector": selector, "podSelector": selector}] * 16}}
    namespaces = json.dumps([f"{n:063}" for n in range(256)])
    settings = Settings(
        trainer_image="t", server_image="s", ingress_namespaces=namespaces, prometheus_namespaces=namespaces
    )
    policy = build_network_policy(Owner(name="a", namespace="n", uid="u"), Serving.model_validate(serving), settings)
    container = {
        "name": SERVING_CONTAINER,
        "env": [{"name": f"E{n}", "value": "x" * 4096} for n in range(64)],
        "envFrom": [{"secretRef": {"name": f"{n:0253}"}} for n in range(16)],
    }
    template = {
        "metadata": {
            "annotations": {f"a{n}": "x" * 4096 for n in range(64)},
            "labels": {f"l{n}": text for n in range(64)},
        },
        "spec": {
            "containers": [container],
            "tolerations": [{"key": text, "operator": "Equal", "value": text, "effect": "NoExecute"}] * 16,
        },
    }
    for kind, obj in ((NETWORK_POLICY, policy), (DEPLOYMENT, make("a", spec={"template": template}))):
        assert watch_of(kind).transform(obj)["spec"] == obj["spec"]


def test_what_was_too_large_to_be_read_has_the_shape_of_its_kind() -> None:
    """Only its metadata came: whoever reads it finds nothing, and no error."""
    assert watch_of(PERSISTENT_VOLUME_CLAIM).transform(make())["spec"] == {}
    assert watch_of(SERVICE).transform(make("a"))["spec"] == {}
    for kind in (JOB, DEPLOYMENT):
        assert watch_of(kind).transform(make("a"))["spec"]["template"]["spec"]["containers"] == [{"image": ""}]


@pytest.mark.parametrize("kind", WATCHED_KINDS)
def test_labels_that_nobody_reads_are_not_kept(kind: Kind) -> None:
    """Of labels an apiserver bounds each, but not how many there are."""
    many = {f"{domain}/{number}": "x" * 63 for number in range(5000) for domain in ("modelservice.dev", "example.com")}
    kept = watch_of(kind).transform(make(metadata={"labels": {**many, **LABELS}}))
    assert kept["metadata"]["labels"] == LABELS


def test_labels_of_ours_are_kept() -> None:
    labels = Owner(name="a", namespace="n", uid="u").labels(stage="serve", key="k") | {LABEL_CLAIM: "c"}
    assert watch_of(POD).transform(make(metadata={"labels": labels}))["metadata"]["labels"] == labels


@pytest.mark.parametrize("kind", [JOB, PERSISTENT_VOLUME_CLAIM, POD])
def test_kinds_of_which_anybody_may_make_many_keep_little_text(kind: Kind) -> None:
    long = "x" * 100_000
    template = {"template": {"spec": {"containers": [{"name": "stage", "image": long}]}}}
    kept = watch_of(kind).transform(
        make(spec={**template, "volumeName": long}, status={"phase": long, "containerStatuses": [{"image": long}]})
    )
    assert len(json.dumps(kept)) < 70_000
