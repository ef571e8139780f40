"""What the apiserver makes of writes that say which object they expect; the small Kubernetes does the same."""

import json
from collections.abc import Iterator

import pytest
from tests.support.e2e import eventually as soon
from tests.support.fake_clock import eventually
from tests.support.world import success
from tests.wiring.test_converged import pass_over_all, working, writes
from tests.wiring.test_operator import (  # noqa: F401
    Object,
    config_map,
    context,
    leading,
    model_service,
    namespace,
    run,
    settings_for,
)

from modelservice.contract.serving import Serving
from modelservice_operator.constants import FIELD_MANAGER, FINALIZER, FINALIZER_FIELD_MANAGER, LABEL_NAME
from modelservice_operator.context import Context
from modelservice_operator.crd.status import NOT_OBSERVED
from modelservice_operator.domain.builders.finalizer import build_finalizer
from modelservice_operator.domain.builders.serving import build_deployment, selector_labels
from modelservice_operator.domain.metadata import Owner, is_current, stamped
from modelservice_operator.domain.records import Revision, StoredTemplate, record_of
from modelservice_operator.kinds import CONFIG_MAP, MODEL_SERVICE, SERVICE
from modelservice_operator.machinery.errors import Conflict
from modelservice_operator.objects import Key, Ref

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("no_other_release")]

ELSE = "00000000-0000-0000-0000-000000000000"


def service(namespace: str) -> Object:  # noqa: F811
    metadata = {"namespace": namespace, "name": "a", "labels": {LABEL_NAME: "a"}}
    spec = {"selector": {"app": "a"}, "ports": [{"name": "http", "port": 80, "protocol": "TCP"}]}
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}


async def test_an_apply_to_another_or_no_object_of_that_name_is_a_conflict(leading: Context, namespace: str) -> None:  # noqa: F811
    with pytest.raises(Conflict):
        await leading.kube.apply(config_map(namespace, "a"), uid=ELSE)
    assert await leading.kube.get(Ref(CONFIG_MAP, namespace, "a")) is None
    stored = await leading.kube.apply(config_map(namespace, "a", text="x"), uid=None)
    with pytest.raises(Conflict):
        await leading.kube.apply(config_map(namespace, "a", text="y"), uid=ELSE)
    found = await leading.kube.get(Ref(CONFIG_MAP, namespace, "a"))
    assert found is not None
    assert found["data"] == stored["data"]


async def test_a_finalizer_comes_and_goes_beside_those_of_others(leading: Context, namespace: str) -> None:  # noqa: F811
    made = model_service(namespace, "a")
    theirs = {**made, "metadata": {**made["metadata"], "finalizers": ["example.com/theirs"]}}
    stored = await leading.kube.apply(theirs, uid=None, manager="somebody")
    owner = Owner(name="a", namespace=namespace, uid=stored["metadata"]["uid"])
    said = {"uid": owner.uid, "manager": FINALIZER_FIELD_MANAGER}
    both = await leading.kube.apply(build_finalizer(owner, there=True), **said)
    assert set(both["metadata"]["finalizers"]) == {"example.com/theirs", FINALIZER}
    await leading.kube.delete(Ref(MODEL_SERVICE, namespace, "a"), uid=owner.uid)
    left = await leading.kube.apply(build_finalizer(owner, there=False), **said)
    assert left["metadata"]["finalizers"] == ["example.com/theirs"]
    assert left["spec"] == stored["spec"]
    await leading.kube.apply(
        {**made, "metadata": {**made["metadata"], "finalizers": []}}, uid=owner.uid, manager="somebody"
    )
    assert await leading.kube.get(Ref(MODEL_SERVICE, namespace, "a")) is None
    with pytest.raises(Conflict):
        await leading.kube.apply(build_finalizer(owner, there=False), **said)


