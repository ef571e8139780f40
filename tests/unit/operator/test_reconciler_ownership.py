"""The reconciler's stories. Whose children are whose: strangers, namesakes, leftovers."""

import copy

import pytest
from tests.support.world import NAMESPACE, World

from modelservice_operator.constants import LABEL_NAME, MANAGED_BY_LABEL
from modelservice_operator.crd.status import NOT_OBSERVED
from modelservice_operator.kinds import (
    CHILD_KINDS,
    CONFIG_MAP,
    CONTROLLER_REVISION,
    DEPLOYMENT,
    JOB,
    MODEL_SERVICE,
    NETWORK_POLICY,
    PERSISTENT_VOLUME_CLAIM,
    POD_DISRUPTION_BUDGET,
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


def test_of_what_is_made_only_names_that_are_needed_later_are_looked_at_before() -> None:
    world = World()
    world.serve()
    looked = {(verb, kind) for verb, kind, _ in world.kube.reads if kind != "ConfigMap"}
    assert looked == {("get_metadata", "Deployment")}


def test_a_child_that_lost_its_labels_gets_them_again() -> None:
    world = World()
    world.serve()
    world.one(SERVICE)["metadata"]["labels"] = {}
    world.restart_operator()
    world.settle()
    assert world.one(SERVICE)["metadata"]["labels"][LABEL_NAME] == "churn"
    assert world.ready() == ("True", "Serving")


@pytest.mark.parametrize("kind", [DEPLOYMENT, SERVICE, POD_DISRUPTION_BUDGET], ids=lambda kind: str(kind.kind))
def test_a_name_that_is_taken_is_found_before_training_and_what_stands_there_is_never_touched(kind: Kind) -> None:
    world = World()
    metadata = {"name": "churn", "namespace": NAMESPACE}
    ref = Ref(kind, NAMESPACE, "churn")
    world.kube.store({"apiVersion": kind.api_version, "kind": kind.kind, "metadata": metadata, "spec": {"a": 1}})
    world.config_map()
    world.service(serving={"replicas": 2}, artifacts={"volumeClaim": {"accessModes": ["ReadWriteMany"]}})
    world.settle()
    assert world.ready() == ("False", "NameConflict")
    assert f"{kind.kind} churn" in world.condition("Ready")["message"]
    if kind != SERVICE:
        assert world.all(JOB) == [], "nothing is trained that could not be served"
    world.reconcile()
    assert world.kube.objects[ref]["spec"] == {"a": 1}
    assert world.kube.objects[ref]["metadata"].get("labels") is None
    del world.kube.objects[ref]
    world.clock.seconds += 60
    world.run_stages()
    assert {"a": 1} not in [obj["spec"] for obj in world.ours(kind)]
    assert world.ready() == ("False", "Deploying")


def test_a_name_that_is_taken_between_deciding_and_writing_is_not_written_to() -> None:
    world = World()
    world.config_map()
    world.service()
    world.sync()
    stranger = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "churn", "namespace": NAMESPACE}}
    world.kube.before_write = {("apply", "Service"): lambda: world.kube.store({**stranger, "spec": {"a": 1}})}
    world.settle()
    assert world.ready() == ("False", "NameConflict")
    found = world.kube.objects[Ref(SERVICE, NAMESPACE, "churn")]
    assert (found["spec"], found["metadata"].get("ownerReferences")) == ({"a": 1}, None)


@pytest.mark.parametrize("kind", [SERVICE, DEPLOYMENT], ids=lambda kind: str(kind.kind))
def test_a_child_that_is_replaced_between_deciding_and_writing_is_not_written_to(kind: Kind) -> None:
    world = World()
    world.serve()
    ref = Ref(kind, NAMESPACE, "churn")

    def replaced() -> None:
        del world.kube.objects[ref]
        metadata = {"name": "churn", "namespace": NAMESPACE}
        world.kube.store({"apiVersion": kind.api_version, "kind": kind.kind, "metadata": metadata, "spec": {"a": 1}})

    world.kube.before_write = {("apply", kind.kind): replaced}
    world.service(serving={"grpc": {}, "replicas": 2})
    world.reconcile()
    assert world.kube.before_write == {}
    assert world.kube.objects[ref]["spec"] == {"a": 1}
    assert world.ready()[0] == "False"


