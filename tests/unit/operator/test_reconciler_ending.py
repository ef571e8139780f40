"""The reconciler's stories. A ModelService is deleted, and what it stored with it: by a Job, and never stuck."""

from typing import Any

import pytest
from tests.support.world import World, ends
from tests.unit.operator.test_reconciler_expiry import (
    DELETE,
    REFUSED,
    S3,
    deletions,
    end_deletion,
    keys_of,
    next_revision,
)

from modelservice_operator.constants import FINALIZER, ORPHANS
from modelservice_operator.kinds import CONTROLLER_REVISION, JOB, MODEL_SERVICE, ref_of
from modelservice_operator.machinery.errors import Forbidden, KubeError, Transient
from modelservice_operator.objects import Object, Ref

SERVICE = Ref(MODEL_SERVICE, "default", "churn")
TERMINATING = Forbidden("unable to create new content in namespace default because it is being terminated")


def deleted(**spec: Any) -> tuple[World, set[str]]:
    """Two revisions, of which one serves; then somebody deletes the ModelService."""
    world = World()
    keys = {world.serve(artifacts=DELETE, **spec), next_revision(world, 2, **spec)}
    world.delete_service()
    return world, keys


def collect(world: World) -> None:
    """The garbage collector's part: what a ModelService owned that is gone goes with it."""
    uids = {obj["metadata"]["uid"] for obj in world.kube.objects.values()}
    for ref, obj in list(world.kube.objects.items()):
        owners = obj["metadata"].get("ownerReferences", ())
        if owners and not any(one["uid"] in uids for one in owners):
            world.remove(ref)
    world.collect_garbage()


def is_gone(world: World) -> bool:
    return SERVICE not in world.kube.objects


def events(world: World) -> list[str]:
    return [reason for reason, _ in world.kube.recorded]


def test_it_waits_for_a_job_that_deletes_all_that_it_stored() -> None:
    world, keys = deleted()
    world.settle()
    assert not is_gone(world)
    (job,) = deletions(world)
    assert set(keys_of(job)) == keys
    assert "ownerReferences" not in job["metadata"], "else a foreground deletion would take it first"
    pod = job["spec"]["template"]["spec"]
    assert pod["serviceAccountName"] == "default", "ours may be gone"
    assert pod["containers"][0]["envFrom"] == [{"secretRef": {"name": "bucket"}}]
    assert job["spec"]["ttlSecondsAfterFinished"] > 0
    assert events(world)[-1] == "DeletingArtifacts"
    written = len(world.kube.writes)
    world.restart_operator()
    world.settle()
    assert world.writes_since(written) == [], "it waits"
    end_deletion(world)
    world.settle()
    assert is_gone(world)
    assert "ArtifactsLeft" not in events(world)


@pytest.mark.parametrize("artifacts", [S3, None])
def test_without_the_policy_it_goes_at_once(artifacts: Object | None) -> None:
    world = World()
    world.serve(artifacts=artifacts)
    world.delete_service()
    world.settle()
    assert is_gone(world)
    assert deletions(world) == []


def test_a_policy_that_was_taken_back_just_before_lets_it_go() -> None:
    world = World()
    world.serve(artifacts=DELETE)
    world.service(artifacts=S3)
    world.delete_service()
    world.settle()
    assert is_gone(world)
    assert deletions(world) == []


@pytest.mark.parametrize("allowed", [True, False])
def test_a_policy_that_is_taken_back_while_the_job_runs_stops_it(allowed: bool) -> None:
    world, _ = deleted()
    world.settle()
    (job,) = deletions(world)
    if not allowed:
        world.kube.failures["delete", "Job"] = Forbidden("a policy of the cluster")
    world.service(artifacts=S3)
    world.settle()
    assert is_gone(world)
    assert ("deletionTimestamp" in world.kube.objects[ref_of(job)]["metadata"]) is allowed


def test_another_address_just_before_deletes_nothing_there() -> None:
    world = World()
    world.serve(artifacts=DELETE)
    world.service(artifacts=DELETE | {"uri": "s3://models/production"})
    world.settle()
    assert len(world.all(JOB)) == 1, "a change trains nothing"
    world.delete_service()
    world.settle()
    assert is_gone(world)
    assert deletions(world) == []


