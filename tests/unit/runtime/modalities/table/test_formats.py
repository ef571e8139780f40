"""One table in every format: the same rows, sides, labels and inputs; and whatever a table holds, no traceback."""

import csv
import datetime
import decimal
import gzip
import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import openpyxl
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import event, given
from hypothesis import strategies as st
from sklearn.datasets import load_iris
from tests.support.examples import examples
from tests.unit.runtime.modalities.test_reasons import LISTED

from modelservice.contract.data import ColumnSettings, Data, Format
from modelservice.contract.failure import DataError
from modelservice.contract.formats import Excel
from modelservice.contract.report import Report
from modelservice.contract.task import Task
from modelservice.modalities.base import Dataset, FileOptions
from modelservice.modalities.dataset import build_dataset, divide_rows
from modelservice.modalities.encoders import open_encoder
from modelservice.modalities.sources import from_frame, read_source
from modelservice.modalities.table.columns import texts_of
from modelservice.modalities.table.formats import FORMATS
from modelservice.modalities.table.parquet_file import parse_parquet
from modelservice.modalities.table.table import table_of

Columns = dict[str, list[Any]]


def as_csv(columns: Columns) -> bytes:
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, quoting=csv.QUOTE_ALL)
    writer.writerow(columns)
    writer.writerows([["" if cell is None else cell for cell in row] for row in zip(*columns.values(), strict=True)])
    return buffer.getvalue().encode()


def as_json_lines(columns: Columns) -> bytes:
    rows = (dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True))
    return "\n".join(json.dumps(row) for row in rows).encode()


def as_parquet(columns: Columns) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns), buffer, row_group_size=50)
    return buffer.getvalue()


def as_excel(columns: Columns) -> bytes:
    book = openpyxl.Workbook()
    book.active.append(list(columns))
    for row in zip(*columns.values(), strict=True):
        book.active.append(row)
        for cell in book.active[book.active.max_row]:
            if isinstance(cell.value, str):
                cell.data_type = "s"  # what begins with = is no formula here
    buffer = io.BytesIO()
    book.save(buffer)
    return buffer.getvalue()


WRITERS: dict[Format, Callable[[Columns], bytes]] = {
    Format.CSV: as_csv,
    Format.JSON_LINES: as_json_lines,
    Format.PARQUET: as_parquet,
    Format.EXCEL: as_excel,
}
DATA = Data.model_validate({"configMap": {"name": "d"}, "target": "y"})


def test_every_format_is_written_here() -> None:
    assert [one.format for one in FORMATS] == list(WRITERS)


def mixed(rows: int) -> Columns:
    """Numbers, whole ones, texts, truth, dates and codes, all with gaps."""
    random = np.random.default_rng(3)
    return {
        "length": [None if n % 11 == 0 else round(float(x), 3) for n, x in enumerate(random.normal(size=rows))],
        "count": [None if n % 13 == 0 else int(x) for n, x in enumerate(random.integers(0, 50, rows))],
        "city": [None if n % 7 == 0 else str(x) for n, x in enumerate(random.choice(["Köln", "Ulm", "Bonn"], rows))],
        "open": [bool(x) for x in random.integers(0, 2, rows)],
        "day": [f"2024-01-{1 + int(x):02}" for x in random.integers(0, 9, rows)],
        "zip": [f"0{int(x)}" for x in random.integers(100, 104, rows)],
        "y": [None if n % 19 == 0 else str(x) for n, x in enumerate(random.choice(["p", "q", "r"], rows))],
    }


