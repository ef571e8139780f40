"""How far one model is from another."""

import numpy as np
import pytest

from modelservice.stages.evaluate import Sides, largest_difference


def sides(*numbers: float) -> Sides:
    """One output for each row; the last two are validation and test."""
    column = np.array(numbers, dtype=np.float32)[:, None]
    return Sides(column[:-2], column[-2:-1], column[-1:])


@pytest.mark.parametrize(
    ("expected", "found", "difference"),
    [
        ((0, 1, 2, 3), (0, 1, 2, 3.3), 0.2),
        ((0, 1, 2, 3), (0.3, 1, 2, 3), 0.2),
        ((1e6, 1e6 + 10, 1e6 + 20), (1e6 + 10, 1e6 + 10, 1e6 + 10), 1.0),
        ((1e6, 1e6 + 10, 1e6 + 20), (1e6 + 0.0625, 1e6 + 10, 1e6 + 20), 0),
        ((5, 5, 5), (5, 5, 5), 0),
        ((5, 5, 5), (5, 5, 7), 2),
        ((0, 1, 2), (0, 1, np.nan), np.inf),
        ((0, 1, np.inf), (0, 1, 2), np.inf),
    ],
)
def test_numbers_differ_by_a_share_of_how_far_they_go(
    expected: tuple[float, ...], found: tuple[float, ...], difference: float
) -> None:
    assert largest_difference(sides(*expected), sides(*found), labels=()) == pytest.approx(difference, abs=0.02)


def test_probabilities_differ_by_themselves() -> None:
    before, after = (
        Sides(*(np.array([[p, 1 - p]], np.float32) for p in row)) for row in ((0.5, 0.9, 1), (0.5, 0.8, 1))
    )
    assert largest_difference(before, after, labels=("a", "b")) == pytest.approx(0.1, abs=1e-6)
