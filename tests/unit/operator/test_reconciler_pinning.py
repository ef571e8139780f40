"""The reconciler's stories. A person decides what serves: a rollback by its number, a promotion by its digest."""

from typing import Any

import pytest
from tests.support.world import NAMESPACE, World, success

from modelservice_operator.kinds import CONTROLLER_REVISION, DEPLOYMENT, JOB
from modelservice_operator.objects import Ref

MANUAL = {"manual": True}


def pin(**name: Any) -> dict[str, Any]:
    return {"pinRevision": name}


def deployed_key(world: World) -> str:
    key: str = world.one(DEPLOYMENT)["metadata"]["labels"]["modelservice.dev/key"]
    return key


def served_twice(world: World) -> tuple[str, str]:
    """Keys of revisions 1 and 2, of which the second serves."""
    first = world.serve()
    world.service(training={"epochs": 3})
    second = world.run_stages()
    world.roll_out()
    world.settle()
    return first, second


def test_an_older_revision_is_pinned_by_its_number_and_let_go() -> None:
    world = World()
    first, second = served_twice(world)
    jobs = len(world.all(JOB))
    world.service(training={"epochs": 3}, serving=pin(number=1))
    world.settle()
    assert deployed_key(world) == first
    assert world.ready() == ("False", "Deploying")
    world.roll_out()
    world.settle()
    assert world.ready() == ("True", "Serving")
    words = (
        f"revision 1 serves, as spec.serving.pinRevision says; the model of key {second} waits for"
        f" spec.serving.pinRevision.digest {success(second).digest}"
    )
    assert world.condition("Ready")["message"] == f"1 of 1 replicas serve revision 1; {words}"
    assert (world.condition("Promoted")["status"], world.condition("Promoted")["reason"]) == ("False", "Pinned")
    assert world.condition("Promoted")["message"] == words
    assert (world.status()["stage"], world.status()["revision"]) == ("Serving", 1)
    world.service(training={"epochs": 3})
    world.settle()
    world.roll_out()
    world.settle()
    assert (deployed_key(world), world.status()["revision"]) == (second, 2)
    assert len(world.all(JOB)) == jobs


def test_to_pin_what_serves_restarts_nothing() -> None:
    world = World()
    _, second = served_twice(world)
    before = world.one(DEPLOYMENT)["metadata"]["generation"]
    world.service(training={"epochs": 3}, serving=pin(digest=success(second).digest))
    world.settle()
    assert world.ready() == ("True", "Serving")
    assert world.condition("Promoted")["message"] == "revision 2"
    assert world.one(DEPLOYMENT)["metadata"]["generation"] == before


def test_what_is_pinned_is_kept_while_newer_models_are_trained() -> None:
    world = World()
    first = world.serve()
    for epochs in (3, 4, 5, 6):
        world.service(training={"epochs": epochs}, serving=pin(number=1), revisionHistoryLimit=1)
        world.run_stages()
        world.roll_out()
        world.settle()
    assert deployed_key(world) == first
    assert world.ready() == ("True", "Serving")
    kept = {record["data"]["key"] for record in world.all(CONTROLLER_REVISION) if "stage" in record["data"]}
    assert first in kept
    assert len(kept) <= 3, "the pinned one, the newest, and within the limit what never served"


@pytest.mark.parametrize("name", [{"number": 7}, {"digest": "sha256:" + "0" * 64}])
def test_a_pin_on_what_is_not_kept_says_so_and_leaves_what_serves(name: dict[str, Any]) -> None:
    world = World()
    first = world.serve()
    world.service(serving=pin(**name))
    world.settle()
    meant = "revision 7" if "number" in name else name["digest"]
    assert world.ready() == ("False", "PinnedRevisionNotKept")
    assert world.condition("Ready")["message"] == (
        f"spec.serving.pinRevision names {meant}, which is not kept, revision 1 stays; revisions kept: 1"
    )
    assert world.condition("Stalled")["status"] == "True"
    assert (deployed_key(world), world.condition("Available")["status"]) == (first, "True")


def test_a_pin_whose_artifact_is_gone_is_not_served() -> None:
    world = World()
    first, second = served_twice(world)
    world.delete_claim(f"churn-{first}")
    world.service(training={"epochs": 3}, serving=pin(number=1))
    world.settle()
    assert world.ready() == ("False", "PinnedRevisionNotKept")
    assert deployed_key(world) == second


def test_a_digest_may_name_what_is_being_trained() -> None:
    world = World()
    world.config_map()
    world.service()
    world.settle()
    key = world.order(world.job())["key"]
    world.service(serving=pin(digest=success(key).digest))
    world.settle()
    assert world.ready() == ("False", "Training")
    assert world.condition("Stalled")["status"] == "False"
    world.run_stages()
    world.roll_out()
    world.settle()
    assert (world.ready(), deployed_key(world)) == (("True", "Serving"), key)