@pytest.mark.parametrize("target", ["y", "count", "length"])
def test_a_table_has_the_same_rows_sides_and_encodings_in_every_format(target: str) -> None:
    columns = mixed(200)
    data = Data.model_validate({"configMap": {"name": "d"}, "target": target})
    task = Task.model_validate({"classification": {}}) if target == "y" else Task.model_validate({"regression": {}})
    datasets = [
        build_dataset(read_source(write(columns), format=format_), data, task) for format_, write in WRITERS.items()
    ]
    first = datasets[0]
    assert first.rows + first.dropped == 200
    for other in datasets[1:]:
        assert (other.rows, other.dropped, other.labels) == (first.rows, first.dropped, first.labels)
        assert other.preprocessing == first.preprocessing
        assert other.notes == first.notes
        for side in ("train", "validation", "test"):
            np.testing.assert_array_equal(getattr(other, side).features, getattr(first, side).features)
            np.testing.assert_array_equal(getattr(other, side).values, getattr(first, side).values)


@pytest.mark.parametrize("format_", WRITERS)
def test_rows_have_the_same_digests_in_every_format(format_: Format) -> None:
    iris = load_iris()
    columns: Columns = {str(name): iris.data[:, at].tolist() for at, name in enumerate(iris.feature_names)}
    columns["y"] = [str(iris.target_names[code]) for code in iris.target]

    def digests(of: Format) -> list[bytes]:
        divided = divide_rows(read_source(WRITERS[of](columns), format=of), DATA)
        return divided.examples.digests(divided.target, seed=0)

    assert digests(format_) == digests(Format.CSV)


FRACTIONS = [1.0, 2.0, 2.5, 1e-7, 1e16, -0.0]
HELD_ONCE: list[tuple[Format, list[Any]]] = [
    *((format_, FRACTIONS) for format_ in WRITERS if format_ is not Format.CSV),
    *((format_, ["high", "low", 1.0, 1.5, 3, True]) for format_ in (Format.JSON_LINES, Format.EXCEL)),
    *((format_, [7, 10**15, -3]) for format_ in WRITERS),
    *((format_, ["1.0", "1", "1.50", "x"]) for format_ in WRITERS),
    (Format.PARQUET, [decimal.Decimal(text) for text in ("1.00", "1.50", "0.25", "100.00")]),
]
"""What a column holds in a format that can say it; of CSV all cells are texts."""


@pytest.mark.parametrize("type_", ["Category", "Text"])
@pytest.mark.parametrize(("format_", "held"), HELD_ONCE)
def test_a_row_of_a_file_that_is_sent_as_a_request_is_encoded_as_in_training(
    format_: Format, held: list[Any], type_: str
) -> None:
    columns: Columns = {"c": held * 12, "x": [*range(12 * len(held))], "y": ["p", "q"] * (6 * len(held))}
    data = DATA.model_copy(update={"columns": {"c": ColumnSettings.model_validate({"type": type_})}})
    examples_ = divide_rows(read_source(WRITERS[format_](columns), format=format_), data).examples
    rows = np.arange(len(columns["c"]))
    preprocessing, _ = examples_.fit(rows)
    sent = json.loads(
        json.dumps([{"c": c, "x": x} for c, x in zip(columns["c"], columns["x"], strict=True)], default=float)
    )
    features, unlike = open_encoder("Table", preprocessing.model_dump_json().encode()).encode_counted(sent)
    np.testing.assert_array_equal(features, examples_.encode(preprocessing, rows))
    assert unlike == {}


@pytest.mark.parametrize("format_", WRITERS)
def test_the_digest_of_a_packed_file_is_that_of_the_file(format_: Format) -> None:
    content = WRITERS[format_](mixed(20))
    assert read_source(gzip.compress(content), format=format_).sha256 == read_source(content, format=format_).sha256


@pytest.mark.parametrize(
    ("file", "format_"),
    [
        ("a.csv", Format.CSV),
        ("a.tsv", Format.CSV),
        ("a", Format.CSV),
        ("a.csv.gz", Format.CSV),
        ("folder.parquet/a.txt", Format.CSV),
        ("a.jsonl", Format.JSON_LINES),
        ("A.NDJSON", Format.JSON_LINES),
        ("a.jsonl.gz", Format.JSON_LINES),
        ("a.parquet", Format.PARQUET),
        ("a.xlsx", Format.EXCEL),
        ("a.xlsm", Format.EXCEL),
        ("a.npz", Format.NPZ),
    ],
)
def test_the_name_of_a_file_tells_its_format_unless_it_is_said(file: str, format_: Format) -> None:
    assert DATA.format_of(file) is format_
    assert DATA.model_copy(update={"format": Format.EXCEL}).format_of(file) is Format.EXCEL


