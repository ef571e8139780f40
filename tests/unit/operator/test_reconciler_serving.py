"""The reconciler's stories. How a revision is served: roll-outs, templates, scaling, retention."""

import json
from contextlib import suppress
from typing import Any

import pytest
from tests.support.fake_kube import Stop
from tests.support.world import NAMESPACE, World, ends, success, without_image

from modelservice.contract.failure import About, Failure
from modelservice.contract.signature import InputTensor, Output, Signature
from modelservice_operator.domain.verdict import RESTARTS
from modelservice_operator.kinds import (
    CONFIG_MAP,
    DEPLOYMENT,
    HORIZONTAL_POD_AUTOSCALER,
    JOB,
    NETWORK_POLICY,
    PERSISTENT_VOLUME_CLAIM,
    POD_DISRUPTION_BUDGET,
    SERVICE,
)
from modelservice_operator.machinery.errors import Forbidden
from modelservice_operator.objects import Ref


def test_going_back_serves_with_the_template_that_served_then() -> None:
    world = World()
    world.serve()
    template = world.one(DEPLOYMENT)["spec"]["template"]
    world.restart_operator(trainer_image="trainer:2", server_image="server:2")
    world.service(training={"epochs": 5})
    world.settle()
    world.end_stage()
    world.settle()
    world.roll_out()
    world.settle()
    world.service()
    world.settle()
    assert world.one(DEPLOYMENT)["spec"]["template"] == template


def test_pods_know_the_number_of_their_revision_and_keep_it() -> None:
    def revision_of_pods() -> list[str]:
        arguments = world.one(DEPLOYMENT)["spec"]["template"]["spec"]["containers"][0]["args"]
        return [argument for argument in arguments if argument.startswith("--revision=")]

    world = World()
    world.serve()
    assert revision_of_pods() == ["--revision=1"]
    world.service(training={"epochs": 5})
    world.settle()
    world.end_stage()
    world.settle()
    world.roll_out()
    world.settle()
    assert (revision_of_pods(), world.status()["revision"]) == (["--revision=2"], 2)
    world.service()
    world.settle()
    assert revision_of_pods() == ["--revision=1"]


def test_a_template_of_a_release_that_said_no_number_stays() -> None:
    world = World()
    world.serve()
    (record,) = world.records()
    template = record["data"]["serving"]["template"]
    arguments = template["spec"]["containers"][0]["args"]
    arguments[:] = [argument for argument in arguments if not argument.startswith("--revision=")]
    world.kube.store(record)
    world.restart_operator()
    world.settle()
    world.roll_out()
    world.settle()
    assert world.one(DEPLOYMENT)["spec"]["template"]["spec"]["containers"][0]["args"] == arguments


def test_an_upgrade_mends_what_never_came_to_serve() -> None:
    world = World()
    world.config_map()
    world.service()
    world.run_stages()
    world.roll_out(available=0)
    world.restart_operator(trainer_image="trainer:2", server_image="server:2")
    world.settle()
    assert server_image(world) == "server:1", "it may still come"
    container = {"name": "server", "ready": False, "restartCount": RESTARTS, "state": {}}
    world.serving_pod(ready=False, containerStatuses=[container])
    deployment = world.one(DEPLOYMENT)
    seen = {**deployment["status"], "observedGeneration": deployment["metadata"]["generation"]}
    world.kube.store({**deployment, "status": seen})
    world.settle()
    assert server_image(world) == "server:2"


def server_image(world: World) -> str:
    image: str = world.one(DEPLOYMENT)["spec"]["template"]["spec"]["containers"][0]["image"]
    return image


def test_changed_serving_inputs_train_nothing() -> None:
    world = World()
    world.serve()
    world.service(serving={"resources": {"requests": {"cpu": "1000m"}}})
    world.settle()
    container = world.one(DEPLOYMENT)["spec"]["template"]["spec"]["containers"][0]
    assert container["resources"]["requests"]["cpu"] == "1"
    assert len(world.all(JOB)) == 1