async def test_a_strategy_is_exchanged_for_the_other_and_back(leading: Context, namespace: str) -> None:  # noqa: F811
    owner = Owner(name="a", namespace=namespace, uid=ELSE)
    pod = {"metadata": {"labels": selector_labels(owner)}, "spec": {"containers": [{"name": "server", "image": "x"}]}}
    record = record_of(success("k"), parent=None, uri="", secret=None, data_digest="sha256:" + "0" * 64, image="")
    revision = Revision(number=1, record=record)
    live, found = None, []
    for recreate in (None, True, None):
        stored = StoredTemplate(inputs="", template=pod, recreate=recreate)
        made = stamped(build_deployment(owner, Serving(), revision, stored, replicas=0))
        del made["metadata"]["ownerReferences"]
        live = await leading.kube.apply(made, uid=live["metadata"]["uid"] if live else None)
        found.append(live["spec"]["strategy"])
        assert is_current(live, made)
    rolling = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
    assert found == [rolling, {"type": "Recreate"}, rolling]


async def test_a_status_is_of_exactly_the_version_that_was_read(leading: Context, namespace: str) -> None:  # noqa: F811
    stored = await leading.kube.apply(model_service(namespace, "a"), uid=None)
    body = {name: stored[name] for name in ("apiVersion", "kind")}
    metadata = {name: stored["metadata"][name] for name in ("name", "namespace", "resourceVersion")}
    written = await leading.kube.apply_status({**body, "metadata": metadata, "status": {"key": "one"}})
    assert written["status"]["key"] == "one"
    with pytest.raises(Conflict):
        await leading.kube.apply_status({**body, "metadata": metadata, "status": {"key": "two"}})
    run("delete", "modelservice", "a", "-n", namespace)
    await leading.kube.apply(model_service(namespace, "a"), uid=None)
    with pytest.raises(Conflict):
        await leading.kube.apply_status(
            {**body, "metadata": written["metadata"] | {"managedFields": None}, "status": {}}
        )
    found = await leading.kube.get(Ref(MODEL_SERVICE, namespace, "a"))
    assert found is not None
    assert found["status"] == {"observedGeneration": NOT_OBSERVED}


async def test_what_another_manager_added_is_stripped_from_exactly_that_version(
    leading: Context,  # noqa: F811
    namespace: str,  # noqa: F811
) -> None:
    ref = Ref(SERVICE, namespace, "a")
    uid = (await leading.kube.apply(service(namespace), uid=None))["metadata"]["uid"]
    added = '{"spec":{"selector":{"x/y":""},"ports":[{"name":"ssh","port":22}]}}'
    run("patch", "service", "a", "-n", namespace, "--type=strategic", "-p", added)
    kept = await leading.kube.get(ref)
    assert kept is not None
    assert kept["spec"]["selector"] == {"app": "a", "x/y": ""}
    version = kept["metadata"]["resourceVersion"]
    place = [port["name"] for port in kept["spec"]["ports"]].index("ssh")
    pointers = [f"/spec/ports/{place}", "/spec/selector/x~1y"]
    for wrong in ({"uid": ELSE, "version": version}, {"uid": uid, "version": "1"}):
        with pytest.raises(Conflict):
            await leading.kube.strip(ref, pointers=pointers, **wrong)
    stripped = await leading.kube.strip(ref, uid=uid, version=version, pointers=pointers)
    assert stripped["spec"]["selector"] == {"app": "a"}
    assert [port["port"] for port in stripped["spec"]["ports"]] == [80]
    run("patch", "service", "a", "-n", namespace, "--type=strategic", "-p", added)
    applied = await leading.kube.apply(service(namespace), uid=uid)
    assert sorted(port["port"] for port in applied["spec"]["ports"]) == [22, 80], "an apply takes no item away"


