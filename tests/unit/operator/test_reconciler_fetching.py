"""The reconciler's stories. What another cluster trained is fetched, becomes a revision, and serves like any other."""

from typing import Any

import pytest
from tests.support.world import World, success

from modelservice.contract.failure import About, Failure, Retry
from modelservice.contract.places import DATA_PATH
from modelservice_operator.kinds import CONFIG_MAP, DEPLOYMENT, JOB, PERSISTENT_VOLUME_CLAIM
from modelservice_operator.objects import Object

DIGEST, OTHER = (f"sha256:{digit * 64}" for digit in "ab")
INT8 = {"steps": [{"quantize": {"weights": "Int8"}}]}


def source(uri: str = "s3://elsewhere/iris/abc", digest: str = DIGEST, **more: Any) -> Object:
    return {"uri": uri, "digest": digest, **more}


def artifact(**changes: Any) -> Object:
    """A spec that is not trained."""
    return {"data": None, "model": {"artifact": source(**changes)}}


def fetching(**spec: Any) -> World:
    """A fetch under way."""
    world = World()
    world.service(**{**artifact(), **spec})
    world.settle()
    return world


def pod(job: Object) -> Object:
    found: Object = job["spec"]["template"]["spec"]
    return found


def deployed_arguments(world: World) -> list[str]:
    return list(world.one(DEPLOYMENT)["spec"]["template"]["spec"]["containers"][0]["args"])


def test_without_data_it_is_fetched_and_served_as_a_revision() -> None:
    world = fetching()
    assert world.status()["stage"] == "Fetching"
    assert world.ready() == ("False", "Fetching")
    assert world.kube.reads == [ref for ref in world.kube.reads if ref[1] != "ConfigMap"], "no data is looked for"
    job = world.job()
    assert world.order(job)["work"] == {"stage": "fetch", "source": source(), "field": "spec.model.artifact"}
    world.run_stages()
    world.roll_out()
    world.settle()
    assert world.ready() == ("True", "Serving")
    assert f"--digest={DIGEST}" in deployed_arguments(world)
    said = world.condition("Fetched")
    assert (said["status"], said["reason"]) == ("True", "Fetched")
    assert said["message"].startswith("revision 1: from s3://elsewhere/iris/abc, test accuracy 0.950 (95 % interval")
    assert (world.condition("Trained"), world.condition("DataReady")) == ({}, {})
    status = world.status()
    assert (status["digest"], status["source"], "dataDigest" in status) == (DIGEST, "s3://elsewhere/iris/abc", False)
    (revision,) = status["revisions"]
    assert (revision["source"], "dataDigest" in revision) == ("s3://elsewhere/iris/abc", False)
    assert revision["uri"].startswith("pvc://churn-"), "it was taken over into a store of our own"


def test_another_address_of_the_same_artifact_fetches_nothing_and_another_digest_does() -> None:
    world = fetching()
    first = world.run_stages()
    world.roll_out()
    world.settle()
    before = len(world.all(JOB))
    world.service(**artifact(uri="https://models.example.com/iris"))
    world.settle()
    assert (world.ready(), len(world.all(JOB))) == (("True", "Serving"), before)
    world.service(**artifact(digest=OTHER))
    second = world.run_stages()
    world.roll_out()
    world.settle()
    assert (first != second, world.status()["digest"], world.status()["revision"]) == (True, OTHER, 2)
    world.service(**artifact(), serving={"pinRevision": {"number": 1}})
    world.settle()
    assert f"--digest={DIGEST}" in deployed_arguments(world)


def test_a_claim_is_mounted_and_a_secret_has_names_of_its_own() -> None:
    world = fetching(**artifact(uri="pvc://iris-qp2iu6b5/qp2iu6b5"))
    job = world.job()
    (volume,) = [one for one in pod(job)["volumes"] if one["name"] == "data"]
    assert volume["persistentVolumeClaim"] == {"claimName": "iris-qp2iu6b5", "readOnly": True}
    (mount,) = [one for one in pod(job)["containers"][0]["volumeMounts"] if one["name"] == "data"]
    assert (mount["mountPath"], mount["readOnly"]) == (DATA_PATH, True)
    assert world.order(job)["work"]["file"] == "qp2iu6b5"
    world = fetching(**artifact(secretRef={"name": "elsewhere"}), artifacts={"uri": "s3://ours"})
    opened = {"prefix": "MODELSERVICE_DATA_", "secretRef": {"name": "elsewhere"}}
    assert pod(world.job())["containers"][0]["envFrom"] == [opened]


