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

    def encode(self, rows: Rows, within: float | None = None) -> Any:
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


CALL = {1: 0.0010, 2: 0.0011, 4: 0.0012, 8: 0.0013}
"""A small network: the call costs, not the row."""
ROWS = {1: 0.0010, 2: 0.0020, 4: 0.0041, 8: 0.0110}
"""A CNN on a CPU: larger is slower for each row."""
BOTH = {1: 0.0010, 2: 0.0012, 4: 0.0021, 8: 0.0041}
"""8 are less than 10 % cheaper than 4."""


@pytest.mark.parametrize(("seconds", "size"), [(CALL, 8), (ROWS, 1), (BOTH, 4)])
def test_on_the_loop_a_batch_is_the_smallest_of_about_the_least_cost(seconds: dict[int, float], size: int) -> None:
    costs = Machine(seconds, handover=0.1).measure()
    assert (costs.inline, costs.inline_rows, costs.batch_size) == (True, 8, size)
    assert costs.row_seconds == pytest.approx(seconds[size] / size)


@pytest.mark.parametrize(
    ("seconds", "handover", "size"),
    [
        (CALL, 0.0001, 4),  # at most half of the rows that may be computed at once
        (ROWS, 0.00001, 1),
        (ROWS, 0.0002, 4),  # beside a model, a batch costs three hand-overs: 1.6, 1.3 and 1.2 ms a row
    ],
)
def test_in_a_thread_a_batch_is_one_of_two(seconds: dict[int, float], handover: float, size: int) -> None:
    costs = Machine(seconds, handover=handover).measure()
    assert (costs.inline, costs.batch_size) == (False, size)


@pytest.mark.parametrize(("handover", "rows"), [(0.0001, 0), (0.00021, 1), (0.00024, 2), (0.0005, 4)])
def test_a_lone_request_runs_on_the_loop_while_it_is_cheap_beside_a_hand_over(handover: float, rows: int) -> None:
    costs = Machine(BOTH | {4: 0.0024, 8: 0.004, 16: 0.008}, handover=handover).measure(max_size=16)
    assert (costs.inline, costs.inline_rows) == (False, rows)


@pytest.mark.parametrize(("handover", "loop"), [(0.0001, True), (0.00001, False)])
def test_rows_are_encoded_on_the_loop_while_that_is_cheap_beside_a_hand_over(handover: float, loop: bool) -> None:
    assert Machine(BOTH, handover=handover).measure().encodes_on_loop is loop


def test_a_model_whose_second_row_is_beyond_the_time_budget_takes_one_at_a_time() -> None:
    assert Machine({1: 2.0}).measure().batch_size == 1


def test_sizes_beyond_the_time_budget_are_not_used() -> None:
    costs = Machine({1: 0.4, 2: 0.4, 4: 0.4, 8: 0.4}).measure()
    assert [rows for rows, _ in costs.compute] == [1]


def test_the_answer_to_one_example_is_checked_before_anything_is_measured() -> None:
    machine = Machine({1: 0.001, 2: 0.001})
    machine.measure(max_size=2)
    assert [answer.shape for answer in machine.checked] == [(1, 2)]
    assert machine.sizes[0] == 1
