"""The reconciler's stories. Claims and records outlive their ModelService, and the next one of its name has them."""

import copy
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import pytest
from tests.support.world import NAMESPACE, World, ends

from modelservice_operator.constants import ORPHANS
from modelservice_operator.kinds import (
    CHILD_KINDS,
    CONTROLLER_REVISION,
    JOB,
    MODEL_SERVICE,
    PERSISTENT_VOLUME_CLAIM,
    POD,
    SERVICE_ACCOUNT,
    ref_of,
)
from modelservice_operator.objects import Kind, Object, Ref

RETAIN: dict[str, Any] = {"volumeClaim": {}, "deletionPolicy": "Retain"}
SMALLER: dict[str, Any] = {"steps": [{"quantize": {}}]}
SERVICE = Ref(MODEL_SERVICE, NAMESPACE, "churn")


def names(world: World, kind: Kind) -> set[str]:
    return {obj["metadata"]["name"] for obj in world.ours(kind)}


def left(world: World) -> set[Kind]:
    return {kind for kind in CHILD_KINDS if world.ours(kind)}


def delete(world: World) -> None:
    """Somebody deletes the ModelService, and Kubernetes what nothing owns any more."""
    world.delete_service()
    world.collect_all_garbage()
    world.settle()


def make_again(world: World, **spec: Any) -> int:
    """A new process of the operator finds a new ModelService of that name. Answers with how many Jobs it makes."""
    world.restart_operator()
    world.service(**spec)
    written = len(world.kube.writes)
    world.settle()
    if world.ready()[1] == "Deploying":
        world.roll_out()
        world.settle()
    return [(verb, kind) for verb, kind, _ in world.writes_since(written)].count(("apply", JOB.kind))


@pytest.mark.parametrize("smaller", [None, SMALLER], ids=["one stage", "two stages"])
def test_what_was_trained_outlives_its_service_and_is_served_by_the_next_one(smaller: Object | None) -> None:
    world = World()
    spec = {"artifacts": RETAIN, "compression": smaller}
    world.serve(**spec)
    claims, digest = names(world, PERSISTENT_VOLUME_CLAIM), world.status()["digest"]
    assert "finalizers" not in world.kube.objects[SERVICE]["metadata"]
    delete(world)
    assert left(world) == {PERSISTENT_VOLUME_CLAIM, CONTROLLER_REVISION}
    assert names(world, PERSISTENT_VOLUME_CLAIM) == claims
    assert make_again(world, **spec) == 0, "nothing is trained"
    assert world.ready() == ("True", "Serving")
    assert (world.status()["revision"], world.status()["digest"]) == (1, digest)
    assert names(world, PERSISTENT_VOLUME_CLAIM) == claims
    uid = world.kube.objects[SERVICE]["metadata"]["uid"]
    for kind in (PERSISTENT_VOLUME_CLAIM, CONTROLLER_REVISION):
        assert all(uid in owners(obj) for obj in world.ours(kind)), kind
    delete(world)
    assert names(world, PERSISTENT_VOLUME_CLAIM) == claims, "and so it is the next time"


def owners(obj: Object) -> list[str]:
    return [one["uid"] for one in obj["metadata"].get("ownerReferences", ())]


@pytest.mark.parametrize("artifacts", [None, RETAIN | {"deletionPolicy": "Delete"}], ids=["default", "Delete"])
def test_without_the_policy_claims_go_with_their_service(artifacts: Object | None) -> None:
    world = World()
    world.serve(artifacts=artifacts)
    delete(world)
    assert left(world) == set()


def test_a_policy_that_is_taken_back_is_forgotten() -> None:
    world = World()
    world.serve(artifacts=RETAIN)
    uid = world.kube.objects[SERVICE]["metadata"]["uid"]
    world.service()
    world.settle()
    assert [owners(obj) for kind in (PERSISTENT_VOLUME_CLAIM, CONTROLLER_REVISION) for obj in world.ours(kind)] == [
        [uid]
    ] * 2
    delete(world)
    assert left(world) == set()


