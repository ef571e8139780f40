"""The reconciler's stories. What lies in object storage goes with its revision, where ``deletionPolicy`` says so."""

from typing import Any

import pytest
from tests.support.world import World, ends

from modelservice.contract.failure import Failure, StageError, StorageError
from modelservice.contract.places import TERMINATION_LOG_PATH
from modelservice.contract.report import Report
from modelservice_operator.constants import FINALIZER, LABEL_QUEUE, LABEL_STAGE, STAGE_CONTAINER, STAGE_DELETE
from modelservice_operator.kinds import CONFIG_MAP, CONTROLLER_REVISION, JOB, MODEL_SERVICE
from modelservice_operator.machinery.errors import Forbidden
from modelservice_operator.objects import Object, Ref

S3 = {"uri": "s3://models/team", "secretRef": {"name": "bucket"}}
DELETE = S3 | {"deletionPolicy": "Delete"}
REFUSED = StorageError("StorageForbidden", "s3://models/team refuses these credentials")


def deletions(world: World) -> list[Object]:
    """The Jobs that delete, the oldest first."""
    found = [job for job in world.all(JOB) if job["metadata"]["labels"][LABEL_STAGE] == STAGE_DELETE]
    return sorted(found, key=lambda job: job["metadata"]["creationTimestamp"])


def keys_of(job: Object) -> list[str]:
    """The keys that a Job deletes."""
    args: list[str] = job["spec"]["template"]["spec"]["containers"][0]["args"]
    return [argument for argument in args[1:] if not argument.startswith("--")]


def end_deletion(world: World, error: StageError | None = None) -> None:
    """The kubelet's and the Job controller's part."""
    (job,) = (job for job in deletions(world) if not job.get("status", {}).get("conditions"))
    if error is not None:
        report = Report(result=error.failure())
        ended = {"exitCode": error.failure().exit_code, "message": report.to_message()}
        container = {"name": STAGE_CONTAINER, "state": {"terminated": ended}}
        world.pod_of(job, {"phase": "Failed", "containerStatuses": [container]})
    world.end_job(job, failed=error is not None, reason="PodFailurePolicy")


def next_revision(world: World, epochs: int, *, artifacts: Object = DELETE, **spec: Any) -> str:
    """Another revision is trained and served, and no pod of the one before is left."""
    world.clock.seconds += 60
    world.service(artifacts=artifacts, training={"epochs": epochs}, **spec)
    key = world.run_stages()
    world.roll_out()
    world.settle()
    return key


def begun(**spec: Any) -> tuple[World, str, str]:
    """The first revision is being deleted, since the second one serves and only one is kept."""
    world = World()
    first = world.serve(artifacts=DELETE, revisionHistoryLimit=1, **spec)
    return world, first, next_revision(world, 2, revisionHistoryLimit=1, **spec)


def recorded(world: World) -> set[str]:
    return {record["data"]["key"] for record in world.records()}


def test_the_finalizer_is_there_before_anything_is_stored_and_only_where_it_is_asked_for() -> None:
    world = World()
    world.serve(artifacts=DELETE)
    writes = [(verb, kind) for verb, kind, _ in world.kube.writes]
    assert writes.index(("apply", "ModelService")) < writes.index(("apply", "Job"))
    service = world.kube.objects[Ref(MODEL_SERVICE, *world.key)]
    assert service["metadata"]["finalizers"] == [FINALIZER]
    world.service(artifacts=S3)
    world.settle()
    assert "finalizers" not in world.kube.objects[Ref(MODEL_SERVICE, *world.key)]["metadata"]
    assert len(world.all(JOB)) == 1, "a change trains nothing"
    assert world.ready() == ("True", "Serving")


def test_the_chart_may_ask_for_it() -> None:
    world = World(default_artifacts='{"uri": "gs://models", "deletionPolicy": "Delete"}')
    world.serve()
    assert world.kube.objects[Ref(MODEL_SERVICE, *world.key)]["metadata"]["finalizers"] == [FINALIZER]


def test_a_finalizer_that_cannot_be_written_is_said() -> None:
    world = World()
    world.serve(artifacts=S3)
    world.kube.failures["apply", "ModelService"] = Forbidden("may not patch modelservices")
    world.service(artifacts=DELETE)
    for _ in range(3):
        world.reconcile()
    assert world.ready() == ("False", "Forbidden")
    assert world.condition("Available")["status"] == "True"
    world.kube.failures.clear()
    world.settle()
    assert world.ready() == ("True", "Serving")