def test_a_persons_claim_of_our_name_is_neither_adopted_nor_deleted() -> None:
    world = World()
    world.config_map()
    world.service()
    world.settle()
    (claim,) = world.ours(PERSISTENT_VOLUME_CLAIM)
    name = claim["metadata"]["name"]
    theirs = World()
    metadata = {"name": name, "namespace": NAMESPACE}
    theirs.kube.store({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": {"a": 1}})
    theirs.config_map()
    theirs.service()
    theirs.settle()
    assert theirs.ready() == ("False", "NameConflict")
    assert "ownerReferences" not in theirs.kube.objects[ref_of(claim)]["metadata"]


def test_a_service_made_anew_while_a_status_is_on_its_way_does_not_get_that_of_the_old_one() -> None:
    world = World()
    world.serve()
    old = world.status()

    def made_anew() -> None:
        world.kube.before_write = {}
        world.kube.objects = {
            ref: obj for ref, obj in world.kube.objects.items() if ref.name == "churn" and ref.kind == CONFIG_MAP
        }
        world.config_map()
        world.service()

    world.service(serving={"replicas": 2})
    world.kube.before_write = {("status", "ModelService"): made_anew}
    assert world.reconcile() == 0, "it is read again at once"
    assert world.status() == {"observedGeneration": NOT_OBSERVED}
    world.settle()
    assert world.status()["observedGeneration"] == 1
    assert world.ready() == ("False", "Training")
    assert old["revision"] == 1
    assert "Conflict" not in [reason for reason, _ in world.kube.recorded]


@pytest.mark.parametrize("sees", [True, False], ids=["watched", "without our labels"])
def test_what_was_orphaned_or_restored_is_adopted_and_nothing_is_trained(sees: bool) -> None:
    world = World()
    world.serve()
    trained = len(world.all(JOB))
    for kind in (
        SERVICE,
        SERVICE_ACCOUNT,
        NETWORK_POLICY,
        DEPLOYMENT,
        PERSISTENT_VOLUME_CLAIM,
        CONTROLLER_REVISION,
        JOB,
    ):
        for obj in world.ours(kind):
            obj["metadata"].pop("ownerReferences")
    del world.kube.objects[Ref(MODEL_SERVICE, *world.key)]
    if sees:
        world.sync()
    world.restart_operator()
    world.service()
    world.settle()
    world.roll_out()
    world.settle()
    assert world.ready() == ("True", "Serving")
    assert len(world.all(JOB)) == trained
    uid = world.kube.objects[Ref(MODEL_SERVICE, *world.key)]["metadata"]["uid"]
    for kind in (SERVICE, DEPLOYMENT, PERSISTENT_VOLUME_CLAIM, CONTROLLER_REVISION):
        assert [one["uid"] for obj in world.ours(kind) for one in obj["metadata"]["ownerReferences"]] == [uid] * len(
            world.ours(kind)
        )


def test_what_is_being_orphaned_is_not_given_back_to_a_service_that_goes() -> None:
    """The watch of children may be faster than that of ModelServices; their old owner would take them along."""
    world = World()
    world.serve()
    ref = Ref(MODEL_SERVICE, *world.key)
    seen = copy.deepcopy(world.kube.objects[ref])
    world.kube.store({**seen, "metadata": {**seen["metadata"], "deletionTimestamp": "2026-01-01T00:00:00Z"}})
    children = [obj for kind in CHILD_KINDS for obj in world.ours(kind)]
    for obj in children:
        obj["metadata"].pop("ownerReferences", None)
        world.kube.store(obj)
    written = len(world.kube.writes)
    world.restart_operator()
    for obj in children:
        world.cache.put(ref_of(obj).kind, copy.deepcopy(obj))
    world.cache.put(ref.kind, seen)
    world.reconcile_unaware()
    world.settle()
    tried = [(verb, kind) for verb, kind, _ in world.writes_since(written)]
    assert tried == [("status", "ModelService")], "refused, since it was made from the version before the deletion"
    assert world.kube.objects[ref]["status"] == seen["status"]


@pytest.mark.parametrize("kind", [SERVICE_ACCOUNT, PERSISTENT_VOLUME_CLAIM, JOB, CONTROLLER_REVISION, CONFIG_MAP])
@pytest.mark.parametrize("restarted", [False, True])
def test_labels_and_owners_that_somebody_takes_off_come_back_and_nothing_is_lost(kind: Kind, restarted: bool) -> None:
    world = World()
    world.serve()
    before = {ref for ref in world.kube.objects if ref.kind == kind}
    children = world.ours(kind)
    for obj in children:
        obj["metadata"]["labels"] = {}
        world.kube.store(obj)
    if restarted:
        world.restart_operator()
    world.settle()
    if not restarted:  # a kept child that no watch shows after a restart is found when it is needed again
        assert [obj["metadata"]["labels"].get(LABEL_NAME) for obj in children] == [None] * len(children)
        assert all(world.kube.objects[ref_of(obj)]["metadata"]["labels"][LABEL_NAME] == "churn" for obj in children)
    assert before <= {ref for ref in world.kube.objects if ref.kind == kind}
    assert world.ready() == ("True", "Serving")


def test_a_namesake_of_a_deleted_service_adopts_nothing() -> None:
    world = World()
    world.serve()
    del world.kube.objects[Ref(MODEL_SERVICE, *world.key)]
    world.service()
    world.sync()
    world.reconcile()
    assert world.ready() == ("False", "NameConflict")
    assert world.status().get("revision") is None


@pytest.mark.parametrize("kind", [CONFIG_MAP, JOB, CONTROLLER_REVISION])
def test_what_a_namesake_left_without_an_owner_is_adopted(kind: Kind) -> None:
    world = World()
    world.serve()
    left = ref_of(world.leave_behind(kind))
    world.restart_operator()
    world.config_map()
    world.service()
    world.settle()
    uid = world.kube.objects[Ref(MODEL_SERVICE, *world.key)]["metadata"]["uid"]
    found = world.kube.objects.get(left)
    assert found is None or found["metadata"]["ownerReferences"][0]["uid"] == uid
    assert world.ready()[1] != "NameConflict"


def test_nothing_is_done_for_a_service_that_is_gone_or_going() -> None:
    world = World()
    assert world.reconcile() is None
    world.config_map()
    world.service()
    ref = Ref(MODEL_SERVICE, *world.key)
    world.kube.objects[ref]["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert world.reconcile() is None
    assert world.kube.writes == []


@pytest.mark.parametrize(
    "kind", [JOB, PERSISTENT_VOLUME_CLAIM, CONTROLLER_REVISION, CONFIG_MAP], ids=lambda one: one.kind
)
def test_key_and_stage_of_a_kept_child_come_back_too(kind: Kind) -> None:
    world = World()
    world.serve()
    (before,) = (copy.deepcopy(obj["metadata"]["labels"]) for obj in world.ours(kind))
    obj = world.one(kind)
    obj["metadata"]["labels"] = {name: before[name] for name in (MANAGED_BY_LABEL, LABEL_NAME)}
    world.kube.store(obj)
    world.settle()
    assert world.one(kind)["metadata"]["labels"] == before
