"""The reconciler's stories. A gate that compares: a result and what serves are scored on the same rows, once a pair."""

from typing import Any

import pytest
from tests.support.fake_kube import Stop
from tests.support.world import World, compared, ends, evaluation, signature, success

from modelservice.contract.comparison import Comparison
from modelservice.contract.failure import About, Failure
from modelservice.contract.report import Compared
from modelservice.contract.signature import ColumnKind, InputColumn
from modelservice_operator.kinds import (
    CONTROLLER_REVISION,
    DEPLOYMENT,
    JOB,
    MODEL_SERVICE,
    PERSISTENT_VOLUME_CLAIM,
    POD,
    ref_of,
)
from modelservice_operator.objects import Object, Ref

NOT_WORSE: Object = {"require": [{"metric": {"name": "accuracy", "notWorseThanCurrent": {}}}]}
OTHER = "a,b,kind\n1,2,x\n3,4,z\n"
THIRD = "a,b,kind\n1,2,x\n3,4,z\n5,6,z\n"
S3 = {"uri": "s3://models/team", "secretRef": {"name": "models"}}
KEYS = {"encryption": {"secretRef": {"name": "keys", "key": "2026-11"}}}


def tolerant(tolerance: float) -> Object:
    return {"require": [{"metric": {"name": "accuracy", "notWorseThanCurrent": {"tolerance": tolerance}}}]}


def served(**spec: Any) -> tuple[World, str]:
    """Revision 1 serves, with a gate that compares."""
    world = World()
    return world, world.serve(**{"promotion": NOT_WORSE, **spec})


def learn(world: World, table: str = OTHER, *, report: Any = None, **spec: Any) -> str:
    """Other data asks for another model, which is trained."""
    world.config_map(table)
    world.service(**{"promotion": NOT_WORSE, **spec})
    world.settle()
    world.bind_claims()
    key: str = world.order(world.job())["key"]
    world.end_stage(report(key) if report else None)
    world.settle()
    return key


def compare(world: World, **found: Any) -> str:
    """The comparison ends."""
    key: str = world.order(world.job())["key"]
    world.end_stage(compared(key, **found))
    world.settle()
    return key


def roll_out(world: World) -> None:
    world.roll_out()
    world.settle()


def deployed_key(world: World) -> str:
    key: str = world.one(DEPLOYMENT)["metadata"]["labels"]["modelservice.dev/key"]
    return key


def comparisons(world: World) -> list[Object]:
    return [one for one in world.ours(CONTROLLER_REVISION) if one["data"]["kind"] == "ComparisonRecord"]


def stages(world: World) -> list[str]:
    """Stages of all Jobs that were ever made."""
    made = [name for verb, kind, name in world.kube.writes if (verb, kind) == ("apply", "Job")]
    return [name.split("-")[1] for name in dict.fromkeys(made)]


def test_the_first_model_has_nothing_to_be_worse_than() -> None:
    world, first = served()
    assert stages(world) == ["train"]
    assert world.ready() == ("True", "Serving")
    assert deployed_key(world) == first
    assert world.condition("Promoted")["message"] == "revision 1; the first model has nothing to be worse than"


def test_a_better_model_serves_once_it_was_compared() -> None:
    world, first = served()
    second = learn(world)
    assert world.ready() == ("False", "Comparing")
    assert (world.status()["stage"], world.status()["key"]) == ("Comparing", second)
    assert "revision 1 serves meanwhile" in world.condition("Ready")["message"]
    said = {kind: world.condition(kind)["reason"] for kind in ("Trained", "Promoted", "Served", "Available")}
    assert said == {"Trained": "Trained", "Promoted": "Comparing", "Served": "NotPromoted", "Available": "Answering"}
    assert deployed_key(world) == first
    compare(world, worse=-0.05)
    assert deployed_key(world) == second
    roll_out(world)
    assert world.ready() == ("True", "Serving")
    assert world.condition("Promoted")["message"] == (
        "revision 2; accuracy 0.95 against 0.9 of revision 1 on 20 test rows, 0.05 better"
        " (paired 95 % interval 0.03 to 0.07)"
    )
    assert stages(world) == ["train", "train", "compare"]