def test_what_is_stored_of_a_revision_goes_before_its_record() -> None:
    world, first, second = begun()
    (job,) = deletions(world)
    container = job["spec"]["template"]["spec"]["containers"][0]
    assert container["args"] == [
        "delete-artifacts", "--uri=s3://models/team", "--namespace=default", "--name=churn", first,
    ]  # fmt: skip
    assert container["envFrom"] == [{"secretRef": {"name": "bucket"}}]
    assert job["metadata"]["ownerReferences"][0]["name"] == "churn"
    assert recorded(world) == {first, second}, "all that is known of it"
    assert Ref(CONFIG_MAP, "default", job["metadata"]["name"]) not in world.kube.objects
    assert world.ready() == ("True", "Serving")
    end_deletion(world)
    world.settle()
    assert recorded(world) == {second}
    assert deletions(world) == []
    written = len(world.kube.writes)
    world.restart_operator()
    world.settle()
    assert world.writes_since(written) == []


def test_without_the_policy_the_record_goes_and_what_is_stored_stays() -> None:
    world = World()
    world.serve(artifacts=S3, revisionHistoryLimit=1)
    second = next_revision(world, 2, artifacts=S3, revisionHistoryLimit=1)
    assert recorded(world) == {second}
    assert deletions(world) == []


def test_one_is_deleted_at_a_time_the_oldest_first() -> None:
    world = World()
    keys = [world.serve(artifacts=DELETE), next_revision(world, 2), next_revision(world, 3)]
    assert deletions(world) == []
    world.service(artifacts=DELETE, training={"epochs": 3}, revisionHistoryLimit=1)
    for key in keys[:2]:
        world.settle()
        assert [keys_of(job) for job in deletions(world)] == [[key]]
        end_deletion(world)
    world.settle()
    assert recorded(world) == {keys[2]}
    assert deletions(world) == []


def test_nothing_is_deleted_that_a_pod_still_serves() -> None:
    world = World()
    first = world.serve(artifacts=DELETE, revisionHistoryLimit=1)
    world.service(artifacts=DELETE, training={"epochs": 2}, revisionHistoryLimit=1)
    world.run_stages()
    world.serving_pod(suffix="new")
    world.settle()
    assert first in recorded(world)
    assert deletions(world) == []


def test_nor_what_is_pinned_nor_what_the_spec_names_by_its_address() -> None:
    world = World()
    first = world.serve(artifacts=DELETE, revisionHistoryLimit=1)
    record = world.records()[0]["data"]["artifact"]
    source = {"initialize": {"artifact": {"uri": record["uri"], "digest": record["digest"]}}}
    world.service(artifacts=DELETE, training={"epochs": 2, **source}, revisionHistoryLimit=1)
    world.run_stages()
    world.roll_out()
    world.settle()
    assert first in recorded(world)
    assert deletions(world) == []
    world.service(
        artifacts=DELETE, training={"epochs": 2}, revisionHistoryLimit=1, serving={"pinRevision": {"number": 1}}
    )
    world.settle()
    world.roll_out()
    world.settle()
    assert first in recorded(world)
    assert first not in [key for job in deletions(world) for key in keys_of(job)]


def test_nor_what_was_stored_elsewhere_before() -> None:
    world = World()
    world.serve(artifacts={"uri": "s3://models/before"}, revisionHistoryLimit=1)
    second = next_revision(world, 2, revisionHistoryLimit=1)
    assert recorded(world) == {second}
    assert deletions(world) == []


def test_nothing_is_decided_while_the_data_cannot_be_read() -> None:
    world = World()
    keys = {world.serve(artifacts=DELETE), next_revision(world, 2)}
    world.config_map(None)
    world.settle()
    assert world.ready()[0] == "False"
    world.service(artifacts=DELETE, training={"epochs": 2}, revisionHistoryLimit=1)
    world.settle()
    assert recorded(world) == keys
    assert deletions(world) == []


