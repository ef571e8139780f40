"""The cache: true for one UID, whatever the order in which events and answers arrive."""

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelservice_operator.machinery.cache import Cache
from modelservice_operator.machinery.watch import Watch, own_key
from modelservice_operator.objects import Key, Kind, Object, Ref

APP = Kind("example.com", "v1", "App", "apps")
JOB = Kind("batch", "v1", "Job", "jobs")
NOTE = Kind("", "v1", "Note", "notes")


def owner(obj: Mapping[str, Any]) -> Key | None:
    name = obj["metadata"].get("labels", {}).get("app")
    return Key(obj["metadata"]["namespace"], name) if name else None


def metadata_only(obj: Mapping[str, Any]) -> Object:
    return {"metadata": obj["metadata"]}


WATCHES = (
    Watch(
        kind=APP, request=own_key, owned=False, concerns=lambda obj: [Key("n", name) for name in obj.get("asks", ())]
    ),
    Watch(kind=JOB, request=owner),
    Watch(kind=NOTE, request=owner, transform=metadata_only),
)


def make(
    name: str = "a-train", *, uid: str = "u1", version: int = 1, app: str | None = "a", **fields: Any
) -> dict[str, Any]:
    labels = {} if app is None else {"app": app}
    metadata = {"namespace": "n", "name": name, "uid": uid, "resourceVersion": str(version), "labels": labels}
    return {"metadata": metadata, **fields}


@pytest.fixture
def cache() -> Cache:
    return Cache(WATCHES)


def names(cache: Cache, kind: Kind = JOB, app: str = "a") -> list[str]:
    return [obj["metadata"]["name"] for obj in cache.children("n", app).get(kind, [])]


def test_children_are_found_by_label_and_ordered_by_name(cache: Cache) -> None:
    cache.put(JOB, make("a-2", uid="u2"))
    cache.put(JOB, make("a-1", uid="u1"))
    cache.put(JOB, make("b-1", uid="u3", app="b"))
    cache.put(NOTE, make("a-1", uid="u4"))
    assert names(cache) == ["a-1", "a-2"]
    assert set(cache.children("n", "a")) == {JOB, NOTE}
    assert cache.children("other", "a") == {}


def test_what_is_reconciled_is_no_child_of_itself(cache: Cache) -> None:
    cache.put(APP, make("a", app="a"))
    assert cache.children("n", "a") == {}
    assert cache.keys(APP) == (Key("n", "a"),)


def test_an_older_or_equal_version_changes_nothing(cache: Cache) -> None:
    assert cache.put(JOB, make(version=10, spec={"new": True}))
    assert not cache.put(JOB, make(version=9, spec={}))
    assert not cache.put(JOB, make(version=10, spec={}))
    found = cache.get(Ref(JOB, "n", "a-train"))
    assert found is not None
    assert found["spec"] == {"new": True}


def test_versions_are_numbers_not_texts(cache: Cache) -> None:
    cache.put(JOB, make(version=9))
    assert cache.put(JOB, make(version=10))


def test_a_late_deleted_of_the_old_object_keeps_the_new_one(cache: Cache) -> None:
    cache.put(JOB, make(uid="old", version=1))
    cache.put(JOB, make(uid="new", version=3))
    assert not cache.drop(JOB, "n", "a-train", "old", resource_version="2")
    assert names(cache) == ["a-train"]


def test_a_late_modified_of_the_old_object_keeps_the_new_one(cache: Cache) -> None:
    cache.put(JOB, make(uid="new", version=3))
    assert not cache.put(JOB, make(uid="old", version=2))
    found = cache.get(Ref(JOB, "n", "a-train"))
    assert found is not None
    assert found["metadata"]["uid"] == "new"


def test_a_late_answer_does_not_bring_a_dropped_object_back(cache: Cache) -> None:
    cache.put(JOB, make(version=1))
    cache.drop(JOB, "n", "a-train", "u1", resource_version="3")
    assert not cache.put(JOB, make(version=2))
    assert cache.children("n", "a") == {}


def test_an_object_that_left_the_watch_by_its_label_may_come_back(cache: Cache) -> None:
    cache.put(JOB, make(version=1))
    cache.drop(JOB, "n", "a-train", "u1", resource_version="2")
    assert cache.put(JOB, make(version=3))


def test_a_changed_owner_label_moves_the_child(cache: Cache) -> None:
    cache.put(JOB, make(version=1, app="a"))
    cache.put(JOB, make(version=2, app="b"))
    assert names(cache, app="a") == []
    assert names(cache, app="b") == ["a-train"]


def test_ghosts_are_dropped_and_their_owners_named(cache: Cache) -> None:
    cache.put(JOB, make("a-1", uid="u1"))
    cache.put(JOB, make("b-1", uid="u2", app="b"))
    known = cache.uids(JOB)
    cache.put(JOB, make("c-1", uid="u3", app="c", version=5))  # came after the list was requested
    assert cache.drop_ghosts(JOB, known, [make("a-1", uid="u1")]) == {Key("n", "b")}
    assert (names(cache, app="a"), names(cache, app="b"), names(cache, app="c")) == (["a-1"], [], ["c-1"])