def test_a_corrected_address_is_tried_at_once() -> None:
    world = fetching()
    message = "s3://elsewhere/iris/abc has no manifest.json: correct spec.model.artifact.uri"
    failure = Failure(reason="ArtifactNotFound", message=message, about=About.STORAGE, retry=Retry.ON_CHANGE)
    world.bind_claims()
    world.end_stage(failure)
    world.settle()
    assert world.ready() == ("False", "ArtifactNotFound")
    assert message in world.condition("Stalled")["message"]
    assert "kubectl delete job" in world.condition("Fetched")["message"]
    world.service(**artifact(uri="s3://elsewhere/iris/def"))
    world.settle()
    assert world.order(world.job())["work"]["source"]["uri"] == "s3://elsewhere/iris/def"


@pytest.mark.parametrize("named_by", ["initialize", "teacher"])
def test_a_corrected_address_of_what_was_trained_before_is_tried_at_once(named_by: str) -> None:
    def begun(uri: str) -> Object:
        training = {named_by: {"artifact": {"uri": uri, "digest": DIGEST}}}
        return {"model": {"mlp": {"hiddenLayers": [8]}}, "training": training}

    world = World()
    world.config_map()
    world.service(**begun("s3://elsewhere/iris/abc"))
    world.settle()
    key = world.order(world.job())["key"]
    failure = Failure(reason="ArtifactNotFound", message="nothing", about=About.STORAGE, retry=Retry.ON_CHANGE)
    world.bind_claims()
    world.end_stage(failure)
    world.settle()
    world.service(**begun("s3://elsewhere/iris/def"))
    world.settle()
    order = world.order(world.job())
    assert order["work"]["training"][named_by]["artifact"]["uri"] == "s3://elsewhere/iris/def"
    assert order["key"] == key, "the digest alone decides"


def test_it_takes_no_gpu_and_a_gate_holds_it_back() -> None:
    training = {"resources": {"limits": {"nvidia.com/gpu": 1, "memory": "4Gi"}}}
    gate = {"require": [{"metric": {"name": "accuracy", "min": 0.99}}]}
    world = fetching(training=training, promotion=gate)
    assert pod(world.job())["containers"][0]["resources"]["limits"] == {"cpu": "2", "memory": "4Gi"}
    world.run_stages()
    assert world.ready() == ("False", "PromotionRefused")
    assert "accuracy 0.950" in world.condition("Promoted")["message"]
    assert world.ours(DEPLOYMENT) == []


def test_it_is_compressed_with_the_data_that_it_was_trained_on() -> None:
    world = World()
    world.serve(model={"artifact": source()}, compression=INT8)
    assert world.ready() == ("True", "Serving")
    assert [world.order(job)["work"]["stage"] for job in world.all(JOB)] == ["fetch", "compress"]
    work = world.order(world.all(JOB)[1])["work"]
    assert (work["parentDigest"], work["dataFile"]) == (DIGEST, "churn.csv")
    names = [volume["name"] for volume in pod(world.all(JOB)[0])["volumes"]]
    assert "data" not in names, "the fetch reads no data"
    assert world.status()["source"] == "s3://elsewhere/iris/abc", "where the compressed one began"
    assert world.condition("DataReady")["status"] == "True"


def test_a_pin_from_elsewhere_is_fetched_and_nothing_is_trained_meanwhile() -> None:
    world = World()
    trained = world.serve()
    pin = {"pinRevision": source()}
    world.service(training={"epochs": 3}, serving=pin)
    world.settle()
    (job,) = world.running_jobs()
    work = world.order(job)["work"]
    assert (work["stage"], work["field"]) == ("fetch", "spec.serving.pinRevision")
    promoted = world.condition("Promoted")
    assert (promoted["status"], promoted["reason"]) == ("False", "PinnedRevisionFetching")
    words = (
        f"{DIGEST} is to be fetched from s3://elsewhere/iris/abc, as spec.serving.pinRevision says, revision 1 stays"
    )
    assert promoted["message"] == words
    assert world.status()["revision"] == 1
    world.run_stages()
    world.roll_out()
    world.settle()
    assert world.ready() == ("True", "Serving")
    assert (world.status()["digest"], world.status()["revision"]) == (DIGEST, 2)
    assert world.condition("Promoted")["message"] == "revision 2"
    world.service()
    world.settle()
    world.roll_out()
    world.settle()
    assert (world.status()["revision"], world.status()["digest"]) == (1, success(trained).digest)
    assert world.running_jobs() == [], "what was trained before is there still"


def test_a_pin_needs_no_data_that_is_not_there() -> None:
    world = fetching(
        data={"configMap": {"name": "gone"}, "target": "kind"}, model=None, serving={"pinRevision": source()}
    )
    world.run_stages()
    world.roll_out()
    world.settle()
    assert world.ready() == ("True", "Serving")
    assert world.ours(PERSISTENT_VOLUME_CLAIM)
    assert all(obj["metadata"]["name"] != "gone" for obj in world.all(CONFIG_MAP))


