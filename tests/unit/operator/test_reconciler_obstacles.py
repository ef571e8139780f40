"""The reconciler's stories. What stands in the way is said, names the field, and heals."""

from contextlib import suppress
from typing import Any

import pytest
from tests.support.world import CSV, World

from modelservice.contract.progress import Progress
from modelservice_operator.kinds import (
    DEPLOYMENT,
    HORIZONTAL_POD_AUTOSCALER,
    JOB,
    MODEL_SERVICE,
    PERSISTENT_VOLUME_CLAIM,
    SERVICE_ACCOUNT,
)
from modelservice_operator.machinery.errors import Conflict, Forbidden, Invalid, Transient
from modelservice_operator.objects import Object, Ref
from modelservice_operator.reconciler import WRITTEN_SECONDS


@pytest.mark.parametrize(
    ("error", "reason", "stalled"),
    [
        (Forbidden("exceeded quota: claims"), "Forbidden", "False"),
        (Invalid("spec.x: bad"), "Refused", "True"),
        (Conflict("another one stands there"), "Conflict", "False"),
    ],
)
def test_a_refused_write_is_said_and_tried_again(error: Exception, reason: str, stalled: str) -> None:
    world = World()
    world.config_map()
    world.service()
    world.kube.failures = {("apply", "PersistentVolumeClaim"): error}  # type: ignore[dict-item]  # each is a KubeError
    again = world.reconcile()
    assert again is not None
    assert again <= 5
    assert world.condition("Ready")["reason"] == reason
    assert str(error) in world.condition("Ready")["message"]
    assert ("spec.artifacts.volumeClaim.size" in world.condition("Ready")["message"]) is (reason == "Forbidden")
    assert world.condition("Stalled")["status"] == stalled
    assert world.all(JOB) == []
    world.kube.failures = {}
    world.settle()
    assert world.job()


@pytest.mark.parametrize(("after", "waited"), [(30, 30), (9999, 120)])
def test_an_apiserver_that_sheds_load_is_left_alone_for_as_long_as_it_asks(after: int, waited: float) -> None:
    world = World()
    world.config_map()
    world.service()
    world.kube.failures = {("apply", "Job"): Transient("429 busy", after=after)}
    assert world.reconcile() == waited
    world.kube.failures = {}
    world.settle()
    assert world.job()


def test_what_is_written_is_said_in_a_look_of_its_own_soon() -> None:
    world = World()
    world.serve()
    said = world.status()
    world.service(serving={"tolerations": [{"key": "gpu", "operator": "Exists"}]})
    assert world.look() == WRITTEN_SECONDS
    assert world.one(DEPLOYMENT)["spec"]["template"]["spec"]["tolerations"]
    assert world.status() == said
    world.look()
    assert world.status()["observedGeneration"] == said["observedGeneration"] + 1
    assert world.ready() == ("False", "Deploying")


def test_each_change_of_a_spec_is_written_before_it_is_said() -> None:
    world = World()
    world.serve()
    for replicas in (2, 3):
        world.service(serving={"replicas": replicas})
        assert world.look() == WRITTEN_SECONDS
        assert world.one(DEPLOYMENT)["spec"]["replicas"] == replicas
        world.look()
        assert world.status()["observedGeneration"] == generation(world)


def test_what_happens_between_a_write_and_the_look_that_says_it_is_said() -> None:
    world = World()
    world.serve()
    world.service(serving={"replicas": 2})
    assert world.look() == WRITTEN_SECONDS
    world.service(training={"epochs": 0})
    world.look()
    assert world.ready() == ("False", "InvalidSpec")
    world.service(serving={"replicas": 3})
    world.settle()
    world.service(serving={"replicas": 4})
    assert world.look() == WRITTEN_SECONDS, "what was not said before the invalid spec is forgotten"


def test_what_was_written_is_said_in_the_end_whoever_comes_between() -> None:
    world = World()
    world.serve()
    world.service(serving={"replicas": 2})
    assert world.look() == WRITTEN_SECONDS
    world.kube.failures = {("status", "ModelService"): Conflict("somebody wrote")}
    world.look()
    world.kube.failures = {}
    world.service(serving={"replicas": 3})
    world.look()
    assert world.status()["observedGeneration"] == generation(world), "no second pass in a row ends without a word"


def test_a_write_that_is_refused_is_said_at_once() -> None:
    world = World()
    world.serve()
    world.kube.failures = {("apply", "Deployment"): Forbidden("exceeded quota: pods")}
    world.service(serving={"replicas": 2})
    world.look()
    assert "exceeded quota: pods" in world.condition("Ready")["message"]


