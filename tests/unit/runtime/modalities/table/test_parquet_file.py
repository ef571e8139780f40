"""Parquet: each type of column is read as what it says, or named as unreadable; no damaged file is half read."""

import datetime
import decimal
import io
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelservice.contract.failure import DataError
from modelservice.modalities.table import parquet_file, table
from modelservice.modalities.table.parquet_file import parse_parquet

NOON = datetime.datetime(2024, 1, 5, 12, 30)  # noqa: DTZ001 - columns have no zone
ZONE = datetime.timezone(datetime.timedelta(hours=1))


def written(table_: Any, **options: Any) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(table_, buffer, **options)
    return buffer.getvalue()


def column(array: pa.Array) -> list[Any]:
    return list(parse_parquet(written(pa.table({"a": array}))).columns["a"].to_pylist())


@pytest.mark.parametrize(
    ("array", "cells"),
    [
        (pa.array([1, None, 3], pa.int8()), [1, None, 3]),
        (pa.array([2**63 - 1, None], pa.int64()), [2**63 - 1, None]),
        (pa.array([2**64 - 1], pa.uint64()), [2**64 - 1]),
        (pa.array([1.5, float("nan"), None]), [1.5, None, None]),
        (pa.array([np.float32(0.5)], pa.float32()), [0.5]),
        (pa.array(["a", "", None]), ["a", "", None]),
        (pa.array(["a"], pa.large_string()), ["a"]),
        (pa.array(["b", "a", None, "b"]).dictionary_encode(), ["b", "a", None, "b"]),
        (pa.array([True, False, None]), ["True", "False", None]),
        (pa.array([decimal.Decimal("5.10"), None], pa.decimal128(12, 2)), ["5.1", None]),
        (pa.array([decimal.Decimal(10**37)], pa.decimal128(38, 0)), [str(10**37)]),
        (pa.array([datetime.date(2024, 1, 5)]), ["2024-01-05"]),
        (pa.array([NOON, None], pa.timestamp("s")), ["2024-01-05T12:30:00", None]),
        (pa.array([NOON], pa.timestamp("ns")), ["2024-01-05T12:30:00"]),
        (pa.array([NOON.replace(microsecond=120_000)], pa.timestamp("us")), ["2024-01-05T12:30:00.12"]),
        (pa.array([NOON.replace(tzinfo=ZONE)], pa.timestamp("us", tz="Europe/Berlin")), ["2024-01-05T11:30:00Z"]),
        (pa.array([datetime.time(9, 5)], pa.time64("us")), ["09:05:00"]),
        (pa.nulls(2), [None, None]),
    ],
)
def test_a_cell_is_a_number_or_a_text(array: Any, cells: list[Any]) -> None:
    assert column(array) == cells


@pytest.mark.parametrize(
    ("array", "type_"),
    [
        (pa.array([[1], []]), "list<element: int64>"),
        (pa.array([{"x": 1}, None]), "struct<x: int64>"),
        (pa.array([b"x", b"y"]), "binary"),
        (pa.array([1, 2], pa.duration("us")), "duration[us]"),
    ],
)
def test_what_is_no_cell_is_named(array: Any, type_: str) -> None:
    read = parse_parquet(written(pa.table({"a": array, "b": [1, 2]})))
    assert list(read.columns) == ["b"]
    assert read.unreadable == {"a": f"column a holds {type_}, and a cell holds one number, text, date or time"}


def test_the_index_of_a_frame_is_no_column() -> None:
    buffer = io.BytesIO()
    pd.DataFrame({"a": [1, 2], " b": ["x", "y"]}, index=[7, 9]).to_parquet(buffer)
    read = parse_parquet(buffer.getvalue())
    assert list(read.columns) == ["a", "b"]
    assert read.notes == ("ignored column __index_level_0__: it is the index of a pandas frame",)
    assert read.place(1) == "row 1"


def test_a_column_without_a_name_is_left_out() -> None:
    read = parse_parquet(written(pa.table({"": [1], "a": [2]})))
    assert (list(read.columns), read.notes) == (["a"], ("ignored column 1: it has no name",))


