import math
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelservice.cells import as_number, as_text, quoted
from modelservice.modalities.table.columns import is_number, parse_numbers, trimmed


@pytest.mark.parametrize(
    ("cell", "number"),
    [("5.1", 5.1), (" 5 ", 5.0), ("+5", 5.0), ("5.", 5.0), (".5", 0.5), ("-1E+3", -1000.0), (True, 1.0), (7, 7.0)],
)
def test_a_number_may_be_written_in_several_ways(cell: Any, number: Any) -> None:
    assert as_number(cell) == number


@pytest.mark.parametrize("cell", ["", "  ", "NA", "n/a", "NaN", "null", "None", None, math.nan, np.float32("nan")])
def test_missing_in_a_numeric_column(cell: Any) -> None:
    assert math.isnan(as_number(cell))


@pytest.mark.parametrize(
    "cell", ["x", "1_000", "1,5", "0x10", "inf", "1e400", "٣", math.inf, 10**400, [1], {}, 1j, b"1"]
)
def test_what_is_no_finite_number_is_refused_and_quoted(cell: Any) -> None:
    with pytest.raises(ValueError, match="number"):
        as_number(cell)


@given(st.text(max_size=12) | st.floats(allow_nan=False, allow_infinity=False).map(repr) | st.integers().map(str))
def test_the_table_and_a_request_agree_on_what_a_number_is(text: Any) -> None:
    """pyarrow reads whole columns, Python single cells: two implementations of one definition."""
    column = trimmed(pa.array([text]))
    try:
        expected = as_number(text)
    except ValueError:
        expected = math.inf
    if is_number(column)[0].as_py():
        assert parse_numbers(column)[0] == pytest.approx(expected, rel=1e-15, abs=0)
    else:
        assert not math.isfinite(expected)


@pytest.mark.parametrize(
    ("cell", "text"),
    [(" a ", "a"), ("", None), (None, None), (math.nan, None), (3, "3"), (3.0, "3"), (0.5, "0.5"), (True, "True")],
)
def test_text_of_a_cell(cell: Any, text: Any) -> None:
    assert as_text(cell) == text


BERLIN = timezone(timedelta(hours=1))


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        (date(2024, 1, 5), "2024-01-05"),
        (datetime(2024, 1, 5), "2024-01-05T00:00:00"),  # noqa: DTZ001
        (datetime(2024, 1, 5, 9, 5, 1, 250_000), "2024-01-05T09:05:01.25"),  # noqa: DTZ001
        (datetime(2024, 1, 5, 9, 5, tzinfo=UTC), "2024-01-05T09:05:00Z"),
        (datetime(2024, 1, 5, 9, 5, 0, 500, tzinfo=BERLIN), "2024-01-05T08:05:00.0005Z"),
        (np.datetime64("2024-01-05"), "2024-01-05"),
        (np.datetime64("2024-01-05T09:05", "ns"), "2024-01-05T09:05:00"),
        (np.datetime64("NaT"), None),
        (pd.Timestamp("2024-01-05 09:05", tz=BERLIN), "2024-01-05T08:05:00Z"),
        (pd.NaT, None),
        (time(9, 5), "09:05:00"),
        (Decimal("5.10"), "5.1"),
        (Decimal("5.00"), "5"),
        (Decimal("-0.00"), "0"),
        (Decimal("12345678901234567890.0"), "12345678901234567890"),
        (Decimal("0.0000001"), "1e-07"),
        (Decimal("NaN"), None),
    ],
)
def test_dates_times_and_decimals_are_one_text_whoever_holds_them(cell: Any, text: Any) -> None:
    assert as_text(cell) == text


def test_a_decimal_is_a_number() -> None:
    assert as_number(Decimal("5.10")) == 5.1
    assert math.isnan(as_number(Decimal("NaN")))


def test_a_structure_is_no_text() -> None:
    with pytest.raises(ValueError, match="neither text nor a number"):
        as_text(["a"])


def test_a_long_value_is_cut_in_a_message() -> None:
    assert len(quoted("x" * 1000)) == 40