def test_a_write_that_comes_to_nothing_is_looked_at_again_until_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    world.serve()
    apply = world.kube.apply

    async def swallowed(obj: Object, **options: Any) -> Object:
        """As by a webhook that puts back what stood there."""
        if obj["kind"] != DEPLOYMENT.kind:
            return await apply(obj, **options)
        return world.one(DEPLOYMENT)

    monkeypatch.setattr(world.kube, "apply", swallowed)
    world.service(serving={"tolerations": [{"key": "gpu", "operator": "Exists"}]})
    said = []
    for _ in range(6):
        again = world.look()
        assert again is not None
        world.clock.seconds += again
        said.append((world.ready(), world.status()["observedGeneration"] == generation(world)))
    assert [of_this_spec for _, of_this_spec in said[:2]] == [False, True], "no two passes in a row say nothing"
    assert said[-1] == (("False", "FoughtOver"), True)


def test_a_refused_write_of_the_training_holds_up_neither_serving_nor_cleaning_up() -> None:
    world = World()
    world.serve()
    world.service(training={"epochs": 2})
    world.settle()
    world.end_stage()
    world.settle()
    world.roll_out()
    world.settle()
    world.kube.failures = {("apply", "PersistentVolumeClaim"): Forbidden("exceeded quota: claims")}
    world.service(training={"epochs": 3}, serving={"replicas": 3}, revisionHistoryLimit=1)
    world.reconcile()
    assert world.ready() == ("False", "Forbidden")
    assert world.one(DEPLOYMENT)["spec"]["replicas"] == 3
    assert [record["revision"] for record in world.records()] == [2]


@pytest.mark.parametrize("verb", ["apply", "status", "get", "delete"])
def test_an_apiserver_that_does_not_answer_loses_nothing(verb: str) -> None:
    world = World()
    world.config_map()
    world.service()
    world.settle()
    world.service(training={"maxRestarts": 1})
    world.config_map(CSV + "7,7,y\n")
    kinds = {"apply": "Job", "status": "ModelService", "get": "ConfigMap", "delete": "Job"}
    world.kube.failures = {(verb, kinds[verb]): Transient("timeout")}
    with suppress(Transient):
        world.reconcile()
    world.kube.failures = {}
    world.settle()
    world.finish_deletions()
    world.settle()
    world.end_stage()
    world.settle()
    world.roll_out()
    world.settle()
    assert world.status()["revision"] == 1


def test_a_status_that_cannot_be_written_is_left_to_the_queue() -> None:
    world = World()
    world.config_map()
    world.service()
    world.kube.failures = {("status", "ModelService"): Transient("timeout")}
    with pytest.raises(Transient):
        world.reconcile()


@pytest.mark.parametrize("kind", ["PersistentVolumeClaim", "ServiceAccount", "NetworkPolicy", "Service"])
def test_a_webhook_that_is_down_is_said_at_once_and_keeps_nothing_else_from_being_written(kind: str) -> None:
    world = World()
    world.config_map()
    world.service()
    down = 'failed calling webhook "claims.example.com": connection refused'
    world.kube.failures = {("apply", kind): Transient(f"patch {kind}: 500 {down}")}
    waits = [world.reconcile() for _ in range(4)]
    assert world.ready() == ("False", "WriteFailed")
    assert kind in world.condition("Ready")["message"]
    assert down in world.condition("Ready")["message"]
    assert world.condition("Stalled")["status"] == "False"
    assert world.status()["observedGeneration"] == 1
    assert waits[0] is not None
    assert waits[0] <= 5, "soon"
    assert waits[-1] is not None
    assert waits[-1] <= 30
    assert {"ServiceAccount", "NetworkPolicy", "Service"} - {kind} <= {ref.kind.kind for ref in world.kube.objects}
    world.kube.failures = {}
    world.settle()
    assert world.ready() == ("False", "Training")


def test_a_webhook_that_is_down_keeps_what_serves_from_nothing() -> None:
    world = World()
    world.serve()
    world.kube.failures = {("apply", "PersistentVolumeClaim"): Transient("500 failed calling webhook")}
    world.service(training={"epochs": 2}, serving={"replicas": 3})
    world.reconcile()
    assert world.ready() == ("False", "WriteFailed")
    assert (
        world.status()["observedGeneration"]
        == world.kube.objects[Ref(MODEL_SERVICE, *world.key)]["metadata"]["generation"]
    )
    assert world.one(DEPLOYMENT)["spec"]["replicas"] == 3