def test_a_pin_that_cannot_be_fetched_leaves_what_serves() -> None:
    world = World()
    world.serve()
    world.service(serving={"pinRevision": source()})
    world.settle()
    failure = Failure(reason="ArtifactChanged", message="other", field="f.digest", about=About.STORAGE)
    world.bind_claims()
    world.end_stage(failure)
    world.settle()
    assert world.ready() == ("False", "ArtifactChanged")
    assert (world.condition("Available")["status"], world.status()["revision"]) == ("True", 1)
    assert world.condition("Promoted")["message"].startswith(f"{DIGEST} is to be fetched from s3://elsewhere")


def test_a_pin_from_elsewhere_of_what_serves_already_fetches_and_restarts_nothing() -> None:
    world = World()
    trained = world.serve()
    before, jobs = deployed_arguments(world), len(world.all(JOB))
    world.service(serving={"pinRevision": source(digest=success(trained).digest)})
    world.settle()
    assert (world.ready(), deployed_arguments(world)) == (("True", "Serving"), before)
    assert (len(world.all(JOB)), world.status()["revision"]) == (jobs, 1)
    assert world.condition("Fetched")["status"] == "True"
    assert world.condition("Promoted")["message"] == "revision 1"


def test_a_pin_from_elsewhere_of_what_is_kept_serves_that_without_a_fetch_or_a_training() -> None:
    world = World()
    first = world.serve()
    world.service(training={"epochs": 3})
    world.run_stages()
    world.roll_out()
    world.settle()
    world.service(training={"epochs": 4}, serving={"pinRevision": source(digest=success(first).digest)})
    world.settle()
    assert world.running_jobs() == []
    world.roll_out()
    world.settle()
    assert (world.status()["revision"], world.status()["digest"]) == (1, success(first).digest)
    assert (world.ready(), world.running_jobs()) == (("True", "Serving"), [])


def test_a_digest_that_was_trained_and_fetched_stays_with_what_is_deployed() -> None:
    world = World()
    trained = world.serve()
    digest = success(trained).digest
    world.service(**artifact(digest=digest))
    world.run_stages()
    world.roll_out()
    world.settle()
    assert world.status()["revision"] == 2
    world.service(serving={"pinRevision": {"number": 1}})
    world.settle()
    world.roll_out()
    world.settle()
    assert world.status()["revision"] == 1
    for pin in ({"digest": digest}, source(digest=digest)):
        world.service(serving={"pinRevision": pin})
        world.settle()
        assert (world.ready(), world.status()["revision"]) == (("True", "Serving"), 1)


@pytest.mark.parametrize("stage", ["Fetched", "Served"])
def test_suspended_it_is_not_fetched(stage: str) -> None:
    world = fetching(suspend=True)
    assert world.all(JOB) == []
    assert world.ready() == ("False", "Suspended")
    assert "fetching waits until spec.suspend is false" in world.condition("Ready")["message"]
    assert world.condition(stage)["status"] == "False"


def test_a_claim_that_is_not_there_is_named_with_its_field() -> None:
    world = fetching(**artifact(uri="pvc://gone/abc"))
    words = 'persistentvolumeclaim "gone" not found'
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": words}
    world.pod_of(world.job(), {"phase": "Pending", "conditions": [condition]})
    world.settle()
    assert world.ready() == ("False", "Unschedulable")
    assert f"{words} (see spec.model.artifact or spec.serving.pinRevision)" in world.condition("Ready")["message"]


def test_a_pretrained_model_is_fetched_without_data_and_made_anew_when_it_changes() -> None:
    pretrained = {"uri": "s3://models/minilm"}
    world = fetching(model={"pretrained": pretrained})
    assert world.ready() == ("False", "Fetching")
    work = {"stage": "fetch", "pretrained": {**pretrained, "maxLength": 128}, "field": "spec.model.pretrained"}
    job = world.job()
    assert world.order(job)["work"] == work
    assert DATA_PATH not in str(pod(job)), "no data is mounted"
    first = world.run_stages()
    world.roll_out()
    world.settle()
    assert (world.ready(), world.condition("DataReady")) == (("True", "Serving"), {})
    world.service(data=None, model={"pretrained": {**pretrained, "maxLength": 64}})
    second = world.run_stages()
    world.roll_out()
    world.settle()
    assert (first != second, world.status()["revision"]) == (True, 2)
    world.service(data=None, model={"pretrained": pretrained}, serving={"pinRevision": source()})
    world.settle()
    assert world.order(world.job())["work"] == {
        "stage": "fetch",
        "source": source(),
        "field": "spec.serving.pinRevision",
    }
