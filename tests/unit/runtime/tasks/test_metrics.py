from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import binomtest  # type: ignore[import-untyped]  # no stubs; scikit-learn brings it
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, log_loss, precision_score, recall_score

from modelservice.training.metrics import cross_entropy, score, wilson_interval

LABELS = ("a", "b", "c", "d")
CLASSES = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=40)


def logits_for(predicted: NDArray[np.int64]) -> NDArray[np.float32]:
    """Logits that predict so, with different margins."""
    logits: NDArray[np.float32] = (
        np.eye(4, dtype=np.float32)[predicted] * np.linspace(1, 3, len(predicted), dtype=np.float32)[:, None]
    )
    return logits


@given(CLASSES)
def test_metrics_are_those_of_scikit_learn(pairs: Any) -> None:
    true, predicted = (np.array(side) for side in zip(*pairs, strict=True))
    scores = score(logits_for(predicted), true, LABELS)
    macro = {"average": "macro", "zero_division": 0}
    assert scores.accuracy == pytest.approx(accuracy_score(true, predicted))
    assert scores.precision == pytest.approx(precision_score(true, predicted, **macro))
    assert scores.recall == pytest.approx(recall_score(true, predicted, **macro))
    assert scores.f1 == pytest.approx(f1_score(true, predicted, **macro))
    assert scores.confusion_matrix.counts == tuple(
        map(tuple, confusion_matrix(true, predicted, labels=range(4)).tolist())
    )
    assert scores.rows == len(pairs)


def test_the_loss_is_the_cross_entropy() -> None:
    logits = np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32)
    true = np.arange(50) % 4
    probabilities = torch.softmax(torch.from_numpy(logits).double(), dim=1).numpy()
    assert cross_entropy(logits, true) == pytest.approx(log_loss(true, probabilities), rel=1e-6)


def test_the_loss_of_a_sure_and_wrong_answer_is_finite() -> None:
    assert cross_entropy(np.array([[1e4, 0.0]], dtype=np.float32), np.array([1])) == 1e4


@given(st.integers(1, 500).flatmap(lambda trials: st.tuples(st.integers(0, trials), st.just(trials))))
def test_the_interval_is_that_of_wilson(counts: Any) -> None:
    expected = binomtest(*counts).proportion_ci(method="wilson")
    assert wilson_interval(*counts) == pytest.approx((expected.low, expected.high), abs=1e-9)


def test_the_ends_of_the_interval_are_exact() -> None:
    assert wilson_interval(28, 28)[1] == 1.0
    assert wilson_interval(0, 28)[0] == 0.0
