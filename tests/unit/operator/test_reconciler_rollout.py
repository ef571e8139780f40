"""The reconciler's stories. How new pods take over from old ones, and what the GPUs of a cluster make of that."""

from typing import Any

import pytest
from tests.support.world import World

from modelservice_operator.kinds import DEPLOYMENT, JOB

GPU = {"resources": {"limits": {"nvidia.com/gpu": "1"}}}
ROLLING = {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}}


def strategy(world: World) -> dict[str, Any]:
    said: dict[str, Any] = world.one(DEPLOYMENT)["spec"]["strategy"]
    return said


def without_gpu(world: World, *, message: str = "0/1 nodes are available: 1 Insufficient nvidia.com/gpu.") -> None:
    """The Deployment controller made a surge pod, which the scheduler finds no node for."""
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
    pod = world.serving_pod(ready=False, suffix="surge", phase="Pending", conditions=[condition])
    pod["spec"].pop("nodeName")
    world.kube.objects[next(ref for ref in world.kube.objects if ref.name == pod["metadata"]["name"])] = pod
    deployment = world.one(DEPLOYMENT)
    numbers = {"replicas": 2, "updatedReplicas": 1, "availableReplicas": 1}
    generation = deployment["metadata"]["generation"]
    world.kube.store({**deployment, "status": {"observedGeneration": generation, **numbers}})
    world.settle()


def next_revision(world: World, serving: dict[str, Any]) -> str:
    world.service(training={"epochs": 3}, serving=serving)
    return world.run_stages()


def test_the_pace_of_a_rollout_is_as_said_and_changes_no_pod() -> None:
    world = World()
    world.serve()
    assert strategy(world) == ROLLING
    template = world.one(DEPLOYMENT)["spec"]["template"]
    for said, asked in (
        ({"rollingUpdate": {"maxUnavailable": 1, "maxSurge": 0}}, {"maxUnavailable": 1, "maxSurge": 0}),
        ({"recreate": {}}, None),
    ):
        world.service(serving={"rollout": said})
        world.settle()
        assert strategy(world)["rollingUpdate"] == asked
        assert world.one(DEPLOYMENT)["spec"]["template"] == template
    assert strategy(world)["type"] == "Recreate"
    world.service()
    world.settle()
    assert strategy(world) == ROLLING
    assert len(world.all(JOB)) == 1


def test_a_surge_pod_without_a_gpu_makes_the_old_one_end_first_for_this_revision() -> None:
    world = World()
    world.serve(serving=GPU)
    next_revision(world, GPU)
    assert strategy(world) == ROLLING
    without_gpu(world)
    assert strategy(world) == {"type": "Recreate", "rollingUpdate": None}
    world.restart_operator()
    world.roll_out(available=0)
    world.settle()
    assert strategy(world)["type"] == "Recreate", "no old pod holds the GPU any more, and nothing is turned back"
    world.roll_out()
    world.settle()
    assert world.ready() == ("True", "Serving")
    assert "no node had a GPU for both (see spec.serving.rollout)" in world.condition("Ready")["message"]
    before = len(world.kube.writes)
    for _ in range(3):
        world.reconcile()
    assert world.writes_since(before) == []
    assert strategy(world)["type"] == "Recreate"
    world.service(training={"epochs": 4}, serving=GPU)
    world.run_stages()
    assert strategy(world) == ROLLING, "the next revision is tried with a surge: there may be another node by now"


@pytest.mark.parametrize(
    ("serving", "message"),
    [
        ({**GPU, "rollout": {"rollingUpdate": {}}}, "1 Insufficient nvidia.com/gpu."),
        ({"resources": {"limits": {"nvidia.com/gpu": "2"}}}, "1 Insufficient nvidia.com/gpu."),
        (GPU, "1 Insufficient memory."),
    ],
)
def test_old_pods_do_not_end_where_a_person_said_so_or_it_would_be_in_vain(
    serving: dict[str, Any], message: str
) -> None:
    world = World()
    world.serve(serving=GPU)
    next_revision(world, serving)
    without_gpu(world, message=message)
    assert strategy(world) == ROLLING
    assert world.ready() == ("False", "Unschedulable")


def test_a_pod_of_the_old_template_that_lacks_a_gpu_ends_nothing() -> None:
    world = World()
    world.serve(serving=GPU)
    without_gpu(world)
    assert strategy(world) == ROLLING