def test_one_that_cannot_be_deleted_is_said_and_tried_again_and_keeps_no_other() -> None:
    world, first, second = begun()
    end_deletion(world, REFUSED)
    world.settle()
    assert first in recorded(world)
    assert world.ready() == ("True", "Serving")
    said = world.condition("Ready")["message"]
    assert f"s3://models/team/default/churn/{first} could not be deleted: StorageForbidden" in said
    third = next_revision(world, 3, revisionHistoryLimit=1)
    assert [keys_of(job) for job in deletions(world)] == [[first], [second]]
    end_deletion(world)
    world.settle()
    assert recorded(world) == {first, third}
    written = len(world.kube.writes)
    world.settle()
    assert world.writes_since(written) == []
    (failed,) = deletions(world)
    world.clock.seconds += 601
    world.look()
    assert [keys_of(job) for job in deletions(world)] == [[first], [first]], "it has one all the time"
    world.settle()
    (again,) = deletions(world)
    assert again["metadata"]["name"] != failed["metadata"]["name"]
    end_deletion(world)
    world.settle()
    assert recorded(world) == {third}
    assert deletions(world) == []
    assert "could not be deleted" not in world.condition("Ready")["message"]


def test_one_whose_time_has_come_waits_for_another_one_without_being_asked_again_and_again() -> None:
    world, first, _ = begun()
    end_deletion(world, REFUSED)
    world.settle()
    next_revision(world, 3, revisionHistoryLimit=1)
    world.clock.seconds += 601
    world.settle()
    assert world.reconcile() is None
    end_deletion(world)
    world.settle()
    assert [keys_of(job) for job in deletions(world)] == [[first]]


def test_another_secret_tries_again_at_once() -> None:
    world, _, second = begun()
    end_deletion(world, REFUSED)
    world.settle()
    rotated = DELETE | {"secretRef": {"name": "rotated"}}
    world.service(artifacts=rotated, training={"epochs": 2}, revisionHistoryLimit=1)
    world.settle()
    (job,) = deletions(world)
    assert job["spec"]["template"]["spec"]["containers"][0]["envFrom"] == [{"secretRef": {"name": "rotated"}}]
    end_deletion(world)
    world.settle()
    assert recorded(world) == {second}


@pytest.mark.parametrize("error", [None, REFUSED])
def test_who_wants_it_back_waits_for_the_end_and_it_is_made_again(error: StageError | None) -> None:
    world, first, second = begun()
    world.service(artifacts=DELETE, revisionHistoryLimit=1)
    world.settle()
    assert world.ready() == ("False", "ArtifactBeingDeleted")
    assert world.running_jobs() == []
    end_deletion(world, error)
    world.settle()
    assert deletions(world) == []
    assert recorded(world) == {second}
    assert world.end_stage() == first
    world.settle()
    world.roll_out()
    world.settle()
    assert world.ready() == ("True", "Serving")
    assert [keys_of(job) for job in deletions(world)] == [[second]]


def test_a_policy_that_is_taken_back_lets_a_job_end() -> None:
    world, first, second = begun()
    world.service(artifacts=S3, training={"epochs": 2}, revisionHistoryLimit=5)
    world.settle()
    assert [keys_of(job) for job in deletions(world)] == [[first]]
    end_deletion(world)
    world.settle()
    assert (deletions(world), recorded(world)) == ([], {second})


def test_a_job_that_somebody_deletes_is_made_again() -> None:
    world, first, _ = begun()
    (job,) = deletions(world)
    world.remove(Ref(JOB, "default", job["metadata"]["name"]))
    world.settle()
    assert [keys_of(job) for job in deletions(world)] == [[first]]


def test_its_pod_runs_as_those_that_train_do_without_their_resources() -> None:
    training = {"nodeSelector": {"pool": "batch"}, "serviceAccountName": "models", "env": [{"name": "A", "value": "b"}]}
    world = World()
    world.serve(artifacts=DELETE, training={**training, "resources": {"limits": {"nvidia.com/gpu": 1}}})
    world.service(
        artifacts=DELETE,
        training={**training, "epochs": 2, "resources": {"limits": {"nvidia.com/gpu": 1}}},
        revisionHistoryLimit=1,
    )
    world.run_stages()
    world.roll_out()
    world.settle()
    pod = deletions(world)[0]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert (pod["nodeSelector"], pod["serviceAccountName"]) == ({"pool": "batch"}, "models")
    assert {"name": "A", "value": "b"} in container["env"]
    assert "nvidia.com/gpu" not in container["resources"]["limits"]
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert container["terminationMessagePolicy"] == "FallbackToLogsOnError", TERMINATION_LOG_PATH


def test_it_may_be_stopped_before_or_after_any_write_and_deletes_the_same() -> None:
    undisturbed, count = story(None, written=False)
    assert count >= 3
    for number, written in ends(count):
        assert story(number, written=written)[0] == undisturbed, (number, written)


