"""A replica begins once every kind that it watches is served."""

import asyncio
from collections.abc import Sequence

import pytest
from tests.support.fake_clock import FakeClock, settle
from tests.unit.operator.machinery.test_cache import APP, JOB
from tests.unit.operator.machinery.test_sync import WATCHES

from modelservice_operator.machinery.discovery import DISCOVERY_SECONDS, wait_until_served
from modelservice_operator.machinery.errors import Transient
from modelservice_operator.objects import Kind


class FakeDiscovery:
    """Serves all kinds but the missing ones; ``down`` makes the apiserver unreachable."""

    def __init__(self, *missing: Kind) -> None:
        self.missing = set(missing)
        self.down = False

    async def served(self, kinds: Sequence[Kind]) -> frozenset[Kind]:
        if self.down:
            raise Transient("connection refused")
        return frozenset(kinds) - self.missing


class Waiting:
    """A replica that waits for its kinds."""

    def __init__(self, discovery: FakeDiscovery, clock: FakeClock) -> None:
        self.said: list[str] = []
        self.stop = asyncio.Event()
        self.task: asyncio.Task[bool] = asyncio.create_task(
            wait_until_served(WATCHES, discovery=discovery, clock=clock, stop=self.stop, on_wait=self.said.append)
        )


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


async def test_what_is_served_is_not_waited_for(clock: FakeClock) -> None:
    waiting = Waiting(FakeDiscovery(), clock)
    assert await waiting.task
    assert waiting.said == []


async def test_what_is_not_served_is_named_and_waited_for(clock: FakeClock) -> None:
    discovery = FakeDiscovery(APP, JOB)
    waiting = Waiting(discovery, clock)
    await clock.advance(DISCOVERY_SECONDS / 2)
    assert waiting.said == ["the apiserver does not serve apps.example.com/v1, jobs.batch/v1: install what defines it"]
    discovery.missing = set()
    await clock.advance(DISCOVERY_SECONDS / 2)
    assert await waiting.task


async def test_an_apiserver_that_does_not_answer_is_asked_again(clock: FakeClock) -> None:
    discovery = FakeDiscovery()
    discovery.down = True
    waiting = Waiting(discovery, clock)
    await settle()
    assert waiting.said == ["the apiserver does not answer: connection refused"]
    discovery.down = False
    await clock.advance(DISCOVERY_SECONDS)
    assert await waiting.task


async def test_a_stop_ends_the_waiting(clock: FakeClock) -> None:
    waiting = Waiting(FakeDiscovery(JOB), clock)
    await settle()
    waiting.stop.set()
    assert not await waiting.task
