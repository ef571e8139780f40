"""The reconciler, as a story for each situation: objects in, writes and status out."""

from typing import Any

import pytest
from tests.support.world import CSV, NAMESPACE, World, success

from modelservice.contract.progress import Progress
from modelservice.contract.report import Failure, Report
from modelservice_operator.api.status import ModelServiceStatus
from modelservice_operator.constants import ANNOTATION_TEMPLATE, LABEL_NAME, TRAINING_CONTAINER
from modelservice_operator.kinds import (
    CONFIG_MAP,
    CONTROLLER_REVISION,
    DEPLOYMENT,
    HORIZONTAL_POD_AUTOSCALER,
    JOB,
    MODEL_SERVICE,
    NETWORK_POLICY,
    PERSISTENT_VOLUME_CLAIM,
    POD_DISRUPTION_BUDGET,
    SERVICE,
    SERVICE_ACCOUNT,
    Kind,
    Ref,
    ref_of,
)
from modelservice_operator.kube.port import Conflict, Forbidden, Invalid, Transient


def test_smallest_resource_is_trained_and_served() -> None:
    world = World()
    key = world.serve()
    assert world.ready() == ("True", "Serving")
    status = ModelServiceStatus.model_validate(world.status())
    assert (status.stage, status.revision, status.key, status.replicas) == ("Serving", 1, key, 1)
    assert status.observed_generation == 1
    assert status.url == "http://churn.default.svc"
    assert status.example == (
        "curl -s http://churn.default.svc/v1/models/churn:predict -H 'content-type: application/json' "
        '-d \'{"instances": [{"a": 1.5}]}\''
    )
    assert [r.phase for r in status.revisions] == ["Serving"]
    assert world.condition("DataReady")["message"] == "150 rows, 4 features, 3 classes"
    assert world.condition("ArtifactsPortable")["reason"] == "ReadWriteOnce"


def test_events_tell_each_step_once() -> None:
    world = World()
    world.serve()
    assert [reason for reason, _ in world.kube.recorded] == ["Training", "Deploying", "Serving"]


def test_a_converged_service_sees_no_write_and_no_full_read() -> None:
    world = World()
    world.serve()
    writes, reads = len(world.kube.writes), len(world.kube.reads)
    for _ in range(3):
        world.clock.seconds += 60
        assert world.reconcile() is not None
    assert world.writes_since(writes) == []
    assert {verb for verb, _, _ in world.kube.reads[reads:]} == {"get_metadata"}


def test_all_children_belong_to_the_service_by_uid() -> None:
    world = World()
    world.serve()
    uid = world.one(MODEL_SERVICE)["metadata"]["uid"] if world.ours(MODEL_SERVICE) else None
    uid = uid or world.kube.objects[Ref(MODEL_SERVICE, *world.key)]["metadata"]["uid"]
    for kind in (
        JOB,
        DEPLOYMENT,
        SERVICE,
        SERVICE_ACCOUNT,
        NETWORK_POLICY,
        CONTROLLER_REVISION,
        PERSISTENT_VOLUME_CLAIM,
    ):
        assert world.one(kind)["metadata"]["ownerReferences"][0]["uid"] == uid, kind


def test_an_operator_restart_or_upgrade_changes_nothing() -> None:
    world = World()
    world.serve()
    template = world.one(DEPLOYMENT)["spec"]["template"]
    for settings in ({}, {"runtime_image": "runtime:2"}):
        writes = len(world.kube.writes)
        world.restart_operator(**settings)
        world.settle()
        assert world.writes_since(writes) == []
    assert world.one(DEPLOYMENT)["spec"]["template"] == template


def test_going_back_serves_with_the_template_that_served_then() -> None:
    world = World()
    world.serve()
    template = world.one(DEPLOYMENT)["spec"]["template"]
    world.restart_operator(runtime_image="runtime:2")
    world.service(training={"epochs": 5})
    world.settle()
    world.end_training()
    world.settle()
    world.roll_out()
    world.settle()
    world.service()
    world.settle()
    assert world.one(DEPLOYMENT)["spec"]["template"] == template


