"""Columns of dates and times."""

import math
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.runtime.modalities.table.tables import ROWS, column, learn, opened, refused, settings

from modelservice.contract.signature import ColumnContent, ColumnKind
from modelservice.modalities.dataset import build_dataset
from modelservice.modalities.errors import InputError
from modelservice.modalities.sources import from_frame
from modelservice.modalities.table import dates, notation
from modelservice.modalities.table.dates import DateOrder, date_text, read_date
from modelservice.modalities.table.kinds.date import DatePart, DatePreprocessing

START = datetime(2023, 12, 30, 10, 5, tzinfo=UTC)


def day(n: int) -> datetime:
    return START + timedelta(days=n * 5, hours=n)


def cells(form: str, gap: int = 10**6) -> Any:
    """A column of dates beside one of numbers."""
    return lambda n: f"{n % 7},{'' if n % gap == gap - 1 else day(n).strftime(form)}"


def stored(dataset: Any, at: int = 1) -> DatePreprocessing:
    found: DatePreprocessing = dataset.preprocessing.columns[at]
    return found


@pytest.mark.parametrize(
    ("text", "order", "expected"),
    [
        ("2024-01-31", None, (2024, 1, 31)),
        ("2024/1/3", None, (2024, 1, 3)),
        ("2024.01.31", None, (2024, 1, 31)),
        ("20240131", None, (2024, 1, 31)),
        ("2024-01-31T10:11", None, (2024, 1, 31, 10, 11)),
        ("2024-01-31 10:11:12.5", None, (2024, 1, 31, 10, 11, 12, 500000)),
        ("2024-01-31T10:11:12,250Z", None, (2024, 1, 31, 10, 11, 12, 250000)),
        ("2024-01-31T00:30+02:00", None, (2024, 1, 30, 22, 30)),
        ("2024-01-31 00:30 -0130", None, (2024, 1, 31, 2, 0)),
        ("31.01.2024", DateOrder.DAY, (2024, 1, 31)),
        ("1/2/2024", DateOrder.DAY, (2024, 2, 1)),
        ("1/2/2024 12:05 AM", DateOrder.MONTH, (2024, 1, 2, 0, 5)),
        ("1-2-2024 1:05pm", DateOrder.MONTH, (2024, 1, 2, 13, 5)),
    ],
)
def test_dates_are_read(text: str, order: Any, expected: Any) -> None:
    moment, meant = read_date(text, order), datetime(*expected).replace(tzinfo=UTC)  # noqa: DTZ001 - replaced
    assert moment is not None
    assert moment.seconds == meant.timestamp()
    assert (moment.weekday, moment.day) == (meant.weekday(), meant.timetuple().tm_yday - 1)


@pytest.mark.parametrize(
    "text",
    [
        "2024-02-30", "2024-13-01", "1/2/24", "2024-01-31T25:00", "2024-01-31T10:61", "2024-01-31T13:00 PM",
        "31/31/2024", "2024013", "2024-1/3", "0000-01-01", "2024-01-31T10:00+99:00", "Jan 5, 2024", "10:11",
        "2024", "2024-01", "0001-01-01T00:00+10:00", "\u0662\u0660\u0662\u0664-01-01",
    ],
)  # fmt: skip
def test_other_texts_are_none(text: str) -> None:
    assert [read_date(text, order) for order in (None, *DateOrder)] == [None, None, None]


@given(st.datetimes(timezones=st.sampled_from([None, UTC])))
def test_iso_texts_come_back(moment: datetime) -> None:
    whole = moment.replace(microsecond=0)
    read = read_date(whole.isoformat(), None)
    assert read is not None
    assert date_text(read.seconds, zoned=read.zoned, timed=True) == whole.isoformat().replace("+00:00", "Z")


