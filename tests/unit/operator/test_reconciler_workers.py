"""Several pods that train one model: their Job, what they meet by, and which of them is believed."""

from typing import Any

import pytest
from tests.support.world import NAMESPACE, Object, World, success

from modelservice.contract.failure import About, Failure, Retry
from modelservice.contract.progress import Progress
from modelservice.contract.report import Report, Success
from modelservice_operator.constants import STAGE_CONTAINER
from modelservice_operator.kinds import JOB, NETWORK_POLICY, SERVICE
from modelservice_operator.objects import Ref

LOST = Failure(reason="PeerLost", message="another worker ended", about=About.PLATFORM, retry=Retry.SOON)
FULL = Failure(reason="StorageFull", message="no room", about=About.STORAGE, retry=Retry.SOON)


def world_of(workers: int, **training: Any) -> World:
    """The first Job is made."""
    world = World()
    world.config_map()
    world.service(model={"mlp": {"ensemble": 1}}, training={"workers": workers, **training})
    world.settle()
    return world


def peers(world: World) -> list[str]:
    """Names of what workers meet by."""
    names = [obj["metadata"]["name"] for kind in (SERVICE, NETWORK_POLICY) for obj in world.ours(kind)]
    return [name for name in names if name != "churn"]


def ended(world: World, result: Success | Failure | None, *, worker: int, code: int = 75) -> Object:
    """A pod of a worker that ended."""
    said = {"exitCode": code, "message": Report(result=result).to_message() if result else ""}
    status = {
        "phase": "Failed" if code else "Succeeded",
        "containerStatuses": [{"name": STAGE_CONTAINER, "state": {"terminated": said}}],
    }
    return world.pod_of(world.job(), status, suffix=f"{worker}-{len(world.all(JOB))}{code:03}")


def test_pods_have_names_before_the_job_makes_them_and_reach_nobody_else() -> None:
    world = world_of(3, maxRestarts=2)
    job = world.job()
    name, spec = job["metadata"]["name"], job["spec"]
    assert (spec["completionMode"], spec["completions"], spec["parallelism"]) == ("Indexed", 3, 3)
    assert spec["backoffLimit"] == 6, "each restart of all may count once for each pod"
    assert spec["template"]["spec"]["subdomain"] == name
    assert peers(world) == [name, name]
    written = [kind for _, kind, other in world.kube.writes if other == name]
    assert written.index("Job") > max(written.index("Service"), written.index("NetworkPolicy"))
    service, policy = (
        next(o for o in world.ours(k) if o["metadata"]["name"] == name) for k in (SERVICE, NETWORK_POLICY)
    )
    own = {"batch.kubernetes.io/job-name": name}
    assert service["spec"] == {"clusterIP": "None", "publishNotReadyAddresses": True, "selector": own}
    assert policy["spec"]["podSelector"] == {"matchLabels": own}
    assert policy["spec"]["ingress"] == [{"from": [{"podSelector": {"matchLabels": own}}]}]
    work = world.order(job)["work"]
    assert (work["workers"], work["parallelism"]) == (3, "Data")


def test_one_worker_needs_nothing_to_meet_by() -> None:
    world = world_of(1)
    assert peers(world) == []
    assert "completions" not in world.job()["spec"]


def test_another_number_is_another_attempt_at_the_same_key() -> None:
    world = world_of(3)
    before = world.job()["metadata"]["name"]
    world.service(model={"mlp": {"ensemble": 1}}, training={"workers": 2})
    world.settle()
    world.finish_deletions()
    world.settle()
    after = world.job()["metadata"]["name"]
    assert before != after
    assert before.rpartition("-")[0] == after.rpartition("-")[0]
    assert peers(world) == [after, after]


def test_another_parallelism_of_one_pod_with_several_gpus_is_another_attempt() -> None:
    gpus = {"resources": {"limits": {"nvidia.com/gpu": "2"}}}
    world = world_of(1, **gpus)
    before = world.job()["metadata"]["name"]
    world.service(model={"mlp": {"ensemble": 1}}, training={**gpus, "parallelism": "Sharded"})
    world.settle()
    world.finish_deletions()
    world.settle()
    assert world.job()["metadata"]["name"] != before
    assert world.order(world.job())["work"]["parallelism"] == "Sharded"


@pytest.mark.parametrize("kind", [SERVICE, NETWORK_POLICY], ids=lambda kind: kind.kind)
def test_what_they_meet_by_comes_back(kind: Any) -> None:
    world = world_of(2)
    name = world.job()["metadata"]["name"]
    world.remove(Ref(kind, NAMESPACE, name))
    world.settle()
    assert peers(world) == [name, name]


@pytest.mark.parametrize("first", [0, 1])
def test_the_worker_that_ended_first_says_why(first: int) -> None:
    world = world_of(2)
    ended(world, FULL, worker=first)
    world.clock.seconds += 1
    ended(world, LOST, worker=1 - first)
    world.settle()
    assert world.ready() == ("False", "StorageFull")


def test_where_all_lost_each_other_that_is_said() -> None:
    world = world_of(2)
    ended(world, LOST, worker=0)
    world.settle()
    assert world.ready() == ("False", "PeerLost")
    assert world.condition("Ready")["message"].endswith("(it is tried again)")


def test_worker_0_reports_and_the_others_need_not() -> None:
    world = world_of(2)
    key = world.order(world.job())["key"]
    ended(world, success(key), worker=0, code=0)
    ended(world, None, worker=1, code=0)
    world.settle()
    assert [revision["key"] for revision in world.status()["revisions"]] == [key]


def test_what_one_worker_stored_counts_whatever_becomes_of_another() -> None:
    world = world_of(2)
    key = world.order(world.job())["key"]
    ended(world, success(key), worker=0, code=0)
    world.clock.seconds += 1
    ended(world, FULL, worker=1)
    world.settle()
    assert [revision["key"] for revision in world.status()["revisions"]] == [key]


def test_worker_0_tells_how_far_it_is() -> None:
    world = world_of(2)
    job = world.job()
    world.progress.answer = Progress(stage="train", done=1, total=4)
    world.pod_of(job, {"phase": "Running", "podIP": "10.0.0.2"}, suffix="1-abcde")
    world.settle()
    assert world.progress.asked == 0
    world.pod_of(job, {"phase": "Running", "podIP": "10.0.0.1"}, suffix="0-abcde")
    world.settle()
    assert world.status()["progress"] == "25%"


def test_a_pod_that_no_quota_lets_be_made_is_looked_for_beside_those_that_are() -> None:
    world = world_of(2)
    job = world.job()
    world.pod_of(job, {"phase": "Running", "podIP": "10.0.0.1"}, suffix="0-abcde")
    warning = {"type": "Warning", "reason": "FailedCreate", "message": "pods forbidden: exceeded quota: tight"}
    world.kube.warnings = {job["metadata"]["uid"]: [warning]}
    world.clock.seconds += 6
    world.reconcile()
    world.clock.seconds += 1
    world.reconcile()
    assert world.ready() == ("False", "FailedCreate")
