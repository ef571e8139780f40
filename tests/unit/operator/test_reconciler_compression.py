"""The reconciler's stories. A second stage: made smaller in a Job of its own, and nothing trained for it."""

from typing import Any

import pytest
from tests.support.world import NAMESPACE, World, compressed, success

from modelservice.contract.failure import About, Failure
from modelservice.contract.report import Report
from modelservice_operator.constants import STAGE_CONTAINER
from modelservice_operator.kinds import (
    CONTROLLER_REVISION,
    DEPLOYMENT,
    JOB,
    PERSISTENT_VOLUME_CLAIM,
    ref_of,
)
from modelservice_operator.objects import Kind, Object, Ref

INT8 = {"steps": [{"quantize": {"weights": "Int8"}}]}


def jobs(world: World, stage: str) -> list[Object]:
    return [job for job in world.all(JOB) if job["metadata"]["labels"]["modelservice.dev/stage"] == stage]


def numbers(world: World) -> dict[str, int]:
    return {record["data"]["stage"]: record["revision"] for record in world.records()}


def named_after(world: World, kind: Kind) -> set[str]:
    return {obj["metadata"]["name"].removeprefix("churn-") for obj in world.ours(kind)}


def test_what_was_trained_is_compressed_then_served() -> None:
    world = World()
    world.config_map()
    world.service(compression=INT8)
    world.settle()
    assert world.condition("Compressed")["reason"] == "NotTrained"
    assert world.status()["stage"] == "Training"
    world.bind_claims()
    parent = world.end_stage()
    world.settle()
    assert world.ready() == ("False", "Compressing")
    assert world.status()["stage"] == "Compressing"
    assert world.condition("Trained") | {"lastTransitionTime": ""} == {
        "type": "Trained",
        "status": "True",
        "observedGeneration": 1,
        "lastTransitionTime": "",
        "reason": "Trained",
        "message": "test accuracy 0.950 (95 % interval 0.900 to 0.980, 20 rows)",
    }
    assert world.condition("Served")["reason"] == "NotCompressed"
    assert world.all(DEPLOYMENT) == [], "an intermediate result is not served"
    assert numbers(world) == {"train": 0}
    order = world.order(world.job())
    assert order["work"]["parent"] == f"/var/lib/modelservice/parent/{parent}"
    assert order["work"]["parentDigest"] == success(parent).digest
    assert order["work"]["dataFile"] == "churn.csv"
    assert order["artifact"] == f"/var/lib/modelservice/artifacts/{order['key']}"
    key = world.end_stage()
    world.settle()
    world.roll_out()
    world.settle()
    assert world.ready() == ("True", "Serving")
    assert (world.status()["key"], world.status()["revision"]) == (key, 1)
    assert numbers(world) == {"train": 0, "compress": 1}
    (revision,) = world.status()["revisions"]
    assert revision["number"] == 1
    assert revision["compression"] == {
        "applied": True,
        "drop": 0.0,
        "low": 0.0,
        "high": 0.0,
        "before": {"name": "as it was trained", "bytes": 20_000, "metric": 0.95},
        # A reported number is cut to what the schema takes.
        "after": {
            "name": "quantize",
            "parameters": 1250,
            "bytes": 5120,
            "metric": 0.95,
            "low": 0.9,
            "high": 0.98,
        },
        "controls": [{"name": "from scratch", "bytes": 5120, "metric": 0.9}],
    }
    assert world.condition("Compressed")["message"].startswith("revision 1: 3.9 x smaller: accuracy falls by 0,")
    assert world.one(DEPLOYMENT)["metadata"]["labels"]["modelservice.dev/key"] == key
    assert [reason for reason, _ in world.kube.recorded] == ["Training", "Compressing", "Deploying", "Serving"]


