"""The reconciler's stories. What becomes of a service when its data changes, vanishes or is wrong."""

import asyncio
from typing import Any

import pytest
from tests.support.world import CSV, NAMESPACE, World, success

from modelservice.contract.evaluation import Evaluation, Metric
from modelservice.contract.failure import About, Failure
from modelservice.contract.manifest import DataSummary
from modelservice_operator.kinds import CONFIG_MAP, CONTROLLER_REVISION, DEPLOYMENT, JOB, PERSISTENT_VOLUME_CLAIM
from modelservice_operator.objects import Ref


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


def test_a_job_that_told_its_result_stays_though_its_controller_has_not_said_yet_that_it_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World()
    monkeypatch.setattr(world, "end_job", lambda *_, **__: None)
    world.config_map()
    world.service()
    world.settle()
    world.bind_claims()
    job = world.job()
    key = world.end_stage()
    world.settle()
    world.config_map(name="renamed")
    world.service(data={"configMap": {"name": "renamed"}, "target": "kind"})
    world.settle()
    assert world.status()["key"] == key
    assert world.job() == job, "nobody deletes it"


@pytest.mark.parametrize("failed", [False, True])
def test_a_training_whose_config_map_was_renamed_mounts_the_new_one(failed: bool) -> None:
    world = World()
    world.config_map()
    world.service()
    world.settle()
    key = world.order(world.job())["key"]
    if failed:
        world.end_stage(Failure(reason="DataNotMounted", message="it is gone", about=About.DATA))
    world.config_map(None)
    world.config_map(name="renamed")
    world.service(data={"configMap": {"name": "renamed"}, "target": "kind"})
    world.settle()
    world.finish_deletions()
    world.settle()
    job = world.job()
    assert world.order(job)["key"] == key
    assert job["spec"]["template"]["spec"]["volumes"][1]["configMap"]["name"] == "renamed"


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
    world.reconcile()
    assert world.condition("Ready")["reason"] == reason
    assert words in world.condition("Ready")["message"]
    assert world.condition("Stalled")["status"] == "True"
    assert world.condition("DataReady")["status"] == "False"
    assert world.all(JOB) == []
    world.clock.seconds += 5
    if change == "two keys":
        world.kube.objects.pop(Ref(CONFIG_MAP, NAMESPACE, "churn"))
    world.config_map(**({"x.csv": CSV} if change == "no such key" else {}))
    world.settle()
    assert world.ready() == ("False", "Training")


def _pass_before_any_answer(world: World) -> float | None:
    world.sync()
    return asyncio.run(world.reconciler.reconcile(world.key))


@pytest.mark.parametrize(("changed", "seconds"), [({}, 30), ({"training": {"epochs": 7}}, 5)])
def test_what_was_said_stays_while_a_new_operator_has_not_read_the_data_yet(
    changed: dict[str, Any], seconds: float
) -> None:
    """Of a thousand tables the last is read after seconds: nothing is wrong meanwhile; but a change gets its answer."""
    world = World()
    world.serve()
    world.restart_operator()
    if changed:
        world.service(**changed)
    writes = len(world.kube.writes)
    assert _pass_before_any_answer(world) == seconds
    world.clock.seconds += seconds - 1
    _pass_before_any_answer(world)
    assert world.writes_since(writes) == []
    world.clock.seconds += 1
    _pass_before_any_answer(world)
    assert world.ready() == ("False", "DataNotRead")
    assert world.condition("DataReady")["status"] == "Unknown"
    assert world.condition("Available")["status"] == "True"
    assert world.running_jobs() == []
    world.settle()
    assert world.ready()[1] == ("Training" if changed else "Serving")


def test_a_pass_itself_asks_nothing_that_a_tenant_can_make_slow() -> None:
    world = World()
    world.config_map()
    world.service()
    world.settle()
    world.pod_of(world.job(), {"phase": "Running", "podIP": "198.18.0.9"})
    world.clock.seconds += 60
    reads = len(world.kube.reads)
    _pass_before_any_answer(world)
    assert (world.kube.reads[reads:], world.progress.asked) == ([], 0)
    world.reconcile()
    asked = {(verb, kind) for verb, kind, _ in world.kube.reads[reads:]}
    assert asked == {("events", "Event")}, "about the claim that is not bound"
    assert world.progress.asked == 1


def test_of_a_spec_that_cannot_be_read_no_data_is_looked_at() -> None:
    world = World()
    world.serve()
    world.service(model={})
    world.settle()
    assert world.ready() == ("False", "InvalidSpec")
    reads = len(world.kube.reads)
    world.clock.seconds += 60
    world.settle()
    assert world.kube.reads[reads:] == []


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
    world.end_stage()
    world.settle()
    world.config_map()
    world.settle()
    world.roll_out()
    world.settle()
    assert world.status()["revision"] == 1
    assert len(world.all(JOB)) == 1


def test_wrong_data_waits_for_a_change() -> None:
    world = World()
    world.config_map()
    world.service()
    world.settle()
    failure = Failure(
        reason="TargetNotFound", message="there is no column 'kind'", field="spec.data.target", about=About.DATA
    )
    world.end_stage(failure)
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


def test_images_are_said_by_their_size() -> None:
    world = World()
    world.config_map()
    world.service()
    world.settle()
    data = DataSummary(sha256="sha256:" + "0" * 64, rows=120, features=64, shape=(8, 8), classes=10)
    world.end_stage(success(world.order(world.job())["key"], data=data))
    world.settle()
    assert world.condition("DataReady")["message"] == "120 images of 8 x 8, 10 classes"


def test_a_regression_says_no_classes_and_how_its_task_was_inferred() -> None:
    world = World()
    world.config_map()
    world.service()
    world.settle()
    notes = ("task: regression, since mpg holds numbers",)
    data = DataSummary(sha256="sha256:" + "0" * 64, rows=392, features=7, notes=notes)
    score = Evaluation(primary="r2", rows=59, metrics=(Metric(name="r2", value=0.871),))
    report = success(world.order(world.job())["key"], data=data, evaluation=score, task="Regression")
    world.end_stage(report)
    world.settle()
    assert world.condition("DataReady")["message"] == f"392 rows, 7 features; {notes[0]}"
    assert world.condition("Trained")["message"] == "revision 1: test r2 0.871 (59 rows)"
    world.roll_out()
    world.settle()
    assert world.status()["metric"] == "r2 0.871"
