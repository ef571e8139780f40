"""The reconciler's stories. What a pass and an event do is no more work where there are many other ModelServices."""

import gc
import sys
from collections.abc import Callable
from itertools import count
from types import FrameType
from typing import Any

from tests.support.world import NAMESPACE, World

from modelservice_operator.kinds import DEPLOYMENT, JOB, MODEL_SERVICE, POD, ref_of
from modelservice_operator.machinery.feed import Feed
from modelservice_operator.objects import Kind
from modelservice_operator.remembering import forget
from modelservice_operator.watches import WATCHES

FEW, MANY = 3, 24


def test_a_pass_that_finds_nothing_to_do_costs_the_same_among_many() -> None:
    few, many = (_steps(_among(others).reconcile_unaware) for others in (FEW, MANY))
    assert many == few


def test_another_spec_costs_the_same_among_many() -> None:
    def change(others: int) -> int:
        world = _among(others)
        world.service(training={"epochs": 7})
        (changed,) = world.all(MODEL_SERVICE)
        assert world.cache.put(MODEL_SERVICE, changed)
        return _steps(world.reconcile_unaware)

    assert change(MANY) == change(FEW)


def test_an_event_costs_the_same_among_many() -> None:
    few, many = _among(FEW), _among(MANY)
    for kind in (MODEL_SERVICE, DEPLOYMENT, JOB, POD):
        assert _told(many, kind) == _told(few, kind), kind.kind


def _told(world: World, kind: Kind) -> int:
    """What it takes to hear of a newer version of what is ours."""
    obj = next(one for one in world.all(kind) if one["metadata"]["name"].startswith(world.key.name))
    newer = {**obj, "metadata": {**obj["metadata"], "resourceVersion": str(10**9)}}
    feed = Feed(cache=world.cache, on_change=lambda *_: None)
    return _steps(lambda: feed.put(kind, newer))


def _among(others: int) -> World:
    """A ModelService that is served, beside others that are, all of them in one namespace.

    What other tests left in the process is forgotten: where there is no more room, to remember takes a step more.
    """
    forget()
    world = World()
    world.serve()
    world.reconcile()
    versions = count(1_000_000)
    ours = [(ref_of(obj), obj) for kind in (watch.kind for watch in WATCHES) for obj in world.cache.objects(kind)]
    for number in range(others):
        for ref, obj in ours:
            name, uid = (f"other-{number}", f"{obj['metadata']['uid']}-{number}")
            metadata = {
                **obj["metadata"],
                "name": ref.name.replace(world.key.name, name, 1),
                "uid": uid,
                "resourceVersion": str(next(versions)),
                "labels": {
                    label: name if value == world.key.name else value
                    for label, value in obj["metadata"].get("labels", {}).items()
                },
                "ownerReferences": [
                    {**one, "name": one["name"].replace(world.key.name, name, 1), "uid": f"{one['uid']}-{number}"}
                    for one in obj["metadata"].get("ownerReferences", ())
                ],
            }
            assert world.cache.put(ref.kind, {**obj, "metadata": metadata})
    world.reconcile_unaware()  # what is remembered is of this one
    assert len(world.cache.keys(MODEL_SERVICE)) == 1 + others
    assert world.cache.children(NAMESPACE, "other-0").keys() == world.cache.children(*world.key).keys()
    return world


def _steps(work: Callable[[], object]) -> int:
    """Instructions that Python executed: no clock, and the same each time, as no garbage is collected meanwhile."""
    steps, before = 0, sys.gettrace()

    def trace(frame: FrameType, event: str, _arg: object) -> Any:
        nonlocal steps
        frame.f_trace_opcodes = True
        steps += event == "opcode"
        return trace

    gc.disable()
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
        gc.enable()
    return steps
