"""The reconciler's stories. Records: what is kept of a result, and what becomes of one that cannot be read."""

import copy
import json
from typing import Any

import pytest
from tests.support.world import NAMESPACE, World, success

from modelservice.contract.documents import SCHEMA_VERSION
from modelservice.contract.evaluation import Evaluation, Metric
from modelservice_operator.crd.status import ModelServiceStatus
from modelservice_operator.kinds import CONTROLLER_REVISION, DEPLOYMENT, PERSISTENT_VOLUME_CLAIM
from modelservice_operator.objects import Object, Ref


def rewrite(world: World, key: str, **changes: Any) -> Object:
    """Another release, or somebody, wrote the record."""
    record = world.kube.objects[Ref(CONTROLLER_REVISION, NAMESPACE, f"churn-{key}")]
    record["data"] = {**record["data"], **changes}
    world.restart_operator()
    return copy.deepcopy(record["data"])


def test_a_record_says_what_it_is_and_all_that_a_revision_is() -> None:
    world = World()
    key = world.serve()
    record = world.one(CONTROLLER_REVISION)
    assert record["revision"] == 1
    data = record["data"]
    assert (data["kind"], data["schemaVersion"]) == ("StageRecord", SCHEMA_VERSION)
    assert (data["stage"], data["key"], "parent" in data) == ("train", key, False)
    assert data["artifact"]["uri"] == f"pvc://churn-{key}/{key}"
    assert data["evaluation"]["primary"] == "accuracy"
    assert data["serving"]["template"] == world.one(DEPLOYMENT)["spec"]["template"]
    assert len(json.dumps(data)) < 8192


def test_the_status_shows_named_metrics() -> None:
    world = World()
    world.serve()
    assert world.status()["metric"] == "accuracy 0.950"
    (revision,) = world.status()["revisions"]
    assert revision["primaryMetric"] == "accuracy"
    assert revision["testRows"] == 20
    assert revision["metrics"] == [
        {"name": "accuracy", "value": 0.95, "low": 0.9, "high": 0.98},
        {"name": "f1", "value": 0.9},
    ]
    assert (revision["family"], revision["task"]) == ("mlp", "Multiclass")


UNREADABLE: dict[str, dict[str, Any]] = {
    "newer": {"schemaVersion": "2.0"},
    "another kind": {"kind": "Something"},
    "garbage": {"evaluation": "?"},
    "unknown store": {"artifact": {"uri": "ftp://registry/model", "digest": "sha256:" + "0" * 64}},
}


@pytest.mark.parametrize("case", UNREADABLE)
def test_a_record_that_cannot_be_read_is_left_alone_and_said_and_what_serves_goes_on(case: str) -> None:
    world = World()
    key = world.serve()
    written = rewrite(world, key, **UNREADABLE[case])
    deployment = copy.deepcopy(world.one(DEPLOYMENT))
    world.settle()
    assert world.one(CONTROLLER_REVISION)["data"] == written
    assert world.one(DEPLOYMENT)["metadata"]["resourceVersion"] == deployment["metadata"]["resourceVersion"]
    assert world.one(PERSISTENT_VOLUME_CLAIM)
    assert world.running_jobs() == []
    assert world.ready() == ("False", "RecordUnreadable")
    assert world.condition("RecordsReadable")["status"] == "False"
    assert key in world.condition("RecordsReadable")["message"]
    assert world.condition("Available")["status"] == "True"
    assert world.condition("Stalled")["status"] == "True"


def test_a_newer_minor_version_is_read_and_what_it_adds_is_kept() -> None:
    world = World()
    key = world.serve()
    written = rewrite(world, key, schemaVersion="1.9", added={"later": True})
    world.settle()
    assert world.ready() == ("True", "Serving")
    assert world.condition("RecordsReadable") == {}
    assert world.one(CONTROLLER_REVISION)["data"] == written


def test_an_unreadable_record_that_nothing_asks_for_keeps_its_number_and_its_artifact() -> None:
    world = World()
    first = world.serve()
    rewrite(world, first, schemaVersion="2.0")
    world.service(training={"epochs": 2}, revisionHistoryLimit=1)
    world.run_stages()
    world.roll_out()
    world.settle()
    assert world.ready() == ("True", "Serving")
    assert world.status()["revision"] == 2
    assert world.condition("RecordsReadable")["status"] == "False"
    assert Ref(PERSISTENT_VOLUME_CLAIM, NAMESPACE, f"churn-{first}") in world.kube.objects
    assert Ref(CONTROLLER_REVISION, NAMESPACE, f"churn-{first}") in world.kube.objects


