"""What the pods of a revision are told of those before it: once, whatever is pruned later."""

import copy
from typing import Any

from tests.support.world import World, evaluation, success

from modelservice.contract.evaluation import Evaluation, Metric
from modelservice.contract.history import MOST_TOLD, PastRevision, read_history
from modelservice.contract.server_flags import HISTORY
from modelservice_operator.domain.history import history_of
from modelservice_operator.domain.records import Revision, record_of
from modelservice_operator.kinds import CONTROLLER_REVISION, DEPLOYMENT
from modelservice_operator.watches import ARGS_TEXT


def told(world: World) -> tuple[PastRevision, ...]:
    (container,) = world.one(DEPLOYMENT)["spec"]["template"]["spec"]["containers"]
    flags: dict[str, Any] = dict(one.partition("=")[::2] for one in container["args"])
    return read_history(flags[HISTORY])


def retrained(world: World, epochs: int, *, limit: int = 1) -> None:
    world.service(training={"epochs": epochs}, revisionHistoryLimit=limit)
    world.run_stages()
    world.roll_out()
    world.settle()


def revision(number: int) -> Revision:
    record = record_of(
        success(f"{number:08}", seconds={"read": 0.25, "train": 2.0}, evaluation=evaluation(0.9)),
        parent=None,
        uri="pvc://a/b",
        secret=None,
        data_digest=None,
        image="trainer",
    )
    return Revision(number=number, record=record)


def test_pods_are_told_of_their_revision_and_of_those_before_it() -> None:
    world = World()
    world.serve()
    (first,) = told(world)
    assert (first.number, first.digest, first.made) == (1, world.status()["digest"], None)
    retrained(world, 2, limit=3)
    before, now = told(world)
    assert (before.number, before.digest) == (1, first.digest)
    assert before.made == next(one for one in world.records() if one["revision"] == 1)["metadata"]["creationTimestamp"]
    assert (now.number, now.digest) == (2, world.status()["digest"])
    assert now.metric is not None
    assert now.metric.name == "accuracy"


def test_what_is_pruned_later_restarts_nothing_not_even_what_has_no_pod_at_the_moment() -> None:
    world = World()
    world.serve()
    retrained(world, 2)
    retrained(world, 3)
    assert [one["revision"] for one in world.records()] == [3]
    assert [one.number for one in told(world)] == [1, 2, 3]
    deployment = copy.deepcopy(world.one(DEPLOYMENT))
    for available in (0, 1):
        world.roll_out(available=available)
        world.settle()
        assert world.one(DEPLOYMENT)["spec"]["template"] == deployment["spec"]["template"]


def test_what_an_older_release_recorded_is_told_once_it_gets_another_template() -> None:
    world = World()
    world.serve()
    record = world.one(CONTROLLER_REVISION)
    args = record["data"]["serving"]["template"]["spec"]["containers"][0]["args"]
    args[:] = [one for one in args if not one.startswith(HISTORY)]
    record["data"]["serving"].pop("history")
    template = world.one(DEPLOYMENT)["spec"]["template"]
    template["spec"]["containers"][0]["args"] = list(args)
    world.restart_operator()
    world.settle()
    assert world.one(DEPLOYMENT)["spec"]["template"]["spec"]["containers"][0]["args"] == args
    world.service(serving={"batching": {"maxSize": 8}})
    world.settle()
    assert [one.number for one in told(world)] == [1]


def test_a_history_may_be_longer_than_all_that_is_kept_of_a_pod() -> None:
    """Else the tenth revision would never be Ready, whose pods were not known as ours."""
    world = World()
    name = f"m{'x' * 63}"
    metric = Metric(name=name, value=0.97334567890123451, low=0.9612345678901235, high=0.9812345678901235)
    measured = Evaluation(primary=name, rows=100_000, metrics=(metric,))
    world.config_map()
    for epochs in range(1, 2 + MOST_TOLD):
        world.service(training={"epochs": epochs})
        world.settle()
        world.bind_claims()
        key = world.order(world.job())["key"]
        world.end_stage(success(key, seconds={"train": 12345.678}, evaluation=measured))
        world.settle()
        world.roll_out()
        world.settle()
    (container,) = world.one(DEPLOYMENT)["spec"]["template"]["spec"]["containers"]
    assert sum(map(len, container["args"])) > ARGS_TEXT
    assert (world.ready(), world.status()["revision"]) == (("True", "Serving"), 1 + MOST_TOLD)


def test_the_newest_are_told_and_those_alone_that_came_before() -> None:
    every = [revision(number) for number in range(1, 16)]
    found = history_of(every[12], every)
    assert [one.number for one in found] == list(range(14 - MOST_TOLD, 14))
    assert found[-1].seconds == 2.25
    assert [one.number for one in history_of(every[0], every)] == [1]
