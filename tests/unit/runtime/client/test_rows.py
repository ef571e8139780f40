"""What callers give, as JSON rows; and what cannot be sent, refused by its place."""

import datetime
import json
from decimal import Decimal
from typing import Any

import numpy
import pandas
import pytest

from modelservice.client import rows

DAY = datetime.datetime(2024, 1, 31, tzinfo=datetime.UTC)


def sent(data: Any) -> list[Any]:
    return [json.loads(line) for batch in rows.batches(rows.rows_of(data), rows.MAX_ROWS) for line in batch]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({"a": [1, 2], "b": (3, 4)}, [{"a": 1, "b": 3}, {"a": 2, "b": 4}]),
        (numpy.array([[1.5, numpy.nan]]), [[1.5, None]]),
        (({"a": True}, {"a": "x"}), [{"a": True}, {"a": "x"}]),
        ([[numpy.float32(0.5), DAY, DAY.date()]], [[0.5, "2024-01-31T00:00:00+00:00", "2024-01-31"]]),
        ([[numpy.datetime64("2024-01-31", "ns"), numpy.datetime64("NaT")]], [["2024-01-31T00:00:00", None]]),
        (numpy.array([["2024-01-31"]], "datetime64[ns]"), [["2024-01-31T00:00:00"]]),
        (
            pandas.DataFrame({1: [pandas.NA], "d": [pandas.NaT], "t": pandas.to_datetime([DAY])}),
            [{"1": None, "d": None, "t": "2024-01-31T00:00:00+00:00"}],
        ),
        ([], []),
    ],
)
def test_data_is_sent_as_rows(data: Any, expected: list[Any]) -> None:
    assert sent(data) == expected


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"a": [1, 2], "b": [3]}, r"equally long, but have \{'a': 2, 'b': 1\} rows"),
        ({"a": "Basel", "b": 5}, r"\['a', 'b'\] of a dict are no columns; to predict one row give a list of a dict"),
        (pandas.DataFrame([[1, 2]], columns=["a", "a"]), r"several columns are named \['a'\]; rename"),
        ({"1": [1], 1: [2]}, r"several columns are named \['1'\]"),
        (
            pandas.DataFrame({"a": [1.0, float("inf")]}),
            r"^row 1, column 'a': inf \(float\) cannot be sent; give a finite",
        ),
        ([[1, numpy.inf]], r"^row 0, column 1: inf \(float\)"),
        (numpy.array([[1, numpy.inf]]), r"^row 0, column 1: inf \(float\)"),
        ([numpy.array([-numpy.inf])], r"^row 0, column 0: -inf \(float\)"),
        ([{"price": Decimal("1.5")}], r"^row 0, column 'price': Decimal\('1.5'\) \(Decimal\) cannot be sent"),
        ([{1}], r"^row 0: \{1\} \(set\) cannot be sent; give a list or a dict"),
        (7, "data is a int; give a DataFrame"),
    ],
)
def test_what_cannot_be_sent_is_refused_by_its_place(data: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        sent(data)


def test_rows_are_split_by_number_and_by_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [len(batch) for batch in rows.batches([[1]] * 5, 2)] == [2, 2, 1]
    monkeypatch.setattr(rows, "MAX_BYTES", 20)
    batches = list(rows.batches([["abc"]] * 5, 9))
    assert [len(batch) for batch in batches] == [2, 2, 1]
    assert all(len(b",".join(batch)) <= 20 for batch in batches)
    with pytest.raises(ValueError, match=r"^row 1 has 21 bytes as JSON, and a request at most 20; shorten its values$"):
        list(rows.batches([[1], ["a" * 17]], 9))