@pytest.mark.parametrize(
    ("form", "zoned", "example"),
    [
        ("%Y-%m-%d", False, r"\d{4}-\d\d-\d\d"),
        ("%d.%m.%Y", False, r"\d{4}-\d\d-\d\d"),
        ("%m/%d/%Y", False, r"\d{4}-\d\d-\d\d"),
        ("%Y-%m-%d %H:%M", False, r"\d{4}-\d\d-\d\dT\d\d:\d\d:00"),
        ("%Y-%m-%dT%H:%M:%S+02:00", True, r"\d{4}-\d\d-\d\dT\d\d:\d\d:00Z"),
    ],
)
def test_a_column_of_dates_becomes_the_parts_that_vary(form: str, zoned: bool, example: str) -> None:
    dataset = learn({}, "a,day", cells(form))
    given_column, measured = column(dataset, 1), stored(dataset)
    assert (given_column.type, given_column.content) == (ColumnKind.CATEGORY, ColumnContent.DATE)
    assert measured.zoned is zoned
    timed = {DatePart.DAY_SINE, DatePart.DAY_COSINE}
    assert set(measured.parts) == set(DatePart) - (set() if "H" in form else timed)
    assert pd.Series([given_column.example]).str.fullmatch(example).all()
    encoder = opened(dataset)
    assert np.isfinite(encoder.encode([encoder.example()])).all()


def test_parts_are_what_their_names_say() -> None:
    dataset = learn({}, "a,day", cells("%Y-%m-%d %H:%M"))
    measured, moment = stored(dataset), datetime(2024, 3, 6, 18, tzinfo=UTC)
    (encoded,) = opened(dataset).encode([[0, "2024-03-06T18:00:00"]])
    parts = dict(zip(measured.parts, encoded[1:].tolist(), strict=True))
    assert parts[DatePart.TREND] == np.float32((moment.timestamp() - measured.mean) / measured.std)
    assert [parts[DatePart(name)] for name in ("Tuesday", "Wednesday", "Thursday")] == [0, 1, 0]
    assert parts[DatePart.DAY_SINE] == pytest.approx(-1)
    assert parts[DatePart.YEAR_SINE] == pytest.approx(math.sin(2 * math.pi * 65 / 365.2425))
    train = dataset.train.features[:, 1]
    assert (train.mean(), train.std()) == pytest.approx((0, 1), abs=1e-5)


def test_parts_that_do_not_vary_are_left_out() -> None:
    mondays = learn({}, "a,day", lambda n: f"{n},{(date(2024, 1, 1) + timedelta(weeks=n)).isoformat()}")
    assert stored(mondays).parts == (DatePart.TREND, DatePart.YEAR_SINE, DatePart.YEAR_COSINE)
    one_day = learn({}, "a,day", lambda n: f"{n},2024-01-01 {n % 24:02}:00")
    assert stored(one_day).parts == (DatePart.TREND, DatePart.DAY_SINE, DatePart.DAY_COSINE)


def test_missing_dates_are_the_mean_of_training_rows_and_have_an_indicator() -> None:
    dataset = learn({}, "a,day", cells("%Y-%m-%d", gap=5))
    measured = stored(dataset)
    assert measured.indicator
    for gap in (None, "", "NA"):
        (encoded,) = opened(dataset).encode([[0, gap]])
        assert encoded[1:].tolist() == [*np.array(measured.fill, np.float32).tolist(), 1]
    present = dataset.train.features[dataset.train.features[:, -1] == 0]
    np.testing.assert_allclose(present[:, 1:-1].mean(axis=0), measured.fill, atol=1e-6)
    assert not stored(learn({}, "a,day", cells("%Y-%m-%d", gap=50))).indicator


def test_another_order_is_found_and_said() -> None:
    dataset = learn({}, "a,day", cells("%m/%d/%Y"))
    assert "column day: 12/30/2023 is read as the date 2023-12-30" in dataset.notes
    encoder = opened(dataset)
    np.testing.assert_array_equal(encoder.encode([[0, "2/1/2024"]]), encoder.encode([[0, "2024-02-01"]]))
    with pytest.raises(InputError, match=r"\[0\]\.day: '31/12/2023' is not a date; expected one such as 2024-"):
        encoder.encode([[0, "31/12/2023"]])