def test_a_policy_that_comes_later_counts_for_what_is_there_and_restarts_nothing() -> None:
    world = World()
    world.serve()
    written = len(world.kube.writes)
    world.service(artifacts=RETAIN)
    world.settle()
    assert {(verb, kind) for verb, kind, _ in world.writes_since(written)} == {
        ("adopt", PERSISTENT_VOLUME_CLAIM.kind),
        ("adopt", CONTROLLER_REVISION.kind),
        ("status", MODEL_SERVICE.kind),
    }
    delete(world)
    assert left(world) == {PERSISTENT_VOLUME_CLAIM, CONTROLLER_REVISION}


def test_a_claim_without_a_result_goes() -> None:
    world = World()
    key = world.serve(artifacts=RETAIN)
    world.service(artifacts=RETAIN, training={"epochs": 2})
    world.settle()
    assert len(names(world, PERSISTENT_VOLUME_CLAIM)) == 2
    delete(world)
    assert names(world, PERSISTENT_VOLUME_CLAIM) == {f"churn-{key}"}


def test_claims_of_revisions_that_are_kept_no_more_go_as_ever() -> None:
    world = World()
    spec = {"artifacts": RETAIN, "revisionHistoryLimit": 1}
    world.serve(**spec)
    world.service(**spec, training={"epochs": 2})
    second = world.run_stages()
    world.roll_out()
    world.settle()
    assert names(world, PERSISTENT_VOLUME_CLAIM) == {f"churn-{second}"}
    assert {obj["metadata"]["name"] for obj in world.records()} == {f"churn-{second}"}


def test_a_record_that_only_a_newer_release_reads_stays_with_its_claim() -> None:
    world = World()
    world.serve(artifacts=RETAIN)
    world.one(CONTROLLER_REVISION)["data"]["schemaVersion"] = "99.0"
    world.restart_operator()
    world.settle()
    assert world.condition("RecordsReadable")["status"] == "False"
    delete(world)
    assert left(world) == {PERSISTENT_VOLUME_CLAIM, CONTROLLER_REVISION}


def test_a_claim_whose_result_came_to_lie_elsewhere_goes() -> None:
    world = World()
    key = world.serve(artifacts=RETAIN)
    (record,) = world.records()
    record["data"]["artifact"]["uri"] = f"s3://models/default/churn/{key}"
    world.restart_operator()
    world.settle()
    delete(world)
    assert left(world) == set()


def test_one_made_again_with_another_spec_serves_what_is_there_while_it_trains() -> None:
    world = World()
    world.serve(artifacts=RETAIN)
    digest = world.status()["digest"]
    delete(world)
    assert make_again(world, artifacts=RETAIN, training={"epochs": 2}) == 1
    world.roll_out()
    world.settle()
    assert world.condition("Available")["status"] == "True"
    assert (world.status()["revision"], world.status()["digest"]) == (1, digest)
    world.run_stages()
    world.roll_out()
    world.settle()
    assert (world.status()["revision"], world.ready()) == (2, ("True", "Serving"))


def test_who_deletes_a_claim_that_is_left_has_its_record_deleted_too() -> None:
    world = World()
    world.serve(artifacts=RETAIN)
    delete(world)
    world.remove(ref_of(world.one(PERSISTENT_VOLUME_CLAIM)))
    world.collect_all_garbage()
    assert left(world) == set()
    assert make_again(world, artifacts=RETAIN) == 1, "it is trained again"


def orphaned(world: World) -> None:
    """``--cascade=orphan``: the garbage collector takes the owner off its children, then lets it go."""
    service = world.kube.objects[SERVICE]
    uid = service["metadata"]["uid"]
    for obj in world.kube.objects.values():
        if uid in owners(obj):
            kept = [one for one in obj["metadata"]["ownerReferences"] if one["uid"] != uid]
            world.kube.store({**obj, "metadata": {**obj["metadata"], "ownerReferences": kept}})
    world.remove(SERVICE)
    assert ORPHANS not in service["metadata"].get("finalizers", ())


def test_what_was_orphaned_is_adopted_as_without_the_policy() -> None:
    world = World()
    world.serve(artifacts=RETAIN)
    orphaned(world)
    assert SERVICE_ACCOUNT in left(world)
    assert make_again(world, artifacts=RETAIN) == 0
    assert world.ready() == ("True", "Serving")


