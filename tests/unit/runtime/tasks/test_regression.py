"""Regression: how a target of numbers is read, and metrics against scikit-learn."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import mean_absolute_error, mean_squared_error, r2_score
from tests.support.examples import examples

from modelservice.contract.failure import DataError
from modelservice.tasks.base import Scores, TargetCells
from modelservice.tasks.number_metrics import r2_interval
from modelservice.tasks.regression import REGRESSION

NUMBERS = st.floats(-1e6, 1e6, width=32)


def cells(*texts: str) -> TargetCells:
    """One row for each text; an empty one is missing."""
    known = tuple(dict.fromkeys(text for text in texts if text))
    codes = np.array([known.index(text) if text else -1 for text in texts], dtype=np.int32)
    return TargetCells(name="y", codes=codes, texts=known, place=lambda row: f"line {row + 2}")


def refused(*texts: str) -> DataError:
    with pytest.raises(DataError) as caught:
        REGRESSION.read(cells(*texts))
    return caught.value


def value(scores: Scores, name: str) -> float:
    metric = scores.evaluation.metric(name)
    assert metric is not None
    return metric.value


def test_numbers_are_read_and_words_for_missing_are_missing() -> None:
    target = REGRESSION.read(cells("1.5", "NA", "+2e1", "", "-3", "null"))
    assert target.present.tolist() == [True, False, True, False, True, False]
    assert target.values[target.present].tolist() == [1.5, 20.0, -3.0]
    assert set(target.strata.tolist()) == {0}
    assert target.labels == ()


@pytest.mark.parametrize(
    ("texts", "reason", "words"),
    [
        (("1", "x", "2"), "NotANumber", "line 3, column y: 'x' is not a number: correct the cell"),
        (("1", "x", "NA"), "NotANumber", "'x' is not a number"),
        (("1", "inf"), "NotANumber", "'inf' is not a number"),
        (("1", "1e31"), "NotANumber", "line 3, column y: 1e31 is too large to predict, at most 1e+30"),
        (("1", "1e400"), "NotANumber", "too large"),
        (("", ""), "EmptyTarget", "empty in every row: fill in the numbers"),
        (("7", "7.0", ""), "SingleValue", "holds only the number 7, so there is nothing to learn"),
        (("1700000000", "1700000001"), "NarrowTarget", "which float32 cannot tell apart: subtract a constant"),
    ],
)
def test_targets_that_are_no_numbers_to_learn(texts: Any, reason: str, words: str) -> None:
    error = refused(*texts)
    assert (error.reason, error.field) == (reason, "spec.data.target")
    assert words in error.message


@examples(40, many=300)
@given(st.lists(st.tuples(NUMBERS, NUMBERS), min_size=2, max_size=30))
def test_metrics_are_those_of_scikit_learn(pairs: Any) -> None:
    predicted, true = (np.array(side, dtype=np.float64) for side in zip(*pairs, strict=True))
    raw = predicted.astype(np.float32)[:, None]
    scores = REGRESSION.score(raw, true, ())
    assert value(scores, "rmse") == pytest.approx(mean_squared_error(true, predicted) ** 0.5, rel=1e-9)
    assert value(scores, "mae") == pytest.approx(mean_absolute_error(true, predicted), rel=1e-9)
    if np.ptp(true) > 1e-3:
        assert value(scores, "r2") == pytest.approx(r2_score(true, predicted), rel=1e-6)
    assert (scores.evaluation.primary, scores.evaluation.rows, scores.confusion) == ("r2", len(pairs), None)


@pytest.mark.parametrize(("predicted", "r2"), [(3.0, 1.0), (2.0, 0.0)])
def test_true_values_that_do_not_vary_have_an_r2_without_interval(predicted: float, r2: float) -> None:
    raw = np.full((4, 1), predicted, dtype=np.float32)
    scores = REGRESSION.score(raw, np.full(4, 3.0), ())
    assert (scores.evaluation.primary_metric.value, scores.evaluation.primary_metric.low) == (r2, None)
    assert REGRESSION.drop(raw, raw, np.full(4, 3.0)) == (0, -1, 1)


def test_so_few_rows_that_all_resamples_are_alike_have_no_interval() -> None:
    """Of two rows each resample with a spread is these two rows, and its interval would be a point."""
    true = np.arange(5.0)
    before, after = (np.array(raw, np.float32)[:, None] for raw in (true, true + 0.1))
    for rows in (2, 4):
        drop = REGRESSION.drop(before[:rows], after[:rows], true[:rows])
        assert (drop.low, drop.high) == (drop.value - 1, drop.value + 1)
        assert REGRESSION.score(after[:rows], true[:rows], ()).evaluation.primary_metric.low is None
    drop = REGRESSION.drop(before, after, true)
    assert 0 < drop.low < drop.high < 1


WEIGHED = st.lists(st.tuples(NUMBERS, NUMBERS, st.integers(1, 4)), min_size=2, max_size=30)


@examples(40, many=200)
@given(WEIGHED)
def test_a_weight_is_so_many_rows(rows: Any) -> None:
    predicted, true, weights = (np.array(side, dtype=np.float64) for side in zip(*rows, strict=True))
    raw = predicted.astype(np.float32)[:, None]
    times = weights.astype(np.int64)
    repeated = REGRESSION.score(np.repeat(raw, times, axis=0), np.repeat(true, times), ())
    for scale in (1.0, 0.01):
        scores = REGRESSION.score(raw, true, (), weights * scale)
        for metric in scores.evaluation.metrics:
            assert metric.value == pytest.approx(value(repeated, metric.name), rel=1e-6, abs=1e-9)
    assert scores.evaluation.rows == len(rows)


def test_the_interval_of_weighted_rows_covers_the_r2_of_new_rows_as_often_as_it_says() -> None:
    generator = np.random.default_rng(1)
    covered = 0
    for _ in range(100):
        values, weights = generator.normal(size=200), generator.choice([0.5, 2.0], size=200)
        low, high = r2_interval(generator.normal(scale=0.5, size=200), values, weights) or (1.0, 0.0)
        covered += low <= 1 - 0.25 <= high
    assert 88 <= covered <= 100


def test_the_drop_of_weighted_rows_is_that_of_weighted_r2() -> None:
    generator = np.random.default_rng(3)
    values, weights = generator.normal(size=150), generator.choice([0.5, 2.0], size=150)
    before, after = ((values + generator.normal(scale=s, size=150)).astype(np.float32)[:, None] for s in (0.3, 0.4))
    drop = REGRESSION.drop(before, after, values, weights)
    scores = [value(REGRESSION.score(raw, values, (), weights), "r2") for raw in (before, after)]
    assert drop.value == pytest.approx(scores[0] - scores[1])
    assert drop.low < drop.value < drop.high


def test_one_test_row_is_scored() -> None:
    scores = REGRESSION.score(np.array([[2.5]], dtype=np.float32), np.array([2.0]), ())
    assert value(scores, "mae") == 0.5


def test_the_interval_covers_the_r2_of_new_rows_as_often_as_it_says() -> None:
    generator = np.random.default_rng(1)
    covered = 0
    for _ in range(100):
        values = generator.normal(size=150)
        low, high = r2_interval(generator.normal(scale=0.5, size=150), values) or (1.0, 0.0)
        covered += low <= 1 - 0.25 <= high
    assert 88 <= covered <= 100


def test_the_drop_is_that_of_r2_and_covers_the_one_of_new_rows() -> None:
    generator = np.random.default_rng(3)
    covered = 0
    for turn in range(100):
        values = generator.normal(size=150)
        error = generator.normal(size=150)
        before = (values + 0.3 * error).astype(np.float32)[:, None]
        after = (values + 0.4 * error + generator.normal(scale=0.1, size=150)).astype(np.float32)[:, None]
        drop = REGRESSION.drop(before, after, values)
        if turn < 5:
            scores = [value(REGRESSION.score(raw, values, ()), "r2") for raw in (before, after)]
            assert drop.value == pytest.approx(scores[0] - scores[1])
            assert drop == REGRESSION.drop(before, after, values)
        covered += drop.low <= 0.4**2 + 0.1**2 - 0.3**2 <= drop.high
    assert 88 <= covered <= 100


def test_equal_models_have_equal_intervals() -> None:
    generator = np.random.default_rng(2)
    errors, values = generator.normal(size=40), generator.normal(size=40)
    assert r2_interval(errors, values) == r2_interval(errors.copy(), values.copy())


def test_clients_get_the_number() -> None:
    raw = np.array([[1.5], [-2.0]], dtype=np.float32)
    assert REGRESSION.named(raw, ())["value"].tolist() == [1.5, -2.0]
    (output,) = REGRESSION.outputs(())
    assert (output.name, output.datatype, output.shape, output.labels) == ("value", "FP32", (), None)
    assert REGRESSION.logits(()) == 1
