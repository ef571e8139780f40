"""What a batch gave is written once for all its requests, as long as that costs none of them much."""

import numpy as np
import pytest

from modelservice.serving.results import MAX_SHARED, Results
from modelservice.tasks.base import Array


class Writer:
    """Writes each row as the text of its first number; remembers how many rows it was given."""

    def __init__(self) -> None:
        self.calls: list[int] = []

    def write(self, raw: Array) -> list[str]:
        self.calls.append(len(raw))
        return [str(float(row[0])) for row in raw]


def batch(rows: int, width: int = 2) -> Array:
    return np.arange(rows * width, dtype=np.float32).reshape(rows, width)


def test_each_request_has_its_own_rows_and_the_batch_is_written_once() -> None:
    first, second, third = Results.split(batch(6), [1, 3, 2])
    writer, other = Writer(), Writer()
    assert [len(one) for one in (first, second, third)] == [1, 3, 2]
    assert [one.size for one in (first, second, third)] == [2, 6, 4]
    assert second.raw.tolist() == [[2, 3], [4, 5], [6, 7]]
    assert third.rows(writer.write) == ["8.0", "10.0"]
    assert first.rows(writer.write) == ["0.0"]
    assert second.rows(writer.write) == ["2.0", "4.0", "6.0"]
    assert first.rows(other.write) == ["0.0"]
    assert (writer.calls, other.calls) == ([6], [6])


@pytest.mark.parametrize(("rows", "calls"), [(MAX_SHARED // 2, [MAX_SHARED // 2]), (MAX_SHARED // 2 + 1, [1])])
def test_nobody_writes_the_rows_of_others_where_they_are_many(rows: int, calls: list[int]) -> None:
    first, _ = Results.split(batch(rows), [1, rows - 1])
    writer = Writer()
    assert first.rows(writer.write) == ["0.0"]
    assert writer.calls == calls


def test_parts_of_a_request_that_was_in_several_batches_are_joined() -> None:
    _, end = Results.split(batch(3), [2, 1])
    (start,) = Results.split(batch(2), [2])
    joined = Results.joined([end, start])
    writer = Writer()
    assert joined.raw.tolist() == [[4, 5], [0, 1], [2, 3]]
    assert joined.rows(writer.write) == ["4.0", "0.0", "2.0"]
    assert writer.calls == [3]