def test_an_upgrade_mends_what_answers_no_request() -> None:
    world = World()
    world.serve()
    world.roll_out(available=0)
    world.restart_operator(runtime_image="runtime:2")
    world.settle()
    assert world.one(DEPLOYMENT)["spec"]["template"]["spec"]["containers"][0]["image"] == "runtime:2"


def test_changed_serving_inputs_take_the_new_image_and_train_nothing() -> None:
    world = World()
    world.serve()
    world.restart_operator(runtime_image="runtime:2")
    world.service(serving={"resources": {"requests": {"cpu": "1000m"}}})
    world.settle()
    container = world.one(DEPLOYMENT)["spec"]["template"]["spec"]["containers"][0]
    assert container["image"] == "runtime:2"
    assert container["resources"]["requests"]["cpu"] == "1"
    assert len(world.all(JOB)) == 1


def test_an_annotation_that_somebody_broke_is_mended_from_the_record() -> None:
    world = World()
    world.serve()
    template = world.one(DEPLOYMENT)["spec"]["template"]
    world.kube.store(
        {
            **world.one(DEPLOYMENT),
            "metadata": {**world.one(DEPLOYMENT)["metadata"], "annotations": {ANNOTATION_TEMPLATE: "{"}},
        }
    )
    world.restart_operator(runtime_image="runtime:2")
    world.settle()
    assert world.one(DEPLOYMENT)["spec"]["template"] == template


def test_status_wiped_by_hand_comes_back_without_training() -> None:
    world = World()
    world.serve()
    before = world.status()
    world.kube.objects[Ref(MODEL_SERVICE, *world.key)].pop("status")
    world.kube.store(world.kube.objects[Ref(MODEL_SERVICE, *world.key)])
    writes = len(world.kube.writes)
    world.settle()
    assert world.writes_since(writes) == [("status", "ModelService", "churn")]
    after = world.status()
    assert {**after, "conditions": []} == {**before, "conditions": []}


def test_a_new_revision_is_trained_while_the_old_one_serves() -> None:
    world = World()
    first = world.serve()
    world.service(training={"epochs": 5})
    world.settle()
    assert world.one(DEPLOYMENT)["metadata"]["labels"]["modelservice.dev/revision"] == first
    assert world.ready() == ("False", "Training")
    assert world.condition("Available")["status"] == "True"
    assert world.condition("Served")["message"] == "revision 1 serves meanwhile"
    world.bind_claims()
    second = world.end_training()
    world.settle()
    assert second != first
    deployment = world.one(DEPLOYMENT)
    assert deployment["metadata"]["labels"]["modelservice.dev/revision"] == second
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
    world.end_training()
    world.settle()
    world.service()
    world.settle()
    assert world.one(DEPLOYMENT)["metadata"]["labels"]["modelservice.dev/revision"] == first
    assert world.status()["revision"] == 1
    assert not [job for job in world.all(JOB) if not job.get("status")]


def test_appended_rows_train_again_and_a_renamed_config_map_does_not() -> None:
    world = World()
    key = world.serve()
    world.config_map(name="renamed")
    world.service(data={"configMap": {"name": "renamed"}, "target": "kind"})
    world.settle()
    world.roll_out()
    world.settle()
    assert (world.status()["key"], world.ready()[0]) == (key, "True")
    world.config_map(CSV + "5,6,x\n", name="renamed")
    world.settle()
    assert world.status()["key"] != key
    assert world.job()["spec"]["template"]["spec"]["volumes"][1]["configMap"]["name"] == "renamed"


def test_values_equal_to_their_defaults_train_nothing() -> None:
    world = World()
    world.serve()
    writes = len(world.kube.writes)
    world.service(
        training={"optimizer": {"adam": {"learningRate": 0.01}}, "epochs": 60}, model={"mlp": {"dropout": 0.1}}
    )
    world.settle()
    assert {kind for _, kind, _ in world.writes_since(writes)} == {"ModelService"}


