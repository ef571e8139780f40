"""The reconciler's stories. Whatever pods and whoever writes Events say, the status is one that the apiserver takes."""

import copy
from typing import Any

import pytest
from tests.support.world import World, evaluation, success

from modelservice.contract.manifest import DataSummary
from modelservice.contract.progress import Progress
from modelservice_operator.domain.observe import observe
from modelservice_operator.kinds import DEPLOYMENT, JOB, MODEL_SERVICE, POD
from modelservice_operator.objects import Ref

HUGE = 10**300
LARGEST = 2**63 - 1


@pytest.mark.parametrize(("done", "total", "shown"), [(HUGE, 1, "100%"), (1, HUGE, "0%"), (HUGE, 2 * HUGE, "50%")])
def test_progress_beyond_all_bounds_is_shown_within_them(done: int, total: int, shown: str) -> None:
    world = World()
    world.config_map()
    world.service()
    world.settle()
    world.pod_of(world.job(), {"phase": "Running", "podIP": "10.0.0.1"})
    world.progress.answer = Progress(done=done, total=total)
    world.settle()
    assert world.status()["progress"] == shown


@pytest.mark.parametrize(
    ("reported", "field"),
    [
        ({"data": DataSummary(sha256="sha256:" + "0" * 64, rows=HUGE, features=4, classes=3)}, "rows"),
        ({"parameters": HUGE}, "parameters"),
        ({"artifact_bytes": HUGE}, "sizeBytes"),
        ({"evaluation": evaluation().model_copy(update={"rows": HUGE})}, "testRows"),
    ],
)
def test_a_reported_number_beyond_64_bits_is_the_largest_that_fits(reported: dict[str, Any], field: str) -> None:
    world = World()
    world.config_map()
    world.service()
    world.settle()
    world.end_stage(success(world.order(world.job())["key"], **reported))
    world.settle()
    assert world.status()["revisions"][0][field] == LARGEST
    assert world.ready() == ("False", "Deploying")


def test_a_reported_name_is_cut_to_its_length() -> None:
    world = World()
    world.config_map()
    world.service()
    world.settle()
    world.end_stage(success(world.order(world.job())["key"], family="m" * 3000, signature=None))
    world.settle()
    assert world.status()["revisions"][0]["family"] == "m" * 256


@pytest.mark.parametrize("reason", ["not one word", "R" * 1025, "", "ä"])
def test_a_reason_that_a_condition_cannot_have_is_unknown(reason: str) -> None:
    world = World()
    world.config_map()
    world.service()
    world.settle()
    (job,) = world.all(JOB)
    world.clock.seconds += 10
    world.kube.warnings[job["metadata"]["uid"]] = [{"type": "Warning", "reason": reason, "message": "said by anybody"}]
    world.settle()  # its claim is asked about first
    world.clock.seconds += 1
    world.settle()
    assert world.ready() == ("False", "Unknown")
    assert "said by anybody" in world.condition("Ready")["message"]


def test_a_deployment_of_which_only_a_part_is_kept_is_put_right_as_far_as_that_goes_and_the_status_is_said() -> None:
    world = World()
    world.serve()
    deployment = copy.deepcopy(world.one(DEPLOYMENT))
    deployment["spec"]["template"]["metadata"]["annotations"] = {f"a{number}": "" for number in range(2500)}
    world.kube.store(deployment)
    for _ in range(10):
        world.reconcile()
    assert world.ready() == ("False", "FoughtOver")
    assert world.condition("Available")["status"] == "True"


def test_pods_are_read_once_however_many_jobs_there_are() -> None:
    """Whoever may make Jobs and pods may make thousands, with our ModelService as their owner."""
    read = 0

    class Counted(dict[str, Any]):
        def get(self, name: str, default: Any = None) -> Any:
            nonlocal read
            read += name == "ownerReferences"
            return super().get(name, default)

    world = World()
    world.serve()
    children = world.cache.children(*world.key)
    (job,), pod = children[JOB], children[POD][0]
    jobs = [{**job, "metadata": {**job["metadata"], "uid": f"job-{number}"}} for number in range(50)]
    pods = [{**pod, "metadata": Counted(pod["metadata"], name=f"pod-{number}")} for number in range(50)]
    service = world.kube.objects[Ref(MODEL_SERVICE, *world.key)]
    assert len(observe(service, {**children, JOB: jobs, POD: pods}).jobs) == len(jobs)
    assert read <= 5 * len(pods)
