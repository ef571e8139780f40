"""``retry``: against the operator's own reconciler, which has to begin another attempt for what is done."""

from typing import Any

import pytest
from tests.support.world import World
from tests.unit.operator.test_reconciler_last_good import deployed_key, taken_back

from modelservice.cluster.errors import ClusterError
from modelservice.cluster.retrying import RETRY_ANNOTATION, Retry, retry
from modelservice.contract.failure import About, Failure
from modelservice.contract.failure import Retry as Again
from modelservice_operator.kinds import JOB, MODEL_SERVICE
from modelservice_operator.objects import Object, Ref

FAILED = Failure(reason="StorageForbidden", message="the bucket refuses", about=About.STORAGE, retry=Again.ON_CHANGE)
COMPRESSION: dict[str, Any] = {"steps": [{"quantize": {}}]}


def service(world: World) -> Object:
    (found,) = world.all(MODEL_SERVICE)
    return found


def asked(world: World) -> Retry:
    return retry(service(world), world.all(JOB))


def merged(before: Any, change: Any) -> Any:
    """As the apiserver merges (RFC 7396)."""
    if not isinstance(change, dict):
        return change
    old = before if isinstance(before, dict) else {}
    return {**old, **{name: merged(old.get(name), value) for name, value in change.items()}}


def retried(world: World) -> Retry:
    """Do what is said."""
    found = asked(world)
    if found.job is not None:
        ref = Ref(JOB, world.key.namespace, found.job)
        assert world.kube.objects[ref]["metadata"]["uid"] == found.uid
        world.remove(ref)
        world.collect_garbage()
    else:
        assert found.change is not None
        world.service(**merged(world.spec(), found.change["spec"]))
    world.settle()
    return found


def failed(**spec: Any) -> World:
    world = World()
    world.config_map()
    world.service(**spec)
    world.settle()
    world.bind_claims()
    world.end_stage(FAILED)
    world.settle()
    assert world.ready() == ("False", "StorageForbidden")
    return world


def test_a_failed_training_is_tried_again_as_often_as_it_is_asked_for_and_comes_to_the_same_key() -> None:
    world = failed(training={"epochs": 2})
    (before,) = world.all(JOB)
    for _ in range(2):
        assert world.running_jobs() == []
        found = retried(world)
        assert found.said.startswith(
            f"Job {before['metadata']['name']} goes with its log, and its stage is tried again"
        )
        assert "it was StorageForbidden: the bucket refuses" in found.said
        assert world.job()["metadata"]["labels"] == before["metadata"]["labels"], "the key is the same"
        world.bind_claims()
        world.end_stage(FAILED)
        world.settle()
    retried(world)
    world.run_stages()
    world.roll_out()
    world.settle()
    assert world.ready() == ("True", "Serving")


def test_a_job_whose_pod_failed_for_good_and_that_is_not_said_to_have_failed_yet_is_the_one() -> None:
    world = failed(training={"epochs": 2})
    (job,) = world.all(JOB)
    del job["status"]["conditions"]
    assert retry(service(world), [job]).uid == job["metadata"]["uid"]


def test_a_failed_compression_is_tried_again_and_nothing_is_trained() -> None:
    world = World()
    world.config_map()
    world.service(compression=COMPRESSION)
    world.settle()
    world.bind_claims()
    trained = world.end_stage()
    world.settle()
    world.bind_claims()
    world.end_stage(FAILED)
    world.settle()
    assert retried(world).said.startswith("Job churn-compress-")
    assert world.order(world.job())["work"]["stage"] == "compress"
    assert [one["data"]["key"] for one in world.records()] == [trained]


def test_a_failed_comparison_is_tried_again_and_nothing_is_trained() -> None:
    promotion = {"require": [{"metric": {"name": "accuracy", "notWorseThanCurrent": {}}}]}
    world = World()
    world.serve(promotion=promotion)
    world.service(promotion=promotion, training={"epochs": 2})
    world.settle()
    world.bind_claims()
    trained = world.end_stage()
    world.settle()
    world.end_stage(FAILED)
    world.settle()
    assert retried(world).said.startswith("Job churn-compare-")
    assert world.order(world.job())["work"]["stage"] == "compare"
    world.run_stages()
    assert deployed_key(world) == trained