@pytest.mark.parametrize("written", WRITERS)
@pytest.mark.parametrize("read", WRITERS)
def test_a_file_under_a_wrong_name_is_refused(written: Format, read: Format) -> None:
    content = WRITERS[written](mixed(20))
    if written is read:
        assert build_dataset(read_source(content, format=read), DATA).rows > 0
        return
    with pytest.raises(DataError) as refused:
        read_source(content, format=read)
    assert refused.value.field == "spec.data.format" or refused.value.reason == "NotJSON"
    if written is not Format.CSV and refused.value.reason == "NotATable":
        assert f"set spec.data.format to {written}" in refused.value.message


FRAME = pd.DataFrame(
    {
        "whole": pd.array([1, None, 3, 2**62 + 1] * 15, dtype="Int64"),
        "half": np.arange(60) / 64,
        "single": np.linspace(0, 1, 60).astype(np.float32),
        "truth": pd.array([True, None, False] * 20, dtype="boolean"),
        "kind": pd.Categorical(["a", "b", None] * 20),
        "day": [datetime.date(2024, 1, 1) + datetime.timedelta(days=n) for n in range(60)],
        "moment": pd.date_range("2024-01-01", periods=60, freq="90min"),
        "fraction": pd.date_range("2024-01-01", periods=60, freq="250ms"),
        "zoned": pd.date_range("2024-01-01", periods=60, freq="7h", tz="Europe/Berlin"),
        "never": pd.to_datetime([None, "2024-01-01"] * 30),
        "clock": [datetime.time(9, 5, 1, 500)] * 60,
        "price": [decimal.Decimal("5.10"), None, decimal.Decimal("0.00")] * 20,
        "y": ["p", "q", "r"] * 20,
    }
)


@pytest.mark.parametrize("column", FRAME)
def test_a_frame_and_an_arrow_table_hold_the_texts_of_their_parquet_file(column: str) -> None:
    buffer = io.BytesIO()
    FRAME[[column]].to_parquet(buffer)
    file = parse_parquet(buffer.getvalue())
    for frame in (FRAME[[column]], pq.read_table(buffer)):
        table = table_of(frame)
        assert table is not None
        assert texts_of(table.columns[column]).to_pylist() == texts_of(file.columns[column]).to_pylist()


def test_dates_are_the_same_rows_from_excel_parquet_and_a_frame() -> None:
    frame = FRAME[["day", "moment", "half", "y"]]
    excel, parquet = io.BytesIO(), io.BytesIO()
    frame.to_excel(excel, index=False)
    frame.to_parquet(parquet)

    def digests(source: Any) -> list[bytes]:
        divided = divide_rows(source, DATA)
        return divided.examples.digests(divided.target, seed=0)

    expected = digests(from_frame(frame))
    assert digests(read_source(parquet.getvalue(), format=Format.PARQUET)) == expected
    assert digests(read_source(excel.getvalue(), format=Format.EXCEL)) == expected


def test_what_is_said_of_one_format_means_nothing_for_another() -> None:
    with pytest.raises(DataError, match=r"the file is read as CSV, and spec\.data\.excel says") as refused:
        read_source(as_csv(mixed(20)), format=Format.CSV, options=FileOptions(excel=Excel(sheet="a")))
    assert (refused.value.reason, refused.value.field) == ("OptionNotForFormat", "spec.data.excel")


LISTS = as_json_lines({"tags": [["a"], *["b"] * 40], "a": list(range(41)), "y": ["p", "q", "r"] * 13 + ["p", "q"]})


