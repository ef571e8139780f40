"""The reconciler's stories. A gate: what falls short of the requirements is kept, and what served before goes on."""

from typing import Any

import pytest
from tests.support.world import World, evaluation, signature, success

from modelservice.contract.report import Success
from modelservice.contract.signature import ColumnKind, InputColumn
from modelservice_operator.kinds import DEPLOYMENT, JOB, MODEL_SERVICE, ref_of
from modelservice_operator.objects import Ref

UNCHANGED = {"require": [{"inputs": "Unchanged"}]}
ACCURATE = {"require": [{"metric": {"name": "accuracy", "min": 0.9}}]}


def wider(key: str) -> Success:
    """A training whose data has a column more, and another kind of column ``a``."""
    known = signature()
    inputs = (
        InputColumn(name="a", type=ColumnKind.CATEGORY, categories=("x",), example="x"),
        InputColumn(name="age", type=ColumnKind.NUMBER, example=30.5),
    )
    changed = known.model_copy(update={"inputs": inputs})
    return success(key, signature=changed, inputs_digest=changed.inputs_digest)


def trained(world: World, **changes: Any) -> str:
    """The pending training ends with such a report."""
    world.bind_claims()
    key: str = world.order(world.job())["key"]
    values = {"inputs_digest": signature().inputs_digest} | changes
    world.end_stage(success(key, **values))
    world.settle()
    return key


def learn_again(world: World, **spec: Any) -> None:
    """Other data asks for another model."""
    world.config_map("a,b,kind\n1,2,x\n3,4,z\n")
    world.service(**spec)
    world.settle()


def deployed_key(world: World) -> str:
    key: str = world.one(DEPLOYMENT)["metadata"]["labels"]["modelservice.dev/key"]
    return key


def test_a_model_below_the_bound_is_not_served_and_the_old_one_goes_on() -> None:
    world = World()
    first = world.serve(promotion=ACCURATE)
    assert world.condition("Promoted")["message"] == "revision 1"
    learn_again(world, promotion=ACCURATE)
    second = trained(world, evaluation=evaluation(0.85))
    words = (
        f"the model of key {second} is not promoted, revision 1 stays: accuracy 0.850 (95 % interval 0.900 to 0.980)"
        " is below 0.9 (spec.promotion.require[0])"
    )
    assert world.ready() == ("False", "PromotionRefused")
    assert world.condition("Promoted")["message"] == world.condition("Ready")["message"] == words
    assert [world.condition(kind)["status"] for kind in ("Available", "Stalled", "Trained", "Promoted", "Served")] == [
        "True",
        "True",
        "True",
        "False",
        "False",
    ]
    assert world.condition("Served")["reason"] == "NotPromoted"
    assert world.status()["stage"] == "Failed"
    assert deployed_key(world) == first
    assert [one["number"] for one in world.status()["revisions"]] == [1], "what was never promoted has no number"
    assert {record["data"]["key"]: record["revision"] for record in world.records()} == {first: 1, second: 0}


def test_what_is_required_may_change_and_nothing_is_trained_for_it() -> None:
    world = World()
    world.serve(promotion=ACCURATE)
    learn_again(world, promotion=ACCURATE)
    second = trained(world, evaluation=evaluation(0.85))
    jobs = len(world.all(JOB))
    world.service(promotion={"require": [{"metric": {"name": "accuracy", "min": 0.8}}]})
    world.settle()
    world.roll_out()
    world.settle()
    assert world.ready() == ("True", "Serving")
    assert (deployed_key(world), world.status()["revision"]) == (second, 2)
    assert len(world.all(JOB)) == jobs


def test_what_serves_stays_promoted_whatever_is_required_later() -> None:
    world = World()
    world.serve()
    world.service(promotion={"require": [{"metric": {"name": "accuracy", "min": 0.99}}]})
    world.settle()
    assert world.ready() == ("True", "Serving")
    world.restart_operator()
    world.kube.objects.pop(Ref(DEPLOYMENT, *world.key))
    world.settle()
    assert world.one(DEPLOYMENT), "its Deployment is made again"


def test_the_first_model_is_held_back_too_and_then_nothing_serves() -> None:
    world = World()
    world.config_map()
    world.service(promotion=ACCURATE)
    world.settle()
    assert world.condition("Promoted")["reason"] == "NotTrained"
    trained(world, evaluation=evaluation(0.5))
    assert world.ready() == ("False", "PromotionRefused")
    assert "nothing is served" in world.condition("Ready")["message"]
    assert world.all(DEPLOYMENT) == []
    before = len(world.kube.writes)
    world.restart_operator()
    world.settle()
    assert world.writes_since(before) == [], "a refusal is a state, not an event"