def test_a_worse_model_is_held_back_with_the_interval_and_the_old_one_goes_on() -> None:
    world, first = served()
    second = learn(world)
    compare(world, worse=0.05)
    words = (
        f"the model of key {second} is not promoted, revision 1 stays: accuracy 0.85 against 0.9 of revision 1 on 20"
        " test rows, 0.05 worse (paired 95 % interval 0.03 to 0.07), and may be 0 worse (spec.promotion.require[0])"
    )
    assert world.ready() == ("False", "PromotionRefused")
    assert world.condition("Promoted")["message"] == world.condition("Ready")["message"] == words
    assert world.condition("Stalled")["status"] == "True"
    assert world.status()["stage"] == "Failed"
    assert deployed_key(world) == first
    assert [one["number"] for one in world.status()["revisions"]] == [1]
    before = len(world.kube.writes)
    world.restart_operator()
    world.settle()
    assert world.writes_since(before) == [], "a refusal is a state, not an event"


@pytest.mark.parametrize(
    ("worse", "width", "tolerance", "promoted"),
    [
        (0.05, 0.06, 0.0, True),  # these rows do not tell it worse
        (0.0, 0.0, 0.0, True),
        (0.05, 0.02, 0.031, True),
        (0.05, 0.02, 0.029, False),
        (0.05, 0.02, 0.1, True),
    ],
)
def test_worse_is_what_the_whole_interval_shows_beyond_the_tolerance(
    worse: float, width: float, tolerance: float, promoted: bool
) -> None:
    world, first = served(promotion=tolerant(tolerance))
    second = learn(world, promotion=tolerant(tolerance))
    compare(world, worse=worse, width=width)
    assert deployed_key(world) == (second if promoted else first)


def test_another_tolerance_is_asked_of_the_same_comparison() -> None:
    world, first = served()
    second = learn(world)
    compare(world, worse=0.05)
    assert deployed_key(world) == first
    world.service(promotion=tolerant(0.04))
    world.settle()
    roll_out(world)
    assert deployed_key(world) == second
    assert stages(world).count("compare") == 1


def test_a_pair_is_never_compared_twice_though_all_status_and_all_jobs_are_lost() -> None:
    world, first = served()
    learn(world)
    compare(world, worse=0.05)
    (record,) = comparisons(world)
    assert record["revision"] == 0
    assert record["data"]["current"] == {"key": first, "digest": world.status()["digest"], "number": 1}
    for kind in (JOB, POD):
        for job in [one for one in world.all(kind) if "serve" not in one["metadata"]["labels"].values()]:
            world.remove(ref_of(job))
    world.kube.objects[Ref(MODEL_SERVICE, *world.key)].pop("status")
    world.restart_operator()
    world.settle()
    world.config_map()
    world.settle()
    assert world.ready() == ("True", "Serving"), "the spec asks for what serves"
    world.config_map(OTHER)
    world.settle()
    assert world.ready() == ("False", "PromotionRefused")
    assert stages(world).count("compare") == 1


def test_a_spec_that_is_changed_to_and_fro_compares_nothing_twice() -> None:
    world, first = served()
    second = learn(world)
    compare(world, worse=-0.05)
    roll_out(world)
    world.config_map()
    world.settle()
    compare(world, worse=0.05)
    assert deployed_key(world) == second, "what served before is worse than what serves"
    for table in (OTHER, None, OTHER, None):
        world.config_map(*([table] if table else []))
        world.settle()
    assert world.running_jobs() == []
    assert stages(world).count("compare") == 2
    pairs = {(one["data"]["candidate"]["key"], one["data"]["current"]["key"]) for one in comparisons(world)}
    assert pairs == {(second, first), (first, second)}


