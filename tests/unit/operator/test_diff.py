"""One diff for all kinds of children: what is desired, what is kept, and what goes."""

from typing import Any

from tests.support.world import NAMESPACE

from modelservice_operator.domain.diff import Apply, Delete, Desired, Part, diff
from modelservice_operator.domain.metadata import Owner, stamped
from modelservice_operator.domain.observe import Observed, observe
from modelservice_operator.kinds import CONFIG_MAP, DEPLOYMENT, JOB, PERSISTENT_VOLUME_CLAIM, SERVICE
from modelservice_operator.objects import Kind, Object

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


def test_what_no_part_names_goes_and_what_one_keeps_stays() -> None:
    found = observed(ConfigMap=[child(CONFIG_MAP, "a"), child(CONFIG_MAP, "b"), child(CONFIG_MAP, "c")])
    parts = (Part(kept=frozenset({(CONFIG_MAP, "a")})), Part(desired=(Desired(obj=desired(CONFIG_MAP, "b")),)))
    (gone,) = diff(found, parts).deletes
    assert (gone.ref.name, gone.uid, gone.propagation) == ("c", "uid-c", "Background")


def test_a_child_of_any_kind_is_applied_because_a_part_returns_it() -> None:
    parts = (Part(desired=(Desired(obj=desired(SERVICE, "churn", spec={"ports": []})),)),)
    changes = diff(observed(), parts)
    assert changes.applies == ((Apply(obj=stamped(parts[0].desired[0].obj), uid=None),),)
    there = child(SERVICE, "churn", spec={"ports": []})
    there["metadata"]["annotations"] = changes.applies[0][0].obj["metadata"]["annotations"]
    assert not diff(observed(Service=[there]), parts)


def test_what_is_immutable_is_made_and_never_changed() -> None:
    wish = Desired(obj=desired(PERSISTENT_VOLUME_CLAIM, "churn-k", spec={"size": 2}), immutable=True)
    assert [len(applies) for applies in diff(observed(), (Part(desired=(wish,)),)).applies] == [1]
    other = child(PERSISTENT_VOLUME_CLAIM, "churn-k", spec={"size": 1})
    assert not diff(observed(PersistentVolumeClaim=[other]), (Part(desired=(wish,)),))


def test_jobs_that_run_are_stopped_first_and_with_their_pods() -> None:
    ended = {"status": {"conditions": [{"type": "Complete", "status": "True"}]}}
    template: Object = {"spec": {"template": {"spec": {"containers": [{"image": "i"}]}}}}
    found = observed(
        ConfigMap=[child(CONFIG_MAP, "a")],
        Job=[child(JOB, "ended", **template, **ended), child(JOB, "runs", **template)],
    )
    deletes = diff(found, ()).deletes
    assert [(one.ref.name, one.propagation) for one in deletes] == [
        ("ended", "Background"),
        ("runs", "Foreground"),
        ("a", "Background"),
    ]
    assert all(isinstance(one, Delete) for one in deletes)


def test_what_is_on_its_way_out_is_not_deleted_again() -> None:
    going = child(CONFIG_MAP, "a", metadata={"deletionTimestamp": "2026-01-01T00:00:00Z"})
    assert not diff(observed(ConfigMap=[going]), ())


def test_what_others_own_is_none_of_ours() -> None:
    foreign = child(CONFIG_MAP, "a", metadata={"ownerReferences": []})
    assert not diff(observed(ConfigMap=[foreign]), ())


def test_another_manager_says_its_part_whenever_it_is_asked_to() -> None:
    deployment = child(DEPLOYMENT, "churn", spec={"replicas": 3})
    partial = Desired(obj={**desired(DEPLOYMENT, "churn"), "spec": {"replicas": 3}}, manager="other")
    changes = diff(observed(Deployment=[deployment]), (Part(desired=(partial,)),))
    assert changes.applies == ((Apply(obj=partial.obj, uid="uid-churn", manager="other"),),)
    assert changes.deletes == ()
