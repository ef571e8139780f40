"""Multiclass and Binary: metrics against scikit-learn and SciPy, and what clients get."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import binomtest, multinomial
from sklearn import metrics as sklearn_metrics
from sklearn.metrics import f1_score, log_loss, precision_score, recall_score
from tests.support.examples import examples

from modelservice.tasks import task_named
from modelservice.tasks.base import Head, Loss, Scores
from modelservice.tasks.binary import BINARY
from modelservice.tasks.intervals import paired_interval, wilson_interval
from modelservice.tasks.metrics_document import MetricsDocument, calibration, confusion_matrix
from modelservice.tasks.multiclass import MULTICLASS

LABELS = ("a", "b", "c", "d")
CLASSES = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=40)


def probabilities(predicted: NDArray[np.int64], classes: int = 4) -> NDArray[np.float32]:
    """Probabilities that predict so, with different margins."""
    raw = np.eye(classes)[predicted] * np.linspace(1, 3, len(predicted))[:, None] + 1
    normalised: NDArray[np.float32] = (raw / raw.sum(axis=1, keepdims=True)).astype(np.float32)
    return normalised


def value(scores: Scores, name: str) -> float:
    metric = scores.evaluation.metric(name)
    assert metric is not None
    return metric.value


@examples(40, many=300)
@given(CLASSES)
def test_metrics_are_those_of_scikit_learn(pairs: Any) -> None:
    true, predicted = (np.array(side) for side in zip(*pairs, strict=True))
    raw = probabilities(predicted)
    scores = MULTICLASS.score(raw, true, LABELS)
    macro = {"average": "macro", "zero_division": 0}
    assert value(scores, "accuracy") == pytest.approx((true == predicted).mean())
    assert value(scores, "precision") == pytest.approx(precision_score(true, predicted, **macro))
    assert value(scores, "recall") == pytest.approx(recall_score(true, predicted, **macro))
    assert value(scores, "f1") == pytest.approx(f1_score(true, predicted, **macro))
    assert value(scores, "logLoss") == pytest.approx(log_loss(true, raw, labels=range(4)), rel=1e-5)
    assert scores.confusion is not None
    np.testing.assert_array_equal(scores.confusion, sklearn_metrics.confusion_matrix(true, predicted, labels=range(4)))
    assert (scores.evaluation.primary, scores.evaluation.rows) == ("accuracy", len(pairs))


def test_the_loss_of_a_sure_and_wrong_answer_is_finite() -> None:
    scores = BINARY.score(np.array([[1, 0]], dtype=np.float32), np.array([1]), ("n", "y"))
    assert value(scores, "logLoss") == pytest.approx(15.94, abs=0.01)


@given(st.integers(1, 500).flatmap(lambda trials: st.tuples(st.integers(0, trials), st.just(trials))))
def test_the_interval_is_that_of_wilson(counts: Any) -> None:
    expected = binomtest(*counts).proportion_ci(method="wilson")
    assert wilson_interval(*counts) == pytest.approx((expected.low, expected.high), abs=1e-9)


def test_the_ends_of_the_interval_are_exact() -> None:
    assert wilson_interval(28, 28)[1] == 1.0
    assert wilson_interval(0, 28)[0] == 0.0


def predicting(classes: Any) -> NDArray[np.float32]:
    """Probabilities of a model that predicts these classes."""
    return probabilities(np.asarray(classes))


TRUE = np.arange(300) % 4


def wrong_in(rows: int) -> NDArray[np.float32]:
    """A model that errs in the first rows."""
    return predicting(np.where(np.arange(300) < rows, (TRUE + 1) % 4, TRUE))


def test_the_drop_is_that_of_the_accuracy() -> None:
    drop = MULTICLASS.drop(wrong_in(30), wrong_in(36), TRUE)
    assert drop.value == pytest.approx(6 / 300)
    assert 0 < drop.low < drop.value < drop.high < 0.05
    assert drop.within(0.05)
    assert not drop.within(0.02)
    gain = MULTICLASS.drop(wrong_in(36), wrong_in(30), TRUE)
    assert gain == pytest.approx((-drop.value, -drop.high, -drop.low))


def test_rows_count_by_their_weight() -> None:
    raw, true, weights = predicting([0, 0, 1, 1]), np.array([0, 1, 1, 1]), np.array([1.0, 2.0, 1.0, 1.0])
    scores, repeated = (
        MULTICLASS.score(raw, true, LABELS, weights),
        MULTICLASS.score(predicting([0, 0, 0, 1, 1]), np.array([0, 1, 1, 1, 1]), LABELS),
    )
    for metric in repeated.evaluation.metrics:
        if metric.name not in {"logLoss", "brier", "calibrationError", "rocAuc", "averagePrecision"}:
            assert value(scores, metric.name) == pytest.approx(metric.value)
    # Rows of other weights tell less than as many of one: 25 / 7 of them.
    primary = scores.evaluation.primary_metric
    assert (primary.low, primary.high) == pytest.approx(wilson_interval(0.6 * 25 / 7, 25 / 7))
    assert scores.evaluation.rows == 4
    assert scores.confusion is not None
    assert scores.confusion.sum() == 4


def test_weights_of_one_size_change_nothing() -> None:
    raw, true = wrong_in(30), TRUE
    plain, weighed = MULTICLASS.score(raw, true, LABELS), MULTICLASS.score(raw, true, LABELS, np.full(300, 0.2))
    for metric in plain.evaluation.metrics:
        assert value(weighed, metric.name) == pytest.approx(metric.value)
    bounds = [(one.evaluation.primary_metric.low, one.evaluation.primary_metric.high) for one in (plain, weighed)]
    assert bounds[0] == pytest.approx(bounds[1])
    assert MULTICLASS.drop(raw, wrong_in(36), true, np.full(300, 0.2)) == pytest.approx(
        MULTICLASS.drop(raw, wrong_in(36), true)
    )


def test_what_is_wrong_for_both_widens_nothing() -> None:
    assert MULTICLASS.drop(wrong_in(100), wrong_in(103), TRUE) == MULTICLASS.drop(wrong_in(0), wrong_in(3), TRUE)


@pytest.mark.parametrize(("rows", "end"), [(25, 0.133), (270, 0.0140), (765, 0.0050)])
def test_models_that_agree_on_few_rows_may_differ_on_others(rows: int, end: float) -> None:
    raw, true = predicting(np.zeros(rows, dtype=np.int64)), np.zeros(rows, dtype=np.int64)
    drop = MULTICLASS.drop(raw, raw, true)
    assert tuple(drop) == pytest.approx((0, -end, end), rel=0.01)
    assert drop.high == pytest.approx(wilson_interval(0, rows)[1])


@given(st.integers(1, 60).flatmap(lambda n: st.tuples(st.integers(0, n), st.integers(0, n), st.just(n))))
def test_the_paired_interval_holds_what_was_seen_and_mirrors(counts: Any) -> None:
    lost, won, trials = counts
    if lost + won > trials:
        lost, won = trials - lost, trials - won
    low, high = paired_interval(lost, won, trials)
    assert -1 <= low <= (lost - won) / trials <= high <= 1
    assert paired_interval(won, lost, trials) == (-high, -low)


@pytest.mark.parametrize(("loses", "wins"), [(0.01, 0.0), (0.02, 0.01), (0.05, 0.02), (0.1, 0.1), (0.3, 0.05)])
def test_the_paired_interval_covers_the_truth_as_often_as_it_says(loses: float, wins: float) -> None:
    """Exactly, over all outcomes of 40 rows."""
    covered = sum(
        multinomial.pmf([lost, won, 40 - lost - won], 40, [loses, wins, 1 - loses - wins])
        for lost in range(41)
        for won in range(41 - lost)
        if (bounds := paired_interval(lost, won, 40))[0] <= loses - wins <= bounds[1]
    )
    assert covered > 0.94


def test_a_network_for_two_classes_has_one_logit_and_for_more_one_each() -> None:
    assert (BINARY.logits(("n", "y")), BINARY.loss, BINARY.head) == (1, Loss.BINARY_CROSS_ENTROPY, Head.SIGMOID)
    assert (MULTICLASS.logits(LABELS), MULTICLASS.loss, MULTICLASS.head) == (4, Loss.CROSS_ENTROPY, Head.SOFTMAX)


@pytest.mark.parametrize("name", ["Binary", "Multiclass"])
def test_clients_get_a_label_and_all_probabilities(name: str) -> None:
    task = task_named(name)
    raw = np.array([[0.2, 0.8], [0.9, 0.1]], dtype=np.float32)
    named = task.named(raw, ("n", "y"))
    assert named["label"] == ["y", "n"]
    np.testing.assert_array_equal(named["probabilities"], raw)
    label, probability = task.outputs(("n", "y"))
    assert (label.name, label.datatype, label.shape) == ("label", "BYTES", ())
    assert (probability.name, probability.datatype, probability.shape) == ("probabilities", "FP32", (2,))
    assert probability.labels == ("n", "y")


def test_the_document_of_metrics_is_read_as_it_was_written() -> None:
    scores = MULTICLASS.score(probabilities(np.array([0, 1, 1])), np.array([0, 1, 0]), LABELS)
    document = MetricsDocument(
        train=scores.evaluation,
        test=scores.evaluation,
        confusion_matrix=confusion_matrix(scores, LABELS),
        calibration=calibration(scores),
    )
    read = MetricsDocument.model_validate_json(document.model_dump_json(exclude_none=True))
    assert read == document
    assert (read.primary, read.validation, read.curves) == ("accuracy", None, None)
    assert read.confusion_matrix is not None
    assert read.confusion_matrix.counts[0] == (1, 1, 0, 0)
    assert read.calibration is not None
    assert sum(one.rows for one in read.calibration) == 3