@pytest.mark.parametrize(
    ("change", "reason", "words"),
    [
        ("gone", "ConfigMapNotFound", "spec.data.configMap.name"),
        ("two keys", "KeyNotClear", "churn.csv, other.csv"),
        ("no such key", "KeyNotFound", "'x.csv'"),
    ],
)
def test_data_that_cannot_be_found_is_said_and_heals(change: str, reason: str, words: str) -> None:
    world = World()
    if change != "gone":
        world.config_map(**({"other.csv": "1"} if change == "two keys" else {}))
    source = {"name": "churn"} | ({"key": "x.csv"} if change == "no such key" else {})
    world.service(data={"configMap": source, "target": "kind"})
    again = world.reconcile()
    assert again is not None
    assert again <= 5
    assert world.condition("Ready")["reason"] == reason
    assert words in world.condition("Ready")["message"]
    assert world.condition("Stalled")["status"] == "True"
    assert world.condition("DataReady")["status"] == "False"
    assert world.all(JOB) == []
    world.clock.seconds += 60
    if change == "two keys":
        world.kube.objects.pop(Ref(CONFIG_MAP, NAMESPACE, "churn"))
    world.config_map(**({"x.csv": CSV} if change == "no such key" else {}))
    world.settle()
    assert world.ready() == ("False", "Training")


def test_data_that_vanishes_leaves_the_service_up() -> None:
    world = World()
    world.serve()
    world.config_map(None)
    world.settle()
    assert world.ready() == ("False", "ConfigMapNotFound")
    assert world.condition("Available")["status"] == "True"
    assert world.one(DEPLOYMENT)
    assert world.one(CONTROLLER_REVISION)
    assert world.one(PERSISTENT_VOLUME_CLAIM)


def test_what_was_trained_while_the_data_was_gone_is_served_when_it_is_back() -> None:
    world = World()
    world.config_map()
    world.service()
    world.settle()
    world.config_map(None)
    world.settle()
    world.end_training()
    world.settle()
    world.config_map()
    world.settle()
    assert world.status()["revision"] == 1
    assert len(world.all(JOB)) == 1


def test_wrong_data_waits_for_a_change() -> None:
    world = World()
    world.config_map()
    world.service()
    world.settle()
    failure = Failure(reason="TargetNotFound", message="there is no column 'kind'", field="spec.data.target")
    world.end_training(failure, exit_code=65)
    world.settle()
    assert world.ready() == ("False", "TargetNotFound")
    assert world.condition("DataReady")["message"] == "there is no column 'kind' (see spec.data.target)"
    assert world.condition("Stalled")["status"] == "True"
    assert world.status()["stage"] == "Failed"
    assert len(world.all(JOB)) == 1
    world.config_map(CSV + "1,1,z\n")
    world.settle()
    world.finish_deletions()
    world.settle()
    assert world.ready() == ("False", "Training")
    assert len(world.all(JOB)) == 1


def test_out_of_memory_names_the_field_and_more_memory_heals_it() -> None:
    world = World()
    world.config_map()
    world.service(training={"resources": {"limits": {"memory": "100Mi"}}})
    world.settle()
    world.end_training(exit_code=137, oom=True)
    world.settle()
    assert world.condition("Ready")["message"] == "OOMKilled at 100Mi: raise spec.training.resources.limits.memory"
    key = world.status()["key"]
    world.service(training={"resources": {"limits": {"memory": "2Gi"}}})
    world.settle()
    world.finish_deletions()
    world.settle()
    assert world.ready() == ("False", "Training")
    assert world.task(world.job())["key"] == key


def test_a_job_that_took_too_long_names_the_field() -> None:
    world = World()
    world.config_map()
    world.service(training={"timeoutSeconds": 60})
    world.settle()
    world.end_job(world.job(), failed=True, reason="DeadlineExceeded")
    world.settle()
    assert world.condition("Ready")["message"] == "training was stopped after 60 s: raise spec.training.timeoutSeconds"


