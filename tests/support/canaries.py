"""Hands that play a canary on the small Kubernetes in memory: a second revision beside the one that serves."""

from typing import Any

from tests.support.world import NAMESPACE, World

from modelservice_operator.domain.verdict import RESTARTS
from modelservice_operator.kinds import DEPLOYMENT
from modelservice_operator.objects import Ref

STEPS = {"canary": {"steps": [{"weight": 10, "holdSeconds": 60}, {"weight": 50, "holdSeconds": 120}]}}
SERVING = {"replicas": 4, "rollout": STEPS}
CANARY = "churn-canary"
BAD = {**SERVING, "env": [{"name": "PORT", "value": "none"}]}


def begun(serving: dict[str, Any] | None = None, **first: Any) -> tuple[World, str, str]:
    """Revision 1 serves with all pods, and revision 2 is to; answers with their keys."""
    world = World()
    old = world.serve(serving={**SERVING, **first})
    world.service(training={"epochs": 3}, serving={**SERVING, **(serving or {})})
    return world, old, world.run_stages()


def canary_of(world: World) -> dict[str, Any] | None:
    return world.kube.objects.get(Ref(DEPLOYMENT, NAMESPACE, CANARY))


def key_of(deployment: dict[str, Any] | None) -> str | None:
    return deployment["metadata"]["labels"]["modelservice.dev/key"] if deployment else None


def pods_of(world: World) -> int | None:
    canary = canary_of(world)
    return canary["spec"]["replicas"] if canary else None


def message(world: World) -> str:
    text: str = world.condition("Ready")["message"]
    return text


def after(world: World, seconds: int, *, available: int | None = None) -> None:
    """The Deployment controller makes the pods of the step, and time goes by."""
    if canary_of(world):
        world.roll_out(available, name=CANARY)
    world.clock.seconds += seconds
    world.settle()


def later(world: World, seconds: int) -> None:
    """Time goes by."""
    world.clock.seconds += seconds
    world.settle()


def changed_by_hand(world: World) -> None:
    """Somebody gives the Deployment that serves another image."""
    changed = world.deployment()
    changed["spec"]["template"]["spec"]["containers"][0]["image"] = "mine"
    world.kube.store(changed)


def stays(world: World) -> None:
    """Nothing is written any more, by this operator or the next one."""
    for _ in range(2):
        before = len(world.kube.writes)
        for _ in range(3):
            world.reconcile()
        assert world.writes_since(before) == []
        world.restart_operator()


def crashes(world: World, *, settle: bool = True, **changes: Any) -> None:
    """The pods of the canary end again and again."""
    last = {"terminated": {"exitCode": 1, "message": "PORT is no number"}}
    waiting = {"waiting": {"reason": "CrashLoopBackOff"}}
    container = {"name": "server", "ready": False, "restartCount": RESTARTS, "state": waiting, "lastState": last}
    world.serving_pod(ready=False, name=CANARY, containerStatuses=[container | changes])
    deployment = world.deployment(CANARY)
    numbers = {"replicas": 1, "updatedReplicas": 1, "availableReplicas": 0}
    world.kube.store({**deployment, "status": {"observedGeneration": deployment["metadata"]["generation"], **numbers}})
    if settle:
        world.settle()
