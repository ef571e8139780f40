"""Metrics of classes and of their probabilities: against scikit-learn, with and without weights, and by definition."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sklearn_metrics
from tests.support.examples import examples

from modelservice.tasks.class_metrics import (
    accuracy,
    balanced_accuracy,
    confusion,
    macro_averages,
    weighted_averages,
)
from modelservice.tasks.probability_metrics import (
    BINS,
    average_precision,
    brier_score,
    calibration_bins,
    calibration_error,
    log_loss,
    roc_auc,
)

# Few different probabilities, so that ranks tie; each class once, so that scikit-learn has a value.
ROWS = st.lists(
    st.tuples(st.integers(0, 2), st.lists(st.integers(1, 6), min_size=3, max_size=3), st.sampled_from([0.5, 1, 3])),
    max_size=30,
).map(lambda rows: [*rows, *((code, [3, 2, 1], 1.0) for code in range(3))])


def arrays(rows: Any, classes: int) -> tuple[Any, Any, Any]:
    """True classes, probabilities and weights."""
    true = np.array([code % classes for code, _, _ in rows])
    raw = np.array([points[:classes] for _, points, _ in rows], dtype=np.float64)
    weights = np.array([weight for *_, weight in rows], dtype=np.float64)
    return true, (raw / raw.sum(axis=1, keepdims=True)).astype(np.float32), weights


@examples(40, many=300)
@given(ROWS, st.booleans(), st.sampled_from([2, 3]))
def test_metrics_of_classes_are_those_of_scikit_learn(rows: Any, weighed: bool, classes: int) -> None:
    true, raw, weights = arrays(rows, classes)
    predicted, sample_weight = raw.argmax(axis=1), weights if weighed else None
    counts = confusion(predicted, true, classes, sample_weight)
    given_weights = {"sample_weight": sample_weight}
    assert accuracy(counts) == pytest.approx(sklearn_metrics.accuracy_score(true, predicted, **given_weights))
    balanced = sklearn_metrics.balanced_accuracy_score(true, predicted, **given_weights)
    assert balanced_accuracy(counts) == pytest.approx(balanced)
    averages = {"macro": macro_averages(counts), "weighted": weighted_averages(counts)}
    for average, found in averages.items():
        expected = sklearn_metrics.precision_recall_fscore_support(
            true, predicted, average=average, zero_division=0, **given_weights
        )
        assert found == pytest.approx(expected[:3])


@examples(40, many=300)
@given(ROWS, st.booleans())
def test_metrics_of_two_probabilities_are_those_of_scikit_learn(rows: Any, weighed: bool) -> None:
    true, raw, weights = arrays(rows, 2)
    sample_weight = weights if weighed else None
    for ours, theirs in (
        (roc_auc, sklearn_metrics.roc_auc_score),
        (average_precision, sklearn_metrics.average_precision_score),
        (brier_score, sklearn_metrics.brier_score_loss),
        (log_loss, sklearn_metrics.log_loss),
    ):
        expected = theirs(true, raw[:, 1].astype(np.float64), sample_weight=sample_weight)
        assert ours(raw, true, sample_weight) == pytest.approx(expected, abs=1e-6)


@examples(40, many=300)
@given(ROWS, st.booleans())
def test_metrics_of_more_probabilities_are_those_of_scikit_learn(rows: Any, weighed: bool) -> None:
    true, raw, weights = arrays(rows, 3)
    # scikit-learn wants sums of exactly 1, which float32 does not have; ranks are those of float32, ties included.
    exact = raw.astype(np.float64) / raw.astype(np.float64).sum(axis=1, keepdims=True)
    sample_weight = weights if weighed else None
    # Weighted one-vs-rest means are computed class by class: scikit-learn has them for two classes only.
    one_against_rest = [
        sklearn_metrics.roc_auc_score(true == code, raw[:, code], sample_weight=sample_weight) for code in range(3)
    ]
    precisions = [
        sklearn_metrics.average_precision_score(true == code, raw[:, code], sample_weight=sample_weight)
        for code in range(3)
    ]
    assert roc_auc(raw, true, sample_weight) == pytest.approx(np.mean(one_against_rest), abs=1e-6)
    assert average_precision(raw, true, sample_weight) == pytest.approx(np.mean(precisions), abs=1e-6)
    expected = sklearn_metrics.brier_score_loss(true, exact, sample_weight=sample_weight, labels=range(3))
    assert brier_score(raw, true, sample_weight) == pytest.approx(expected, abs=1e-6)


@given(ROWS, st.booleans())
def test_the_calibration_error_is_its_definition(rows: Any, weighed: bool) -> None:
    true, raw, weights = arrays(rows, 3)
    heavy = weights if weighed else np.ones(len(true))
    expected = 0.0
    for number in range(10):
        inside = [
            row
            for row in range(len(true))
            if number / 10 < float(raw[row].max()) <= (number + 1) / 10  # (low, high]
        ]
        weight = sum(heavy[row] for row in inside)
        right = sum(heavy[row] for row in inside if raw[row].argmax() == true[row])
        confident = sum(heavy[row] * float(raw[row].max()) for row in inside)
        expected += abs(right - confident) / heavy.sum() if weight else 0.0
    assert calibration_error(raw, true, weights if weighed else None) == pytest.approx(expected, abs=1e-9)
    bins = calibration_bins(raw, true)
    assert (len(bins), sum(one.rows for one in bins)) == (BINS, len(true))
    assert (bins[0].low, bins[-1].high) == (0, 1)


def test_probabilities_that_are_right_as_often_as_they_say_have_no_calibration_error() -> None:
    raw = np.array([[0.75, 0.25]] * 4, dtype=np.float32)
    assert calibration_error(raw, np.array([0, 0, 0, 1])) == pytest.approx(0)
    assert calibration_error(raw, np.array([1, 1, 1, 1])) == pytest.approx(0.75)


@pytest.mark.parametrize("metric", [roc_auc, average_precision])
def test_ranks_of_one_class_alone_say_nothing(metric: Callable[..., float | None]) -> None:
    raw = np.array([[0.2, 0.8], [0.6, 0.4]], dtype=np.float32)
    assert metric(raw, np.array([1, 1])) is None
    assert metric(raw, np.array([0, 1]), np.array([0.0, 1.0])) is None


@pytest.mark.parametrize("metric", [roc_auc, average_precision])
def test_a_class_that_does_not_occur_is_no_part_of_the_mean(metric: Callable[..., float | None]) -> None:
    raw = np.array([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1]], dtype=np.float32)
    assert metric(raw, np.array([0, 1])) == 1


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(1, 5), st.integers(0, 3)), min_size=2, max_size=12))
def test_a_weight_is_so_many_rows(rows: Any) -> None:
    """Each metric with whole weights is that of the rows written down so often."""
    rows = [*rows, (0, 2, 1), (1, 3, 1)]
    true, points, weights = (np.array(column) for column in zip(*rows, strict=True))
    raw = np.stack([1 - points / 6, points / 6], axis=1).astype(np.float32)
    for metric in (roc_auc, average_precision, brier_score, log_loss, calibration_error):
        repeated = metric(np.repeat(raw, weights, axis=0), np.repeat(true, weights))
        assert metric(raw, true, weights.astype(np.float64)) == pytest.approx(repeated)