def test_a_model_waits_to_be_promoted_by_hand() -> None:
    world = World()
    world.config_map()
    world.service(promotion=MANUAL)
    first = world.run_stages()
    assert world.all(DEPLOYMENT) == []
    assert world.ready() == ("False", "PromotionPending")
    for kind in ("Progressing", "Stalled", "Promoted", "Served"):
        assert world.condition(kind)["status"] == "False"
    assert world.status()["stage"] == "Waiting"
    digest = success(first).digest
    assert world.condition("Promoted")["message"] == (
        f"the model of key {first} waits for spec.serving.pinRevision.digest {digest}, nothing is served"
    )
    before = len(world.kube.writes)
    world.settle()
    assert world.writes_since(before) == []
    world.service(promotion=MANUAL, serving=pin(digest=digest))
    world.settle()
    world.roll_out()
    world.settle()
    assert world.ready() == ("True", "Serving")
    assert (deployed_key(world), world.status()["revision"]) == (first, 1)

    world.service(promotion=MANUAL, serving=pin(digest=digest), training={"epochs": 3})
    world.settle()
    assert world.ready() == ("False", "Training")
    second = world.run_stages()
    assert world.ready() == ("True", "Serving")
    assert world.condition("Promoted")["reason"] == "Pinned"
    assert success(second).digest in world.condition("Ready")["message"]
    assert deployed_key(world) == first


def test_by_hand_without_a_pin_the_old_model_goes_on() -> None:
    world = World()
    first = world.serve()
    world.service(promotion=MANUAL, training={"epochs": 3})
    second = world.run_stages()
    assert world.ready() == ("True", "Serving")
    assert (deployed_key(world), world.condition("Promoted")["reason"]) == (first, "PromotionPending")
    assert world.condition("Promoted")["message"].endswith(f"{success(second).digest}, revision 1 stays")


def test_a_person_may_promote_what_a_requirement_refuses() -> None:
    world = World()
    world.config_map()
    promotion = {"require": [{"metric": {"name": "accuracy", "min": 0.99}}]}
    world.service(promotion=promotion)
    key = world.run_stages()
    assert world.ready() == ("False", "PromotionRefused")
    world.service(promotion=promotion, serving=pin(digest=success(key).digest))
    world.settle()
    world.roll_out()
    world.settle()
    assert (world.ready(), deployed_key(world)) == (("True", "Serving"), key)


def test_a_rollback_works_while_the_data_is_away() -> None:
    world = World()
    first, _ = served_twice(world)
    world.config_map(None)
    world.service(training={"epochs": 3}, serving=pin(number=1))
    world.settle()
    world.roll_out()
    world.settle()
    assert deployed_key(world) == first
    assert world.ready() == ("False", "ConfigMapNotFound")
    assert world.condition("Available")["status"] == "True"


def test_a_pinned_revision_whose_claim_is_going_is_not_replaced_by_another() -> None:
    world = World()
    first, _ = served_twice(world)
    world.service(training={"epochs": 3}, serving=pin(number=1))
    world.settle()
    world.roll_out()
    world.settle()
    world.protect_claims()
    world.delete_claim(f"churn-{first}")
    world.settle()
    assert deployed_key(world) == first, "the one that was rolled back from is not served again"
    assert world.condition("Available")["status"] == "True"
    assert world.ready() == ("False", "PinnedRevisionNotKept")


def test_a_number_that_nobody_has_fails_once_there_is_a_model() -> None:
    world = World()
    world.config_map()
    world.service(serving=pin(number=3))
    world.settle()
    assert (world.ready(), world.condition("Stalled")["status"]) == (("False", "Training"), "False")
    world.run_stages()
    assert world.ready() == ("False", "PinnedRevisionNotKept")
    assert world.all(DEPLOYMENT) == []


@pytest.mark.parametrize("promotion", [MANUAL, {"require": [{"metric": {"name": "accuracy", "min": 0.96}}]}])
def test_what_was_rolled_back_is_not_revived_where_the_deployment_was_lost_with_the_pin(
    promotion: dict[str, Any],
) -> None:
    world = World()
    first, second = served_twice(world)
    world.service(training={"epochs": 3}, serving=pin(number=1))
    world.settle()
    world.remove(Ref(DEPLOYMENT, NAMESPACE, "churn"))
    world.collect_garbage()
    world.service(training={"epochs": 3}, promotion=promotion)
    world.settle()
    assert deployed_key(world) == first
    assert world.condition("Promoted")["status"] == "False"
    world.roll_out()
    world.settle()
    writes = len(world.kube.writes)
    for _ in range(3):
        world.reconcile()
    assert world.writes_since(writes) == []
    world.service(training={"epochs": 3}, promotion=promotion, serving=pin(digest=success(second).digest))
    world.settle()
    world.remove(Ref(DEPLOYMENT, NAMESPACE, "churn"))
    world.service(training={"epochs": 3}, promotion=promotion)
    world.settle()
    assert deployed_key(world) == second, "it was promoted again"


def test_what_answers_is_not_called_nothing_where_its_record_was_lost() -> None:
    world = World()
    key = world.serve()
    world.service(training={"epochs": 2}, promotion=MANUAL)
    world.settle()
    world.remove(Ref(CONTROLLER_REVISION, NAMESPACE, f"churn-{key}"))
    world.end_stage()
    world.settle()
    assert world.condition("Available")["status"] == "True"
    assert "what serves stays, whose record was lost" in world.condition("Promoted")["message"]