def test_stopping_waits_for_no_other_write() -> None:
    world = World()
    world.config_map()
    world.service()
    world.settle()
    world.kube.failures = {("apply", kind): Forbidden("no") for kind in ("ServiceAccount", "NetworkPolicy")}
    world.one(SERVICE_ACCOUNT)["metadata"]["ownerReferences"] = [{"uid": "x", "kind": "X", "name": "x"}]
    world.kube.store(world.one(SERVICE_ACCOUNT))
    world.service(suspend=True)
    world.reconcile()
    world.finish_deletions()
    assert world.running_jobs() == []
    assert world.ready()[0] == "False"


def test_a_status_that_is_refused_is_said_in_few_words() -> None:
    world = World()
    world.config_map()
    world.service()
    words = "status.progress: Invalid value: must be an integer"
    world.kube.refuse_status = lambda status: words if "stage" in status else None
    world.settle()
    assert world.ready() == ("False", "StatusRefused")
    assert words in world.condition("Ready")["message"]
    assert world.status()["observedGeneration"] == 1
    assert [reason for reason, _ in world.kube.recorded] == ["StatusRefused"]
    world.kube.refuse_status = lambda _: None
    world.clock.seconds += 60
    world.settle()
    assert world.ready() == ("False", "Training")


def test_a_status_that_is_refused_in_few_words_too_is_left_to_the_queue() -> None:
    world = World()
    world.config_map()
    world.service()
    world.kube.refuse_status = lambda _: "no"
    with pytest.raises(Transient):
        world.reconcile()


def test_an_invalid_spec_is_said_and_serving_goes_on() -> None:
    world = World()
    world.serve()
    world.service(training={"epochs": 0})
    world.settle()
    assert world.ready() == ("False", "InvalidSpec")
    assert "spec.training.epochs" in world.condition("Ready")["message"]
    assert world.condition("Available")["status"] == "True"
    world.service()
    world.settle()
    assert world.ready() == ("True", "Serving")


def test_what_is_said_beside_an_invalid_spec_is_of_what_is_there() -> None:
    world = World()
    world.serve(serving={"replicas": 2})
    world.service(serving={"replicas": 2}, training={"epochs": 3})
    world.settle()
    job = world.job()
    world.pod_of(job, {"phase": "Running", "podIP": "10.0.0.1"})
    world.progress.answer = Progress(done=4, total=10, eta_seconds=60)
    world.clock.seconds += 60
    world.settle()
    assert (world.status()["progress"], world.status()["replicas"]) == ("40%", 2)
    world.service(serving={"replicas": 2}, training={"epochs": 0})
    world.settle()
    world.roll_out(available=1)
    deployment = world.deployment()
    world.kube.store({**deployment, "status": {**deployment["status"], "replicas": 1}})
    world.settle()
    assert world.ready() == ("False", "InvalidSpec")
    assert world.status()["replicas"] == 1
    assert world.status().keys().isdisjoint({"progress", "eta"})


def test_a_deployment_that_a_quota_refuses_pods_names_the_field() -> None:
    world = World()
    world.serve()
    refused = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate"}
    refused["message"] = "pods forbidden: failed quota: tight: must specify limits.cpu for: server"
    world.roll_out(available=0)
    deployment = world.one(DEPLOYMENT)
    world.kube.store({**deployment, "status": {**deployment["status"], "conditions": [refused]}})
    world.settle()
    assert world.ready() == ("False", "FailedCreate")
    assert "set spec.serving.resources" in world.condition("Ready")["message"]


def test_what_is_stuck_for_five_seconds_is_explained_by_its_events() -> None:
    world = World()
    world.config_map()
    world.service()
    world.settle()
    job = world.job()
    warning = {"type": "Warning", "reason": "FailedCreate", "message": "pods forbidden: exceeded quota: tight"}
    world.kube.warnings = {job["metadata"]["uid"]: [warning]}
    assert world.ready() == ("False", "Training")
    world.clock.seconds += 6
    world.reconcile()  # the claim and the Job are asked about one after the other
    world.clock.seconds += 1
    assert world.reconcile() == 5
    assert world.condition("Ready")["reason"] == "FailedCreate"
    assert "spec.training.resources" in world.condition("Ready")["message"]
    world.kube.warnings = {}
    world.pod_of(job, {"phase": "Running"})
    world.settle()
    assert world.ready() == ("False", "Training")