@pytest.mark.parametrize(
    ("form", "cell", "same"), [("%d.%m.%Y", "3.4.2024", "03/04/2024"), ("%m/%d/%Y", "4/3/2024", "03.04.2024")]
)
def test_an_order_is_known_of_the_marks_that_training_saw(form: str, cell: str, same: str) -> None:
    encoder = opened(learn({}, "a,day", cells(form)))
    np.testing.assert_array_equal(encoder.encode([[0, cell]]), encoder.encode([[0, "2024/04/03"]]))
    words = "has other marks than the dates that were learned from: its day or its month may be first"
    with pytest.raises(InputError, match=rf"\[0\]\.day: '{same}' {words}; expected one such as 2024-"):
        encoder.encode([[0, same]])


def test_the_order_of_mixed_marks_is_that_of_all_of_them() -> None:
    def mixed(n: int) -> str:
        return f"{n},{day(n).strftime('%d.%m.%Y' if n % 2 else '%d/%m/%Y')}"

    encoder = opened(learn({}, "a,day", mixed))
    np.testing.assert_array_equal(encoder.encode([[0, "3.4.2024"]]), encoder.encode([[0, "3/4/2024"]]))
    with pytest.raises(InputError, match="has other marks"):
        encoder.encode([[0, "3-4-2024"]])


def test_an_artifact_that_does_not_know_its_marks_takes_all() -> None:
    measured = stored(learn({}, "a,day", cells("%d.%m.%Y")))
    before = DatePreprocessing.model_validate(measured.model_dump(exclude={"marks"}))
    encoder = before.encoder(frozenset())
    assert encoder.measure(["3.4.2024"]) == encoder.measure(["3/4/2024"])
    assert "marks" not in before.model_dump(mode="json")
    assert measured.model_dump(mode="json")["marks"] == "."


def test_a_point_of_a_time_says_nothing_of_a_date() -> None:
    notes = learn({}, "a,day", lambda n: f"{n},{n % 12 + 1:02}/{n % 4 + 1:02}/2024 10:00:{n % 60:02}.5").notes
    assert any("may have its day or its month first" in note for note in notes)


def unclear(n: int) -> str:
    return f"{n},{n % 12 + 1:02}/{n % 4 + 1:02}/2024"


def test_an_order_that_is_not_clear_is_categories_and_said_or_refused() -> None:
    dataset = learn({}, "a,day", unclear)
    assert column(dataset, 1).content is None
    remedy = "may have its day or its month first: write all as 2024-01-31"
    assert f"column day holds dates as categories, since '01/01/2024' {remedy}" in dataset.notes
    notes = learn({}, "a,day", lambda n: f"{n},{n % 12 + 1:02}/{n % 12 + 1:02}/{1950 + n}").notes
    assert f"ignored column day: it holds dates, and '01/01/1950' {remedy}" in notes
    error = refused({"day": "Date"}, "a,day", unclear)
    assert (error.reason, error.message) == ("DateNotClear", f"line 2, column day: '01/01/2024' {remedy}")


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        (("31/01/2024", "01/31/2024"), "'31/01/2024' has its day first and '01/31/2024' its month"),
        (("2024-01-31T10:00Z", "2024-01-30T10:00"), "'2024-01-31T10:00Z' has a zone and '2024-01-30T10:00' has none"),
    ],
)
def test_dates_in_two_ways_are_refused_where_they_are_asked_for(texts: Any, words: str) -> None:
    assert words in refused({"day": "Date"}, "a,day", lambda n: f"{n},{texts[n % 2]}").message


@pytest.mark.parametrize("columns", [{}, {"day": "Date"}])
def test_a_cell_that_is_no_date_is_refused_by_its_line(columns: Any) -> None:
    error = refused(columns, "a,day", lambda n: f"{n},{'2024-02-31' if n == 40 else day(n).date()}")
    assert error.reason == "NotADate"
    assert error.message.startswith("line 42, column day: '2024-02-31' is not a date, but ")