def test_deleting_an_unreadable_record_makes_it_anew_from_what_its_job_reported() -> None:
    world = World()
    key = world.serve()
    rewrite(world, key, schemaVersion="2.0")
    world.settle()
    del world.kube.objects[Ref(CONTROLLER_REVISION, NAMESPACE, f"churn-{key}")]
    world.settle()
    assert world.ready() == ("True", "Serving")
    assert world.one(CONTROLLER_REVISION)["revision"] == 1


def test_a_number_of_any_size_fits_into_the_status() -> None:
    world = World()
    world.config_map()
    world.service()
    world.settle()
    score = Evaluation(primary="rmse", rows=9, metrics=(Metric(name="rmse", value=1e300, low=1e-9, high=1e300),))
    world.end_stage(success(world.order(world.job())["key"], evaluation=score))
    world.settle()
    world.roll_out()
    world.settle()
    assert world.status()["metric"] == "rmse 1.000e+300"
    assert ModelServiceStatus.model_validate(world.status())
    assert world.condition("Trained")["message"] == (
        "revision 1: test rmse 1.000e+300 (95 % interval 0.000 to 1.000e+300, 9 rows)"
    )


@pytest.mark.parametrize(
    ("asked", "number"),
    [
        ({"training": {"epochs": 2}, "compression": {"steps": [{"quantize": {}}]}}, 2),
        ({"training": {"epochs": 3}}, None),
    ],
)
def test_a_record_that_is_lost_puts_no_older_model_in_its_place(asked: dict[str, Any], number: int | None) -> None:
    """Where its Job still tells what was reported the record is made again, under a number of its own."""
    world = World()
    world.serve()
    world.service(training={"epochs": 2})
    served = world.run_stages()
    world.roll_out()
    world.settle()
    world.service(**asked)
    world.settle()
    del world.kube.objects[Ref(CONTROLLER_REVISION, NAMESPACE, f"churn-{served}")]
    world.settle()
    assert world.one(DEPLOYMENT)["metadata"]["labels"]["modelservice.dev/key"] == served
    assert world.condition("Available")["status"] == "True"
    assert world.status().get("revision") == number
    world.run_stages()
    world.roll_out()
    world.settle()
    assert world.ready() == ("True", "Serving")


def test_an_older_revision_takes_over_where_record_and_artifact_are_lost() -> None:
    world = World()
    first = world.serve()
    world.service(training={"epochs": 2})
    served = world.run_stages()
    world.roll_out()
    world.settle()
    for kind in (CONTROLLER_REVISION, PERSISTENT_VOLUME_CLAIM):
        del world.kube.objects[Ref(kind, NAMESPACE, f"churn-{served}")]
    world.settle()
    assert world.one(DEPLOYMENT)["metadata"]["labels"]["modelservice.dev/key"] == first
    assert world.ready() == ("False", "Training")


def test_a_number_is_not_given_out_again_where_its_record_was_lost() -> None:
    world = World()
    first = world.serve()
    world.service(training={"epochs": 2})
    second = world.run_stages()
    world.roll_out()
    world.settle()
    assert world.status()["lastRevision"] == 2
    world.service()
    world.settle()
    world.roll_out()
    world.settle()
    assert world.one(DEPLOYMENT)["metadata"]["labels"]["modelservice.dev/key"] == first
    for kind in (CONTROLLER_REVISION, PERSISTENT_VOLUME_CLAIM):
        del world.kube.objects[Ref(kind, NAMESPACE, f"churn-{second}")]
    world.settle()
    assert (world.status()["revision"], world.status()["lastRevision"]) == (1, 2)
    world.service(training={"epochs": 3})
    world.run_stages()
    assert [one["number"] for one in world.status()["revisions"]] == [3, 1]


def test_a_record_that_is_made_again_from_the_same_report_keeps_its_number() -> None:
    world = World()
    key = world.serve()
    del world.kube.objects[Ref(CONTROLLER_REVISION, NAMESPACE, f"churn-{key}")]
    world.settle()
    assert (world.one(CONTROLLER_REVISION)["revision"], world.status()["lastRevision"]) == (1, 1)