def test_what_a_list_lacks_is_what_was_known_before_it_in_that_namespace(cache: Cache) -> None:
    cache.put(JOB, make("a-1", uid="u1", version=1))
    cache.put(JOB, make("a-2", uid="u2", version=2))
    cache.put(JOB, make("a-3", uid="u3", version=9))
    elsewhere = make("a-2", uid="u4", version=3)
    cache.put(JOB, {**elsewhere, "metadata": {**elsewhere["metadata"], "namespace": "m"}})

    def unlisted(namespace: str | None, version: int) -> list[str]:
        return [obj["metadata"]["uid"] for obj in cache.unlisted(JOB, namespace, {"u1"}, version)]

    assert unlisted("n", 5) == ["u2"]
    assert unlisted(None, 5) == ["u2", "u4"]
    assert len(cache.uids(JOB)) == 4, "looking forgets nothing"


def test_a_name_that_was_taken_over_is_a_ghost_under_its_old_uid(cache: Cache) -> None:
    cache.put(JOB, make(uid="old", version=1))
    assert cache.drop_ghosts(JOB, cache.uids(JOB), [make(uid="new", version=2)]) == {Key("n", "a")}
    assert cache.missing(JOB, [make(uid="new", version=2)]) == [Ref(JOB, "n", "a-train")]


def test_missing_is_what_is_listed_in_a_newer_version_than_known(cache: Cache) -> None:
    cache.put(JOB, make("a-1", uid="u1", version=2))
    listed = [make("a-1", uid="u1", version=2), make("a-2", uid="u2", version=1)]
    assert cache.missing(JOB, listed) == [Ref(JOB, "n", "a-2")]
    assert cache.missing(JOB, [make("a-1", uid="u1", version=3)]) == [Ref(JOB, "n", "a-1")]
    cache.drop(JOB, "n", "a-1", "u1", resource_version="4")
    assert cache.missing(JOB, [make("a-1", uid="u1", version=3)]) == []


def test_what_is_kept_is_what_the_watch_says(cache: Cache) -> None:
    cache.put(NOTE, make("data", data={"a": "x" * 1000}))
    found = cache.get(Ref(NOTE, "n", "data"))
    assert found is not None
    assert set(found) == {"metadata"}


def test_an_object_of_nobody_is_known_and_is_no_child(cache: Cache) -> None:
    cache.put(JOB, make(app=None))
    assert cache.get(Ref(JOB, "n", "a-train")) is not None
    assert cache.requests(JOB, make(app=None)) == set()
    assert cache.drop(JOB, "n", "a-train", "u1")


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 3), st.sampled_from(("a", "b"))), max_size=30))
def test_the_index_agrees_with_the_objects_whatever_happens(steps: list[tuple[bool, int, str]]) -> None:
    cache = Cache(WATCHES)
    for version, (is_put, number, owner) in enumerate(steps, start=1):
        if is_put:
            cache.put(JOB, make(f"job-{number}", uid=f"u{number}", version=version, app=owner))
        else:
            cache.drop(JOB, "n", f"job-{number}", f"u{number}", resource_version=str(version))
    indexed = {name for owner in ("a", "b") for name in names(cache, app=owner)}
    stored = {f"job-{n}" for n in (1, 2, 3) if cache.get(Ref(JOB, "n", f"job-{n}")) is not None}
    assert indexed == stored
    assert len(cache.uids(JOB)) == len(stored)


def test_who_names_another_is_found_by_it_and_concerned_by_its_changes(cache: Cache) -> None:
    def app(name: str, *asks: str, version: int = 1) -> dict[str, Any]:
        return make(name, uid=f"u-{name}", version=version, asks=asks)

    a, b, c = (Key("n", name) for name in "abc")
    for obj in (app("b", "a"), app("c", "a", "b"), app("a")):
        cache.put(APP, obj)
    assert [one["metadata"]["name"] for one in cache.naming(APP, a)] == ["b", "c"]
    assert cache.requests(APP, app("a")) == {a, b, c}
    assert cache.requests(APP, app("b", "a")) == {a, b, c}
    assert cache.requests(APP, app("c", "a", "b")) == {a, b, c}
    cache.put(APP, app("c", version=2))
    assert cache.requests(APP, app("b", "a")) == {a, b}
    assert cache.requests(APP, app("c")) == {c}
    cache.drop(APP, "n", "b", "u-b")
    assert cache.naming(APP, a) == ()
    cache.put(APP, app("c", "a", version=3))
    # What vanished unseen is told to whom it named, too.
    assert cache.drop_ghosts(APP, cache.uids(APP), [app("a")]) == {a, c}


def test_an_object_is_there_at_each_moment_of_a_change() -> None:
    """A thread that reads all objects, as that of the metrics does, may come at any of them."""
    seen: list[int] = []

    def looking(obj: Mapping[str, Any]) -> Key | None:
        seen.append(len(changing.objects(JOB)))
        return owner(obj)

    changing = Cache([Watch(kind=JOB, request=looking)])
    changing.put(JOB, make())
    seen.clear()
    changing.put(JOB, make(version=2, app="b"))
    assert len(seen) >= 2
    assert set(seen) == {1}
