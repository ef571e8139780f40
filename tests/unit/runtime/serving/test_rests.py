"""Rests: of each as long as there were others before it."""

import asyncio

import pytest

from modelservice.serving.rests import Rests


def test_who_is_turned_away_rests_longer_the_more_are() -> None:
    rests = Rests(turn=0.25, most=2.0)
    assert rests.begin(10.0) == 10.25
    assert rests.begin(20.0) == 20.25  # whatever was long ago
    assert [rests.begin(20.0) for _ in range(2)] == [20.5, 20.75]
    assert rests.begin(20.5) == 21.0
    assert max(rests.begin(20.5) for _ in range(100)) == 22.5


async def test_each_waits_for_its_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []

    async def sleep(seconds: float) -> None:
        waited.append(seconds)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: 10.0)
    rests = Rests(turn=0.25, most=0.5)
    for _ in range(3):
        await rests.rest()
    assert waited == [0.25, 0.5, 0.5]