def test_changed_run_settings_replace_an_unfinished_job_once_its_pods_are_gone() -> None:
    world = World()
    world.config_map()
    world.service()
    world.settle()
    old = world.job()
    world.pod_of(old, {"phase": "Running"})
    world.service(training={"nodeSelector": {"disk": "fast"}})
    world.settle()
    assert [job["metadata"]["name"] for job in world.all(JOB)] == [old["metadata"]["name"]]
    world.finish_deletions()
    world.settle()
    new = world.job()
    assert new["metadata"]["name"] != old["metadata"]["name"]
    assert new["spec"]["template"]["spec"]["nodeSelector"] == {"disk": "fast"}
    assert world.task(new)["key"] == world.status()["key"]


def test_an_upgrade_does_not_stop_a_training_but_tries_a_failed_one_again() -> None:
    world = World()
    world.config_map()
    world.service()
    world.settle()
    running = world.job()["metadata"]["name"]
    world.restart_operator(runtime_image="runtime:2")
    world.settle()
    assert world.job()["metadata"]["name"] == running
    world.end_training(exit_code=1, job_reason="BackoffLimitExceeded")
    world.settle()
    world.finish_deletions()
    world.settle()
    assert world.job()["spec"]["template"]["spec"]["containers"][0]["image"] == "runtime:2"


def test_a_job_that_was_deleted_is_made_again() -> None:
    world = World()
    world.config_map()
    world.service()
    world.settle()
    name = world.job()["metadata"]["name"]
    del world.kube.objects[Ref(JOB, NAMESPACE, name)]
    world.settle()
    assert world.job()["metadata"]["name"] == name


def test_a_lost_report_is_asked_for_once_more_and_never_trained_away() -> None:
    world = World()
    world.config_map()
    world.service()
    world.settle()
    first = world.job()
    world.end_job(first, failed=False)
    world.settle()
    second = world.job()
    assert second["metadata"]["name"] != first["metadata"]["name"]
    assert world.task(second)["key"] == world.task(first)["key"]
    world.end_training()
    world.settle()
    assert world.status()["revision"] == 1


@pytest.mark.parametrize("failed", [False, True])
def test_a_report_that_the_cache_has_not_seen_yet_is_waited_for(failed: bool) -> None:
    world = World()
    world.config_map()
    world.service()
    world.settle()
    job = world.job()
    world.pod_of(job, {"phase": "Running"})
    world.end_job(job, failed=failed, reason="PodFailurePolicy")
    assert world.reconcile() == 2
    assert len(world.all(JOB)) == 1
    assert world.ready() == ("False", "Training")
    assert world.condition("Stalled")["status"] == "False"


def test_no_report_is_waited_for_from_a_pod_that_was_evicted() -> None:
    world = World()
    world.config_map()
    world.service()
    world.settle()
    job = world.job()
    world.pod_of(job, {"phase": "Failed", "reason": "Evicted"})
    ended = {"name": "trainer", "state": {"terminated": {"exitCode": 0, "message": "no report"}}}
    world.pod_of(job, {"phase": "Succeeded", "containerStatuses": [ended]}, suffix="1")
    world.end_job(job, failed=False)
    world.settle()
    assert len(world.all(JOB)) == 2


def test_a_stage_ends_with_its_container_whatever_a_sidecar_does() -> None:
    world = World()
    world.config_map()
    world.service()
    world.settle()
    report = Report(result=success(world.task(world.job())["key"])).to_message()
    trainer = {"name": "trainer", "state": {"terminated": {"exitCode": 0, "message": report}}}
    sidecar: dict[str, object] = {"name": "proxy", "state": {"running": {}}}
    world.pod_of(world.job(), {"phase": "Running", "containerStatuses": [trainer, sidecar]})
    world.settle()
    assert world.status()["revision"] == 1
    assert world.one(DEPLOYMENT)


def test_a_deleted_claim_means_that_the_revision_is_trained_again() -> None:
    world = World()
    key = world.serve()
    del world.kube.objects[Ref(PERSISTENT_VOLUME_CLAIM, NAMESPACE, f"churn-{key}")]
    world.settle()
    world.finish_deletions()
    world.settle()
    assert world.task(world.job())["key"] == key


