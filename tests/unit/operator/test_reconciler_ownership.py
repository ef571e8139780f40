"""The reconciler's stories. Whose children are whose: strangers, namesakes, leftovers."""

import pytest
from tests.support.world import NAMESPACE, World

from modelservice_operator.constants import LABEL_NAME
from modelservice_operator.kinds import (
    CONFIG_MAP,
    CONTROLLER_REVISION,
    DEPLOYMENT,
    JOB,
    MODEL_SERVICE,
    NETWORK_POLICY,
    PERSISTENT_VOLUME_CLAIM,
    SERVICE,
    SERVICE_ACCOUNT,
    ref_of,
)
from modelservice_operator.objects import Kind, Ref


def test_all_children_belong_to_the_service_by_uid() -> None:
    world = World()
    world.serve()
    uid = world.one(MODEL_SERVICE)["metadata"]["uid"] if world.ours(MODEL_SERVICE) else None
    uid = uid or world.kube.objects[Ref(MODEL_SERVICE, *world.key)]["metadata"]["uid"]
    for kind in (
        JOB,
        DEPLOYMENT,
        SERVICE,
        SERVICE_ACCOUNT,
        NETWORK_POLICY,
        CONTROLLER_REVISION,
        PERSISTENT_VOLUME_CLAIM,
    ):
        assert world.one(kind)["metadata"]["ownerReferences"][0]["uid"] == uid, kind


def test_what_somebody_changes_on_a_child_is_put_right() -> None:
    world = World()
    world.serve(serving={"replicas": 2})
    deployment = world.one(DEPLOYMENT)
    world.kube.store({**deployment, "spec": {**deployment["spec"], "replicas": 7}})
    world.settle()
    assert world.one(DEPLOYMENT)["spec"]["replicas"] == 2


def test_what_is_made_is_not_looked_for_before() -> None:
    world = World()
    world.serve()
    assert {kind for _, kind, _ in world.kube.reads} == {"ConfigMap"}, "the data, and nothing else"


def test_a_child_that_lost_its_labels_gets_them_again() -> None:
    world = World()
    world.serve()
    world.one(SERVICE)["metadata"]["labels"] = {}
    world.restart_operator()
    world.settle()
    assert world.one(SERVICE)["metadata"]["labels"][LABEL_NAME] == "churn"
    assert world.ready() == ("True", "Serving")


def test_what_others_own_under_our_name_is_never_touched() -> None:
    world = World()
    world.kube.store(
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "churn", "namespace": NAMESPACE}, "spec": {"a": 1}}
    )
    world.config_map()
    world.service()
    world.settle()
    world.end_stage()
    world.settle()
    assert world.ready() == ("False", "NameConflict")
    assert world.kube.objects[Ref(SERVICE, NAMESPACE, "churn")]["spec"] == {"a": 1}
    writes = len(world.kube.writes)
    world.reconcile()
    assert world.writes_since(writes) == [], "a name that was taken is looked at, not written to"
    del world.kube.objects[Ref(SERVICE, NAMESPACE, "churn")]
    world.settle()
    assert world.one(SERVICE)["spec"]["selector"]


def test_a_namesake_of_a_deleted_service_adopts_nothing() -> None:
    world = World()
    world.serve()
    del world.kube.objects[Ref(MODEL_SERVICE, *world.key)]
    world.service()
    world.sync()
    world.reconcile()
    assert world.ready() == ("False", "NameConflict")
    assert world.status().get("revision") is None


@pytest.mark.parametrize("kind", [PERSISTENT_VOLUME_CLAIM, CONFIG_MAP, JOB, CONTROLLER_REVISION])
def test_what_a_namesake_left_without_an_owner_is_not_adopted(kind: Kind) -> None:
    world = World()
    world.serve()
    left = world.leave_behind(kind)
    world.config_map()
    world.service()
    world.settle()
    if kind == CONTROLLER_REVISION:
        world.end_stage()
        world.settle()
    assert world.ready() == ("False", "NameConflict")
    assert left["metadata"]["name"] in world.condition("Ready")["message"]
    assert "ownerReferences" not in world.kube.objects[ref_of(left)]["metadata"]


def test_nothing_is_done_for_a_service_that_is_gone_or_going() -> None:
    world = World()
    assert world.reconcile() is None
    world.config_map()
    world.service()
    ref = Ref(MODEL_SERVICE, *world.key)
    world.kube.objects[ref]["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert world.reconcile() is None
    assert world.kube.writes == []