def test_after_a_rollback_the_next_one_is_compared_with_what_serves_then() -> None:
    world, first = served()
    second = learn(world)
    compare(world, worse=-0.05)
    roll_out(world)
    world.service(promotion=NOT_WORSE, serving={"pinRevision": {"number": 1}})
    world.settle()
    roll_out(world)
    assert deployed_key(world) == first, "a person needs no comparison"
    world.config_map(THIRD)
    world.settle()
    world.bind_claims()
    third = world.end_stage()
    world.settle()
    assert world.running_jobs() == [], "nor is one made meanwhile"
    world.service(promotion=NOT_WORSE)
    world.settle()
    order = world.order(world.job())["work"]
    assert (order["current"], order["candidate"]) == (
        f"/var/lib/modelservice/current/{first}",
        f"/var/lib/modelservice/parent/{third}",
    )
    assert order["revision"] == 1
    compare(world, worse=0.0)
    assert deployed_key(world) == third
    assert second not in {third, first}


def test_what_another_cluster_trained_is_compared_with_as_any_other() -> None:
    digest = "sha256:" + "1" * 64
    world, fetched = served(serving={"pinRevision": {"uri": "s3://staging/iris/abc", "digest": digest}})
    assert stages(world) == ["fetch"]
    world.service(promotion=NOT_WORSE)
    world.settle()
    world.bind_claims()
    trained = world.end_stage()
    world.settle()
    work = world.order(world.job())["work"]
    assert (work["stage"], work["currentDigest"], work["revision"]) == ("compare", digest, 1)
    assert work["current"] == f"/var/lib/modelservice/current/{fetched}"
    compare(world, worse=0.0)
    assert deployed_key(world) == trained


def test_a_compressed_model_is_compared_as_it_would_serve() -> None:
    spec: Object = {"compression": {"steps": [{"quantize": {}}]}}
    world, first = served(**spec)
    world.config_map(OTHER)
    world.settle()
    second = ""
    for _ in range(2):
        world.bind_claims()
        second = world.end_stage()
        world.settle()
    work = world.order(world.job())["work"]
    assert [work[side].rpartition("/")[2] for side in ("candidate", "current")] == [second, first]
    compare(world, worse=0.0)
    assert deployed_key(world) == second