WHOLE = written(pa.table({"a": list(range(1000)), "b": ["x", "y"] * 500}))


@pytest.mark.parametrize(
    ("content", "reason", "words"),
    [
        (b"a,b\n1,2\n", "NotParquet", "the file is no Parquet file, which begins with PAR1: correct its name"),
        (b"", "NotParquet", "the file is no Parquet file"),
        (b"PARE" + WHOLE[4:], "NotATable", "the file is an encrypted Parquet file"),
        (WHOLE[:-1], "DamagedParquet", "the Parquet file is cut off, since it does not end with PAR1: copy it again"),
        (WHOLE[: len(WHOLE) // 2], "DamagedParquet", "cut off"),
        (b"PAR1PAR1", "DamagedParquet", "the Parquet file is damaged: "),
        (WHOLE[:40] + bytes(200) + WHOLE[240:], "DamagedParquet", "the Parquet file is damaged: "),
        (written(pa.table({"a": pa.array([], pa.int64())})), "EmptyTable", "the table has no rows"),
        (written(pa.table({})), "EmptyTable", "the table has no rows"),
        (
            written(pa.table([pa.array([1]), pa.array([2])], names=["a", "a "])),
            "DuplicateColumn",
            "two columns are named 'a'",
        ),
        (
            written(pa.table([pa.array([1])] * 4097, names=[f"c{n}" for n in range(4097)])),
            "TooManyColumns",
            "4097 columns",
        ),
    ],
)
def test_what_is_no_table_is_refused(content: bytes, reason: str, words: str) -> None:
    with pytest.raises(DataError) as caught:
        parse_parquet(content)
    assert caught.value.reason == reason
    assert words in caught.value.message


def test_bytes_that_are_no_text_are_refused() -> None:
    broken = pa.Array.from_buffers(
        pa.string(), 1, [None, pa.py_buffer(np.array([0, 1], np.int32)), pa.py_buffer(b"\xff")]
    )
    with pytest.raises(DataError, match="column a holds bytes that are not UTF-8 text") as caught:
        parse_parquet(written(pa.table({"a": broken})))
    assert caught.value.reason == "NotUTF8"


def test_a_small_file_of_a_large_table_is_refused_before_it_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    repeated = written(pa.table({"a": pa.array(["x" * 1000] * 5000)}), compression="zstd")
    assert len(repeated) < 5000
    monkeypatch.setattr(parquet_file, "MAX_TEXT", 10**6)
    with pytest.raises(DataError, match="column a has more than 1000000 bytes: give fewer rows"):
        parse_parquet(repeated)
    monkeypatch.setattr(parquet_file, "MAX_INFLATED", 2000)
    with pytest.raises(DataError, match="the table inflates to more than 2000 bytes"):
        parse_parquet(WHOLE)
    monkeypatch.setattr(table, "MAX_CELLS", 1999)
    with pytest.raises(DataError, match="more than 1999 cells, in 1000 rows of 2 columns"):
        parse_parquet(WHOLE)


def test_row_groups_and_their_dictionaries_are_one_column() -> None:
    texts = [f"t{n % 7}" for n in range(100)]
    read = parse_parquet(written(pa.table({"a": texts, "b": list(range(100))}), row_group_size=9))
    assert read.columns["a"].to_pylist() == texts
    assert read.columns["b"].to_pylist() == list(range(100))


@given(st.integers(0, len(WHOLE) - 1), st.binary(min_size=1, max_size=8))
def test_a_damaged_file_is_read_whole_or_refused(at: int, noise: bytes) -> None:
    content = WHOLE[:at] + noise + WHOLE[at + len(noise) :]
    try:
        read = parse_parquet(content)
    except DataError as error:
        if error.reason not in {"DamagedParquet", "NotParquet", "NotUTF8", "DataTooLarge", "EmptyTable", "NotATable"}:
            raise
        return
    assert len({len(array) for array in read.columns.values()}) <= 1
