"""The reconciler's stories. Artifacts as images: pushed by stages, mounted by digest, downloaded where nodes cannot."""

from typing import Any

import pytest
from tests.support.world import World, image_digest, success

from modelservice.contract.failure import About, Failure
from modelservice_operator.constants import STAGE_CONTAINER
from modelservice_operator.kinds import DEPLOYMENT, JOB, POD
from modelservice_operator.objects import Object

IMAGE: Object = {
    "repository": "registry.example/models",
    "pushSecretRef": {"name": "push"},
    "pullSecretRef": {"name": "pull"},
}
INT8 = {"steps": [{"quantize": {"weights": "Int8"}}]}
PLACE = "registry.example/models/default/churn"
MOUNT = "/var/lib/modelservice/artifacts"


def image(**changes: Any) -> Object:
    """``spec.artifacts``; what is None is left out."""
    return {"image": {name: value for name, value in {**IMAGE, **changes}.items() if value is not None}}


def pod(workload: Object) -> Object:
    found: Object = workload["spec"]["template"]["spec"]
    return found


def volumes(workload: Object, *names: str) -> list[Object]:
    return [volume for volume in pod(workload)["volumes"] if volume["name"] in names]


def model_of(workload: Object) -> str:
    args: list[str] = pod(workload)["containers"][0]["args"]
    return next(argument.removeprefix("--model=") for argument in args if argument.startswith("--model="))


def secret_volume(name: str, secret: str) -> Object:
    items = [{"key": ".dockerconfigjson", "path": "config.json"}]
    return {"name": name, "secret": {"secretName": secret, "items": items}}


def test_the_stage_pushes_with_the_secret_and_mounts_nothing_else() -> None:
    world = World()
    world.config_map()
    world.service(artifacts=image())
    world.settle()
    job = world.job()
    order = world.order(job)
    assert order["artifact"] == f"oci://{PLACE}:{order['key']}"
    assert [volume["name"] for volume in pod(job)["volumes"]] == ["order", "data", "registry-artifacts", "tmp"]
    assert volumes(job, "registry-artifacts") == [secret_volume("registry-artifacts", "push")]
    mounts = {mount["name"]: mount["mountPath"] for mount in pod(job)["containers"][0]["volumeMounts"]}
    assert mounts["registry-artifacts"] == "/etc/modelservice/registry/artifacts"
    assert "imagePullSecrets" not in pod(job)


def test_nodes_mount_the_image_by_digest() -> None:
    world = World()
    key = world.serve(artifacts=image())
    assert world.ready() == ("True", "Serving")
    deployment = world.one(DEPLOYMENT)
    assert volumes(deployment, "artifacts") == [
        {
            "name": "artifacts",
            "image": {"reference": f"{PLACE}@{image_digest(key)}", "pullPolicy": "IfNotPresent"},
        }
    ]
    assert {"name": "artifacts", "mountPath": f"{MOUNT}/{key}", "readOnly": True} in pod(deployment)["containers"][0][
        "volumeMounts"
    ]
    assert model_of(deployment) == f"{MOUNT}/{key}"
    assert pod(deployment)["imagePullSecrets"] == [{"name": "pull"}]
    assert [volume["name"] for volume in pod(deployment)["volumes"]] == ["artifacts", "tmp"], "no Secret, no cache"
    assert "affinity" not in pod(deployment)
    assert world.condition("ArtifactsPortable")["status"] == "True"
    assert world.status()["revisions"][0]["uri"] == f"oci://{PLACE}:{key}@{image_digest(key)}"


def test_where_nodes_mount_no_images_pods_download() -> None:
    world = World(image_volumes=False)
    key = world.serve(artifacts=image())
    deployment = world.one(DEPLOYMENT)
    assert model_of(deployment) == f"oci://{PLACE}:{key}@{image_digest(key)}"
    assert [volume["name"] for volume in pod(deployment)["volumes"]] == ["registry-artifacts", "tmp"]
    assert volumes(deployment, "registry-artifacts") == [secret_volume("registry-artifacts", "pull")]
    assert world.ready() == ("True", "Serving")
    assert world.status()["revisions"][0]["key"] == key


@pytest.mark.parametrize(
    ("changes", "pulled"),
    [({}, "pull"), ({"pullSecretRef": None}, "push"), ({"pullSecretRef": None, "pushSecretRef": None}, None)],
)
def test_which_secret_pulls(changes: Object, pulled: str | None) -> None:
    world = World()
    world.serve(artifacts=image(**changes))
    assert pod(world.one(DEPLOYMENT)).get("imagePullSecrets") == ([{"name": pulled}] if pulled else None)


def test_a_compression_downloads_what_it_starts_from_and_serves_its_own() -> None:
    world = World()
    key = world.serve(artifacts=image(), compression=INT8)
    train, compress = sorted(world.all(JOB), key=lambda job: str(job["metadata"]["name"]), reverse=True)
    parent = world.order(train)["key"]
    work = world.order(compress)["work"]
    assert work["parent"] == f"oci://{PLACE}:{parent}@{image_digest(parent)}"
    assert volumes(compress, "registry-artifacts", "registry-parent") == [
        secret_volume("registry-artifacts", "push"),
        secret_volume("registry-parent", "pull"),
    ]
    assert world.one(DEPLOYMENT)["metadata"]["labels"]["modelservice.dev/key"] == key
    assert volumes(world.one(DEPLOYMENT), "artifacts")[0]["image"]["reference"] == f"{PLACE}@{image_digest(key)}"