def planted(claim: Object) -> Object:
    """What somebody makes who knows name and labels of a claim."""
    metadata = {name: claim["metadata"][name] for name in ("name", "namespace", "labels")}
    return {**copy.deepcopy(claim), "metadata": metadata}


def nothing_else(world: World) -> None:
    for ref in [ref for ref in world.kube.objects if ref.kind != PERSISTENT_VOLUME_CLAIM]:
        world.remove(ref)


def its_claim(world: World) -> None:
    world.remove(ref_of(world.one(PERSISTENT_VOLUME_CLAIM)))
    world.collect_all_garbage()


@pytest.mark.parametrize(
    "gone", [nothing_else, its_claim], ids=["before the first", "in the place of one that is left"]
)
def test_a_claim_that_somebody_plants_is_not_taken_for_ours(gone: Callable[[World], None]) -> None:
    """Its Job would take what it finds in it for its own result; only a record says which digest that has."""
    world = World()
    world.serve(artifacts=RETAIN)
    claim = world.one(PERSISTENT_VOLUME_CLAIM)
    delete(world)
    gone(world)
    if (there := ref_of(claim)) in world.kube.objects:
        world.remove(there)
    false = world.kube.store(planted(claim))
    world.config_map()
    assert make_again(world, artifacts=RETAIN) == 0
    assert is_left_alone(world, false)
    world.remove(ref_of(false))  # as the message says
    world.run_stages()
    world.roll_out()
    world.settle()
    assert world.ready() == ("True", "Serving")


def is_left_alone(world: World, claim: Object) -> bool:
    """Nothing uses the claim, and nothing is written to it; the status names it, and what it waits for."""
    name, written = claim["metadata"]["name"], len(world.kube.writes)
    world.settle()
    assert world.ready() == ("False", "ClaimUnproven")
    message = world.condition("Ready")["message"]
    assert f"restore ControllerRevision {name}" in message
    assert f"kubectl delete pvc {name}" in message
    assert world.all(JOB) == []
    return world.kube.objects[ref_of(claim)] == claim and not world.writes_since(written)


def test_one_that_is_planted_between_deciding_and_writing_is_not_taken_either() -> None:
    world = World()
    world.serve()
    false = planted(world.one(PERSISTENT_VOLUME_CLAIM))
    world.kube.objects.clear()
    world.config_map()
    stored: list[Object] = []
    world.kube.before_write = {("apply", PERSISTENT_VOLUME_CLAIM.kind): lambda: stored.append(world.kube.store(false))}
    make_again(world)
    assert world.kube.before_write == {}
    assert is_left_alone(world, stored[0])


def test_the_claim_of_an_orphaned_training_is_adopted_with_its_job() -> None:
    world = World()
    world.config_map()
    world.service()
    world.settle()
    claim = world.one(PERSISTENT_VOLUME_CLAIM)
    orphaned(world)
    assert make_again(world) == 0
    assert world.one(PERSISTENT_VOLUME_CLAIM)["metadata"]["uid"] == claim["metadata"]["uid"]
    assert world.ready() == ("False", "Training")


def test_a_revision_of_a_statefulset_vouches_for_no_claim_and_is_not_adopted() -> None:
    """Who may make StatefulSets has revisions with any labels and names after ours, and can orphan them."""
    world = World()
    world.serve()
    claim = planted(world.one(PERSISTENT_VOLUME_CLAIM))
    revision = planted(world.one(CONTROLLER_REVISION))
    revision["metadata"]["name"] += "-5d9f8c7b6"
    revision["data"] = {"spec": {"template": {"$patch": "replace", "spec": {"containers": []}}}}
    world.kube.objects.clear()
    false, left = world.kube.store(claim), world.kube.store(revision)
    world.config_map()
    assert make_again(world) == 0
    assert is_left_alone(world, false)
    assert owners(world.kube.objects[ref_of(left)]) == []
    assert world.condition("RecordsReadable") == {}