@pytest.mark.parametrize(
    ("settings_", "field"),
    [
        ({"target": "y"}, "spec.data.features"),
        ({"target": "y", "features": ["a", "tags"]}, "spec.data.features"),
        ({"target": "tags"}, "spec.data.target"),
        ({"target": "y", "columns": {"tags": {"type": "Category"}}}, "spec.data.columns"),
    ],
)
def test_a_column_that_cannot_be_read_is_refused_where_it_is_used(settings_: dict[str, Any], field: str) -> None:
    with pytest.raises(DataError, match="line 1, column tags: it holds a list") as refused:
        build_dataset(
            read_source(LISTS, format=Format.JSON_LINES), Data.model_validate({**settings_, "configMap": {"name": "d"}})
        )
    assert (refused.value.reason, refused.value.field) == ("NotAColumn", field)


@pytest.mark.parametrize("more", [{"features": ["a"]}, {"columns": {" tags": {"type": "Ignore"}}}])
def test_a_column_that_cannot_be_read_hinders_nobody_who_does_not_use_it(more: dict[str, Any]) -> None:
    data = Data.model_validate({"configMap": {"name": "d"}, "target": "y", **more})
    dataset = build_dataset(read_source(LISTS, format=Format.JSON_LINES), data)
    assert [column.name for column in dataset.inputs] == ["a"]


@dataclass(frozen=True)
class Drawn:
    """A table, and how many rows it has."""

    columns: Columns
    rows: int


TEXTS = st.text(alphabet="abö1 ,;|\n'=-.$%", max_size=5)
KINDS = st.sampled_from(
    [
        st.integers(-5, 20),
        st.integers(10**15, 10**15 + 3),
        st.floats(-5, 5, width=16),
        st.sampled_from([1e-7, 1e99, 1e300, -0.0, 5e-324]),
        st.booleans(),
        st.sampled_from("xyz"),
        st.sampled_from(["007", "1,5", "$3", "NA", "None", "", " ", "inf"]),
        TEXTS,
        st.just("k"),
        st.none(),
        st.dates().map(str),
    ]
)


@st.composite
def tables(draw: Any) -> Drawn:
    """Columns of one kind each, with gaps; the first is the target."""
    width, rows = draw(st.integers(1, 4)), draw(st.integers(0, 4) | st.integers(15, 40))
    kinds = [
        draw(st.just(kind) | st.just(kind | st.none()))
        for kind in draw(st.lists(KINDS, min_size=width, max_size=width))
    ]
    columns = {
        name: draw(st.lists(kind, min_size=rows, max_size=rows))
        for name, kind in zip(["y", "a", "b", "c"], kinds, strict=False)
    }
    return Drawn(columns, rows)


def learn(drawn: Drawn, format_: Format, task: Task | None) -> Dataset | str:
    """The dataset, or the listed reason why there is none."""
    try:
        return build_dataset(read_source(WRITERS[format_](drawn.columns), format=format_), DATA, task)
    except DataError as error:
        if error.reason not in LISTED:
            raise
        Report(result=error.failure()).to_message()
        return error.reason


def holds(cell: Any) -> bool:
    return cell is not None and bool(str(cell).strip())


TASKS = st.sampled_from([None, *(Task.model_validate({name: {}}) for name in ("classification", "regression"))])


@examples(50, many=400)
@given(tables(), TASKS)
def test_a_table_in_any_format_trains_with_every_row_accounted_for_or_ends_with_a_listed_reason(
    drawn: Drawn, task: Any
) -> None:
    for format_ in WRITERS:
        dataset = learn(drawn, format_, task)
        event(f"{format_}: {dataset if isinstance(dataset, str) else 'trained'}")
        if isinstance(dataset, str):
            continue
        whole = [row for row in zip(*drawn.columns.values(), strict=True) if any(map(holds, row))]
        skips = format_ in {Format.CSV, Format.EXCEL}  # rows without any cell are none there
        assert dataset.rows + dataset.dropped in ({drawn.rows, len(whole)} if skips else {drawn.rows})
        assert dataset.rows == sum(len(side.values) for side in (dataset.train, dataset.validation, dataset.test))