async def test_an_adoption_changes_labels_and_owners_of_that_uid_only(leading: Context, namespace: str) -> None:  # noqa: F811
    owner = await leading.kube.apply(model_service(namespace, "a"), uid=None)
    stored = await leading.kube.apply(config_map(namespace, "a", ours=False, text="x"), uid=None)
    ref = Ref(CONFIG_MAP, namespace, "a")
    reference = {"apiVersion": owner["apiVersion"], "kind": owner["kind"], "name": "a", "uid": owner["metadata"]["uid"]}
    metadata: Object = {"labels": {LABEL_NAME: "a"}, "ownerReferences": [reference]}
    with pytest.raises(Conflict):
        await leading.kube.adopt(ref, uid=ELSE, metadata=metadata)
    adopted = await leading.kube.adopt(ref, uid=stored["metadata"]["uid"], metadata=metadata)
    assert adopted["metadata"]["labels"][LABEL_NAME] == "a"
    assert adopted["metadata"]["ownerReferences"] == [reference]
    assert adopted["data"] == stored["data"]
    assert {entry["manager"] for entry in adopted["metadata"]["managedFields"]} == {FIELD_MANAGER}


@pytest.fixture
def debug_port(namespace: str) -> Iterator[None]:  # noqa: F811
    """Admission gives each Service of the namespace a port more, as a mutating webhook would, at each write."""
    name = f"{namespace}-debug-port"
    port = 'Object.spec.ports{name: "debug", port: 6060, protocol: "TCP"}'
    mutation = {
        "patchType": "ApplyConfiguration",
        "applyConfiguration": {"expression": f"Object{{spec: Object.spec{{ports: [{port}]}}}}"},
    }
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"], "resources": ["services"]}
    spec: Object = {
        "matchConstraints": {"resourceRules": [rule]},
        "reinvocationPolicy": "Never",
        "mutations": [mutation],
    }
    here = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}}}
    bound: Object = {"policyName": name, "matchResources": here}
    head = {"apiVersion": "admissionregistration.k8s.io/v1", "metadata": {"name": name}}
    items = [
        {**head, "kind": "MutatingAdmissionPolicy", "spec": spec},
        {**head, "kind": "MutatingAdmissionPolicyBinding", "spec": bound},
    ]
    policy = {"apiVersion": "v1", "kind": "List", "items": items}
    run("create", "-f", "-", document=policy)
    try:
        probe = (
            "create",
            "service",
            "clusterip",
            "probe",
            "--tcp=80",
            "-n",
            namespace,
            "--dry-run=server",
            "-o",
            "json",
        )
        soon(lambda: '"debug"' in run(*probe), what="the policy is in force")
        yield
    finally:
        run("delete", "-f", "-", document=policy)


@pytest.mark.usefixtures("debug_port")
async def test_what_admission_puts_back_is_in_the_answer_and_is_said_and_left(namespace: str) -> None:  # noqa: F811
    data = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "absent", "namespace": namespace}}
    run("create", "-f", "-", document={**data, "data": {"table.csv": "y\n1\n"}})
    run("create", "-f", "-", document=model_service(namespace, "a"))
    key = Key(namespace, "a")
    async with working(settings_for(namespace)) as (operator, passes):
        await eventually(lambda: "is left" in ready_of(operator, key).get("message", ""), seconds=60)
        before = writes(operator)
        for _ in range(10):
            await pass_over_all(operator, passes, [key])
        assert writes(operator) == before
        ready = ready_of(operator, key)
    assert ready["reason"] == "Suspended"
    assert "Service a: spec.ports[6060/TCP]" in ready["message"]
    (said,) = drifted(namespace)
    assert "spec.ports[6060/TCP] (set by somebody) is put back by a webhook" in said
    stored = json.loads(run("get", "service", "a", "-n", namespace, "-o", "json"))
    assert [port["name"] for port in stored["spec"]["ports"]] == ["http", "debug"]


def ready_of(operator: Context, key: Key) -> Object:
    found = operator.cache.get(Ref(MODEL_SERVICE, *key)) or {}
    return next((one for one in found.get("status", {}).get("conditions", ()) if one["type"] == "Ready"), {})


def drifted(namespace: str) -> list[str]:  # noqa: F811
    events = json.loads(run("get", "events", "-n", namespace, "--field-selector=reason=Drifted", "-o", "json"))["items"]
    return [event["message"] for event in events]
