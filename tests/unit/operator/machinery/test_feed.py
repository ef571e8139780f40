"""The way into the cache: whoever a change concerns is asked to look, and nobody where nothing that is kept changed."""

import pytest
from tests.unit.operator.machinery.test_cache import APP, JOB, NOTE, WATCHES, make

from modelservice_operator.machinery.cache import Cache
from modelservice_operator.machinery.feed import Feed
from modelservice_operator.objects import Key, Object, Ref


class World:
    """A feed, and who it asked."""

    def __init__(self) -> None:
        self.cache = Cache(WATCHES)
        self.asked: list[Key] = []
        self.feed = Feed(cache=self.cache, on_change=lambda _, key: self.asked.append(key))

    def told(self) -> list[Key]:
        told, self.asked[:] = sorted(self.asked), []
        return told


@pytest.fixture
def world() -> World:
    return World()


def other_label() -> Object:
    changed = make(version=2, status={"active": 1})
    changed["metadata"]["labels"] = {"app": "b"}
    return changed


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        (make(version=2, status={"active": 2}), ["a"]),
        (make(version=2), ["a"]),
        (make(version=2, status={"active": 1}, spec={}), ["a"]),
        (make(uid="u2", version=2, status={"active": 1}), ["a"]),
        (other_label(), ["a", "b"]),
        (make(version=2, status={"active": 1}), []),
    ],
    ids=["a field", "a field less", "a field more", "another object", "another owner", "the version alone"],
)
def test_who_a_change_concerns_is_asked(world: World, changed: Object, told: list[str]) -> None:
    assert world.feed.put(JOB, make(status={"active": 1}))
    assert world.told() == [Key("n", "a")]
    assert world.feed.put(JOB, changed)
    assert world.told() == [Key("n", name) for name in told]
    kept = world.cache.get(Ref(JOB, "n", "a-train"))
    assert kept is not None
    assert kept["metadata"]["resourceVersion"] == "2", "who writes to exactly this version has to know it"
    assert not world.feed.put(JOB, changed)
    assert world.told() == []


def test_what_is_not_kept_asks_nobody(world: World) -> None:
    world.feed.put(NOTE, make(text="one"))
    world.told()
    assert world.feed.put(NOTE, make(version=2, text="two"))
    assert world.told() == []


def test_those_that_name_what_changed_are_asked_and_what_is_gone_asks_too(world: World) -> None:
    world.feed.put(APP, make("head", app=None, asks=["encoder"]))
    world.told()
    world.feed.put(APP, make("encoder", uid="u2", app=None, status={"digest": "d"}))
    assert world.told() == [Key("n", "encoder"), Key("n", "head")]
    world.feed.put(APP, make("encoder", uid="u2", version=2, app=None, status={"digest": "d"}))
    assert world.told() == []
    assert world.feed.drop(APP, "n", "encoder", "u2")
    assert world.told() == [Key("n", "encoder"), Key("n", "head")]
    assert not world.feed.drop(APP, "n", "encoder", "u2")
    assert world.told() == []