def test_compressing_runs_as_a_training_does_but_asks_for_no_gpu() -> None:
    world = World()
    world.config_map()
    resources = {"limits": {"nvidia.com/gpu": 1, "memory": "4Gi"}}
    world.service(
        compression=INT8, training={"nodeSelector": {"disk": "fast"}, "resources": resources, "maxRestarts": 1}
    )
    world.settle()
    world.end_stage()
    world.settle()
    (train,), (compress,) = jobs(world, "train"), jobs(world, "compress")
    assert train["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == "1"
    pod = compress["spec"]["template"]["spec"]
    assert pod["containers"][0]["resources"]["limits"] == {"cpu": "2", "memory": "4Gi"}
    assert pod["nodeSelector"] == {"disk": "fast"}
    assert compress["spec"]["backoffLimit"] == 1


def test_a_compression_goes_where_the_claim_of_its_parent_is_and_may_go_anywhere_first() -> None:
    world = World()
    world.config_map()
    world.service(compression=INT8)
    world.settle()
    parent = world.end_stage()
    world.settle()
    (compress,) = jobs(world, "compress")
    template = compress["spec"]["template"]
    (term,) = template["spec"]["affinity"]["podAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    (expression,) = term["labelSelector"]["matchExpressions"]
    own = template["metadata"]["labels"]["modelservice.dev/claim"]
    assert expression["values"] == [own, f"churn-{parent}"]
    mounts = {mount["name"]: mount for mount in template["spec"]["containers"][0]["volumeMounts"]}
    assert mounts["parent"]["readOnly"]
    assert "readOnly" not in mounts["artifacts"]
    assert mounts["data"]["mountPath"] == "/var/lib/modelservice/data"


@pytest.mark.parametrize(("report", "reason"), [({"drop": 0.02}, "BudgetMissed"), ({"smaller": False}, "NotSmaller")])
def test_a_model_that_is_kept_as_it_was_is_said_and_is_no_failure(report: dict[str, Any], reason: str) -> None:
    world = World()
    world.config_map()
    world.service(compression=INT8)
    world.settle()
    world.end_stage()
    world.settle()
    world.end_stage(compressed(world.order(world.job())["key"], **report))
    world.settle()
    world.roll_out()
    world.settle()
    assert world.ready() == ("True", "Serving")
    found = world.condition("Compressed")
    assert (found["status"], found["reason"]) == ("False", reason)
    assert found["message"].startswith("revision 1: accuracy falls by")
    assert world.condition("Stalled")["status"] == "False"


def test_another_compression_runs_no_training_pod_and_the_old_one_serves_meanwhile() -> None:
    world = World()
    first = world.serve(compression=INT8)
    (trained,) = jobs(world, "train")
    world.service(compression=INT8 | {"maxAccuracyDrop": 0.1})
    world.settle()
    assert jobs(world, "train") == [trained]
    assert world.ready() == ("False", "Compressing")
    assert world.condition("Trained")["status"] == "True"
    assert world.one(DEPLOYMENT)["metadata"]["labels"]["modelservice.dev/key"] == first
    second = world.run_stages()
    world.roll_out()
    world.settle()
    assert second != first
    assert world.ready() == ("True", "Serving")
    assert world.status()["revision"] == 2


def test_compression_added_later_starts_from_what_serves() -> None:
    world = World()
    trained = world.serve()
    world.service(compression=INT8)
    world.settle()
    assert len(jobs(world, "train")) == 1
    assert world.order(world.job())["work"]["parent"].endswith(trained)
    assert world.condition("Trained")["message"].startswith("revision 1: ")
    world.run_stages()
    world.roll_out()
    world.settle()
    assert world.ready() == ("True", "Serving")
    assert numbers(world) == {"train": 1, "compress": 2}


def test_compression_removed_serves_what_was_trained_under_the_next_number() -> None:
    world = World()
    world.serve(compression=INT8)
    before = {record["metadata"]["name"]: record["data"] for record in world.records()}
    world.service()
    world.settle()
    world.roll_out()
    world.settle()
    assert world.ready() == ("True", "Serving")
    assert numbers(world) == {"train": 2, "compress": 1}
    assert {record["metadata"]["name"]: record["data"] for record in world.records()} == before
    assert world.status()["revision"] == 2
    assert world.running_jobs() == []
    assert world.condition("Compressed") == {}
    world.service(compression=INT8)
    world.settle()
    world.roll_out()
    world.settle()
    assert (world.status()["revision"], numbers(world)["train"]) == (1, 2), "a number that was given is kept"


def test_the_parent_is_kept_as_long_as_its_chain_is_asked_for() -> None:
    world = World()
    first = world.serve(compression=INT8, revisionHistoryLimit=1)
    assert len(world.ours(PERSISTENT_VOLUME_CLAIM)) == 2
    world.service(compression=INT8, revisionHistoryLimit=1, training={"epochs": 2})
    second = world.run_stages()
    world.roll_out()
    world.settle()
    assert first not in named_after(world, CONTROLLER_REVISION)
    assert second in named_after(world, CONTROLLER_REVISION)
    assert named_after(world, CONTROLLER_REVISION) == named_after(world, PERSISTENT_VOLUME_CLAIM)
    assert len(named_after(world, PERSISTENT_VOLUME_CLAIM)) == 2


def test_a_compressed_revision_needs_its_parent_no_more() -> None:
    world = World()
    key = world.serve(compression=INT8)
    (parent,) = named_after(world, PERSISTENT_VOLUME_CLAIM) - {key}
    for kind in (PERSISTENT_VOLUME_CLAIM, CONTROLLER_REVISION):
        del world.kube.objects[Ref(kind, NAMESPACE, f"churn-{parent}")]
    world.settle()
    assert world.ready() == ("True", "Serving")
    assert world.running_jobs() == []
    assert world.condition("Trained")["message"].startswith("revision 1: test accuracy")


def test_a_compression_that_fails_stalls_and_the_old_revision_serves() -> None:
    world = World()
    world.serve()
    world.service(compression=INT8)
    world.settle()
    world.end_stage(
        Failure(reason="NothingToQuantize", message="no weights", field="spec.compression", about=About.STAGE)
    )
    world.settle()
    assert world.ready() == ("False", "NothingToQuantize")
    assert world.condition("Compressed")["message"] == "no weights (see spec.compression)"
    assert world.condition("Trained")["status"] == "True"
    assert world.condition("Available")["status"] == "True"
    assert world.condition("Stalled")["status"] == "True"


@pytest.mark.parametrize("suspended_at", ["training", "compressing"])
def test_suspend_stops_whichever_stage_runs(suspended_at: str) -> None:
    world = World()
    world.config_map()
    world.service(compression=INT8)
    world.settle()
    if suspended_at == "compressing":
        world.end_stage()
        world.settle()
    world.service(compression=INT8, suspend=True)
    world.settle()
    world.finish_deletions()
    world.settle()
    assert world.running_jobs() == []
    assert world.ready() == ("False", "Suspended")
    assert world.condition("Suspended")["message"] == f"{suspended_at} waits until spec.suspend is false"
    world.service(compression=INT8)
    world.settle()
    assert len(world.running_jobs()) == 1


def test_a_sidecar_that_outlives_the_training_does_not_hold_up_the_compression() -> None:
    world = World()
    world.config_map()
    world.service(compression=INT8)
    world.settle()
    train = world.job()
    ended = {"exitCode": 0, "message": Report(result=success(world.order(train)["key"])).to_message()}
    world.pod_of(
        train, {"phase": "Running", "containerStatuses": [{"name": STAGE_CONTAINER, "state": {"terminated": ended}}]}
    )
    world.settle()
    assert len(jobs(world, "compress")) == 1


def lose(world: World, kind: Kind, key: str) -> None:
    """Somebody deletes it."""
    del world.kube.objects[Ref(kind, NAMESPACE, f"churn-{key}")]
    world.settle()


def compressing(**spec: Any) -> tuple[World, str]:
    """What was trained is being compressed; answers with the key of the training, too."""
    world = World()
    world.config_map()
    world.service(compression=INT8, **spec)
    world.settle()
    parent = world.end_stage()
    world.settle()
    return world, parent


def test_a_compression_that_failed_is_tried_again_once_its_parent_was_made_again() -> None:
    world, parent = compressing()
    world.end_stage(Failure(reason="ParentUnreadable", message="a file is damaged", about=About.STORAGE))
    world.settle()
    assert world.ready() == ("False", "ParentUnreadable")
    lose(world, PERSISTENT_VOLUME_CLAIM, parent)
    assert world.ready() == ("False", "Training")
    other = "sha256:" + "a" * 64
    world.end_stage(success(parent, digest=other))
    world.settle()
    assert world.ready() == ("False", "Compressing")
    assert world.order(world.job())["work"]["parentDigest"] == other


def test_suspend_stops_a_compression_whose_parent_is_trained_again() -> None:
    world, parent = compressing()
    lose(world, PERSISTENT_VOLUME_CLAIM, parent)
    assert len(world.running_jobs()) == 2
    world.service(compression=INT8, suspend=True)
    world.settle()
    world.finish_deletions()
    world.settle()
    assert world.running_jobs() == []
    assert world.ready() == ("False", "Suspended")


def test_a_compression_that_ends_well_stops_the_training_of_its_lost_parent() -> None:
    world, parent = compressing()
    compress = world.job()
    lose(world, PERSISTENT_VOLUME_CLAIM, parent)
    report = Report(result=compressed(world.order(compress)["key"]))
    ended = {"name": STAGE_CONTAINER, "state": {"terminated": {"exitCode": 0, "message": report.to_message()}}}
    world.pod_of(compress, {"phase": "Succeeded", "containerStatuses": [ended]})
    world.end_job(compress, failed=False)
    world.settle()
    world.finish_deletions()
    world.roll_out()
    world.settle()
    assert world.ready() == ("True", "Serving")
    assert world.running_jobs() == []


def test_a_result_is_kept_while_the_data_cannot_be_seen_although_its_job_is_gone() -> None:
    world, parent = compressing()
    world.end_stage(Failure(reason="NothingToQuantize", message="no weights", about=About.STAGE))
    (train,) = jobs(world, "train")
    del world.kube.objects[ref_of(train)]
    world.settle()
    world.config_map(None)
    world.settle()
    assert world.ready() == ("False", "ConfigMapNotFound")
    assert parent in named_after(world, PERSISTENT_VOLUME_CLAIM) & named_after(world, CONTROLLER_REVISION)


def test_a_spec_that_is_changed_to_and_fro_while_it_is_compressed_trains_nothing_twice() -> None:
    world, parent = compressing(revisionHistoryLimit=1)
    world.service(compression=INT8, revisionHistoryLimit=1, training={"epochs": 2})
    world.settle()
    world.finish_deletions()
    world.settle()
    assert world.ready() == ("False", "Training")
    world.service(compression=INT8, revisionHistoryLimit=1)
    world.settle()
    world.finish_deletions()
    world.settle()
    assert world.ready() == ("False", "Compressing")
    assert world.order(world.job())["work"]["parent"].endswith(parent)


def test_results_that_nothing_is_made_of_are_kept_within_the_limit() -> None:
    world, first = compressing(revisionHistoryLimit=1)
    trained = [first]
    for epochs in (2, 3):
        world.clock.seconds += 1
        world.service(compression=INT8, revisionHistoryLimit=1, training={"epochs": epochs})
        world.settle()
        world.finish_deletions()
        world.settle()
        trained.append(world.end_stage())
        world.settle()
    assert named_after(world, CONTROLLER_REVISION) == {trained[-1]}
    world.service(compression=INT8, revisionHistoryLimit=1, training={"epochs": 4})
    world.settle()
    assert named_after(world, CONTROLLER_REVISION) == {trained[-1]}
