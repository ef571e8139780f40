"""The reconciler's stories, in any order: whatever happens before, in the end the newest spec is served."""

from collections import Counter
from random import Random
from typing import Any

import pytest
from tests.support.examples import seeds
from tests.support.fake_kube import Stop
from tests.support.world import World, compared, compressed, success

from modelservice.contract.failure import About, Failure
from modelservice.contract.report import Compared, Report, Success
from modelservice_operator.constants import LABEL_KEY, STAGE_CONTAINER
from modelservice_operator.kinds import CHILD_KINDS, CONFIG_MAP, CONTROLLER_REVISION, DEPLOYMENT, JOB, POD, ref_of
from modelservice_operator.objects import Object, Ref

SEEDS = seeds(20, many=300)
"""Each is a history of its own, the same in each run; a failure names it."""


def some_spec(random: Random) -> dict[str, Any]:
    """One of many specs, few enough that histories come back to earlier ones."""
    parts: dict[str, list[Any]] = {
        "compression": [
            None,
            {"steps": [{"quantize": {}}]},
            {"steps": [{"quantize": {}}]},
            {"steps": [{"quantize": {}}], "maxAccuracyDrop": 0.1},
        ],
        "artifacts": [None, {"uri": "s3://models"}, {"volumeClaim": {"accessModes": ["ReadWriteMany"]}}],
        "training": [{"epochs": 1}, {"epochs": 2}],
        "serving": [None, {"replicas": 2}, {"autoscaling": {"maxReplicas": 3}}],
        "revisionHistoryLimit": [1, 2, 5],
        "promotion": [None, {"require": [{"metric": {"name": "accuracy", "notWorseThanCurrent": {}}}]}],
    }
    chosen = {name: random.choice(values) for name, values in parts.items()}
    return {name: value for name, value in chosen.items() if value is not None}


def living(world: World) -> list[Object]:
    """Jobs that run, with their orders, and are not on their way out."""
    orders = {ref.name for ref in world.kube.objects if ref.kind == CONFIG_MAP}
    jobs = [job for job in world.running_jobs() if not job["metadata"].get("deletionTimestamp")]
    return [job for job in jobs if job["metadata"]["name"] in orders]


def end(world: World, job: Object, random: Random, *, failed: bool) -> None:
    """A Job of several ends; not well if the parent is not the one that it was told of. No result is like another."""
    order = world.order(job)
    work, report = order["work"], success
    if work["stage"] == "compress":
        report = compressed
        records = (record["data"] for record in world.records())
        failed = failed or work["parentDigest"] not in [record["artifact"]["digest"] for record in records]
    digest = f"sha256:{random.getrandbits(256):064x}"
    good: Success | Compared = report(order["key"], digest=digest)
    if work["stage"] == "compare":
        good = compared(order["key"], worse=random.choice([-0.1, 0.1]))
    bad = Failure(reason="Failed", message="no", about=About.STAGE)
    ended = {"exitCode": 64 if failed else 0, "message": Report(result=bad if failed else good).to_message()}
    container = {"name": STAGE_CONTAINER, "state": {"terminated": ended}}
    world.pod_of(job, {"phase": "Failed" if failed else "Succeeded", "containerStatuses": [container]})
    world.end_job(job, failed=failed)


def delete(world: World, obj: Object) -> None:
    """Somebody deletes a child; what it owns goes with it."""
    for ref, other in list(world.kube.objects.items()):
        labels = other["metadata"].get("labels", {})
        owned = labels.get("batch.kubernetes.io/controller-uid") == obj["metadata"]["uid"]
        if (ref.kind == POD and owned) or ref == ref_of(obj):
            del world.kube.objects[ref]
            world.kube.applied.pop(ref, None)


def stop_while_writing(world: World, random: Random) -> None:
    """The operator's process ends before or after one of its next writes."""
    world.kube.stop_at(len(world.kube.writes) + random.randrange(4), written=random.random() < 0.5)
    try:
        for _ in range(3):
            world.reconcile()
    except Stop:
        pass
    world.kube.stop_at(None, written=False)
    world.restart_operator()


def happen(world: World, random: Random) -> str:
    """Something happens; answers with what."""
    often = ["end", "end", "fail", "delete", "delete", "delete", "suspend"]
    what = random.choice([*often, "spec", "data", "upgrade", "stop", "roll", "gone"])
    jobs = living(world)
    if what == "spec":
        world.service(**some_spec(random))
    elif what == "suspend":
        spec = world.spec()
        world.service(**{**spec, "suspend": not spec.get("suspend", False)})
    elif what in {"end", "fail"} and jobs:
        end(world, random.choice(jobs), random, failed=what == "fail")
    elif what == "delete":
        children = [obj for kind in CHILD_KINDS if kind != POD for obj in world.ours(kind)]
        obj = random.choice(children)
        delete(world, obj)
        what = f"delete {ref_of(obj)}"
    elif what == "data":
        world.config_map(None)
        world.settle()
        world.config_map()
    elif what == "upgrade":
        world.restart_operator(trainer_image=f"trainer:{random.randrange(3)}")
    elif what == "stop":
        stop_while_writing(world, random)
    elif what == "roll" and world.ours(DEPLOYMENT):
        world.roll_out()
    elif what == "gone":
        world.finish_deletions()
    return what


def check(world: World, history: list[str]) -> None:
    """What holds at any time."""
    works = Counter(job["metadata"]["labels"][LABEL_KEY] for job in world.running_jobs())
    assert max(works.values(), default=1) == 1, f"two Jobs make the same: {history}"
    numbers = Counter(record["revision"] for record in world.records() if record["revision"])
    assert max(numbers.values(), default=1) == 1, f"two revisions have one number: {history}"
    if suspended := world.condition("Suspended"):
        assert suspended["status"] == "False" or world.running_jobs() == [], f"said too early: {history}"
        world.finish_deletions()
        assert world.running_jobs() == [], f"something runs while it is suspended: {history}"


@pytest.mark.parametrize("seed", SEEDS)
def test_whatever_happens_the_newest_spec_is_served_in_the_end(seed: int) -> None:
    random, world = Random(seed), World()  # noqa: S311 - the same in each run
    world.config_map()
    world.service(**some_spec(random))
    world.settle()
    history = []
    for _ in range(random.randrange(10, 25)):
        history.append(happen(world, random))
        world.settle()
        check(world, history)
    # What serves may have lost its record by now, and then nothing is known to be no worse.
    asked = {**some_spec(random), "suspend": False, "promotion": None}
    world.service(**asked)
    for _ in range(8):
        world.settle()
        world.finish_deletions()
        for job in world.all(JOB):
            if any(condition["type"] == "Failed" for condition in job.get("status", {}).get("conditions", ())):
                delete(world, job)  # as the message of Ready says
        for job in living(world):
            end(world, job, random, failed=False)
        world.settle()
        if world.ours(DEPLOYMENT):
            world.roll_out()
        check(world, history)
    world.settle()
    assert world.ready() == ("True", "Serving"), history
    assert world.running_jobs() == [], history
    last = "compress" if "compression" in asked else "train"
    served = world.one(DEPLOYMENT)["metadata"]["labels"][LABEL_KEY]
    record = world.kube.objects[Ref(CONTROLLER_REVISION, "default", f"churn-{served}")]
    assert (record["data"]["key"], record["data"]["stage"]) == (world.status()["key"], last), history
