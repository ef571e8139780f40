"""Scores of the quality bench, by hand and beside scikit-learn's."""

import math

import numpy as np
import pytest
from sklearn import metrics
from tests.bench.quality.scores import LEAST_PROBABILITY, accuracy, bounded, log_loss, r_squared


def test_accuracy_is_the_share_of_equal_classes() -> None:
    assert accuracy(np.array([0, 1, 2, 2]), np.array([0, 1, 1, 2])) == 0.75


def test_log_loss_by_hand() -> None:
    probabilities = np.array([[0.5, 0.5], [0.25, 0.75]])
    assert log_loss(np.array([0, 1]), probabilities) == pytest.approx(-(math.log(0.5) + math.log(0.75)) / 2)


def test_a_class_that_was_given_nothing_costs_what_a_float32_can_tell() -> None:
    assert log_loss(np.array([1]), np.array([[1.0, 0.0]])) == pytest.approx(-math.log(LEAST_PROBABILITY), rel=1e-6)


def test_scores_are_those_of_scikit_learn() -> None:
    generator = np.random.default_rng(0)
    truth = generator.integers(0, 3, 50)
    probabilities = generator.dirichlet([1, 1, 1], 50)
    probabilities[0] = [0, 0, 1]
    assert log_loss(truth, probabilities) == pytest.approx(
        metrics.log_loss(truth, bounded(probabilities), labels=[0, 1, 2])
    )
    numbers, predicted = generator.normal(size=50), generator.normal(size=50)
    assert r_squared(numbers, predicted) == pytest.approx(metrics.r2_score(numbers, predicted))
