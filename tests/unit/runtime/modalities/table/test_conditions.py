"""Conditions on encoded numbers are told in the column's own words and units, and hold of the row that meets them."""

import math
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from modelservice.modalities.parts import Conditions
from modelservice.modalities.table.dates import DateOrder
from modelservice.modalities.table.encoder import TableEncoder
from modelservice.modalities.table.kinds.base import ColumnPreprocessing
from modelservice.modalities.table.kinds.boolean import BooleanPreprocessing
from modelservice.modalities.table.kinds.category import CategoricalPreprocessing
from modelservice.modalities.table.kinds.date import DatePart, DatePreprocessing
from modelservice.modalities.table.kinds.encoded import EncodedPreprocessing
from modelservice.modalities.table.kinds.number import NumericPreprocessing
from modelservice.modalities.table.kinds.plain import PlainPreprocessing
from modelservice.modalities.table.kinds.text import TextPreprocessing
from modelservice.modalities.table.kinds.unused import UnusedPreprocessing
from modelservice.modalities.table.preprocessing import TablePreprocessing

DAY = 86400.0
NUMBERS = st.floats(-1e9, 1e9, allow_nan=False)


def told(column: ColumnPreprocessing, cell: Any, threshold: float, *, place: int = 0) -> dict[str, Any]:
    """A condition that a row of one column meets."""
    encoder = TableEncoder(TablePreprocessing(columns=(column,)))
    rows = [[cell]]
    value = float(encoder.encode(rows)[0, place])
    return encoder.told(place, threshold, value=value, cells=encoder.cells(rows)[0])


def said(column: ColumnPreprocessing, cell: Any, threshold: float, *, place: int = 0) -> str:
    condition: str = told(column, cell, threshold, place=place)["condition"]
    return condition


def number(**changes: Any) -> NumericPreprocessing:
    return NumericPreprocessing.model_validate(
        {"name": "width", "mean": 5.84, "std": 0.83, "fill": 5.5, "example": 5.8, **changes}
    )


ARRIVED = number(mean=1_712_345_678, std=DAY, fill=1_712_345_678)
CITY = CategoricalPreprocessing(
    name="city", categories=("Basel", "Köln"), rare=("Genf",), indicator=True, example="Basel"
)
UNPOOLED = CategoricalPreprocessing(name="city", categories=("Basel", "Köln"), shares=(0.7, 0.3), example="Basel")
SMOKER = BooleanPreprocessing(name="smoker", mean=0.5, indicator=True, example=True)
SEEN = DatePreprocessing(
    name="seen",
    order=DateOrder.DAY,
    zoned=False,
    mean=20_000 * DAY,
    std=100 * DAY,
    parts=(DatePart.TREND, DatePart.MONDAY, DatePart.YEAR_SINE),
    fill=(0.0, 0.2, 0.1),
    indicator=True,
    example="2024-10-04",
)
NOTE = TextPreprocessing(name="note", buckets=8, norm=4.0, indicator=True, example="text")