def test_other_inputs_are_held_back_where_they_must_not_change() -> None:
    world = World()
    first = world.serve(promotion=UNCHANGED)
    learn_again(world, promotion=UNCHANGED)
    world.bind_claims()
    world.end_stage(wider(world.order(world.job())["key"]))
    world.settle()
    assert world.ready() == ("False", "PromotionRefused")
    changes = "new: age (Number); of another kind: a was Number and is Category"
    assert f"the inputs changed against revision 1, {changes}" in world.condition("Ready")["message"]
    assert deployed_key(world) == first


def test_other_inputs_are_said_where_they_may_change() -> None:
    world = World()
    world.serve()
    learn_again(world)
    world.bind_claims()
    second = world.end_stage(wider(world.order(world.job())["key"]))
    world.settle()
    world.roll_out()
    world.settle()
    assert deployed_key(world) == second
    assert world.condition("Ready")["message"] == (
        "1 of 1 replicas serve revision 2; the inputs changed against revision 1, new: age (Number);"
        " of another kind: a was Number and is Category"
    )


def test_other_inputs_are_those_of_what_served_before_and_not_of_the_number_before() -> None:
    world = World()
    first = world.serve()
    learn_again(world)
    world.bind_claims()
    world.end_stage(wider(world.order(world.job())["key"]))
    world.settle()
    world.roll_out()
    world.settle()
    world.config_map()
    world.settle()
    world.roll_out()
    world.settle()
    assert deployed_key(world) == first, "what it learned before is served again"
    changes = "gone: age (Number); of another kind: a was Category and is Number"
    assert world.condition("Ready")["message"] == (
        f"1 of 1 replicas serve revision 1; the inputs changed against revision 2, {changes}"
    )


def test_a_result_that_never_was_promoted_is_kept_for_the_day_it_may_be() -> None:
    world = World()
    first = world.serve(promotion=ACCURATE)
    learn_again(world, promotion=ACCURATE)
    second = trained(world, evaluation=evaluation(0.85))
    world.config_map()
    world.settle()
    assert deployed_key(world) == first
    assert world.ready() == ("True", "Serving")
    jobs = len(world.all(JOB))
    learn_again(world)
    world.roll_out()
    world.settle()
    assert (deployed_key(world), len(world.all(JOB))) == (second, jobs), "it is promoted, and not trained again"


@pytest.mark.parametrize(
    ("requirement", "words"),
    [
        (
            {"metric": {"name": "logLoss", "max": 0.5}},
            "the metric logLoss is not among those of the model: accuracy, f1",
        ),
        ({"metric": {"name": "f1", "max": 0.8}}, "f1 0.900 is above 0.8"),
        ({"size": {"max": "10Ki"}}, "the artifact has 20,000 bytes, more than 10Ki"),
    ],
)
def test_each_requirement_says_what_is_missed_and_where(requirement: dict[str, Any], words: str) -> None:
    world = World()
    world.config_map()
    world.service(promotion={"require": [requirement]})
    world.settle()
    trained(world)
    assert world.condition("Ready")["message"].endswith(f": {words} (spec.promotion.require[0])")


def test_inputs_that_nobody_knows_may_have_changed() -> None:
    world = World()
    world.serve(promotion=UNCHANGED)
    learn_again(world, promotion=UNCHANGED)
    trained(world, signature=None, inputs_digest=None)
    assert "the inputs are not known, and may have changed" in world.condition("Ready")["message"]


def test_the_digest_tells_of_inputs_that_are_too_many_for_a_report() -> None:
    world = World()
    world.serve(promotion=UNCHANGED)
    learn_again(world, promotion=UNCHANGED)
    second = trained(world, signature=None)
    world.roll_out()
    world.settle()
    assert deployed_key(world) == second


def test_all_that_is_missed_is_said() -> None:
    world = World()
    world.config_map()
    world.service(promotion={"require": [{"size": {"max": "1"}}, {"metric": {"name": "f1", "min": 0.95, "max": 1}}]})
    world.settle()
    trained(world)
    message = world.condition("Ready")["message"]
    assert "require[0]" in message
    assert "f1 0.900 is below 0.95 (spec.promotion.require[1])" in message
    assert world.kube.objects[Ref(MODEL_SERVICE, *world.key)]["spec"]["promotion"], "the spec is never written"


def test_inputs_are_not_taken_for_unchanged_where_the_record_of_what_serves_is_gone() -> None:
    world = World()
    first = world.serve(promotion=UNCHANGED)
    (record,) = world.records()
    world.remove(ref_of(record))
    learn_again(world, promotion=UNCHANGED)
    world.bind_claims()
    world.end_stage(wider(world.order(world.job())["key"]))
    world.settle()
    assert deployed_key(world) == first
    assert world.ready() == ("False", "PromotionRefused")
