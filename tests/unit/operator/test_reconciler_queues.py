"""Jobs that wait in a queue of Kueue: what is said of them, and that nobody but Kueue lets them run."""

from typing import Any

import pytest
from tests.support.world import NAMESPACE, Object, World

from modelservice.contract.failure import About, Failure, Retry
from modelservice.contract.report import Report
from modelservice_operator.constants import LABEL_QUEUE, STAGE_CONTAINER
from modelservice_operator.kinds import JOB, POD
from modelservice_operator.machinery.errors import Forbidden
from modelservice_operator.objects import Ref

STOPPED = Failure(reason="Interrupted", message="asked to end", about=About.PLATFORM, retry=Retry.SOON)
NO_ROOM = "couldn't assign flavors to pod set main: insufficient unused quota for cpu in flavor small, 1 more needed"


def queued(**spec: Any) -> World:
    """The first Job is made, and Kueue is there."""
    world = World()
    world.kube.queues = {}
    world.config_map()
    world.service(training={"queueName": "gpus", **spec.pop("training", {})}, **spec)
    world.settle()
    return world


def workload(world: World, *conditions: tuple[str, str, str], owner: str | None = None, **status: Any) -> None:
    """What Kueue says of the Job."""
    uid = world.job()["metadata"]["uid"]
    said = [{"type": kind, "status": holds, "message": message} for kind, holds, message in conditions]
    reference = {"kind": "Job", "name": "job", "uid": owner or uid, "controller": True}
    found = {"metadata": {"ownerReferences": [reference]}, "status": {"conditions": said, **status}}
    world.kube.queues = {uid: [found]}
    world.clock.seconds += 60
    world.settle()


def suspend(world: World, suspended: bool, *, since: str = "2026-01-01T10:00:00Z", **template: Any) -> Object:
    """As Kueue does it: it admits a Job with the selectors of the room that it found, and takes both back."""
    job = world.job()
    job["spec"]["suspend"] = suspended
    job["spec"]["template"]["spec"] |= template
    condition = {"type": "Suspended", "status": str(suspended), "lastTransitionTime": since}
    status = {"conditions": [condition], **({} if suspended else {"startTime": since})}
    stored = world.kube.store({**job, "status": status})
    world.settle()
    return stored


def message(world: World) -> str:
    return str(world.condition("Ready")["message"])


def test_a_job_in_a_queue_is_made_suspended_and_says_what_kueue_says() -> None:
    world = queued()
    job = world.job()
    assert (job["metadata"]["labels"][LABEL_QUEUE], job["spec"]["suspend"]) == ("gpus", True)
    assert world.ready() == ("False", "Queued")
    assert message(world).startswith(f"Job {job['metadata']['name']} waits in queue gpus since ")
    workload(world, ("QuotaReserved", "False", NO_ROOM))
    assert message(world).endswith(f": {NO_ROOM}")
    assert world.status()["stage"] == "Queued"
    assert [world.condition(kind)["status"] for kind in ("Progressing", "Stalled")] == ["False", "False"]
    workload(world, ("QuotaReserved", "False", "LocalQueue gpus doesn't exist"))
    assert message(world).endswith(": LocalQueue gpus doesn't exist")


def test_without_a_queue_nothing_of_kueue_is_written_or_asked() -> None:
    world = World()
    world.config_map()
    world.service()
    world.settle()
    job = world.job()
    assert "suspend" not in job["spec"]
    assert LABEL_QUEUE not in job["metadata"]["labels"]
    assert not [read for read in world.kube.reads if read[0] == "workloads"]


def test_a_cluster_without_kueue_runs_nothing_and_says_so_until_it_is_there() -> None:
    world = queued()
    world.kube.queues = None
    world.clock.seconds += 60
    world.settle()
    assert world.ready() == ("False", "KueueMissing")
    assert "the cluster has no Kueue (no API group kueue.x-k8s.io): install it, or leave" in message(world)
    assert world.condition("Stalled")["status"] == "True"
    assert world.job()["spec"]["suspend"] is True
    workload(world, ("QuotaReserved", "False", NO_ROOM))
    assert world.ready() == ("False", "Queued")


@pytest.mark.parametrize(
    ("conditions", "status", "words"),
    [
        ([("QuotaReserved", "True", "reserved")], {}, None),
        (
            [("QuotaReserved", "False", NO_ROOM), ("Evicted", "True", "Preempted to accommodate a workload")],
            {},
            f"{NO_ROOM}; Preempted to accommodate a workload",
        ),
        ([("Finished", "True", "spec.nodeSelector:\n conflict")], {}, "spec.nodeSelector: conflict"),
        (
            [("QuotaReserved", "True", "reserved")],
            {"admissionChecks": [{"name": "nodes", "state": "Pending", "message": "made"}, {"state": "Ready"}]},
            "admission check nodes is Pending (made)",
        ),
    ],
)
def test_the_cause_is_the_newest_that_holds(conditions: Any, status: Any, words: str | None) -> None:
    world = queued()
    workload(world, *conditions, **status)
    since = world.job()["metadata"]["creationTimestamp"]
    assert message(world).partition(f" since {since}")[2] == (f": {words}" if words else "")