def test_a_planted_claim_that_is_deleted_while_a_pod_holds_it_is_waited_for_and_said() -> None:
    world = World()
    key = world.serve()
    false = planted(world.one(PERSISTENT_VOLUME_CLAIM))
    world.kube.objects.clear()
    world.kube.store(false)
    world.config_map()
    make_again(world)
    world.delete_claim(f"churn-{key}")
    world.clock.seconds += 60
    world.settle()
    assert world.ready() == ("False", "NameConflict")
    message = world.condition("Ready")["message"]
    assert f"PersistentVolumeClaim churn-{key} is not ours, and is being deleted since 2026-01-01" in message
    assert world.all(JOB) == []
    world.remove(ref_of(false))
    world.clock.seconds += 60
    world.settle()
    assert world.ready() == ("False", "Training")


def as_velero_restores(world: World, kinds: Sequence[Kind]) -> list[Object]:
    """What there is of a ModelService, in this order, without owners and UIDs; nothing of it is left."""
    found = [planted(obj) for kind in kinds for obj in world.ours(kind)]
    world.kube.objects.clear()
    world.config_map()
    return found


@pytest.mark.parametrize("policy", [None, RETAIN], ids=["Delete", "Retain"])
@pytest.mark.parametrize("late", [0, 1, 2], ids=["before all", "after the claims", "after all"])
def test_wherever_a_restore_brings_the_service_its_claims_are_served_and_none_is_lost(
    late: int, policy: Object | None
) -> None:
    """Each step is a pass of its own: a record may come long after its claim. It is suspended until all is there."""
    world = World()
    key = world.serve(artifacts=policy)
    digest = world.status()["digest"]
    claim, record, *others = as_velero_restores(world, (PERSISTENT_VOLUME_CLAIM, CONTROLLER_REVISION))
    steps: list[Callable[[], object]] = [
        partial(world.kube.store, claim),
        lambda: [world.kube.store(obj) for obj in (record, *others)],
    ]
    steps.insert(late, partial(world.service, artifacts=policy, suspend=True))
    for step in steps:
        step()
        world.restart_operator()
        world.settle()
    world.service(artifacts=policy)
    world.settle()
    world.roll_out()
    world.settle()
    assert world.ready() == ("True", "Serving")
    assert world.status()["digest"] == digest
    assert world.one(PERSISTENT_VOLUME_CLAIM)["metadata"]["name"] == f"churn-{key}"
    writes = {(verb, kind) for verb, kind, _ in world.kube.writes}
    assert [one["metadata"]["name"] for one in world.records()] == [f"churn-{key}"]
    assert ("delete", PERSISTENT_VOLUME_CLAIM.kind) not in writes
    assert world.all(JOB) == [], "nothing is trained"


def test_records_that_come_before_their_claims_can_be_brought_once_more() -> None:
    world = World()
    world.serve()
    digest = world.status()["digest"]
    claim, *records = as_velero_restores(world, (PERSISTENT_VOLUME_CLAIM, CONTROLLER_REVISION))
    for bring in (records, [claim], records):
        for obj in bring:
            world.kube.store(obj)
        world.service(suspend=True)
        world.settle()
        if bring == [claim]:
            assert world.ready() == ("False", "ClaimUnproven")
    assert world.ready() == ("False", "Deploying")
    world.roll_out()
    world.settle()
    assert world.status()["digest"] == digest


def test_a_claim_that_waits_for_its_record_is_stalled_once_a_restore_would_have_ended() -> None:
    world = World()
    world.serve()
    claim = world.kube.store(as_velero_restores(world, (PERSISTENT_VOLUME_CLAIM,))[0])
    make_again(world)
    assert world.condition("Stalled")["status"] == "False"
    world.clock.seconds += 600
    world.restart_operator()
    world.settle()
    assert world.condition("Stalled")["status"] == "True"
    assert is_left_alone(world, claim)


def test_a_claim_of_nobody_that_is_in_no_way_of_a_stage_is_said_and_left() -> None:
    world = World()
    world.serve()
    claim = planted(world.one(PERSISTENT_VOLUME_CLAIM))
    claim["metadata"]["name"] = "churn-a234567b"
    claim = world.kube.store(claim)
    world.settle()
    assert world.ready() == ("True", "Serving")
    assert "PersistentVolumeClaim churn-a234567b" in world.condition("Ready")["message"]
    assert world.kube.objects[ref_of(claim)] == claim


