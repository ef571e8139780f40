"""One diff for all kinds of children: what is desired, what is kept, and what goes."""

from typing import Any, TypeVar

import pytest
from tests.support.world import NAMESPACE

from modelservice_operator.constants import LABEL_NAME
from modelservice_operator.domain.diff import Adopt, Apply, Changes, Check, Delete, Desired, Part, Phase, Strip, diff
from modelservice_operator.domain.metadata import Owner, stamped
from modelservice_operator.domain.observe import Observed, observe
from modelservice_operator.kinds import CONFIG_MAP, DEPLOYMENT, JOB, PERSISTENT_VOLUME_CLAIM, SERVICE
from modelservice_operator.objects import Kind, Object, Ref

T = TypeVar("T")

OWNER = Owner(name="churn", namespace=NAMESPACE, uid="u")


def child(kind: Kind, name: str, **fields: Any) -> Object:
    metadata = {**OWNER.metadata(name), "uid": f"uid-{name}", **fields.pop("metadata", {})}
    return {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": metadata, **fields}


def desired(kind: Kind, name: str, **fields: Any) -> Object:
    return {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": OWNER.metadata(name), **fields}


def observed(**children: list[Object]) -> Observed:
    kinds = {kind.kind: kind for kind in (CONFIG_MAP, DEPLOYMENT, JOB, PERSISTENT_VOLUME_CLAIM, SERVICE)}
    service = {"metadata": {"name": OWNER.name, "namespace": NAMESPACE, "uid": OWNER.uid}}
    return observe(service, {kinds[name]: objects for name, objects in children.items()})


def actions(changes: Changes, kind: type[T]) -> list[T]:
    return [action for action in changes.actions if isinstance(action, kind)]


def test_what_no_part_names_goes_and_what_one_keeps_stays() -> None:
    found = observed(
        ConfigMap=[child(CONFIG_MAP, "churn-a"), child(CONFIG_MAP, "churn-b"), child(CONFIG_MAP, "churn-c")]
    )
    wish = Desired(obj=desired(CONFIG_MAP, "churn-b"), immutable=True)
    parts = (Part(kept=frozenset({(CONFIG_MAP, "churn-a")})), Part(desired=(wish,)))
    (gone,) = diff(found, parts).actions
    assert gone == Delete(ref=Ref(CONFIG_MAP, NAMESPACE, "churn-c"), uid="uid-churn-c")


def test_a_child_of_any_kind_is_applied_because_a_part_returns_it() -> None:
    parts = (Part(desired=(Desired(obj=desired(SERVICE, "churn", spec={"ports": []})),)),)
    changes = diff(observed(), parts)
    wanted = stamped(parts[0].desired[0].obj)
    assert changes.actions == (Apply(obj=wanted, uid=None),)
    there = child(SERVICE, "churn", spec={"ports": []})
    there["metadata"]["annotations"] = wanted["metadata"]["annotations"]
    assert not diff(observed(Service=[there]), parts)


def test_what_is_immutable_is_made_and_never_changed() -> None:
    wish = Desired(obj=desired(PERSISTENT_VOLUME_CLAIM, "churn-k", spec={"size": 2}), immutable=True)
    assert len(diff(observed(), (Part(desired=(wish,)),)).actions) == 1
    other = child(PERSISTENT_VOLUME_CLAIM, "churn-k", spec={"size": 1})
    assert not diff(observed(PersistentVolumeClaim=[other]), (Part(desired=(wish,)),))


def test_jobs_that_run_are_stopped_first_and_with_their_pods() -> None:
    ended = {"status": {"conditions": [{"type": "Complete", "status": "True"}]}}
    template: Object = {"spec": {"template": {"spec": {"containers": [{"image": "i"}]}}}}
    found = observed(
        ConfigMap=[child(CONFIG_MAP, "a")],
        Job=[child(JOB, "ended", **template, **ended), child(JOB, "runs", **template)],
    )
    changes = diff(found, ())
    assert [(one.ref.name, one.propagation) for one in actions(changes, Delete)] == [
        ("ended", "Background"),
        ("runs", "Foreground"),
        ("a", "Background"),
    ]
    assert [(len(lane.actions), lane.phase) for lane in changes.lanes] == [(1, Phase.FIRST)] * 3, (
        "none waits for another"
    )


def test_a_part_is_a_lane_that_looks_at_names_first_and_only_if_it_writes() -> None:
    ref = Ref(DEPLOYMENT, NAMESPACE, "churn")
    wish = Desired(obj=desired(CONFIG_MAP, "churn-k"), immutable=True)
    part = Part(desired=(wish,), checks=(ref,))
    (lane,) = diff(observed(), (part,)).lanes
    assert lane.actions[0] == Check(ref=ref)
    assert lane.phase is Phase.SECOND
    assert not diff(observed(ConfigMap=[child(CONFIG_MAP, "churn-k")]), (part,))


@pytest.mark.parametrize("kept", [True, False], ids=["kept", "immutable"])
def test_labels_and_owner_that_a_child_lost_are_put_right(kept: bool) -> None:
    live = child(JOB, "churn-k", spec={"template": {"spec": {"containers": [{"image": "i"}]}}})
    live["metadata"]["labels"] = {"team": "a"}
    wish = Desired(obj=desired(JOB, "churn-k"), immutable=True)
    part = Part(kept=frozenset({(JOB, "churn-k")})) if kept else Part(desired=(wish,))
    (mended,) = actions(diff(observed(Job=[live]), (part,)), Adopt)
    assert (mended.ref.name, mended.uid, mended.found) == ("churn-k", "uid-churn-k", False)
    assert mended.metadata["labels"] == OWNER.labels()


def test_what_was_made_for_it_and_belongs_to_nobody_is_adopted_before_anything_else() -> None:
    orphan = child(CONFIG_MAP, "churn-k", metadata={"ownerReferences": []})
    changes = diff(observed(ConfigMap=[orphan]), ())
    assert [action.metadata["ownerReferences"][0]["uid"] for action in actions(changes, Adopt)] == [OWNER.uid]
    assert changes.lanes == ()


@pytest.mark.parametrize(
    "metadata",
    [
        {"ownerReferences": [{"uid": "another", "kind": "ModelService", "name": "churn"}]},
        {"ownerReferences": [], "labels": {LABEL_NAME: "churn"}},
        {"ownerReferences": [], "labels": {}},
        {"ownerReferences": [], "name": "another"},
        {"ownerReferences": [], "deletionTimestamp": "2026-01-01T00:00:00Z"},
    ],
    ids=["owned", "not managed by us", "no labels", "another name", "on its way out"],
)
def test_what_is_somebody_elses_is_left_alone(metadata: Object) -> None:
    assert not diff(observed(ConfigMap=[child(CONFIG_MAP, "churn-k", metadata=metadata)]), ())


def test_what_others_added_is_taken_away_once_what_is_ours_is_right() -> None:
    wish = desired(SERVICE, "churn", spec={"selector": {"a": "b"}, "ports": []})
    added: Object = {"a": "b", "c": "d"}
    live = child(SERVICE, "churn", metadata={"resourceVersion": "7"}, spec={"selector": added, "ports": []})
    live["metadata"]["annotations"] = stamped(wish)["metadata"]["annotations"]
    part = Part(desired=(Desired(obj=wish),))
    (strip,) = diff(observed(Service=[live]), (part,)).actions
    assert isinstance(strip, Strip)
    assert (strip.uid, strip.version, [one.pointer for one in strip.extras]) == ("uid-churn", "7", ["/spec/selector/c"])
    added["a"] = "x"
    (apply,) = diff(observed(Service=[live]), (part,)).actions
    assert isinstance(apply, Apply)


def test_what_is_on_its_way_out_is_not_deleted_again() -> None:
    going = child(CONFIG_MAP, "a", metadata={"deletionTimestamp": "2026-01-01T00:00:00Z"})
    assert not diff(observed(ConfigMap=[going]), ())


def test_another_manager_says_its_part_whenever_it_is_asked_to() -> None:
    deployment = child(DEPLOYMENT, "churn", spec={"replicas": 3})
    partial = Desired(obj={**desired(DEPLOYMENT, "churn"), "spec": {"replicas": 3}}, manager="other")
    changes = diff(observed(Deployment=[deployment]), (Part(desired=(partial,)),))
    assert changes.actions == (Apply(obj=partial.obj, uid="uid-churn", manager="other"),)


@pytest.mark.parametrize("value", ["", [], {}, 0, False, None])
def test_a_zero_value_that_the_apiserver_leaves_out_is_no_difference(value: Any) -> None:
    item = {"name": "A", "value": value}
    wish = desired(DEPLOYMENT, "churn", spec={"template": {"spec": {"env": [item], "field": value}}})
    live = child(DEPLOYMENT, "churn", spec={"template": {"spec": {"env": [{"name": "A"}]}}})
    live["metadata"]["annotations"] = stamped(wish)["metadata"]["annotations"]
    assert not diff(observed(Deployment=[live]), (Part(desired=(Desired(obj=wish),)),))
