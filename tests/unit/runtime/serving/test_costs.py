"""What is measured before the first request, and what follows from it."""

from typing import Any

import numpy as np
import pytest

from modelservice.modalities.base import Rows
from modelservice.serving.costs import Costs, measure_costs
from modelservice.tasks.base import Array

ENCODE_ROW = 0.0001


class Machine:
    """A clock and a model whose cost for each number of rows is known."""

    def __init__(self, seconds: dict[int, float], *, handover: float = 0.001) -> None:
        self.now = 0.0
        self._seconds = seconds
        self._handover = handover
        self.sizes: list[int] = []
        self.checked: list[Array] = []

    def encode(self, rows: Rows) -> Any:
        self.now += len(rows) * ENCODE_ROW
        return rows, {}

    def run(self, encoded: Any) -> Array:
        rows = len(encoded[0])
        self.now += self._seconds[rows] - rows * ENCODE_ROW
        self.sizes.append(rows)
        return np.full((rows, 2), 0.5, dtype=np.float32)

    def conclude(self, rows: Rows, encoded: Any, raw: Array) -> None:
        pass

    def hand_over(self) -> None:
        self.now += self._handover

    def measure(self, max_size: int = 8) -> Costs:
        return measure_costs(
            self,
            example=lambda rows: [[1.0]] * rows,
            check=self.checked.append,
            max_size=max_size,
            handover=self.hand_over,
            clock=lambda: self.now,
        )


def test_each_size_is_measured_up_to_the_maximum() -> None:
    costs = Machine({1: 0.004, 2: 0.005, 4: 0.006, 6: 0.007}).measure(max_size=6)
    assert [rows for rows, _ in costs.compute] == [1, 2, 4, 6]
    assert [seconds for _, seconds in costs.compute] == pytest.approx([0.004, 0.005, 0.006, 0.007])
    assert costs.handover == pytest.approx(0.001)
    assert costs.encode_row == pytest.approx(ENCODE_ROW)


@pytest.mark.parametrize(
    ("seconds", "size"),
    [
        ({1: 0.0010, 2: 0.0011, 4: 0.0012, 8: 0.0013}, 8),  # an MLP: the call costs, not the row
        ({1: 0.0010, 2: 0.0020, 4: 0.0041, 8: 0.0110}, 1),  # a CNN on a CPU: larger is slower for each row
        ({1: 0.0010, 2: 0.0012, 4: 0.0021, 8: 0.0041}, 4),  # 8 is less than 10 % cheaper than 4
    ],
)
def test_the_batch_size_is_the_smallest_that_is_about_as_cheap_as_any(seconds: dict[int, float], size: int) -> None:
    assert Machine(seconds).measure().batch_size == size


@pytest.mark.parametrize(("handover", "inline"), [(0.0001, True), (0.00001, False)])
def test_a_batch_runs_on_the_loop_while_it_is_cheap_beside_a_hand_over(handover: float, inline: bool) -> None:
    costs = Machine({1: 0.001, 2: 0.001, 4: 0.001, 8: 0.001}, handover=handover).measure()
    assert costs.inline is inline


def test_sizes_beyond_the_time_budget_are_not_used() -> None:
    costs = Machine({1: 0.4, 2: 0.4, 4: 0.4, 8: 0.4}).measure()
    assert [rows for rows, _ in costs.compute] == [1]


def test_the_answer_to_one_example_is_checked_before_anything_is_measured() -> None:
    machine = Machine({1: 0.001, 2: 0.001})
    machine.measure(max_size=2)
    assert [answer.shape for answer in machine.checked] == [(1, 2)]
    assert machine.sizes[0] == 1