def story(stopped_at: int | None, *, written: bool) -> tuple[set[str], int]:
    """A revision goes, after which the process may have ended once; what is there in the end, and the writes."""
    world = World()
    world.serve(artifacts=DELETE, revisionHistoryLimit=1)
    world.clock.seconds += 60
    world.service(artifacts=DELETE, training={"epochs": 2}, revisionHistoryLimit=1)
    world.run_stages()
    world.roll_out()
    began = len(world.kube.writes)
    world.kube.stop_at(None if stopped_at is None else began + stopped_at, written=written)
    for _ in range(12):
        world.reconcile_or_restart()
        if any(not job.get("status", {}).get("conditions") for job in deletions(world)):
            end_deletion(world)
    world.settle()
    assert deletions(world) == []
    return {str(ref) for ref in world.kube.objects if ref.kind in (JOB, CONTROLLER_REVISION)}, len(
        world.kube.writes
    ) - began


def test_failures_of_a_pod_that_never_started_are_told_by_kubernetes() -> None:
    world, first, _ = begun()
    (job,) = deletions(world)
    world.end_job(job, failed=True, reason="DeadlineExceeded")
    world.settle()
    assert f"Job {job['metadata']['name']} failed (DeadlineExceeded)" in world.condition("Ready")["message"]
    assert first in recorded(world)
    assert isinstance(REFUSED.failure(), Failure)


def test_what_deletes_for_a_revision_waits_in_the_queue_and_moves_with_it() -> None:
    """Nobody waits for it; the last Job, for which a ModelService waits, would leave everything in a full queue."""
    world = World()
    world.kube.queues = {}
    spec: dict[str, Any] = {"artifacts": DELETE, "revisionHistoryLimit": 1}
    first = world.serve(**spec, training={"epochs": 1})
    world.clock.seconds += 60
    world.service(**spec, training={"epochs": 2})
    world.run_stages()
    world.service(**spec, training={"epochs": 2, "queueName": "gone"})
    world.roll_out()
    world.settle()
    (job,) = deletions(world)
    assert (job["metadata"]["labels"][LABEL_QUEUE], job["spec"]["suspend"]) == ("gone", True)
    assert f"Job {job['metadata']['name']}" in world.condition("Ready")["message"]
    assert "waits in queue gone" in world.condition("Ready")["message"]
    assert world.ready() == ("True", "Serving")
    world.clock.seconds += 60
    world.service(**spec, training={"epochs": 2, "queueName": "there"})
    world.settle()
    world.finish_deletions()
    world.settle()
    (moved,) = deletions(world)
    assert (moved["metadata"]["labels"][LABEL_QUEUE], keys_of(moved)) == ("there", [first])
    assert first in recorded(world), "until it is deleted"
    world.kube.store({**moved, "spec": {**moved["spec"], "suspend": False}})
    end_deletion(world)
    world.settle()
    assert first not in recorded(world)
    world.delete_service()
    world.settle()
    last = deletions(world)[-1]
    assert LABEL_QUEUE not in last["metadata"]["labels"]
    assert not last["spec"].get("suspend")


def test_one_that_waits_in_a_queue_moves_with_it_while_an_older_one_has_failed() -> None:
    world = World()
    world.kube.queues = {}
    spec: dict[str, Any] = {"artifacts": DELETE, "revisionHistoryLimit": 1}

    def let_run(stage: str) -> None:
        waiting = (one for one in world.all(JOB) if one["spec"].get("suspend"))
        (job,) = (one for one in waiting if one["metadata"]["labels"][LABEL_STAGE] == stage)
        world.kube.store({**job, "spec": {**job["spec"], "suspend": False}})

    def queued(epochs: int, queue: str) -> None:
        world.clock.seconds += 60
        world.service(**spec, training={"epochs": epochs, "queueName": queue})
        world.settle()

    def trained() -> str:
        let_run("train")
        key = world.run_stages()
        world.roll_out()
        world.settle()
        return key

    def queues() -> dict[str, str]:
        return {keys_of(job)[0]: job["metadata"]["labels"][LABEL_QUEUE] for job in deletions(world)}

    first = world.serve(**spec)
    queued(2, "full")
    second = trained()
    let_run(STAGE_DELETE)
    end_deletion(world, REFUSED)
    queued(3, "full")
    trained()
    assert queues() == {first: "full", second: "full"}
    queued(3, "there")
    world.finish_deletions()
    world.settle()
    assert queues() == {first: "full", second: "there"}
    let_run(STAGE_DELETE)
    end_deletion(world)
    world.settle()
    assert queues() == {first: "there"}, "the one that failed is tried anew"