def test_suspend_stops_training_and_not_serving() -> None:
    world = World()
    world.serve()
    world.service(training={"epochs": 5})
    world.settle()
    world.service(training={"epochs": 5}, suspend=True)
    world.settle()
    world.finish_deletions()
    world.settle()
    assert world.ready() == ("False", "Suspended")
    assert world.condition("Suspended")["status"] == "True"
    assert world.condition("Available")["status"] == "True"
    assert [job for job in world.all(JOB) if not job.get("status")] == []
    world.service(training={"epochs": 5})
    world.settle()
    assert world.ready() == ("False", "Training")
    assert world.condition("Suspended") == {}


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


def test_an_autoscaler_is_never_handed_no_replica_at_all() -> None:
    world = World()
    world.serve(serving={"replicas": 0})
    world.service(serving={"autoscaling": {"minReplicas": 2, "maxReplicas": 5}})
    world.settle()
    assert world.one(DEPLOYMENT)["spec"]["replicas"] == 2


def test_what_somebody_changes_on_a_child_is_put_right() -> None:
    world = World()
    world.serve(serving={"replicas": 2})
    deployment = world.one(DEPLOYMENT)
    world.kube.store({**deployment, "spec": {**deployment["spec"], "replicas": 7}})
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
        world.end_training()
        world.settle()
        world.roll_out()
        world.settle()
    kept = {record["revision"] for record in world.ours(CONTROLLER_REVISION)}
    assert kept == {3, 4}
    assert len(world.ours(PERSISTENT_VOLUME_CLAIM)) == 2
    assert len(world.all(JOB)) == len(world.ours(CONFIG_MAP)) == 1


def test_what_is_made_is_not_looked_for_before() -> None:
    world = World()
    world.serve()
    assert {kind for _, kind, _ in world.kube.reads} == {"ConfigMap"}, "the data, and nothing else"


def test_a_child_that_lost_its_labels_gets_them_again() -> None:
    world = World()
    world.serve()
    world.one(SERVICE)["metadata"]["labels"] = {}
    world.restart_operator()
    world.settle()
    assert world.one(SERVICE)["metadata"]["labels"][LABEL_NAME] == "churn"
    assert world.ready() == ("True", "Serving")


def test_a_stranger_of_the_same_name_is_never_touched() -> None:
    world = World()
    world.kube.store(
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "churn", "namespace": NAMESPACE}, "spec": {"a": 1}}
    )
    world.config_map()
    world.service()
    world.settle()
    world.end_training()
    world.settle()
    assert world.ready() == ("False", "NameConflict")
    assert world.kube.objects[Ref(SERVICE, NAMESPACE, "churn")]["spec"] == {"a": 1}
    writes = len(world.kube.writes)
    world.reconcile()
    assert world.writes_since(writes) == [], "a name that was taken is looked at, not written to"
    del world.kube.objects[Ref(SERVICE, NAMESPACE, "churn")]
    world.settle()
    assert world.one(SERVICE)["spec"]["selector"]


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


def test_a_refused_write_of_the_training_holds_up_neither_serving_nor_cleaning_up() -> None:
    world = World()
    world.serve()
    world.service(training={"epochs": 2})
    world.settle()
    world.end_training()
    world.settle()
    world.roll_out()
    world.settle()
    world.kube.failures = {("apply", "PersistentVolumeClaim"): Forbidden("exceeded quota: claims")}
    world.service(training={"epochs": 3}, serving={"replicas": 3}, revisionHistoryLimit=1)
    world.reconcile()
    assert world.ready() == ("False", "Forbidden")
    assert world.one(DEPLOYMENT)["spec"]["replicas"] == 3
    assert [record["revision"] for record in world.ours(CONTROLLER_REVISION)] == [2]