def test_wrong_data_is_read_again() -> None:
    world = World()
    world.config_map()
    world.service()
    world.settle()
    world.bind_claims()
    world.end_stage(Failure(reason="NotATable", message="no", about=About.DATA, retry=Again.ON_CHANGE))
    world.settle()
    assert world.condition("DataReady")["reason"] == "NotATable"
    retried(world)
    assert len(world.running_jobs()) == 1


def test_a_job_that_ended_twice_without_a_report_is_tried_again() -> None:
    world = World()
    world.config_map()
    world.service()
    world.settle()
    for _ in range(2):
        world.bind_claims()
        world.end_job(world.job(), failed=False)
        world.settle()
    assert world.ready() == ("False", "ReportUnreadable")
    found = retried(world)
    assert f"Job {found.job} ended twice without a report" in found.said
    assert len(world.running_jobs()) == 1


def test_a_rollout_that_was_taken_back_is_tried_again_with_pods_of_the_same_revision() -> None:
    world = World()
    first, second = taken_back(world)
    world.roll_out()
    world.settle()
    assert (deployed_key(world), world.ready()) == (first, ("False", "RolledBack"))
    found = retried(world)
    assert found.said.startswith("the rollout that was taken back is tried again; it was RolledBack: ")
    assert found.change == {"spec": {"serving": {"podMetadata": {"annotations": {RETRY_ANNOTATION: "1"}}}}}
    assert deployed_key(world) == second
    assert world.running_jobs() == []


def test_a_rollout_is_counted_on_and_what_else_its_pods_are_told_stays() -> None:
    world = World()
    taken_back(world, serving={"podMetadata": {"annotations": {RETRY_ANNOTATION: "9", "team": "a"}}})
    found = asked(world)
    assert found.change is not None
    annotations = merged(world.spec(), found.change["spec"])["serving"]["podMetadata"]["annotations"]
    assert annotations == {RETRY_ANNOTATION: "10", "team": "a"}
    other = service(world)
    other["spec"]["serving"]["podMetadata"]["annotations"][RETRY_ANNOTATION] = "once more"
    assert retry(other).change == {"spec": {"serving": {"podMetadata": {"annotations": {RETRY_ANNOTATION: "1"}}}}}


def test_what_did_not_fail_for_good_is_not_tried_again() -> None:
    world = World()
    world.config_map()
    world.service()
    world.settle()
    with pytest.raises(ClusterError, match="nothing failed for good, churn goes on by itself: Training"):
        asked(world)
    world.run_stages()
    world.roll_out()
    world.settle()
    with pytest.raises(ClusterError, match="nothing failed: churn is Ready"):
        asked(world)


def test_what_no_attempt_can_mend_is_refused_with_its_reason() -> None:
    world = World()
    world.serve()
    world.service(serving={"pinRevision": {"number": 7}})
    world.settle()
    with pytest.raises(ClusterError, match="no attempt failed, so another one would change nothing: PinnedRevision"):
        asked(world)


def test_a_failed_job_of_what_is_not_the_cause_is_left_alone() -> None:
    """A Job of an older spec failed; what keeps the ModelService now is its data."""
    world = failed()
    found = service(world)
    for one in found["status"]["conditions"]:
        if one["type"] == "Ready":
            one["reason"] = "InvalidSpec"
    with pytest.raises(ClusterError, match="no attempt failed, so another one would change nothing: InvalidSpec"):
        retry(found, world.all(JOB))


def test_a_status_of_another_spec_is_waited_for() -> None:
    world = failed()
    world.service(training={"epochs": 3})
    with pytest.raises(ClusterError, match="has not looked at the newest spec of churn yet"):
        asked(world)
    with pytest.raises(ClusterError, match="has not looked"):
        retry({"metadata": {"name": "new", "generation": 1}, "spec": {}})


def test_a_suspended_one_says_what_keeps_it() -> None:
    world = failed()
    found = service(world)
    found["spec"]["suspend"] = True
    assert retry(found, world.all(JOB)).said.endswith("spec.suspend keeps it from starting until it is false")