def test_a_record_that_somebody_made_up_keeps_nothing_from_it() -> None:
    world, keys = deleted()
    (first, *_) = world.records()
    made_up = {**first["metadata"], "name": "churn-made.up-key", "uid": None}
    world.kube.store({**first, "metadata": made_up, "data": {"kind": "StageRecord", "key": "--name=iris"}})
    world.settle()
    assert set(keys_of(deletions(world)[0])) == keys


def test_what_trains_is_stopped_first() -> None:
    world = World()
    first = world.serve(artifacts=DELETE)
    world.service(artifacts=DELETE, training={"epochs": 2})
    world.settle()
    training = world.job()
    second = world.order(training)["key"]
    world.delete_service()
    world.reconcile()
    assert world.kube.objects[ref_of(training)]["metadata"]["deletionTimestamp"]
    world.settle()
    assert deletions(world) == [], "its pod may still store something"
    world.finish_deletions()
    world.settle()
    assert set(keys_of(deletions(world)[0])) == {first, second}


def test_records_that_are_gone_before_it_are_known_by_the_status() -> None:
    world, keys = deleted()
    for ref in [ref for ref in world.kube.objects if ref.kind == CONTROLLER_REVISION]:
        world.remove(ref)  # as --cascade=foreground does
    world.settle()
    assert set(keys_of(deletions(world)[0])) == keys


@pytest.mark.parametrize("error", [TERMINATING, Forbidden("exceeded quota: jobs")])
def test_where_no_job_can_be_made_it_goes_at_once_and_says_what_is_left(error: KubeError) -> None:
    world, _ = deleted()
    world.kube.failures["apply", "Job"] = error
    world.settle()
    assert is_gone(world)
    reason, message = world.kube.recorded[-1]
    assert reason == "ArtifactsLeft"
    assert str(error) in message


def test_an_apiserver_that_is_away_is_asked_again() -> None:
    world, keys = deleted()
    world.kube.failures["apply", "Job"] = Transient("timed out")
    with pytest.raises(Transient):
        world.reconcile()
    world.kube.failures.clear()
    world.settle()
    assert set(keys_of(deletions(world)[0])) == keys


def put_there_by_somebody(world: World) -> None:
    """The finalizer is not ours by its field manager, as after a backup was restored."""
    world.kube.applied.pop(SERVICE, None)
    service = world.kube.objects[SERVICE]
    finalizers = ["example.com/theirs", FINALIZER]
    world.kube.store({**service, "metadata": {**service["metadata"], "finalizers": finalizers}})


def test_a_finalizer_that_came_with_a_backup_goes_as_ours_does() -> None:
    world, _ = deleted()
    put_there_by_somebody(world)
    world.settle()
    assert FINALIZER in world.kube.objects[SERVICE]["metadata"]["finalizers"]
    end_deletion(world)
    world.settle()
    assert world.kube.objects[SERVICE]["metadata"]["finalizers"] == ["example.com/theirs"]


def test_a_finalizer_that_nobody_asked_for_is_taken_off_and_ready_stays() -> None:
    world = World()
    world.serve(artifacts=S3)
    put_there_by_somebody(world)
    world.settle()
    assert world.kube.objects[SERVICE]["metadata"]["finalizers"] == ["example.com/theirs"]
    written = len(world.kube.writes)
    world.clock.seconds += 60
    world.settle()
    assert world.writes_since(written) == []
    assert world.ready() == ("True", "Serving")


def test_five_minutes_are_enough() -> None:
    world, _ = deleted()
    world.settle()
    world.clock.seconds += 299
    world.settle()
    assert not is_gone(world)
    world.clock.seconds += 2
    world.settle()
    assert is_gone(world)
    assert events(world)[-1] == "ArtifactsLeft"
    assert len(deletions(world)) == 1, "it goes on to its own deadline"


def test_a_job_that_somebody_suspended_is_named() -> None:
    world, _ = deleted()
    world.settle()
    (job,) = deletions(world)
    world.kube.store({**job, "spec": {**job["spec"], "suspend": True}})
    world.clock.seconds += 301
    world.settle()
    assert is_gone(world)
    assert f"Job {job['metadata']['name']} is suspended since" in world.kube.recorded[-1][1]


def test_a_job_that_failed_lets_it_go_with_its_own_words() -> None:
    world, _ = deleted()
    world.settle()
    end_deletion(world, REFUSED)
    world.settle()
    assert is_gone(world)
    assert "StorageForbidden: s3://models/team refuses these credentials" in world.kube.recorded[-1][1]