def test_words_of_a_workload_that_is_not_of_the_job_are_nobodys() -> None:
    world = queued()
    workload(world, ("QuotaReserved", "False", "buy now"), owner="another")
    assert "buy now" not in message(world)


def test_what_cannot_be_asked_leaves_what_was_said() -> None:
    world = queued()
    workload(world, ("QuotaReserved", "False", NO_ROOM))
    world.kube.failures[("list", "Workload")] = Forbidden("no")
    world.clock.seconds += 300
    world.settle()
    assert message(world).endswith(NO_ROOM)


def test_a_queue_that_kueue_gave_to_all_jobs_of_a_namespace_is_told_too() -> None:
    world = World()
    world.kube.queues = {}
    world.config_map()
    world.service()
    world.settle()
    job = world.job()
    world.kube.store(
        {**job, "metadata": {**job["metadata"], "labels": {**job["metadata"]["labels"], LABEL_QUEUE: "d"}}}
    )
    suspend(world, True)
    assert world.ready() == ("False", "Queued")
    assert " waits in queue d since 2026-01-01T10:00:00Z" in message(world)


def test_what_kueue_writes_into_a_job_is_its_own_and_the_job_runs() -> None:
    world = queued()
    world.clock.seconds += 3600
    world.settle()
    before = len(world.kube.writes)
    room = {"nodeSelector": {"pool": "spot"}, "tolerations": [{"key": "spot", "operator": "Exists"}]}
    job = suspend(world, False, since=world.clock.now().isoformat(), **room)
    assert world.ready() == ("False", "Training")
    assert "has made no pod" not in message(world), "an hour in a queue is none of the Job's"
    assert {call for call, *_ in world.writes_since(before)} == {"status"}
    assert world.job()["spec"] == job["spec"]
    world.end_stage()
    world.settle()
    assert world.condition("Trained")["status"] == "True"


def test_a_job_that_something_goes_before_waits_again_and_is_the_same_attempt() -> None:
    world = queued(training={"maxRestarts": 0})
    job = suspend(world, False)
    said = {"exitCode": 75, "message": Report(result=STOPPED).to_message()}
    stopped = {"containerStatuses": [{"name": STAGE_CONTAINER, "state": {"terminated": said}}], "phase": "Failed"}
    pod = world.pod_of(job, stopped)
    before = len(world.kube.writes)
    suspend(world, True, since="2026-01-01T11:00:00Z")
    assert world.ready() == ("False", "Queued"), "while its pod ends"
    world.remove(Ref(POD, NAMESPACE, pod["metadata"]["name"]))
    workload(world, ("Evicted", "True", "Preempted to accommodate a workload (UID: x)"))
    assert world.ready() == ("False", "Queued")
    assert message(world).endswith("since 2026-01-01T11:00:00Z: Preempted to accommodate a workload (UID: x)")
    suspend(world, False, since="2026-01-01T12:00:00Z")
    assert world.ready() == ("False", "Training")
    assert {call for call, *_ in world.writes_since(before)} == {"status"}
    assert world.job()["metadata"]["uid"] == job["metadata"]["uid"]


def test_another_queue_is_another_attempt_and_trains_nothing_again() -> None:
    world = queued()
    first = world.job()
    world.service(training={"queueName": "others"})
    world.settle()
    world.finish_deletions()
    world.settle()
    second = world.job()
    assert second["metadata"]["name"] != first["metadata"]["name"]
    assert second["metadata"]["labels"][LABEL_QUEUE] == "others"
    suspend(world, False)
    world.run_stages()
    done = len(world.all(JOB))
    world.service(training={"queueName": "gpus"})
    world.settle()
    assert len(world.all(JOB)) == done


def test_each_job_of_a_model_service_is_in_the_queue() -> None:
    world = queued(compression={"steps": [{"quantize": {}}]})
    suspend(world, False)
    world.end_stage()
    world.settle()
    (second,) = world.running_jobs()
    assert "-compress-" in second["metadata"]["name"]
    assert (second["metadata"]["labels"][LABEL_QUEUE], second["spec"]["suspend"]) == ("gpus", True)
    assert not [ref for ref in world.kube.objects if ref.kind == POD and "compress" in ref.name]
    assert Ref(JOB, NAMESPACE, second["metadata"]["name"]) in world.kube.objects
