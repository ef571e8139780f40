"""Permutation importance: what a model goes by falls when it is shuffled, at a cost that no table can raise."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.runtime.reports.subjects import by_first_feature, subject_of

from modelservice.contract.task import Task
from modelservice.modalities.base import Features
from modelservice.reports import permutation
from modelservice.reports.permutation import MAX_COLUMNS, effort_for, measure_importance
from modelservice.reports.subject import Subject
from modelservice.tasks.base import Array

RANDOM = np.random.default_rng(1)
CELLS = RANDOM.normal(size=(200, 2))
ROWS = [f"{a:.5f},{b:.5f},{'red' if n % 2 else 'blue'},{'q' if a > 0 else 'p'}" for n, (a, b) in enumerate(CELLS)]


def subject(seed: int = 0) -> Subject:
    return subject_of(ROWS, header="used,unused,colour,y", seed=seed)


def test_the_column_that_a_model_goes_by_stands_first_and_others_are_worth_nothing() -> None:
    found = measure_importance(subject())
    assert found is not None
    assert [one.name for one in found.columns] == ["used", "unused", "colour"]
    assert found.columns[0].drop == pytest.approx(0.5, abs=0.15)
    assert [(one.drop, one.deviation) for one in found.columns[1:]] == [(0, 0), (0, 0)]
    assert (found.metric, found.repeats) == ("accuracy", 10)


def test_the_seed_decides() -> None:
    assert measure_importance(subject()) == measure_importance(subject())
    assert measure_importance(subject()) != measure_importance(subject(seed=1))


def test_a_category_is_shuffled_as_a_whole() -> None:
    """No row has two categories at once, as it would where each of its numbers were shuffled by itself."""
    seen = list[Features]()

    def noting(features: Features) -> Array:
        seen.append(features)
        return by_first_feature(features)

    measure_importance(subject_of(ROWS, header="used,unused,colour,y", predict=noting))
    assert all((rows[:, 2:].sum(axis=1) == 1).all() for rows in seen)


def test_numbers_are_judged_by_r2() -> None:
    rows = [f"{a:.5f},{b:.5f},{3 * a:.5f}" for a, b in CELLS]
    scale = float(CELLS[:, 0].std())

    def predict(features: Features) -> Array:
        return (3 * scale * features[:, :1]).astype(np.float32)

    found = measure_importance(
        subject_of(rows, header="a,b,y", predict=predict, task=Task.model_validate({"regression": {}}))
    )
    assert found is not None
    assert found.metric == "r2"
    assert found.columns[0].drop == pytest.approx(2, abs=0.7)
    assert found.columns[1].drop == 0


@given(rows=st.integers(1, 10**9), columns=st.integers(1, MAX_COLUMNS))
def test_the_effort_is_bounded(rows: int, columns: int) -> None:
    effort = effort_for(rows, columns)
    assert 1 <= effort.rows <= rows
    assert 1 <= effort.repeats <= 10
    assert effort.rows * effort.repeats * columns <= 20_000


def test_too_many_columns_are_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(permutation, "MAX_COLUMNS", 2)
    assert measure_importance(subject()) is None
