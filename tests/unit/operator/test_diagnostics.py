"""What is asked about what is stuck: so much and no more, however much of it there is."""

import asyncio
import copy

from tests.support.fake_clock import FakeClock
from tests.support.world import CSV, NAMESPACE, World

from modelservice.contract.keys import content_digest
from modelservice.contract.resource import ModelServiceSpec
from modelservice_operator.diagnostics import Diagnostician
from modelservice_operator.domain.data import ConfigMapContent, config_map_data
from modelservice_operator.domain.observe import observe
from modelservice_operator.domain.plan import plan
from modelservice_operator.kinds import MODEL_SERVICE, PERSISTENT_VOLUME_CLAIM, POD
from modelservice_operator.objects import Key, Ref


class Stuck:
    """A training whose claim is not bound and whose pods wait without a word, and as many like it as are wanted."""

    def __init__(self, *, pods: int) -> None:
        self.clock, self.world = FakeClock(), World()
        self.world.config_map()
        self.world.service()
        self.world.settle()
        for number in range(pods):
            self.world.pod_of(self.world.job(), {"phase": "Pending"}, suffix=str(number))
        self.world.sync()
        self.world.clock.seconds += 60
        self.world.kube.reads.clear()
        self.diagnostician = Diagnostician(
            kube=self.world.kube,
            progress=self.world.progress,
            settings=self.world.settings,
            clock=self.clock,
            on_change=lambda _: None,
        )

    def look_at(self, number: int) -> None:
        """What a pass over one of them wants to know."""
        world = self.world
        children = copy.deepcopy(world.cache.children(*world.key))
        for kind in (PERSISTENT_VOLUME_CLAIM, POD):
            for obj in children[kind]:
                obj["metadata"]["uid"] += f"-{number}"
        service = world.cache.get(Ref(MODEL_SERVICE, *world.key))
        assert service is not None
        observed, spec = observe(service, children), ModelServiceSpec.model_validate(service["spec"])
        content = ConfigMapContent(keys=("churn.csv",), digest=content_digest(CSV.encode()))
        planned = plan(
            spec, observed, config_map_data(spec.known_data.chosen, content), world.settings, now=world.clock.now()
        )
        asker = Key(NAMESPACE, str(number))
        self.diagnostician.gather(asker, spec, observed, planned, refused=None, now=world.clock.now())

    def asked(self, seconds: int) -> list[str]:
        """UIDs of what is asked about in that time."""

        async def scene() -> None:
            stop = asyncio.Event()
            task = asyncio.create_task(self.diagnostician.warnings.run(stop))
            await self.clock.advance(seconds)
            stop.set()
            await task

        asyncio.run(scene())
        return [uid for verb, _, uid in self.world.kube.reads if verb == "events"]


def test_hundreds_that_are_stuck_cost_fewer_than_two_lists_a_second() -> None:
    stuck = Stuck(pods=1)
    for number in range(300):
        stuck.look_at(number)
    assert 60 < len(stuck.asked(60)) < 2 * 60


def test_a_few_that_are_stuck_are_asked_about_at_once() -> None:
    stuck = Stuck(pods=1)
    for number in range(2):
        stuck.look_at(number)
    assert len(set(stuck.asked(3))) == 2 * 2, "of each its claim and its pod"


def test_of_many_pods_of_one_the_closest_causes_are_asked_about() -> None:
    stuck = Stuck(pods=10)
    stuck.look_at(0)
    found = set(stuck.asked(60))
    claims = {f"{claim['metadata']['uid']}-0" for claim in stuck.world.all(PERSISTENT_VOLUME_CLAIM)}
    assert claims < found
    assert len(found) == 4