@pytest.mark.parametrize("said", ["{", '{"inputs": "", "template": {}}', None])
def test_a_template_that_somebody_writes_beside_a_deployment_is_never_applied(said: str | None) -> None:
    """Release 0.1 kept it there; what runs comes from a ControllerRevision, which only the operator writes."""
    world = World()
    world.serve()
    stored = world.records()[0]["data"]["serving"]
    template = world.one(DEPLOYMENT)["spec"]["template"]
    asked = json.dumps({"inputs": stored["inputs"], "template": {"spec": {"containers": [{"image": "mine"}]}}})
    metadata = {**world.one(DEPLOYMENT)["metadata"], "annotations": {"modelservice.dev/template": said or asked}}
    world.kube.store({**world.one(DEPLOYMENT), "metadata": metadata})
    world.restart_operator(trainer_image="trainer:2", server_image="server:2")
    world.settle()
    assert world.one(DEPLOYMENT)["spec"]["template"] == template


def test_a_new_revision_is_trained_while_the_old_one_serves() -> None:
    world = World()
    first = world.serve()
    world.service(training={"epochs": 5})
    world.settle()
    assert world.one(DEPLOYMENT)["metadata"]["labels"]["modelservice.dev/key"] == first
    assert world.ready() == ("False", "Training")
    assert world.condition("Available")["status"] == "True"
    assert world.condition("Served")["message"] == "revision 1 serves meanwhile"
    world.bind_claims()
    second = world.end_stage()
    world.settle()
    assert second != first
    deployment = world.one(DEPLOYMENT)
    assert deployment["metadata"]["labels"]["modelservice.dev/key"] == second
    assert deployment["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
    world.roll_out()
    world.settle()
    assert world.ready() == ("True", "Serving")
    assert [(r["number"], r["phase"]) for r in world.status()["revisions"]] == [(2, "Serving"), (1, "Retired")]


def test_going_back_serves_the_old_revision_without_training() -> None:
    world = World()
    first = world.serve()
    world.service(training={"epochs": 5})
    world.settle()
    world.end_stage()
    world.settle()
    world.service()
    world.settle()
    assert world.one(DEPLOYMENT)["metadata"]["labels"]["modelservice.dev/key"] == first
    assert world.status()["revision"] == 1
    assert not [job for job in world.all(JOB) if not job.get("status")]


def test_a_number_of_replicas_survives_the_way_to_autoscaling() -> None:
    world = World()
    world.serve(serving={"replicas": 3})
    world.service(serving={"autoscaling": {"minReplicas": 1, "maxReplicas": 5}})
    world.settle()
    deployment = Ref(DEPLOYMENT, NAMESPACE, "churn")
    assert world.kube.objects[deployment]["spec"]["replicas"] == 3
    assert "replicas" not in world.kube.applied[deployment]["modelservice-operator"]["spec"]
    assert world.one(HORIZONTAL_POD_AUTOSCALER)["spec"]["maxReplicas"] == 5
    world.service(serving={"replicas": 2})
    world.settle()
    assert world.kube.objects[deployment]["spec"]["replicas"] == 2
    assert world.ours(HORIZONTAL_POD_AUTOSCALER) == []


def test_autoscaling_beside_a_number_by_kubectl_scale_goes_on_from_it() -> None:
    world = World()
    world.serve(serving={"replicas": 2})
    world.service(serving={"replicas": 2, "autoscaling": {"maxReplicas": 5}})
    world.settle()
    world.roll_out()
    world.settle()
    assert world.ready() == ("True", "Serving")
    assert world.one(DEPLOYMENT)["spec"]["replicas"] == 2
    world.kube.store({**world.one(DEPLOYMENT), "spec": {**world.one(DEPLOYMENT)["spec"], "replicas": 4}})
    world.settle()
    assert world.one(DEPLOYMENT)["spec"]["replicas"] == 4, "the autoscaler owns the number, whatever the spec says"


def scaled(world: World, replicas: int) -> None:
    """The autoscaler's part."""
    world.kube.store({**world.one(DEPLOYMENT), "spec": {**world.one(DEPLOYMENT)["spec"], "replicas": replicas}})


@pytest.mark.parametrize(
    ("before", "after", "kept"),
    [
        ({}, {}, 3),
        ({"replicas": 2}, {"replicas": 2}, 3),
        ({"replicas": 3}, {"replicas": 3}, 3),
        ({}, {"replicas": 5}, 5),
        ({"replicas": 2}, {"replicas": 1}, 1),
    ],
)
def test_what_an_autoscaler_leaves_is_kept_unless_another_number_is_said(
    before: dict[str, int], after: dict[str, int], kept: int
) -> None:
    world = World()
    world.serve(serving={**before, "autoscaling": {"maxReplicas": 5}})
    scaled(world, 3)
    seen: list[int] = []
    world.service(serving=after)
    for _ in range(5):
        world.reconcile()
        seen.append(world.one(DEPLOYMENT)["spec"]["replicas"])
    assert set(seen) == {kept}
    assert world.spec()["serving"].get("replicas", 1) == kept, "kubectl scale goes on from what runs"
    assert world.ours(HORIZONTAL_POD_AUTOSCALER) == []
    world.service(serving={"replicas": 1})
    world.settle()
    assert world.one(DEPLOYMENT)["spec"]["replicas"] == 1


@pytest.mark.parametrize(("number", "written"), ends(4))
def test_what_an_autoscaler_leaves_survives_the_end_of_the_operator(number: int, *, written: bool) -> None:
    world = World()
    world.serve(serving={"autoscaling": {"maxReplicas": 5}})
    scaled(world, 3)
    world.service()
    world.kube.stop_at(len(world.kube.writes) + number, written=written)
    with suppress(Stop):
        world.settle()
    world.kube.stop_at(None, written=False)
    world.restart_operator()
    world.settle()
    assert world.one(DEPLOYMENT)["spec"]["replicas"] == 3
    assert world.ours(HORIZONTAL_POD_AUTOSCALER) == []


def test_an_autoscaler_stays_while_its_number_cannot_be_stored() -> None:
    world = World()
    world.serve(serving={"autoscaling": {"maxReplicas": 5}})
    scaled(world, 3)
    world.service()
    world.kube.failures = {("scale", "ModelService"): Forbidden("no right to scale")}
    world.reconcile()
    assert world.ready() == ("False", "Forbidden")
    assert world.one(DEPLOYMENT)["spec"]["replicas"] == 3
    assert world.one(HORIZONTAL_POD_AUTOSCALER)


def test_an_autoscaler_is_never_handed_no_replica_at_all() -> None:
    world = World()
    world.serve(serving={"replicas": 0})
    world.service(serving={"autoscaling": {"minReplicas": 2, "maxReplicas": 5}})
    world.settle()
    assert world.one(DEPLOYMENT)["spec"]["replicas"] == 2


def test_a_disruption_budget_needs_two_replicas_that_can_be_apart() -> None:
    world = World(default_artifacts='{"volumeClaim": {"accessModes": ["ReadWriteMany"]}}')
    world.serve(serving={"replicas": 2})
    assert world.one(POD_DISRUPTION_BUDGET)["spec"]["maxUnavailable"] == 1
    assert world.condition("ArtifactsPortable")["status"] == "True"
    assert "affinity" not in world.one(DEPLOYMENT)["spec"]["template"]["spec"]
    world.service(serving={"replicas": 1})
    world.settle()
    assert world.ours(POD_DISRUPTION_BUDGET) == []
    shared = World()
    shared.serve(serving={"replicas": 2})
    assert shared.ours(POD_DISRUPTION_BUDGET) == []
    assert shared.one(DEPLOYMENT)["spec"]["template"]["spec"]["affinity"]


def test_revisions_beyond_the_limit_go_with_their_claims_and_jobs() -> None:
    world = World()
    world.serve(revisionHistoryLimit=2)
    for epochs in (1, 2, 3):
        world.service(revisionHistoryLimit=2, training={"epochs": epochs})
        world.settle()
        world.end_stage()
        world.settle()
        world.roll_out()
        world.settle()
    kept = {record["revision"] for record in world.records()}
    assert kept == {3, 4}
    assert len(world.ours(PERSISTENT_VOLUME_CLAIM)) == 2
    assert len(world.all(JOB)) == len(world.ours(CONFIG_MAP)) == 1


def test_a_rollout_to_a_missing_image_takes_the_next_one() -> None:
    world = World()
    world.serve()
    world.restart_operator(trainer_image="trainer:2", server_image="server:2")
    world.service(training={"epochs": 3})
    world.run_stages()
    deployment = world.one(DEPLOYMENT)
    world.serving_pod(ready=False, **without_image("server:2"))
    world.settle()
    assert world.one(DEPLOYMENT)["metadata"]["generation"] == deployment["metadata"]["generation"]
    world.restart_operator(trainer_image="trainer:3", server_image="server:3")
    world.settle()
    assert world.one(DEPLOYMENT)["spec"]["template"]["spec"]["containers"][0]["image"] == "server:3"


GPU = {"limits": {"nvidia.com/gpu": 1}}


@pytest.mark.parametrize(
    ("spec", "report", "engine", "image"),
    [
        ({}, {}, "onnx", "server:1"),
        ({"serving": {"engine": "Torch"}}, {}, "torch", "trainer:1"),
        ({"serving": {"resources": GPU}}, {}, "torch", "trainer:1"),
        ({"serving": {"resources": GPU, "engine": "ONNX"}}, {}, "onnx", "server:1"),
        ({"serving": {"resources": GPU}}, {"family": "svm"}, "onnx", "server:1"),
        ({"serving": {"resources": GPU}}, {"onnx_only": True}, "onnx", "server:1"),
        ({"serving": {"resources": GPU}, "compression": {"steps": [{"quantize": {}}]}}, {}, "onnx", "server:1"),
    ],
)
def test_an_engine_is_what_the_spec_says_and_the_model_can(
    spec: dict[str, Any], report: dict[str, Any], engine: str, image: str
) -> None:
    world = World()
    world.config_map()
    world.service(**spec)
    world.settle()
    world.end_stage(success(world.order(world.job())["key"], **report))
    world.run_stages()
    container = world.one(DEPLOYMENT)["spec"]["template"]["spec"]["containers"][0]
    assert f"--engine={engine}" in container["args"]
    assert container["image"] == image
    memory = {"onnx": ("160Mi", "1Gi"), "torch": ("640Mi", "2Gi")}[engine]
    assert (container["resources"]["requests"]["memory"], container["resources"]["limits"]["memory"]) == memory


@pytest.mark.parametrize(
    ("limits", "granted"),
    [
        ({}, None),
        ({"nvidia.com/gpu": 0}, None),
        ({"nvidia.com/gpu": 2}, "2"),
        ({"nvidia.com/mig-1g.10gb": 1}, "1"),
        ({"example.com/fpga": 1}, None),
    ],
)
def test_pods_know_how_many_gpus_they_were_granted_and_run_by_the_class_that_was_asked_for(
    limits: dict[str, int], granted: str | None
) -> None:
    world = World()
    settings = {"resources": {"limits": limits}, "runtimeClassName": "nvidia"}
    world.serve(training=settings, serving=settings)
    for workload in (*world.all(JOB), world.one(DEPLOYMENT)):
        pod = workload["spec"]["template"]["spec"]
        told = {variable["name"]: variable.get("value") for variable in pod["containers"][0]["env"]}
        assert told.get("MODELSERVICE_GPUS") == granted
        assert pod["runtimeClassName"] == "nvidia"


def test_a_gpu_that_no_pod_sees_names_the_field() -> None:
    world = World()
    world.config_map()
    world.service(training={"resources": GPU})
    world.settle()
    field = "spec.training.runtimeClassName"
    world.end_stage(Failure(reason="GpuNotVisible", message=f"set {field}", field=field, about=About.STAGE))
    world.settle()
    assert world.ready() == ("False", "GpuNotVisible")
    assert world.condition("Stalled")["status"] == "True"
    world.service(training={"resources": GPU, "runtimeClassName": "nvidia"})
    world.settle()
    assert world.ready() == ("False", "Training")
    assert world.job()["spec"]["template"]["spec"]["runtimeClassName"] == "nvidia"


def test_a_crash_loop_is_one_reason_and_one_event() -> None:
    world = World()
    world.serve()
    world.service(serving={"batching": {"maxSize": 8}})
    world.settle()
    ended = {"terminated": {"exitCode": 1, "message": "no such file"}}
    waits = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 40s restarting failed container"}}
    count = len(world.kube.recorded)
    for state, last in (
        (waits, ended),
        ({"running": {}}, ended),
        (ended, ended),
        (waits, ended),
        ({"running": {}}, ended),
    ):
        container = {"name": "server", "ready": False, "state": state, "lastState": last}
        world.serving_pod(ready=False, containerStatuses=[container])
        world.settle()
        assert world.ready() == ("False", "CrashLoopBackOff")
        assert world.condition("Ready")["message"] == "no such file; the container ended with exit code 1"
    assert len(world.kube.recorded) == count + 1
    started = world.clock.now().isoformat()
    container = {"name": "server", "ready": True, "state": {"running": {"startedAt": started}}, "lastState": ended}
    world.roll_out()
    world.serving_pod(containerStatuses=[container])
    world.settle()
    assert world.ready() == ("False", "CrashLoopBackOff"), "it answers, as between any two crashes"
    assert world.condition("Available")["status"] == "True"
    world.clock.seconds += 60
    world.settle()
    assert world.ready() == ("True", "Serving")
    assert len(world.kube.recorded) == count + 2


def test_grpc_is_on_a_port_of_its_own_where_it_is_asked_for() -> None:
    world = World()
    world.serve()
    pod = world.one(DEPLOYMENT)["spec"]["template"]["spec"]["containers"][0]
    assert [port["name"] for port in pod["ports"]] == ["http"]
    assert [port["port"] for port in world.one(SERVICE)["spec"]["ports"]] == [80]
    world.service(serving={"grpc": {}})
    world.settle()
    pod = world.one(DEPLOYMENT)["spec"]["template"]["spec"]["containers"][0]
    assert "--grpc-port=9000" in pod["args"]
    assert [port["containerPort"] for port in pod["ports"]] == [8080, 9000]
    assert [(port["name"], port["port"]) for port in world.one(SERVICE)["spec"]["ports"]] == [
        ("http", 80),
        ("grpc", 9000),
    ]
    clients = world.one(NETWORK_POLICY)["spec"]["ingress"][0]["ports"]
    assert [port["port"] for port in clients] == [8080, 9000]
    assert len(world.all(JOB)) == 1


def test_a_server_listens_on_ipv6_and_ipv4() -> None:
    world = World()
    world.serve()
    assert "--host=::" in world.one(DEPLOYMENT)["spec"]["template"]["spec"]["containers"][0]["args"]


@pytest.mark.parametrize(
    ("shape", "instance"),
    [((2, 3), '{"instances": [[[0, 0, 0], [0, 0, 0]]]}'), ((512, 512), None)],
)
def test_the_example_of_an_image_is_an_empty_one_unless_it_is_large(
    shape: tuple[int, ...], instance: str | None
) -> None:
    world = World()
    world.config_map()
    world.service()
    world.settle()
    image = Signature(
        modality="image",
        task="Multiclass",
        target="y",
        inputs=(InputTensor(name="image", datatype="UINT8", shape=shape),),
        outputs=(Output(name="label", datatype="BYTES"),),
    )
    world.end_stage(success(world.order(world.job())["key"], signature=image))
    world.settle()
    world.roll_out()
    world.settle()
    example = world.status()["example"]
    if instance is None:
        assert example == "curl -s http://churn.default.svc/v2/models/churn"
    else:
        assert example.endswith(f"-d '{instance}'")