@pytest.mark.parametrize("seen", [True, False])
def test_children_that_stay_keep_what_they_serve(seen: bool) -> None:
    world, _ = deleted()
    if seen:  # --cascade=orphan, just begun
        world.kube.objects[SERVICE]["metadata"]["finalizers"] = [ORPHANS, FINALIZER]
    else:
        for ref, obj in world.kube.objects.items():
            if ref.kind == CONTROLLER_REVISION:
                world.kube.store({**obj, "metadata": {**obj["metadata"], "ownerReferences": []}})
    world.settle()
    assert deletions(world) == []
    assert FINALIZER not in world.kube.objects.get(SERVICE, {"metadata": {}})["metadata"].get("finalizers", [])
    assert events(world)[-1] == "ArtifactsLeft"


def test_a_claim_that_nobody_vouches_for_keeps_nothing_that_is_stored() -> None:
    world, _ = deleted()
    labels = world.records()[0]["metadata"]["labels"]
    metadata = {"namespace": "default", "name": "churn-a234567b", "labels": labels}
    world.kube.store({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": {}})
    world.settle()
    assert len(deletions(world)) == 1


def test_a_spec_that_cannot_be_read_deletes_nothing() -> None:
    world, _ = deleted()
    world.service(artifacts=DELETE, model={"unheard": {}})
    world.settle()
    assert is_gone(world)
    assert deletions(world) == []
    assert events(world)[-1] == "ArtifactsLeft"


def test_one_made_again_under_its_name_waits_for_the_job_of_the_one_before() -> None:
    world = World()
    key = world.serve(artifacts=DELETE)
    world.delete_service()
    world.settle()
    world.clock.seconds += 301
    world.settle()
    assert is_gone(world)
    collect(world)
    world.service(artifacts=DELETE)
    world.settle()
    (job,) = deletions(world)
    assert job["metadata"]["ownerReferences"], "it is adopted"
    assert world.running_jobs() == [], "nothing is trained that it would delete"
    assert world.ready() == ("False", "ArtifactBeingDeleted")
    end_deletion(world)
    world.settle()
    assert deletions(world) == []
    assert world.end_stage() == key
    world.settle()
    world.roll_out()
    world.settle()
    assert world.ready() == ("True", "Serving")


def test_one_made_again_says_that_the_job_of_the_one_before_is_suspended() -> None:
    world = World()
    world.serve(artifacts=DELETE)
    world.delete_service()
    world.settle()
    world.clock.seconds += 301
    world.settle()
    collect(world)
    (job,) = deletions(world)
    said = {"type": "Suspended", "status": "True", "lastTransitionTime": "2026-01-01T10:00:00Z"}
    world.kube.store({**job, "spec": {**job["spec"], "suspend": True}, "status": {"conditions": [said]}})
    world.service(artifacts=DELETE)
    world.settle()
    assert world.ready() == ("False", "ArtifactBeingDeleted")
    words = "it is suspended, and waits for whoever did so, since 2026-01-01T10:00:00Z"
    assert world.condition("Ready")["message"].endswith(words)


def test_it_may_be_stopped_before_or_after_any_write_and_ends_the_same() -> None:
    undisturbed, count = story(None, written=False)
    assert count >= 2
    for number, written in ends(count):
        assert story(number, written=written)[0] == undisturbed, (number, written)


def story(stopped_at: int | None, *, written: bool) -> tuple[tuple[bool, list[str]], int]:
    """It is deleted in the middle of a training; whether it is gone, the keys that were deleted, and the writes."""
    world = World()
    world.serve(artifacts=DELETE)
    world.service(artifacts=DELETE, training={"epochs": 2})
    world.settle()
    world.delete_service()
    began = len(world.kube.writes)
    world.kube.stop_at(None if stopped_at is None else began + stopped_at, written=written)
    for _ in range(8):
        world.reconcile_or_restart()
        world.finish_deletions() if not is_gone(world) else None
        if any(not job.get("status", {}).get("conditions") for job in deletions(world)):
            end_deletion(world)
    (job,) = deletions(world)
    assert [ref.kind for ref in world.kube.objects if ref.kind == JOB]
    return (is_gone(world), keys_of(job)), len(world.kube.writes) - began
