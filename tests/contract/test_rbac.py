"""The operator's role is what the operator does: a verb too few stops it, a verb too many is a risk."""

from collections.abc import Iterator
from typing import Any

from tests.support.helm import helm_objects
from tests.support.world import World

from modelservice_operator.kinds import (
    CONTROLLER_REVISION,
    DEPLOYMENT,
    EVENT,
    HORIZONTAL_POD_AUTOSCALER,
    JOB,
    KINDS,
    MODEL_SERVICE,
    NETWORK_POLICY,
    PERSISTENT_VOLUME_CLAIM,
    POD_DISRUPTION_BUDGET,
    SERVICE,
    SERVICE_ACCOUNT,
    WATCHED_KINDS,
)

Right = tuple[str, str, str]
"""API group, resource (with its subresource) and verb."""

VERBS = {
    "get": ("get",),
    "get_metadata": ("get",),
    "events": ("list",),
    "apply": ("create", "patch"),
    "status": ("patch",),
    "scale": ("patch",),
    "delete": ("delete",),
}
"""What the apiserver checks for a call of the port; server-side apply may create."""


COMPRESSION: dict[str, Any] = {"steps": [{"quantize": {}}]}

ARTIFACTS: tuple[dict[str, Any], ...] = ({"volumeClaim": {}}, {"uri": "s3://models", "secretRef": {"name": "models"}})


def lives() -> Iterator[World]:
    """ModelServices through everything that reads, makes, replaces or deletes a child."""
    world = World(default_artifacts='{"volumeClaim": {"accessModes": ["ReadWriteMany"]}}')
    world.serve(revisionHistoryLimit=1, serving={"autoscaling": {"minReplicas": 2, "maxReplicas": 3}})
    world.service(revisionHistoryLimit=1, training={"epochs": 2})
    world.settle()
    world.end_stage()
    world.settle()
    world.roll_out()
    world.settle()
    world.service()
    world.settle()
    world.clock.seconds += 60
    world.settle()
    yield world
    world = World()
    world.serve(serving={"autoscaling": {"minReplicas": 2, "maxReplicas": 3}})
    deployment = world.one(DEPLOYMENT)
    world.kube.store({**deployment, "spec": {**deployment["spec"], "replicas": 3}})
    world.service()
    world.settle()
    yield world
    for artifacts in ARTIFACTS:
        world = World()
        world.serve(compression=COMPRESSION, artifacts=artifacts)
        world.service(compression=COMPRESSION, artifacts=artifacts, training={"epochs": 2}, revisionHistoryLimit=1)
        world.run_stages()
        world.roll_out()
        world.settle()
        yield world
    for kind in (PERSISTENT_VOLUME_CLAIM, JOB, CONTROLLER_REVISION):
        world = World()
        world.serve()
        world.leave_behind(kind)
        world.config_map()
        world.service()
        world.settle()
        if kind == CONTROLLER_REVISION:
            world.end_stage()
            world.settle()
        yield world
    for kind in (
        SERVICE_ACCOUNT,
        NETWORK_POLICY,
        DEPLOYMENT,
        SERVICE,
        HORIZONTAL_POD_AUTOSCALER,
        POD_DISRUPTION_BUDGET,
    ):
        world = World(default_artifacts='{"volumeClaim": {"accessModes": ["ReadWriteMany"]}}')
        serving = {"autoscaling": {"minReplicas": 2, "maxReplicas": 3}}
        world.serve(serving=serving)
        world.leave_behind(kind)
        world.config_map()
        world.service(serving=serving)
        world.settle()
        if kind not in (SERVICE_ACCOUNT, NETWORK_POLICY):
            world.end_stage()
            world.reconcile()
        yield world


def used() -> Iterator[Right]:
    kinds = {kind.kind: kind for kind in KINDS}
    for world in lives():
        for call, name, _ in [*world.kube.writes, *world.kube.reads]:
            kind = kinds[name]
            resource = f"{kind.plural}/{call}" if call in {"status", "scale"} else kind.plural
            yield from ((kind.group, resource, verb) for verb in VERBS[call])
    for kind in WATCHED_KINDS:
        yield from ((kind.group, kind.plural, verb) for verb in ("list", "watch"))
    yield from ((EVENT.group, EVENT.plural, verb) for verb in (*VERBS["apply"], *VERBS["events"]))
    yield (MODEL_SERVICE.group, f"{MODEL_SERVICE.plural}/finalizers", "update")  # to block the owner's deletion


def granted() -> Iterator[Right]:
    (role,) = [
        one for one in helm_objects() if one["kind"] == "ClusterRole" and "aggregate-to" not in str(one["metadata"])
    ]
    for rule in role["rules"]:
        for group in rule["apiGroups"]:
            yield from ((group, resource, verb) for resource in rule["resources"] for verb in rule["verbs"])


def test_the_role_is_exactly_what_the_operator_does() -> None:
    assert sorted(set(granted())) == sorted(set(used()))


def test_no_right_is_granted_twice() -> None:
    rights = list(granted())
    assert len(rights) == len(set(rights))
