"""The corrected resampled t-test."""

import math

import numpy as np
import pytest
from scipy import stats
from tests.bench.quality.significance import corrected_t_test


def test_by_hand() -> None:
    found = corrected_t_test([0.9, 0.8, 1.0], [0.8, 0.8, 0.8], test_by_train=0.25)
    # Differences 0.1, 0 and 0.2: mean 0.1, variance 0.01; t = 0.1 / sqrt((1/3 + 1/4) x 0.01) with 2 degrees of freedom,
    # whose tail has a closed form.
    t = 0.1 / math.sqrt((1 / 3 + 0.25) * 0.01)
    assert found.mean == pytest.approx(0.1)
    assert found.p_value == pytest.approx(1 - t / math.sqrt(2 + t * t))


def test_without_the_correction_it_is_the_paired_t_test() -> None:
    generator = np.random.default_rng(1)
    first, second = generator.normal(size=10), generator.normal(size=10)
    found = corrected_t_test(first.tolist(), second.tolist(), test_by_train=0)
    assert found.p_value == pytest.approx(stats.ttest_rel(first, second).pvalue)


def test_the_correction_makes_it_harder_to_differ() -> None:
    first, second = [0.9, 0.92, 0.94, 0.9], [0.88, 0.9, 0.9, 0.89]
    plain = corrected_t_test(first, second, test_by_train=0)
    assert corrected_t_test(first, second, test_by_train=0.25).p_value > plain.p_value


def test_differences_without_any_spread() -> None:
    assert corrected_t_test([0.5, 0.75], [0.5, 0.75], test_by_train=0.25).p_value == 1
    assert corrected_t_test([0.75, 1.0], [0.5, 0.75], test_by_train=0.25).p_value == 0