@pytest.mark.parametrize(
    ("column", "cell", "threshold", "place", "condition"),
    [
        (number(), 5.0, (5.45 - 5.84) / 0.83, 0, "<= 5.45"),
        (number(), 6, (5.45 - 5.84) / 0.83, 0, "> 5.45"),
        (number(), 6, (np.float32(5) - 5.84) / 0.83, 0, "> 5"),
        (number(), None, 0.0, 0, "is missing, and counts as 5.5 <= 5.84"),
        (number(fill=17 / 3), None, 0.0, 0, "is missing, and counts as 5.66667 <= 5.84"),
        (ARRIVED, None, 0.01, 0, "is missing, and counts as 1712346000 <= 1712346542"),
        (ARRIVED, None, -0.001, 0, "is missing, and counts as 1712346000 > 1712345591.6"),
        (number(indicator=True), None, 0.5, 1, "is missing"),
        (number(indicator=True), 3, 0.5, 1, "is not missing"),
        (PlainPreprocessing(name="x", example=0), 1e-8, 2e-8, 0, "<= 2e-08"),
        (CITY, "Basel", 0.5, 0, "is 'Basel'"),
        (CITY, "Köln", 0.5, 0, "is not 'Basel'"),
        (CITY, "Genf", 0.5, 2, "is another text"),
        (CITY, "Atlantis", 0.5, 2, "is another text"),
        (CITY, "Basel", 0.5, 2, "is not another text"),
        (CITY, None, 0.5, 3, "is missing"),
        (CITY, "Basel", 0.5, 3, "is not missing"),
        (UNPOOLED, "Bern", 0.5, 0, "was not seen, and counts as 'Basel' by 0.7 > 0.5"),
        (UNPOOLED, None, 0.5, 1, "is missing, and counts as 'Köln' by 0.3 <= 0.5"),
        (SMOKER, "yes", 0.0, 0, "is true or missing"),
        (SMOKER, False, 0.0, 0, "is false"),
        (SMOKER, "no", 0.75, 0, "is false or missing"),
        (SMOKER, True, 0.75, 0, "is true"),
        (SMOKER, None, 0.5, 1, "is missing"),
        (SEEN, "2024-10-04", 0.0, 0, "<= 2024-10-04"),
        (SEEN, "05/10/2024", 0.005, 0, "> 2024-10-04T12:00:00"),
        (SEEN, None, 1.0, 0, "is missing, and counts as one that <= 2025-01-12"),
        (SEEN, "2024-10-07", 0.5, 1, "is a Monday"),
        (SEEN, "2024-10-08", 0.5, 1, "is no Monday"),
        (SEEN, None, 0.5, 1, "is missing, and counts as one that Monday <= 0.5"),
        (SEEN, "2024-10-08", -0.25, 2, "YearSine <= -0.25"),
        (SEEN, None, 0.5, 3, "is missing"),
        (NOTE, None, 0.5, 8, "is missing"),
        (NOTE, "", 0.5, 7, "letters of place 8 in 8 weigh <= 0.5"),
    ],
)
def test_a_condition_is_told_in_the_words_of_the_column(
    column: ColumnPreprocessing, cell: Any, threshold: float, place: int, condition: str
) -> None:
    found = told(column, cell, threshold, place=place)
    assert found["condition"] == condition
    assert found["column"] == column.name
    assert found["cell"] == (None if cell in {None, ""} else cell)


@given(mean=NUMBERS, std=st.floats(1e-6, 1e6), cell=NUMBERS, threshold=st.floats(-20, 20), at=st.booleans())
def test_a_bound_holds_of_the_number_and_is_the_threshold_to_float32(
    mean: float, std: float, cell: float, threshold: float, at: bool
) -> None:
    column = number(mean=mean, std=std)
    if at:  # where rounding decides
        cell = threshold * std + mean
    encoded = float(TableEncoder(TablePreprocessing(columns=(column,))).encode([[cell]])[0, 0])
    assume(math.isfinite(encoded))
    sign, bound = said(column, cell, threshold).split()
    assert sign == ("<=" if encoded <= threshold else ">")
    assert (cell <= float(bound)) == (encoded <= threshold)
    # float64 has as many digits for what is as far from 0 as the mean.
    close = 1e-6 * max(abs(threshold), 0.1) + 8 * math.ulp(abs(mean) + 20 * std) / std
    assert abs((float(bound) - mean) / std - threshold) <= close


@given(seconds=st.integers(-(10**9), 4 * 10**9), threshold=st.floats(-5, 5), std=st.floats(DAY, 1e4 * DAY))
def test_a_moment_holds_of_the_date(seconds: int, threshold: float, std: float) -> None:
    column = SEEN.model_copy(update={"std": std})
    cell = datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None).isoformat()
    sign, bound = said(column, cell, threshold).split()
    assert sign == ("<=" if np.float32((seconds - 20_000 * DAY) / std) <= threshold else ">")
    assert (cell <= (bound if "T" in bound else f"{bound}T00:00:00")) == (sign == "<=")


def test_columns_of_no_number_and_of_several_are_found_by_place() -> None:
    unused = UnusedPreprocessing(name="unused", type="Number", example=0.0)
    encoder = TableEncoder(TablePreprocessing(columns=(number(), unused, CITY, number(name="height"))))
    assert isinstance(encoder, Conditions)
    assert encoder.columns.tolist() == [0, 2, 2, 2, 2, 3]
    (row,) = encoder.cells([[5, "x", "Köln", np.float32(6)]])
    assert encoder.told(2, 0.5, value=1.0, cells=row) == {
        "column": "city",
        "condition": "is 'Köln'",
        "cell": "Köln",
    }
    height = encoder.told(5, 0.5, value=0.2, cells=row)
    assert (height["column"], height["cell"], type(height["cell"])) == ("height", 6.0, float)


def test_a_kind_that_says_nothing_of_its_numbers_tells_them_by_place() -> None:
    column = EncodedPreprocessing(name="text", max_length=8, tokenizer="{}")
    assert column.condition(2, 0.5, value=3.0, said=9.0) == "number 3 of 8 > 0.5"
