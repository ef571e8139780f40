"""What a compression costs, by a paired interval."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from modelservice.compression.judge import Drop, judge
from modelservice.tasks.multiclass import MULTICLASS
from modelservice.tasks.regression import REGRESSION


def certain(classes: Any) -> Any:
    """Probabilities of a model that is sure of these classes."""
    return np.eye(3, dtype=np.float32)[np.asarray(classes)]


TRUE = np.arange(300) % 3


def wrong_in(rows: range) -> Any:
    return certain(np.where(np.isin(np.arange(300), rows), (TRUE + 1) % 3, TRUE))


def test_identical_predictions_cost_nothing() -> None:
    assert judge(MULTICLASS, wrong_in(range(30)), wrong_in(range(30)), TRUE) == Drop(0, 0, 0)


def test_the_drop_is_that_of_the_accuracy() -> None:
    drop = judge(MULTICLASS, wrong_in(range(30)), wrong_in(range(36)), TRUE)
    assert drop.value == pytest.approx(6 / 300)
    assert 0 < drop.low < drop.value < drop.high < 0.04
    assert drop.within(0.04)
    assert not drop.within(0.02)


def test_what_is_wrong_for_both_widens_nothing() -> None:
    """A paired interval: 100 rows that neither gets right change it as little as 100 that both do."""
    hard = judge(MULTICLASS, wrong_in(range(100)), wrong_in(range(103)), TRUE)
    easy = judge(MULTICLASS, wrong_in(range(0)), wrong_in(range(3)), TRUE)
    assert hard == easy


def test_a_gain_is_a_negative_drop() -> None:
    drop = judge(MULTICLASS, wrong_in(range(30)), wrong_in(range(10)), TRUE)
    assert drop.value == pytest.approx(-20 / 300)
    assert drop.high < 0
    assert drop.within(0)


def test_a_regression_is_judged_by_r2() -> None:
    random = np.random.default_rng(1)
    values = random.normal(size=400)
    near = (values + random.normal(size=400) / 10).astype(np.float32)[:, None]
    far = (values + random.normal(size=400) / 5).astype(np.float32)[:, None]
    drop = judge(REGRESSION, near, far, values)

    def r2(raw: Any) -> float:
        return float(REGRESSION.score(raw, values, ()).evaluation.primary_metric.value)

    assert drop.value == pytest.approx(r2(near) - r2(far))
    assert drop.low < drop.value < drop.high


def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    """200 test sets of 400 rows, of which a twentieth is lost and a fiftieth is won: the true drop is 0.03."""
    random = np.random.default_rng(0)
    true = np.zeros(400, int)
    covered = 0
    for _ in range(200):
        draws = random.random(400)
        before, after = certain((draws < 0.02).astype(int)), certain((draws > 0.95).astype(int))
        drop = judge(MULTICLASS, before, after, true)
        covered += drop.low <= 0.03 <= drop.high
    assert covered / 200 > 0.9


@settings(max_examples=50, deadline=None)
@given(arrays(np.int64, 20, elements=st.integers(0, 2)), arrays(np.int64, 20, elements=st.integers(0, 2)))
def test_the_same_models_get_the_same_judgement_within_their_bounds(before: Any, after: Any) -> None:
    true = TRUE[:20]
    drop = judge(MULTICLASS, certain(before), certain(after), true)
    assert drop == judge(MULTICLASS, certain(before), certain(after), true)
    assert -1 <= drop.low <= drop.value + 1e-12
    assert drop.value - 1e-12 <= drop.high <= 1