def test_few_texts_of_which_some_are_no_dates_are_categories() -> None:
    texts = ["2024-01-01", "2024-02-01", "never"]
    assert column(learn({}, "a,day", lambda n: f"{n},{texts[n % 3]}"), 1).categories == tuple(texts)


def test_rows_stay_on_their_side_whatever_the_column_is() -> None:
    def often(n: int) -> str:
        return f"{n},{day(n % 20):%Y-%m-%d}"

    as_dates, as_categories = (learn(columns, "a,day", often) for columns in ({}, {"day": "Category"}))
    np.testing.assert_array_equal(as_dates.test.features[:, 0], as_categories.test.features[:, 0])


def test_numbers_are_dates_only_where_it_is_said() -> None:
    def compact(n: int) -> str:
        return f"{n},{day(n):%Y%m%d}"

    assert column(learn({}, "a,day", compact), 1).type is ColumnKind.NUMBER
    dataset = learn({"day": "Date"}, "a,day", compact)
    encoder = opened(dataset)
    np.testing.assert_array_equal(encoder.encode([[0, 20240131]]), encoder.encode([[0, "2024-01-31"]]))


@pytest.mark.parametrize(
    ("form", "cell", "words"),
    [
        ("%Y-%m-%d", "2024-01-01T00:00:00Z", "has a zone, and the dates that were learned from have none"),
        ("%Y-%m-%dT%H:%MZ", "2024-01-01", "has no zone, and the dates that were learned from have one"),
        ("%Y-%m-%d", "tomorrow", "is not a date; expected one such as 2024-"),
        ("%Y-%m-%d", 5, "is not a date; expected one such as 2024-"),
    ],
)
def test_what_would_be_another_moment_is_refused(form: str, cell: Any, words: str) -> None:
    with pytest.raises(InputError, match=rf"\[1\]\.day: .* {words}"):
        opened(learn({}, "a,day", cells(form))).encode([[0, None], [0, cell]])


@pytest.mark.parametrize("name", ["numpy", "pandas", "zoned", "dates", "arrow"])
def test_dates_of_frames(name: str) -> None:
    moments = pd.Series([day(n).replace(tzinfo=None) for n in range(ROWS)])
    moments[3] = None
    made: dict[str, Any] = {
        "numpy": moments.to_numpy(),
        "pandas": moments,
        "zoned": moments.dt.tz_localize("Europe/Zurich"),
        "dates": [None if n == 3 else day(n).date() for n in range(ROWS)],
        "arrow": pa.array(moments, from_pandas=True),
    }
    columns = {"day": made[name], "a": list(range(ROWS)), "y": ["p", "q"] * (ROWS // 2)}
    frame: Any = pa.table(columns) if name == "arrow" else columns if name == "numpy" else pd.DataFrame(columns)
    dataset = build_dataset(from_frame(frame), settings({}))
    assert (column(dataset).content, stored(dataset, 0).zoned) == (ColumnContent.DATE, name == "zoned")
    encoder = opened(dataset)
    assert np.isfinite(encoder.encode(encoder.from_frame(frame))).all()


def test_encoding_does_not_depend_on_how_many_rows_there_are() -> None:
    encoder = opened(learn({}, "a,day", cells("%Y-%m-%d %H:%M")))
    rows = [[n, day(n).strftime("%Y-%m-%d %H:%M")] for n in range(ROWS)]
    np.testing.assert_array_equal(encoder.encode(rows), np.concatenate([encoder.encode([row]) for row in rows]))


def test_a_tensor_of_dates_is_one_of_texts() -> None:
    assert opened(learn({}, "a,day", cells("%Y-%m-%d"))).tensors()[1]["datatype"] == "BYTES"


def test_nothing_long_that_a_client_sends_is_remembered() -> None:
    before = (len(dates._remembered), len(notation._parts))
    for number in range(3):
        assert read_date("2024-01-31" + " " * 1000 + str(number), None) is None
        digits = f"{number + 1}." + "0" * 1000 + "1"
        assert notation.parse(digits, notation.Notation(decimal=notation.Decimal.POINT)) == float(digits)
    assert (len(dates._remembered), len(notation._parts)) == before
