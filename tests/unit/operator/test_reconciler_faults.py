"""The reconciler's stories. What befalls clusters, at each pass of a pipeline: nothing is trained twice or lost."""

from collections import Counter
from collections.abc import Callable
from contextlib import suppress

import pytest
from tests.support.world import World

from modelservice_operator.kinds import CHILD_KINDS, DEPLOYMENT, JOB, POD
from modelservice_operator.machinery.errors import KubeError, Transient
from modelservice_operator.objects import Ref

PASSES = 8
"""Of the pipeline, until nothing is written any more."""
DAY = 24 * 60 * 60.0

Fault = Callable[[World], None]


def story(fault: Fault | None = None, *, at: int = 0, every: int = PASSES + 1) -> tuple[set[Ref], Counter[str]]:
    """Train, compress and serve; which children are there at the end, and how often each Job was made.

    The fault happens before the pass ``at``, and each time that ``every`` further passes are over.
    """
    world = World()
    world.config_map()
    world.service(compression={"steps": [{"quantize": {}}]})
    for number in range(PASSES):
        if fault is not None and number >= at and (number - at) % every == 0:
            fault(world)
        world.reconcile()
        if world.running_jobs():
            world.bind_claims()
            world.end_stage()
        if world.ours(DEPLOYMENT):
            world.roll_out()
    world.settle()
    assert world.ready() == ("True", "Serving")
    assert world.status()["revision"] == 1
    children = {ref for ref in world.kube.objects if ref.kind in CHILD_KINDS and ref.kind != POD}
    return children, Counter(name for verb, kind, name in world.kube.writes if (verb, kind) == ("apply", JOB.kind))


class Silence(dict[tuple[str, str], KubeError]):
    """Nobody answers, whatever is asked."""

    def get(self, key: tuple[str, str], default: object = None) -> KubeError:
        del key, default
        return Transient("no answer")


def silent_for_a_minute(world: World) -> None:
    world.kube.failures = Silence()
    for _ in range(6):
        with suppress(Transient):
            world.reconcile()
        world.clock.seconds += 10
    world.kube.failures = {}


def jumps(seconds: float) -> Fault:
    def fault(world: World) -> None:
        world.clock.ahead += seconds

    return fault


@pytest.mark.parametrize(
    "fault",
    [silent_for_a_minute, jumps(DAY), jumps(-DAY), World.restart_operator],
    ids=["the apiserver is away for a minute", "the clock jumps forth", "the clock jumps back", "restarted"],
)
def test_what_befalls_a_pipeline_at_any_pass_trains_nothing_twice_and_loses_nothing(fault: Fault) -> None:
    undisturbed = story()
    assert list(undisturbed[1].values()) == [1, 1], "a training and a compression"
    for at in range(PASSES):
        assert story(fault, at=at) == undisturbed, at


def test_operators_of_different_versions_in_turn_train_nothing_twice() -> None:
    """Two never lead at once, but may follow each other again and again, as in an upgrade that is taken back."""
    images: list[str] = []

    def another(world: World) -> None:
        version = 1 + len(images) % 2
        images.append(f"server:{version}")
        world.restart_operator(trainer_image=f"trainer:{version}", server_image=images[-1])
        template = world.ours(DEPLOYMENT)[0]["spec"]["template"] if world.ours(DEPLOYMENT) else None
        templates.append(template)

    templates: list[object] = []
    children, jobs = story(another, every=1)
    assert list(jobs.values()) == [1, 1]
    assert Counter(ref.kind for ref in children) == Counter(ref.kind for ref in story()[0])
    served = [one for one in templates if one is not None]
    assert len(served) > 1
    assert all(one == served[0] for one in served), "no pod is made anew"
