"""From apply to delete, as a user who has only ``edit`` in a namespace."""

import json

import pytest
from tests.cluster.base_image import base_reference
from tests.support.client import keep_asking, predict
from tests.support.e2e import Object, Space, condition, config_map, eventually, model_service, says
from tests.support.samples import BAD, bad_samples
from tests.support.tables import FLOWERS, IRIS

from modelservice_operator.constants import LABEL_NAME
from modelservice_operator.kinds import CHILD_KINDS, DEPLOYMENT, HORIZONTAL_POD_AUTOSCALER, JOB, MODEL_SERVICE, POD

pytestmark = pytest.mark.cluster

ROWS = [row for row, _ in FLOWERS]
SPECIES = [species for _, species in FLOWERS]


def build_client(url: str, body: str) -> Object:
    """A pod of somebody else in the namespace that asks a model by its DNS name, and logs the answer."""
    fetch = (
        "import sys, urllib.request as r; "
        "q = r.Request(sys.argv[1], sys.argv[2].encode(), {'content-type': 'application/json'}); "
        "print(r.urlopen(q, timeout=10).read().decode())"
    )
    container = {
        "name": "client",
        "image": base_reference(),
        "imagePullPolicy": "Never",
        "command": ["python3", "-c", fetch, url, body],
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    security = {"runAsNonRoot": True, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}}
    spec = {"restartPolicy": "OnFailure", "securityContext": security, "containers": [container]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "client"}, "spec": spec}


@pytest.mark.story(60)
def test_another_pod_asks_by_name_and_gets_the_right_answers(space: Space) -> None:
    space.apply(config_map("flowers", IRIS), model_service("flowers", training={"epochs": 30}))
    url = space.wait_ready("flowers")["status"]["url"]
    space.apply(build_client(f"{url}/v1/models/flowers:predict", json.dumps({"instances": ROWS})))

    def answered() -> bool:
        pod = space.api.get(POD, space.name, "client")
        return pod is not None and pod["status"].get("phase") == "Succeeded"

    eventually(answered, what="the client's end")
    predictions = json.loads(space.kubectl("logs", "client"))["predictions"]
    assert [one["label"] for one in predictions] == SPECIES


@pytest.mark.story(100)
def test_a_new_revision_takes_over_without_a_failed_request(space: Space) -> None:
    space.apply(config_map("flowers", IRIS), model_service("flowers"))
    first = space.wait_ready("flowers")["status"]
    with keep_asking(space.address("flowers"), "flowers", ROWS, pause=0.05, most=6000, threads=2) as asked:
        space.patch("flowers", {"training": {"epochs": 30}})
        training = space.wait("flowers", says("Training"), what="trains again")
        assert condition(training, "Available")["status"] == "True"
        assert training["status"]["revision"] == 1
        second = space.wait_ready("flowers")["status"]
        eventually(lambda: len(space.pods("flowers", "serve")) == 1, what="the end of the old pod")
    assert (asked.failures, set(asked.answers)) == ([], {200})
    assert asked.answers[200] > 50
    assert (second["revision"], second["replicas"]) == (2, 1)
    assert second["digest"] != first["digest"]
    assert predict(space.address("flowers"), "flowers", ROWS) == SPECIES
    # And back: what was trained once is served again, not trained again.
    space.patch("flowers", {"training": {"epochs": 5}})
    back = space.wait_ready("flowers")["status"]
    assert (back["revision"], back["digest"]) == (1, first["digest"])
    assert [one["number"] for one in back["revisions"]] == [2, 1]