def test_the_job_reads_both_artifacts_and_the_data_and_stores_nothing() -> None:
    world, first = served(training={"resources": {"limits": {"nvidia.com/gpu": 1, "memory": "3Gi"}}})
    second = learn(world, training={"resources": {"limits": {"nvidia.com/gpu": 1, "memory": "3Gi"}}})
    claims = len(world.all(PERSISTENT_VOLUME_CLAIM))
    job, order = world.job(), world.order(world.job())
    assert order["artifact"] == ""
    assert order["work"]["metrics"] == ["accuracy"]
    digests = {key: f"sha256:{key.encode().hex():0>64}" for key in (first, second)}
    assert (order["work"]["candidateDigest"], order["work"]["currentDigest"]) == (digests[second], digests[first])
    pod = job["spec"]["template"]["spec"]
    named = {
        one["name"]: one["persistentVolumeClaim"]["claimName"]
        for one in pod["volumes"]
        if "persistentVolumeClaim" in one
    }
    assert named == {"parent": f"churn-{second}", "current": f"churn-{first}"}
    mounts = {one["name"]: one.get("readOnly") for one in pod["containers"][0]["volumeMounts"]}
    assert mounts == {"order": True, "data": True, "parent": True, "current": True, "tmp": None}
    assert pod["containers"][0]["resources"]["limits"] == {"cpu": "2", "memory": "3Gi"}, "no GPU is needed"
    assert job["metadata"]["labels"]["modelservice.dev/stage"] == "compare"
    (term,) = pod["affinity"]["podAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    (expression,) = term["labelSelector"]["matchExpressions"]
    assert expression["values"] == [f"churn-{second}", f"churn-{first}"], "on the node that holds both claims"
    assert len(world.all(PERSISTENT_VOLUME_CLAIM)) == claims == 2


def test_artifacts_in_a_store_are_opened_with_the_variables_and_the_key() -> None:
    artifacts = S3 | KEYS
    world, first = served(artifacts=artifacts)
    second = learn(world, artifacts=artifacts)
    job, work = world.job(), world.order(world.job())["work"]
    assert work["candidate"] == f"s3://models/team/default/churn/{second}"
    assert work["current"] == f"s3://models/team/default/churn/{first}"
    container = job["spec"]["template"]["spec"]["containers"][0]
    assert container["envFrom"] == [{"secretRef": {"name": "models"}}]
    keys = [one for one in container["env"] if one["name"] == "MODELSERVICE_ENCRYPTION_KEYS"]
    assert [one["value"] for one in keys] == ["/etc/modelservice/encryption"]
    mounted = [one["secret"]["secretName"] for one in job["spec"]["template"]["spec"]["volumes"] if "secret" in one]
    assert mounted == ["keys"]


def test_what_one_pod_cannot_open_together_is_said_and_not_tried() -> None:
    world, first = served(artifacts=S3)
    elsewhere = {"uri": "s3://others/team", "secretRef": {"name": "others"}}
    learn(world, artifacts=elsewhere)
    assert world.ready() == ("False", "PromotionRefused")
    assert (
        "accuracy cannot be compared with that of revision 1: they are stored with variables of different Secrets"
        " (models, others)" in world.condition("Ready")["message"]
    )
    assert deployed_key(world) == first
    assert "compare" not in stages(world)


IMAGE = {"image": {"repository": "one.example/models", "pullSecretRef": {"name": "one"}}}


@pytest.mark.parametrize(
    ("before", "repository", "refused"),
    [
        (S3, "two.example/models", False),
        (IMAGE, "two.example/models", False),
        (IMAGE, "one.example/others", True),
    ],
)
def test_secrets_of_two_places_are_had_at_once_unless_one_registry_has_both(
    before: Object, repository: str, *, refused: bool
) -> None:
    def report(key: str) -> Any:
        return success(key, stored_as=f"sha256:{key.encode().hex():f>64}", digest=f"sha256:{key.encode().hex():a>64}")

    world, _ = served(artifacts=before)
    learn(world, report=report, artifacts={"image": {"repository": repository, "pullSecretRef": {"name": "two"}}})
    assert ("compare" in stages(world)) is not refused
    words = "they are stored in one.example with passwords of different Secrets (one, two)"
    assert (words in world.condition("Ready")["message"]) is refused


def test_other_inputs_cannot_be_compared_and_no_job_is_made() -> None:
    known = signature()
    inputs = (InputColumn(name="a", type=ColumnKind.CATEGORY, categories=("x",), example="x"),)
    changed = known.model_copy(update={"inputs": inputs})
    world, first = served()
    learn(world, report=lambda key: success(key, signature=changed, inputs_digest=changed.inputs_digest))
    assert world.ready() == ("False", "PromotionRefused")
    assert (
        "accuracy cannot be compared with that of revision 1: the inputs changed, of another kind: a was Number and is"
        " Category (spec.promotion.require[0])" in world.condition("Ready")["message"]
    )
    assert (deployed_key(world), "compare" in stages(world)) == (first, False)


def test_inputs_that_no_record_tells_are_left_to_the_pod() -> None:
    world, _ = served()
    learn(world, report=lambda key: success(key, signature=None, inputs_digest=None))
    assert world.order(world.job())["work"]["stage"] == "compare"


def test_a_pod_that_cannot_compare_says_why_and_is_not_asked_again() -> None:
    world, first = served()
    learn(world)
    key = world.order(world.job())["key"]
    said = "nobody can tell which of the 31 test rows revision 1 learned from"
    world.end_stage(Compared(stage="compare", key=key, comparison=Comparison(incomparable=said)))
    world.settle()
    assert world.ready() == ("False", "PromotionRefused")
    assert f"accuracy cannot be compared with that of revision 1: {said}" in world.condition("Promoted")["message"]
    assert (deployed_key(world), stages(world).count("compare")) == (first, 1)


def test_what_falls_short_anyway_is_not_compared() -> None:
    promotion = {"require": [*NOT_WORSE["require"], {"metric": {"name": "accuracy", "min": 0.9}}]}
    world, _ = served(promotion=promotion)
    learn(world, promotion=promotion, report=lambda key: success(key, evaluation=evaluation(0.5)))
    assert world.ready() == ("False", "PromotionRefused")
    assert "compare" not in stages(world)
    assert "accuracy 0.500" in world.condition("Ready")["message"]


def test_a_metric_that_the_model_does_not_have_is_named_before_anything_runs() -> None:
    promotion: Object = {"require": [{"metric": {"name": "rmse", "notWorseThanCurrent": {}}}]}
    world, _ = served()
    learn(world, promotion=promotion)
    assert "the metric rmse is not among those of the model: accuracy, f1" in world.condition("Ready")["message"]
    assert "compare" not in stages(world)


def test_several_metrics_are_compared_by_one_job() -> None:
    promotion: Object = {
        "require": [
            {"metric": {"name": "f1", "notWorseThanCurrent": {"tolerance": 0.1}}},
            {"metric": {"name": "accuracy", "notWorseThanCurrent": {}, "min": 0.5}},
        ]
    }
    world, first = served(promotion=promotion)
    learn(world, promotion=promotion)
    assert world.order(world.job())["work"]["metrics"] == ["accuracy", "f1"]
    compare(world, worse=0.05, names=("accuracy", "f1"))
    message = world.condition("Promoted")["message"]
    assert "accuracy 0.85 against 0.9" in message
    assert "f1" not in message, "what may be lost was not exceeded"
    assert "spec.promotion.require[1]" in message
    assert deployed_key(world) == first


def test_a_comparison_that_fails_is_said_and_tried_again_once_its_job_is_gone() -> None:
    world, first = served()
    second = learn(world)
    failure = Failure(
        reason="DataChanged", message="these are not the test rows", field="spec.data.version", about=About.DATA
    )
    world.end_stage(failure)
    world.settle()
    assert world.ready() == ("False", "DataChanged")
    assert world.condition("Promoted")["reason"] == "DataChanged"
    assert "these are not the test rows" in world.condition("Promoted")["message"]
    assert (deployed_key(world), world.condition("Trained")["status"]) == (first, "True")
    (failed,) = [job for job in world.all(JOB) if "-compare-" in job["metadata"]["name"]]
    world.remove(ref_of(failed))
    world.settle()
    compare(world, worse=0.0)
    assert deployed_key(world) == second


def test_a_report_that_was_lost_is_asked_for_once_more() -> None:
    world, _ = served()
    second = learn(world)
    job = world.job()
    world.pod_of(job, {"phase": "Succeeded", "containerStatuses": []})
    world.end_job(job, failed=False)
    world.settle()
    assert world.job()["metadata"]["name"] != job["metadata"]["name"]
    compare(world, worse=0.0)
    assert deployed_key(world) == second


def test_a_suspended_service_compares_nothing_and_goes_on_later() -> None:
    world, first = served()
    second = learn(world)
    world.service(promotion=NOT_WORSE, suspend=True)
    world.settle()
    world.finish_deletions()
    world.settle()
    assert world.running_jobs() == []
    assert world.condition("Ready")["reason"] == "Suspended"
    assert world.condition("Ready")["message"].startswith("comparing waits until spec.suspend is false")
    assert deployed_key(world) == first
    world.service(promotion=NOT_WORSE)
    world.settle()
    compare(world, worse=0.0)
    assert deployed_key(world) == second


def test_a_newer_spec_ends_the_comparison_of_what_nobody_asks_for_any_more() -> None:
    world, first = served()
    learn(world)
    job = world.job()
    world.config_map()
    world.settle()
    world.finish_deletions()
    world.settle()
    assert job["metadata"]["name"] not in {one["metadata"]["name"] for one in world.all(JOB)}
    assert world.ready() == ("True", "Serving")
    assert deployed_key(world) == first


def test_the_gate_may_be_taken_away_while_it_compares() -> None:
    world, _ = served()
    second = learn(world)
    world.service()
    world.settle()
    assert deployed_key(world) == second


def test_while_rollouts_are_paused_it_compares_and_what_comes_of_it_waits() -> None:
    world, first = served()
    second = learn(world, serving={"paused": True})
    compare(world, worse=0.0)
    assert deployed_key(world) == first
    assert f"the model of key {second} waits until spec.serving.paused is false" in world.condition("Ready")["message"]
    world.service(promotion=NOT_WORSE)
    world.settle()
    assert deployed_key(world) == second


def test_a_person_decides_after_the_comparison() -> None:
    promotion = {**NOT_WORSE, "manual": True}
    world, first = served(promotion=NOT_WORSE)
    second = learn(world, promotion=promotion)
    compare(world, worse=0.0)
    assert world.condition("Promoted")["reason"] == "PromotionPending"
    assert deployed_key(world) == first
    assert f"the model of key {second} waits" in world.condition("Promoted")["message"]


def test_comparisons_go_with_the_revisions() -> None:
    spec = {"revisionHistoryLimit": 2}
    world, first = served(**spec)
    tables = [OTHER, THIRD, f"{THIRD}7,8,z\n", f"{THIRD}9,9,z\n"]
    for table in tables:
        learn(world, table, **spec)
        compare(world, worse=-0.05)
        roll_out(world)
    kept = {record["data"]["key"] for record in world.records()}
    assert first not in kept
    assert len(comparisons(world)) == 1, "of the two revisions that are kept"
    for one in comparisons(world):
        assert {one["data"]["candidate"]["key"], one["data"]["current"]["key"]} <= kept


def test_of_a_lost_record_of_what_serves_nothing_is_assumed() -> None:
    world, first = served()
    world.config_map(OTHER)
    world.settle()
    (record,) = world.records()
    world.remove(ref_of(record))
    world.bind_claims()
    world.end_stage()
    world.settle()
    assert world.ready() == ("False", "PromotionRefused")
    assert (
        "the record of what serves cannot be read, so that accuracy cannot be compared with its own"
        in world.condition("Ready")["message"]
    )
    assert deployed_key(world) == first


def test_a_comparison_of_a_newer_release_is_left_and_said() -> None:
    world, first = served()
    learn(world)
    compare(world, worse=0.05)
    (record,) = comparisons(world)
    world.kube.store({**record, "data": {**record["data"], "schemaVersion": "2.0"}})
    world.settle()
    assert world.ready() == ("False", "RecordUnreadable")
    assert deployed_key(world) == first
    world.remove(ref_of(record))
    world.settle()
    assert world.ready() == ("False", "PromotionRefused"), "the report of its Job is there"
    assert len(comparisons(world)) == 1


@pytest.mark.parametrize(("number", "written"), ends(7))
def test_an_operator_that_is_killed_at_any_write_compares_once_and_goes_on(number: int, written: bool) -> None:
    """From the report of the training to the new revision: each write is the last one of an operator."""
    world, first = served()
    world.config_map(OTHER)
    world.settle()
    world.bind_claims()
    second = world.end_stage()
    begun = len(world.kube.writes)
    world.kube.stop_at(begun + number, written=written)
    killed = False
    for _ in range(6):
        try:
            world.settle()
        except Stop:
            killed = True
            world.restart_operator()
            continue
        if not world.running_jobs():
            break
        compare_or_stop(world)
    world.kube.stop_at(None, written=False)
    world.settle()
    assert killed or number >= len(world.kube.writes) - begun
    assert first != deployed_key(world) == second
    assert stages(world) == ["train", "train", "compare"]
    (record,) = comparisons(world)
    assert record["data"]["comparison"]["metrics"][0]["worse"] == -0.05
    assert {one["data"]["key"]: one["revision"] for one in world.records()} == {first: 1, second: 2}


def compare_or_stop(world: World) -> None:
    """The pod of the comparison ends; no operator has looked yet."""
    world.end_stage(compared(world.order(world.job())["key"], worse=-0.05))