def test_plain_http_is_in_the_address_and_may_end() -> None:
    world = World(image_volumes=False)
    key = world.serve(artifacts=image(plainHttp=True))
    assert model_of(world.one(DEPLOYMENT)) == f"oci+http://{PLACE}:{key}@{image_digest(key)}"
    world.service(artifacts=image())
    world.settle()
    assert model_of(world.one(DEPLOYMENT)) == f"oci://{PLACE}:{key}@{image_digest(key)}"
    assert len(world.all(JOB)) == 1, "nothing is trained for it"


def test_another_secret_rolls_and_another_place_does_not() -> None:
    world = World()
    key = world.serve(artifacts=image())
    world.service(artifacts=image(pullSecretRef={"name": "rotated"}))
    world.settle()
    assert pod(world.one(DEPLOYMENT))["imagePullSecrets"] == [{"name": "rotated"}]
    world.service(artifacts={"image": {"repository": "other.example/models", "pullSecretRef": {"name": "other"}}})
    world.settle()
    deployment = world.one(DEPLOYMENT)
    assert volumes(deployment, "artifacts")[0]["image"]["reference"] == f"{PLACE}@{image_digest(key)}"
    assert pod(deployment)["imagePullSecrets"] == [{"name": "rotated"}], "what serves stays as it is"
    assert len(world.all(JOB)) == 1


def test_a_restart_of_the_operator_changes_no_pod_whatever_nodes_can() -> None:
    world = World()
    world.serve(artifacts=image())
    before = world.one(DEPLOYMENT)["spec"]["template"]
    world.restart_operator(image_volumes=False)
    world.settle()
    assert world.one(DEPLOYMENT)["spec"]["template"] == before


def test_a_report_says_the_digest_and_never_the_place() -> None:
    """What a pod of a tenant says is believed as far as its own repository."""
    world = World()
    world.config_map()
    world.service(artifacts=image())
    key = world.run_stages()
    (record,) = world.records()
    assert record["data"]["artifact"]["uri"] == f"oci://{PLACE}:{key}@{image_digest(key)}"
    assert record["data"]["artifact"]["secretName"] == "pull"


def test_an_image_without_a_digest_is_downloaded_and_not_mounted_by_its_tag() -> None:
    world = World()
    world.config_map()
    world.service(artifacts=image())
    world.settle()
    job = world.job()
    key = world.order(job)["key"]
    world.end_stage(success(key))
    world.settle()
    assert model_of(world.one(DEPLOYMENT)) == f"oci://{PLACE}:{key}"
    assert not volumes(world.one(DEPLOYMENT), "artifacts")


def test_a_refusal_waits_for_a_change_and_another_secret_is_one() -> None:
    world = World()
    world.config_map()
    world.service(artifacts=image())
    world.settle()
    before = world.job()["metadata"]["name"]
    field = "spec.artifacts.image.pushSecretRef"
    world.end_stage(Failure(reason="StorageForbidden", message="refused", field=field, about=About.STORAGE))
    world.settle()
    assert world.ready() == ("False", "StorageForbidden")
    assert field in world.condition("Ready")["message"]
    assert world.running_jobs() == []
    world.service(artifacts=image(pushSecretRef={"name": "may"}))
    world.settle()
    assert world.job()["metadata"]["name"] != before


def waiting_for(image: str, own: str = "server:1") -> Object:
    message = f'Back-off pulling image "{image}": not found'
    waiting = {"reason": "ImagePullBackOff", "message": message}
    return {"phase": "Pending", "containerStatuses": [{"name": "any", "image": own, "state": {"waiting": waiting}}]}


def test_an_artifact_that_nodes_cannot_pull_is_told_from_a_server_that_they_cannot() -> None:
    world = World()
    world.config_map()
    world.service(artifacts=image())
    key = world.run_stages()
    reference = volumes(world.one(DEPLOYMENT), "artifacts")[0]["image"]["reference"]
    world.serving_pod(ready=False, **waiting_for(reference))
    world.settle()
    assert world.condition("Ready")["reason"] == "ImagePullBackOff"
    message = world.condition("Ready")["message"]
    assert image_digest(key) in message
    assert "spec.artifacts.image.pullSecretRef" in message
    for ref in [ref for ref in world.kube.objects if ref.kind == POD]:
        del world.kube.objects[ref]
    world.serving_pod(ready=False, **waiting_for("server:1"))
    world.settle()
    assert "spec.artifacts" not in world.condition("Ready")["message"]
    assert "image.registry of the chart" in world.condition("Ready")["message"]


def test_the_stage_container_is_the_only_one_with_credentials() -> None:
    world = World()
    world.serve(artifacts=image())
    (job,) = world.all(JOB)
    assert [one["name"] for one in pod(job)["containers"]] == [STAGE_CONTAINER]
    assert "push" not in str(pod(world.one(DEPLOYMENT)))