def test_what_is_stuck_for_long_is_asked_about_now_and_then() -> None:
    world = World()
    world.config_map()
    world.service()
    world.settle()

    def asked(seconds: int, *, every: int) -> int:
        before = len([verb for verb, _, _ in world.kube.reads if verb == "events"])
        for _ in range(seconds // every):
            world.clock.seconds += every
            world.reconcile()
        return len([verb for verb, _, _ in world.kube.reads if verb == "events"]) - before

    assert asked(30, every=2) >= 2 * 3  # the Job and its claim: after 4, 8 and 16 seconds
    assert asked(3000, every=10) <= 2 * 15


def test_of_a_pod_whose_conditions_say_why_it_waits_no_events_are_read() -> None:
    world = World()
    world.config_map()
    world.service()
    world.settle()
    world.bind_claims()
    words = {"reason": "Unschedulable", "message": "0/3 nodes are available: 3 Insufficient memory."}
    waiting = {"type": "PodScheduled", "status": "False", **words}
    pod = world.pod_of(world.job(), {"phase": "Pending", "conditions": [waiting]})
    reads = len(world.kube.reads)
    for _ in range(30):
        world.clock.seconds += 10
        world.reconcile()
    assert world.ready() == ("False", "Unschedulable")
    assert [name for verb, _, name in world.kube.reads[reads:] if verb == "events"] == []
    world.kube.store({**pod, "status": {"phase": "Pending", "conditions": []}})
    world.clock.seconds += 10
    world.reconcile()
    assert [name for verb, _, name in world.kube.reads[reads:] if verb == "events"] == [pod["metadata"]["uid"]]


def test_a_claim_that_does_not_bind_is_why_its_pod_is_not_scheduled() -> None:
    world = World()
    world.config_map()
    world.service()
    world.settle()
    unschedulable = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "unbound claim"}
    world.pod_of(world.job(), {"phase": "Pending", "conditions": [unschedulable]})
    (claim,) = world.ours(PERSISTENT_VOLUME_CLAIM)
    warning = {"type": "Warning", "reason": "ProvisioningFailed", "message": 'storageclass "x" not found'}
    world.kube.warnings = {claim["metadata"]["uid"]: [warning]}
    world.settle()
    assert world.ready() == ("False", "Unschedulable")
    world.clock.seconds += 6
    world.settle()
    assert world.ready() == ("False", "ProvisioningFailed")
    assert "spec.artifacts.volumeClaim.storageClassName" in world.condition("Ready")["message"]


def test_a_refused_deletion_holds_up_nothing_else() -> None:
    world = World()
    world.serve(serving={"autoscaling": {"maxReplicas": 3}}, revisionHistoryLimit=1)
    world.service(training={"epochs": 2}, serving={"autoscaling": {"maxReplicas": 3}}, revisionHistoryLimit=1)
    world.run_stages()
    world.kube.failures = {("delete", "PersistentVolumeClaim"): Forbidden("not now")}
    world.service(training={"epochs": 2}, serving={"replicas": 2}, revisionHistoryLimit=1)
    world.reconcile()
    world.roll_out()
    assert world.reconcile() == 5, "it is tried again"
    assert world.ready() == ("False", "Forbidden")
    assert world.ours(HORIZONTAL_POD_AUTOSCALER) == []
    assert world.one(DEPLOYMENT)["spec"]["replicas"] == 2
    assert len(world.ours(PERSISTENT_VOLUME_CLAIM)) == 2
    assert len(world.records()) == 1
    world.kube.failures = {}
    world.settle()
    assert len(world.ours(PERSISTENT_VOLUME_CLAIM)) == 1


def test_a_write_that_is_refused_again_and_again_is_no_fight() -> None:
    world = World()
    world.config_map()
    world.service()
    world.kube.failures = {("apply", "PersistentVolumeClaim"): Forbidden("exceeded quota")}
    for _ in range(10):  # whatever happens to other children brings it to another try
        world.reconcile()
        assert world.ready() == ("False", "Forbidden")


def test_a_conflict_that_nothing_newer_explains_is_tried_again_in_a_while() -> None:
    world = World()
    world.config_map()
    world.service()
    world.kube.failures = {("status", "ModelService"): Conflict("denied by a webhook")}
    assert world.reconcile() >= 1.0  # type: ignore[operator]  # None would be never


def test_in_a_namespace_that_is_deleted_nobody_is_sent_for_a_quota() -> None:
    world = World()
    world.config_map()
    world.service()
    refused = "claims is forbidden: unable to create new content in namespace default because it is being terminated"
    world.kube.failures = {("apply", "PersistentVolumeClaim"): Forbidden(refused)}
    world.reconcile()
    assert world.ready() == ("False", "NamespaceTerminating")
    assert world.condition("Ready")["message"] == "namespace default is being deleted: nothing new can be made in it"
    assert world.condition("Progressing")["status"] == "False"


def generation(world: World) -> int:
    """Of the spec as it was applied last."""
    applied: int = world.kube.objects[Ref(MODEL_SERVICE, *world.key)]["metadata"]["generation"]
    return applied