@pytest.mark.story(60)
def test_delete_leaves_nothing(space: Space) -> None:
    autoscaling = {"autoscaling": {"minReplicas": 1, "maxReplicas": 2}}
    space.apply(config_map("flowers", IRIS), model_service("flowers", serving=autoscaling))
    space.wait_ready("flowers")
    assert space.children(HORIZONTAL_POD_AUTOSCALER, "flowers")
    space.kubectl("delete", "modelservice", "flowers")

    def left() -> list[str]:
        return [
            f"{kind.kind} {obj['metadata']['name']}"
            for kind in CHILD_KINDS
            for obj in space.api.list(kind, space.name, labels=LABEL_NAME)
        ]

    eventually(lambda: not left(), what=f"nothing is left of {left()}", seconds=90)
    volumes = space.api.request("GET", "/api/v1/persistentvolumes")["items"]
    assert all(
        one["status"]["phase"] == "Released" for one in volumes if one["spec"]["claimRef"]["namespace"] == space.name
    )
    assert json.loads(space.kubectl("get", "configmap", "flowers", "-o", "json"))["data"] == {"table.csv": IRIS}


@pytest.mark.story(60)
def test_status_wiped_by_hand_comes_back_without_training(space: Space) -> None:
    space.apply(config_map("flowers", IRIS), model_service("flowers", serving={"replicas": 0}))
    before = space.wait_ready("flowers")["status"]
    versions = space.versions()
    path = MODEL_SERVICE.path(space.name, "flowers")
    wiped = space.api.request("PATCH", f"{path}/status", {"status": None}, content_type="application/merge-patch+json")
    assert "status" not in wiped
    after = space.wait_ready("flowers")["status"]
    assert {**after, "conditions": []} == {**before, "conditions": []}
    changed = {kind for (kind, name), version in space.versions().items() if versions.get((kind, name)) != version}
    assert changed == {"ModelService"}


@pytest.mark.story(90)
def test_suspend_ends_a_training_and_lets_it_begin_again(space: Space) -> None:
    space.apply(config_map("flowers", IRIS), model_service("flowers"))
    space.wait_ready("flowers")
    space.patch("flowers", {"training": {"epochs": 100_000}})

    def under_way(service: Object) -> bool:
        return 0 < int(service["status"].get("progress", "0%").rstrip("%")) < 100

    space.wait("flowers", under_way, what="shows its progress")
    space.patch("flowers", {"suspend": True})
    suspended = space.wait("flowers", says("Suspended", "spec.suspend"), what="is suspended")
    assert condition(suspended, "Available")["status"] == "True"
    eventually(lambda: all(is_complete(job) for job in space.children(JOB, "flowers")), what="the end of the training")
    assert predict(space.address("flowers"), "flowers", ROWS[:1])
    space.patch("flowers", {"suspend": False, "training": {"epochs": 6}})
    status = space.wait_ready("flowers")["status"]
    assert status["revision"] == 2
    assert "Suspended" not in {one["type"] for one in status["conditions"]}


def is_complete(job: Object) -> bool:
    return any(one["type"] == "Complete" for one in job.get("status", {}).get("conditions", ()))


@pytest.mark.story(60)
def test_kubectl_knows_models(space: Space) -> None:
    space.apply(config_map("flowers", IRIS), model_service("flowers"))
    space.kubectl("wait", "--for=condition=Ready", "modelservice/flowers", "--timeout=150s", timeout=160)
    columns, values = space.kubectl("get", "mdsvc").strip().splitlines()
    assert columns.split() == ["NAME", "READY", "STAGE", "PROGRESS", "REVISION", "REPLICAS", "URL", "AGE"]
    assert values.split()[:6] == ["flowers", "True", "Serving", "100%", "1", "1"]
    assert "learningRate" in space.kubectl("explain", "modelservice.spec.training.optimizer.adam")
    assert space.api.get(DEPLOYMENT, space.name, "flowers") is not None


@pytest.mark.story(10)
def test_bad_resources_are_refused_before_they_are_stored(space: Space) -> None:
    answer = space.api.request(
        "POST", f"{MODEL_SERVICE.path(space.name)}?dryRun=All", model_service("flowers", training={"epochs": 0})
    )
    assert "spec.training.epochs" in answer["message"]
    refused = space.try_kubectl("apply", "--dry-run=server", "-f", BAD)
    words = " ".join(refused.split())
    for sample in bad_samples():
        assert sample.apiserver in words, sample.name
    assert space.api.list(MODEL_SERVICE, space.name) == []
