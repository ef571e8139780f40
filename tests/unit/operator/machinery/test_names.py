"""Names that nobody watches: few are asked for singly, many by one list, and no answer is older than a second."""

from tests.support.fake_kube import FakeClock, FakeKube

from modelservice_operator.kinds import DEPLOYMENT
from modelservice_operator.machinery.names import FRESH_SECONDS, LARGE_SECONDS, ONE_BY_ONE, Names
from modelservice_operator.objects import Ref


class World:
    def __init__(self) -> None:
        self.clock = FakeClock()
        self.kube = FakeKube(self.clock)
        self.names = Names(reads=self.kube, clock=self.clock)

    def make(self, name: str) -> None:
        metadata = {"name": name, "namespace": "default"}
        self.kube.store({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": {}})

    async def is_taken(self, name: str, namespace: str = "default") -> bool:
        return await self.names.find(Ref(DEPLOYMENT, namespace, name)) is not None

    def asked(self) -> list[str]:
        """How the apiserver was asked since the last time."""
        verbs = [verb for verb, _, _ in self.kube.reads]
        self.kube.reads.clear()
        return verbs


async def test_a_name_now_and_then_is_asked_for_by_itself() -> None:
    world = World()
    world.make("taken")
    for name, taken in (("taken", True), ("free", False)) * ONE_BY_ONE:
        world.clock.seconds += FRESH_SECONDS
        assert await world.is_taken(name) is taken
    assert set(world.asked()) == {"get_metadata"}


async def test_many_names_at_a_time_are_asked_for_by_one_list() -> None:
    world = World()
    world.make("taken")
    for number in range(100):
        assert not await world.is_taken(f"model-{number}")
    assert world.asked() == ["get_metadata"] * ONE_BY_ONE + ["names"]
    assert await world.is_taken("taken"), "what is there is read, for it may be ours"
    assert world.asked() == ["get_metadata"]
    assert not await world.is_taken("model-1", namespace="other")
    assert world.asked() == ["get_metadata"], "each namespace for itself"


async def test_no_answer_is_older_than_a_second() -> None:
    world = World()
    for number in range(ONE_BY_ONE + 1):
        await world.is_taken(f"model-{number}")
    world.make("late")
    world.clock.seconds += FRESH_SECONDS
    assert await world.is_taken("late")


async def test_where_names_are_too_many_for_a_page_each_is_asked_for_by_itself() -> None:
    world = World()
    world.kube.names_in_a_page = 1
    for name in ("one", "two"):
        world.make(name)
    for _ in range(10):
        assert await world.is_taken("two")
        assert not await world.is_taken("three")
    asked = world.asked()
    assert asked.count("names") == 1
    assert asked.count("get_metadata") == 20
    world.clock.seconds += LARGE_SECONDS
    for _ in range(ONE_BY_ONE + 1):
        await world.is_taken("one")
    assert world.asked().count("names") == 1, "it is looked again whether they are fewer"
