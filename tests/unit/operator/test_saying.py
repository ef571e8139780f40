"""How far many trainings are is said in turn: few writes in a second, and no pass that only asks for its turn."""

import asyncio
from collections import Counter

import pytest
from tests.support.fake_kube import FakeClock, FakeKube

from modelservice.contract.resource import API_VERSION, KIND
from modelservice_operator.domain.metadata import Owner
from modelservice_operator.domain.observe import Observed
from modelservice_operator.kinds import MODEL_SERVICE
from modelservice_operator.machinery.cache import Cache
from modelservice_operator.machinery.damper import Damper
from modelservice_operator.machinery.feed import Feed
from modelservice_operator.objects import Key, Object, Ref
from modelservice_operator.saying import Speaker
from modelservice_operator.watches import WATCHES

TRAININGS, PER_SECOND = 200, 20


def test_many_trainings_are_said_in_turn_and_each_is_looked_at_once_for_it() -> None:
    clock = FakeClock()
    kube = FakeKube(clock)
    cache = kube.memory = Cache(WATCHES)
    feed = Feed(cache=cache, on_change=lambda *_: None)
    speaker = Speaker(kube=kube, feed=feed, clock=clock, damper=Damper(clock=clock))
    services = [_service(kube, number) for number in range(TRAININGS)]
    began, written, passes = clock.monotonic(), list[float](), Counter[str]()
    due = dict.fromkeys(range(TRAININGS), began)
    while due:
        number = min(due, key=lambda one: due[one])
        clock.seconds += max(0.0, due.pop(number) - clock.monotonic())
        before = len(kube.writes)
        passes[services[number]["metadata"]["name"]] += 1
        again = asyncio.run(_say(speaker, services[number], f"{number} %"))
        if again is not None:
            due[number] = clock.monotonic() + again
        elif len(kube.writes) > before:
            written.append(clock.monotonic() - began)
    assert len(written) == TRAININGS
    assert max(passes.values()) <= 2
    for second in range(1, int(max(written)) + 1):
        assert sum(one <= second for one in written) <= PER_SECOND * (1 + second), "and those that it begins with"


def test_a_newer_version_that_a_conflict_brings_is_told_to_whom_it_concerns() -> None:
    clock, told = FakeClock(), list[Key]()
    kube = FakeKube(clock)
    cache = kube.memory = Cache(WATCHES)
    feed = Feed(cache=cache, on_change=lambda _, key: told.append(key))
    speaker = Speaker(kube=kube, feed=feed, clock=clock, damper=Damper(clock=clock))
    encoder = _service(kube, 0)
    head = _service(kube, 1, spec={"model": {"encoder": {"service": {"name": "model-0"}}}})
    cache.put(MODEL_SERVICE, head)
    newer = {**encoder, "metadata": {**encoder["metadata"], "resourceVersion": "1000"}}
    kube.objects[Ref(MODEL_SERVICE, "n", "model-0")] = newer
    assert asyncio.run(_say(speaker, encoder, "50 %")) == 0.0
    assert set(told) == {Key("n", "model-0"), Key("n", "model-1")}


def test_a_status_that_is_refused_is_said_again_in_a_while() -> None:
    clock = FakeClock()
    kube = FakeKube(clock)
    kube.refuse_status = lambda status: "no such field" if "progress" in status else None
    cache = kube.memory = Cache(WATCHES)
    speaker = Speaker(
        kube=kube, feed=Feed(cache=cache, on_change=lambda *_: None), clock=clock, damper=Damper(clock=clock)
    )
    assert asyncio.run(_say(speaker, _service(kube, 0), "50 %")) == 30.0


def test_a_status_of_which_something_else_is_stored_is_looked_at_again(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = FakeClock()
    kube = FakeKube(clock)
    cache = kube.memory = Cache(WATCHES)
    speaker = Speaker(
        kube=kube, feed=Feed(cache=cache, on_change=lambda *_: None), clock=clock, damper=Damper(clock=clock)
    )
    assert asyncio.run(_say(speaker, _service(kube, 0), "50 %")) is None
    apply_status = kube.apply_status

    async def rounded(obj: Object) -> Object:
        """As by a webhook."""
        return await apply_status({**obj, "status": {**obj["status"], "progress": "0 %"}})

    monkeypatch.setattr(kube, "apply_status", rounded)
    assert asyncio.run(_say(speaker, _service(kube, 1), "50 %")) == 2.0
    stored = kube.objects[Ref(MODEL_SERVICE, "n", "model-1")]
    assert asyncio.run(_say(speaker, stored, "50 %")) is None, "or a converged cluster would be written for ever"


def _service(kube: FakeKube, number: int, spec: Object | None = None) -> Object:
    metadata = {"name": f"model-{number}", "namespace": "n"}
    ready = {"type": "Ready", "status": "False", "reason": "Training", "message": ""}
    known = {"observedGeneration": 1, "lastTransitionTime": "2026-01-01T00:00:00Z"}
    status = {"observedGeneration": 1, "conditions": [{**ready, **known}]}
    kube.store({"apiVersion": API_VERSION, "kind": KIND, "metadata": metadata, "spec": spec or {}, "status": status})
    return kube.objects[Ref(MODEL_SERVICE, "n", metadata["name"])]


async def _say(speaker: Speaker, service: Object, progress: str) -> float | None:
    metadata = service["metadata"]
    owner = Owner(name=metadata["name"], namespace=metadata["namespace"], uid=metadata["uid"])
    observed = Observed(owner=owner, service=service, children={})
    named = {name: metadata[name] for name in ("name", "namespace", "uid", "resourceVersion")}
    desired = {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": named,
        "status": {**service["status"], "progress": progress},
    }
    return await speaker.say(observed, desired, warning=False)