def test_a_record_that_no_watch_shows_yet_proves_its_claim_at_once() -> None:
    world = World()
    world.serve()
    claim, record = as_velero_restores(world, (PERSISTENT_VOLUME_CLAIM, CONTROLLER_REVISION))[:2]
    world.kube.store(claim)
    world.restart_operator()
    world.service()
    world.sync()
    world.kube.store(record)
    world.reconcile_unaware()
    assert world.ready() == ("False", "Deploying")


def test_a_record_that_lost_its_labels_keeps_the_claim_that_is_left() -> None:
    world = World()
    key = world.serve(artifacts=RETAIN)
    delete(world)
    for obj in world.ours(CONTROLLER_REVISION):
        obj["metadata"]["labels"] = {}
        obj["metadata"]["ownerReferences"] = []
    (claim,) = world.ours(PERSISTENT_VOLUME_CLAIM)
    make_again(world, artifacts=RETAIN)
    assert claim["metadata"]["name"] == f"churn-{key}"
    assert world.kube.objects[ref_of(claim)]["metadata"]["uid"] == claim["metadata"]["uid"]


def test_it_may_be_stopped_before_or_after_any_write_and_retains_and_adopts_the_same() -> None:
    undisturbed, count = story(None, written=False)
    assert undisturbed == (("True", "Serving"), 1, 0)
    assert count >= 6
    for number, written in ends(count):
        assert story(number, written=written)[0] == undisturbed, (number, written)


def story(stopped_at: int | None, *, written: bool) -> tuple[tuple[tuple[str, str], int, int], int]:
    """One is asked to retain, is deleted and made again; how the next one is, its revision, what it trained, writes."""
    world = World()
    world.serve()
    world.service(artifacts=RETAIN)
    began = len(world.kube.writes)
    world.kube.stop_at(None if stopped_at is None else began + stopped_at, written=written)
    for _ in range(4):
        world.reconcile_or_restart()
    world.delete_service()
    world.collect_all_garbage()
    jobs = len(world.all(JOB))
    world.restart_operator()
    world.service(artifacts=RETAIN)
    for _ in range(6):
        world.reconcile_or_restart()
    made, count = len(world.all(JOB)) - jobs, len(world.kube.writes) - began
    world.roll_out()
    world.settle()
    return (world.ready(), world.status()["revision"], made), count


@pytest.mark.parametrize("first", [PERSISTENT_VOLUME_CLAIM, CONTROLLER_REVISION], ids=lambda kind: str(kind.kind))
def test_what_the_garbage_collector_lets_go_of_one_by_one_is_waited_for(first: Kind) -> None:
    """It is made again at once: one of both belongs to the ModelService of before still."""
    world = World()
    world.serve(artifacts=RETAIN)
    uid = world.kube.objects[SERVICE]["metadata"]["uid"]
    claim = world.one(PERSISTENT_VOLUME_CLAIM)["metadata"]
    world.delete_service()
    for obj in world.ours(first):
        kept = [one for one in obj["metadata"]["ownerReferences"] if one["uid"] != uid]
        world.kube.store({**obj, "metadata": {**obj["metadata"], "ownerReferences": kept}})
    assert make_again(world, artifacts=RETAIN) == 0
    assert world.ready() == ("False", "NameConflict")
    world.collect_all_garbage()
    world.clock.seconds += 60
    assert make_again(world, artifacts=RETAIN) == 0
    assert world.ready() == ("True", "Serving")
    assert world.one(PERSISTENT_VOLUME_CLAIM)["metadata"]["uid"] == claim["uid"]


def test_pods_of_the_one_before_are_not_taken_for_its_own() -> None:
    world = World()
    world.serve(artifacts=RETAIN)
    pods = [copy.deepcopy(pod) for pod in world.ours(POD)]
    delete(world)
    for pod in pods:  # they end a while after their owner
        world.kube.objects[ref_of(pod)] = pod
    make_again(world, artifacts=RETAIN)
    assert world.ready() == ("True", "Serving")