@pytest.mark.parametrize("verb", ["apply", "status", "get", "delete"])
def test_an_apiserver_that_does_not_answer_is_left_to_the_queue_and_nothing_is_lost(verb: str) -> None:
    world = World()
    world.config_map()
    world.service()
    world.settle()
    world.service(training={"maxRestarts": 1})
    world.config_map(CSV + "7,7,y\n")
    kinds = {"apply": "Job", "status": "ModelService", "get": "ConfigMap", "delete": "Job"}
    world.kube.failures = {(verb, kinds[verb]): Transient("timeout")}
    if verb != "apply":
        with pytest.raises(Transient):
            world.reconcile()
    world.kube.failures = {}
    world.settle()
    world.finish_deletions()
    world.settle()
    world.end_training()
    world.settle()
    assert world.status()["revision"] == 1


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
    assert world.reconcile() == 2
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

    def asked(seconds: int) -> int:
        before = len([verb for verb, _, _ in world.kube.reads if verb == "events"])
        for _ in range(seconds // 2):
            world.clock.seconds += 2
            world.reconcile()
        return len([verb for verb, _, _ in world.kube.reads if verb == "events"]) - before

    assert asked(30) >= 2 * 5  # the Job and its claim, every four seconds
    assert asked(600) <= 2 * 25


def test_progress_is_shown_while_training() -> None:
    world = World()
    world.config_map()
    world.service()
    world.settle()
    world.pod_of(world.job(), {"phase": "Running", "podIP": "198.18.0.9"})
    world.progress.answer = Progress(epoch=30, epochs=60)
    assert world.reconcile() == 2
    assert world.status()["progress"] == "50%"
    world.progress.answer = None
    world.reconcile()
    assert world.status()["progress"] == "50%"


def test_a_pod_that_only_lets_wait_for_its_progress_is_asked_now_and_then() -> None:
    world = World()
    world.config_map()
    world.service()
    world.settle()
    world.pod_of(world.job(), {"phase": "Running", "podIP": "198.18.0.9"})
    world.progress.seconds = 1.0
    for _ in range(5):
        world.reconcile()
    assert world.progress.asked == 1
    world.clock.seconds += 30
    world.progress.seconds, world.progress.answer = 0.0, Progress(epoch=30, epochs=60)
    for _ in range(2):
        world.reconcile()
    assert world.progress.asked == 3
    assert world.status()["progress"] == "50%"


def test_a_failure_that_no_field_can_mend_says_how_to_try_again() -> None:
    world = World()
    world.config_map()
    world.service()
    world.settle()
    name = world.job()["metadata"]["name"]
    world.end_training(exit_code=137)
    world.settle()
    assert f"kubectl delete job {name}" in world.condition("Ready")["message"]


def test_a_namesake_of_a_deleted_service_adopts_nothing() -> None:
    world = World()
    world.serve()
    del world.kube.objects[Ref(MODEL_SERVICE, *world.key)]
    world.service()
    world.sync()
    world.reconcile()
    assert world.ready() == ("False", "NameConflict")
    assert world.status().get("revision") is None


@pytest.mark.parametrize("kind", [PERSISTENT_VOLUME_CLAIM, CONFIG_MAP, JOB, CONTROLLER_REVISION])
def test_what_a_namesake_left_without_an_owner_is_not_adopted(kind: Kind) -> None:
    world = World()
    world.serve()
    left = world.leave_behind(kind)
    world.config_map()
    world.service()
    world.settle()
    if kind == CONTROLLER_REVISION:
        world.end_training()
        world.settle()
    assert world.ready() == ("False", "NameConflict")
    assert left["metadata"]["name"] in world.condition("Ready")["message"]
    assert "ownerReferences" not in world.kube.objects[ref_of(left)]["metadata"]


def test_nothing_is_done_for_a_service_that_is_gone_or_going() -> None:
    world = World()
    assert world.reconcile() is None
    world.config_map()
    world.service()
    ref = Ref(MODEL_SERVICE, *world.key)
    world.kube.objects[ref]["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert world.reconcile() is None
    assert world.kube.writes == []


def test_reports_of_another_key_are_not_taken_and_the_second_one_is_the_last() -> None:
    world = World()
    world.config_map()
    world.service()
    world.settle()
    for _ in range(2):
        world.end_training(success("otherkey"))
        world.settle()
    assert world.status().get("revision") is None
    assert world.ready() == ("False", "ReportUnreadable")
    assert len(world.all(JOB)) == 2


def test_what_is_tried_again_is_said_meanwhile() -> None:
    world = World()
    world.config_map()
    world.service()
    world.settle()
    failure = Failure(reason="StorageFull", message="it does not fit: raise spec.artifacts.volumeClaim.size")
    ended = {"exitCode": 75, "message": Report(result=failure).to_message()}
    container = {"name": TRAINING_CONTAINER, "state": {"terminated": ended}}
    world.pod_of(world.job(), {"phase": "Failed", "containerStatuses": [container]})
    world.pod_of(world.job(), {"phase": "Running"}, suffix="1")
    world.settle()
    assert world.ready() == ("False", "StorageFull")
    assert world.condition("Ready")["message"].endswith("volumeClaim.size (it is tried again)")
    assert world.condition("Stalled")["status"] == "False"
    world.end_training()
    world.settle()
    assert world.status()["revision"] == 1


@pytest.mark.parametrize(("evicted", "stalled"), [(False, "True"), (True, "False")])
def test_a_failure_that_would_come_again_is_final_before_the_job_says_so(evicted: bool, stalled: str) -> None:
    world = World()
    world.config_map()
    world.service()
    world.settle()
    ended = {"exitCode": 137, "reason": "OOMKilled"}
    conditions = [{"type": "DisruptionTarget", "status": "True"}] if evicted else []
    container = {"name": TRAINING_CONTAINER, "state": {"terminated": ended}}
    world.pod_of(world.job(), {"phase": "Failed", "containerStatuses": [container], "conditions": conditions})
    world.settle()
    assert world.ready() == ("False", "OOMKilled")
    assert world.condition("Stalled")["status"] == stalled


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


@pytest.mark.parametrize("mended", [{"runtime_image": "runtime:2"}, {"image_pull_secrets": '["registry"]'}])
def test_a_training_on_a_missing_image_takes_what_mends_it(mended: dict[str, str]) -> None:
    world = World()
    world.config_map()
    world.service()
    world.settle()
    stuck = world.job()["metadata"]["name"]
    world.pod_of(world.job(), without_image("runtime:1"))
    world.settle()
    assert world.ready() == ("False", "ErrImagePull")
    world.restart_operator(**mended)
    world.settle()
    world.finish_deletions()
    world.settle()
    assert world.job()["metadata"]["name"] != stuck
    pod = world.job()["spec"]["template"]["spec"]
    assert pod["containers"][0]["image"] == world.settings.runtime_image
    assert [secret["name"] for secret in pod.get("imagePullSecrets", [])] == list(world.settings.image_pull_secrets)


def test_a_rollout_to_a_missing_image_takes_the_next_one() -> None:
    world = World()
    world.serve()
    world.restart_operator(runtime_image="runtime:2")
    world.service(serving={"batching": {"maxSize": 8}})
    world.settle()
    deployment = world.one(DEPLOYMENT)
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    metadata = {"name": "serve-new", "namespace": NAMESPACE, "labels": labels}
    world.kube.store({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "status": without_image("runtime:2")})
    world.settle()
    assert world.one(DEPLOYMENT)["metadata"]["resourceVersion"] == deployment["metadata"]["resourceVersion"]
    world.restart_operator(runtime_image="runtime:3")
    world.settle()
    assert world.one(DEPLOYMENT)["spec"]["template"]["spec"]["containers"][0]["image"] == "runtime:3"


def without_image(image: str) -> dict[str, Any]:
    """Status of a pod whose image cannot be pulled."""
    waiting = {"name": "any", "image": image, "state": {"waiting": {"reason": "ErrImagePull"}}}
    return {"phase": "Pending", "containerStatuses": [waiting]}
