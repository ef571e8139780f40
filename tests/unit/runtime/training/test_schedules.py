"""Shares of the learning rate by epoch, and when a training is over."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelservice.contract.optimizers import Cosine, Plateau, Schedule, Stairs
from modelservice.contract.training import EarlyStopping
from modelservice.training.schedules import Pace, cosine_share


def shares(schedule: Schedule | None, epochs: int, losses: list[float] | None = None) -> list[float]:
    pace = Pace(schedule, None, epochs=epochs)
    found = []
    for epoch, loss in zip(range(1, epochs + 1), losses or itertools.repeat(0.0), strict=False):
        found.append(pace.share(epoch))
        pace.observe(loss)
    return found


def test_without_a_schedule_the_rate_stays() -> None:
    assert shares(None, 3) == [1, 1, 1]


def test_half_a_cosine_after_a_warm_up() -> None:
    assert shares(Schedule(cosine=Cosine()), 5) == pytest.approx([1, 0.8536, 0.5, 0.1464, 0], abs=1e-4)
    warm = Schedule(cosine=Cosine(warm_up_epochs=3, final_share=0.1))
    assert shares(warm, 6) == pytest.approx([0.25, 0.5, 0.75, 1, 0.55, 0.1])


@given(warm=st.integers(0, 50), final=st.floats(0, 1), epochs=st.integers(1, 40))
def test_a_cosine_rises_then_falls_and_stays_between_nothing_and_all(warm: int, final: float, epochs: int) -> None:
    found = [
        cosine_share(Cosine(warm_up_epochs=warm, final_share=final), epoch, epochs) for epoch in range(1, epochs + 1)
    ]
    assert all(0 <= share <= 1 for share in found)
    assert max(found) == 1
    top = found.index(1)
    assert found[: top + 1] == sorted(found[: top + 1])
    assert found[top:] == sorted(found[top:], reverse=True)


def test_stairs() -> None:
    assert shares(Schedule(step=Stairs(every_epochs=2, factor=0.5)), 5) == [1, 1, 0.5, 0.5, 0.25]


def test_a_plateau_is_waited_for_anew_after_each_fall() -> None:
    schedule = Schedule(plateau=Plateau(patience=2, factor=0.5))
    assert shares(schedule, 8, [3, 3, 3, 3, 3, 2, 2, 2]) == [1, 1, 1, 0.5, 0.5, 0.25, 0.25, 0.25]


def test_stopping_counts_epochs_without_improvement() -> None:
    pace = Pace(None, EarlyStopping(patience=2), epochs=100)
    over = []
    for loss in (3.0, 2.0, 2.0, 1.0, 1.0, 1.5):
        pace.observe(loss)
        over.append(pace.is_over)
    assert over == [False, False, False, False, False, True]
