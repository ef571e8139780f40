"""The operator's role is what the operator does: a verb too few stops it, a verb too many is a risk."""

from collections.abc import Iterator
from typing import Any

import pytest
from tests.support.helm import NAMESPACE, RELEASE, helm_objects
from tests.support.rights import ROLE, Right, granted, role_named
from tests.support.world import World

from modelservice_operator.constants import LEASE_NAME
from modelservice_operator.kinds import (
    CONTROLLER_REVISION,
    DEPLOYMENT,
    EVENT,
    HORIZONTAL_POD_AUTOSCALER,
    JOB,
    KINDS,
    LEASE,
    MODEL_SERVICE,
    NETWORK_POLICY,
    PERSISTENT_VOLUME_CLAIM,
    POD,
    POD_DISRUPTION_BUDGET,
    SERVICE,
    SERVICE_ACCOUNT,
    SUBJECT_ACCESS_REVIEW,
    WATCHED_KINDS,
    ref_of,
)

VERBS = {
    "get": ("get",),
    "get_metadata": ("get",),
    "events": ("list",),
    "autoscalers": ("list",),
    "workloads": ("list",),
    "apply": ("create", "patch"),
    "adopt": ("patch",),
    "strip": ("patch",),
    "status": ("patch",),
    "scale": ("patch",),
    "delete": ("delete",),
}
"""What the apiserver checks for a call of the port; server-side apply may create."""


COMPRESSION: dict[str, Any] = {"steps": [{"quantize": {}}]}

ARTIFACTS: tuple[dict[str, Any], ...] = (
    {"volumeClaim": {}},
    {"uri": "s3://models", "secretRef": {"name": "models"}},
    {"uri": "s3://models", "deletionPolicy": "Delete"},
)


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
    yield claim_found()
    for kind in (JOB, CONTROLLER_REVISION):
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


def claim_found() -> World:
    """A claim of nobody turns up where one is written."""
    world = World()
    world.serve()
    claim = world.one(PERSISTENT_VOLUME_CLAIM)
    del claim["metadata"]["ownerReferences"]
    world.kube.objects.clear()
    world.config_map()
    world.kube.before_write = {("apply", PERSISTENT_VOLUME_CLAIM.kind): lambda: world.kube.store(claim)}
    world.service()
    world.settle()
    return world


def claim_lost() -> World:
    """A ModelService whose claim is deleted, and then the pod that held it is lost."""
    world = World()
    key = world.serve()
    world.delete_claim(f"churn-{key}")
    world.settle()
    world.collect_garbage()
    world.remove(ref_of(world.one(POD)))
    world.protect_claims()
    world.settle()
    return world


def fewer_workers() -> World:
    """What the pods of a Job met by goes with it."""
    world = World()
    world.config_map()
    for workers in (2, 1):
        world.service(model={"mlp": {"ensemble": 1}}, training={"workers": workers})
        world.settle()
        world.finish_deletions()
        world.settle()
    return world


def queued() -> World:
    """A Job waits in a queue, and Kueue is asked why."""
    world = World()
    world.config_map()
    world.service(training={"queueName": "gpus"})
    world.settle()
    return world


def used() -> Iterator[Right]:
    kinds = {kind.kind: kind for kind in KINDS}
    for world in (*lives(), claim_lost(), fewer_workers(), queued()):
        for call, name, _ in [*world.kube.writes, *world.kube.reads]:
            kind = kinds[name]
            resource = f"{kind.plural}/{call}" if call in {"status", "scale"} else kind.plural
            # A ModelService is never made: what is applied to it says its UID.
            verbs = ("patch",) if (call, kind) == ("apply", MODEL_SERVICE) else VERBS[call]
            yield from ((kind.group, resource, verb) for verb in verbs)
    for kind in WATCHED_KINDS:
        yield from ((kind.group, kind.plural, verb) for verb in ("list", "watch"))
    yield from ((EVENT.group, EVENT.plural, verb) for verb in (*VERBS["apply"], *VERBS["events"]))
    yield (MODEL_SERVICE.group, f"{MODEL_SERVICE.plural}/finalizers", "update")  # to block the owner's deletion


def test_the_role_is_exactly_what_the_operator_does() -> None:
    assert sorted(set(granted())) == sorted(set(used()))


def test_no_right_is_granted_twice() -> None:
    rights = list(granted())
    assert len(rights) == len(set(rights))


@pytest.mark.parametrize("values", [{}, {"watch": {"namespaces": ["team-a"]}}], ids=["everywhere", "namespaces"])
def test_looking_for_other_releases_needs_two_rights_in_the_whole_cluster(values: dict[str, Any]) -> None:
    name = f"{ROLE}-rivals"
    (leases, reviews) = role_named(name, values)["rules"]
    assert leases == {
        "apiGroups": [LEASE.group],
        "resources": [LEASE.plural],
        "resourceNames": [LEASE_NAME],
        "verbs": ["list"],
    }
    assert reviews == {
        "apiGroups": [SUBJECT_ACCESS_REVIEW.group],
        "resources": [SUBJECT_ACCESS_REVIEW.plural],
        "verbs": ["create"],
    }
    (binding,) = (
        one for one in helm_objects(values) if one["kind"] == "ClusterRoleBinding" and one["metadata"]["name"] == name
    )
    assert binding["roleRef"]["name"] == name
    assert binding["subjects"] == [{"kind": "ServiceAccount", "name": RELEASE, "namespace": NAMESPACE}]
