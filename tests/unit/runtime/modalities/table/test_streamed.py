"""A table that is read piece by piece is the table that it would be if it were held."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelservice.cells import Missing
from modelservice.contract.data import Data, Format
from modelservice.contract.documents import Document
from modelservice.contract.failure import DataError, PassingError
from modelservice.contract.task import Task
from modelservice.modalities.base import Dataset, Side
from modelservice.modalities.dataset import Divided, divide_rows
from modelservice.modalities.sources import read_file, read_rows
from modelservice.modalities.split import TEST, TRAIN, VALIDATION
from modelservice.modalities.table import coded as coded_columns
from modelservice.modalities.table import measuring, parquet_pieces, streamed
from modelservice.modalities.table.coded import CodedColumn
from modelservice.modalities.table.kinds.base import FEWEST_ROWS
from modelservice.modalities.table.kinds.category import CategoricalPreprocessing
from modelservice.modalities.table.streamed import StreamedTable, TableStream
from modelservice.modalities.table.survey import TextCounts

ROWS = 400
SIDES = (("train", TRAIN), ("validation", VALIDATION), ("test", TEST))


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a small table has many of them."""
    monkeypatch.setattr(parquet_pieces, "PIECE_ROWS", 37)


def settings_of(**data: Any) -> Data:
    return Data.model_validate({"uri": "s3://bench/table.parquet", "target": "y", **data})


def write(path: Path, columns: dict[str, Any], *, group: int = 120) -> Path:
    pq.write_table(pa.table(columns), path, row_group_size=group)
    return path


def held_and_streamed(
    path: Path, data: Data, task: Task | None = None
) -> tuple[tuple[Divided, Dataset], tuple[Divided, Dataset]]:
    """The same file as it is read, and as it is read where nothing may be held."""
    held = read_file(path, format=Format.PARQUET)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(streamed, "MAX_HELD", 0)
        source = read_file(path, format=Format.PARQUET)
    assert not isinstance(held, StreamedTable)
    assert isinstance(source, StreamedTable)
    assert source.sha256 == held.sha256
    return read_rows(held, data, task), read_rows(source, data, task)


def stream_of(dataset: Dataset) -> TableStream:
    assert isinstance(dataset.stream, TableStream)
    return dataset.stream


def all_of(sides: Iterator[Side]) -> tuple[np.ndarray, np.ndarray]:
    found = list(sides)
    return np.concatenate([one.features for one in found]), np.concatenate([one.values for one in found])


def mixture(rows: int = ROWS, *, seed: int = 0) -> dict[str, Any]:
    """A column of each kind that a Parquet file of typed columns holds, with gaps."""
    draw = np.random.default_rng(seed)
    gaps = draw.random(rows) < 0.1
    number = draw.normal(3, 2, rows)
    return {
        "number": pa.array(number, mask=gaps),
        "single": pa.array(draw.normal(size=rows).astype(np.float32)),
        "whole": pa.array(draw.integers(-5, 5, rows)),
        "text": pa.array([["north", "south", "east", None][code] for code in draw.integers(0, 4, rows)]),
        "rare": pa.array([f"r{code}" if code < 5 else "usual" for code in draw.integers(0, 60, rows)]),
        "flag": pa.array((draw.random(rows) < 0.3).tolist()),
        "day": pa.array(np.datetime64("2024-01-01") + draw.integers(0, 300, rows)),
        "price": pa.array([f"${value:,.2f}" for value in draw.uniform(1, 9000, rows)]),
        "constant": pa.array([1.5] * rows),
        "empty": pa.array([None] * rows, pa.float64()),
        "id": pa.array([f"k{row}" for row in range(rows)]),
        "y": pa.array([["no", "yes", None][code] for code in (number > 3).astype(int) + (draw.random(rows) < 0.05)]),
    }


def test_every_row_is_on_the_side_and_encoded_as_if_the_table_were_held(tmp_path: Path) -> None:
    path = write(tmp_path / "t.parquet", mixture())
    (divided, held), (_, found) = held_and_streamed(path, settings_of())
    stream = stream_of(found)
    rows = np.flatnonzero(stream.sides >= 0)
    for name, side in SIDES:
        assert np.array_equal(np.flatnonzero(stream.sides[rows] == side), getattr(divided.split, name))
    assert stream.rows == tuple(len(getattr(divided.split, name)) for name, _ in SIDES)
    assert (found.rows, found.dropped, found.features) == (held.rows, held.dropped, held.features)
    assert found.rows + found.dropped == ROWS
    assert [column.name for column in found.inputs] == [column.name for column in held.inputs]
    features, values = all_of(stream.test())
    np.testing.assert_allclose(features, held.test.features, rtol=1e-5, atol=1e-6)
    assert np.array_equal(values, held.test.values)
    assert set(held.notes) <= set(found.notes)


def test_what_is_measured_is_of_all_training_rows(tmp_path: Path) -> None:
    path = write(tmp_path / "t.parquet", mixture())
    (_, held), (_, found) = held_and_streamed(path, settings_of())
    assert to_nine_digits(found.preprocessing) == to_nine_digits(held.preprocessing)


def to_nine_digits(document: Document) -> Any:
    """Sums in another order round differently."""
    return json.loads(document.model_dump_json(), parse_float=lambda text: f"{float(text):.9g}")


NUMBERS = st.floats(-1e6, 1e6, allow_subnormal=False)


@given(
    st.lists(st.tuples(NUMBERS | st.none(), st.sampled_from(["a", "b", "c", None]), st.booleans()), min_size=30),
    st.integers(0, 3),
)
@settings(max_examples=25)
def test_any_rows_are_measured_as_if_they_were_held(
    tmp_path_factory: pytest.TempPathFactory, rows: list[Any], seed: int
) -> None:
    numbers, texts, truths = zip(*rows, strict=True)
    columns = {
        "x": pa.array([None if x is None else float(np.float32(x)) for x in numbers], pa.float32()),
        "t": pa.array(texts, pa.string()),
        "n": pa.array(range(len(rows))),
        "y": pa.array(truths),
    }
    path = write(tmp_path_factory.mktemp("any") / "t.parquet", columns, group=11)
    data = settings_of(split={"seed": seed})
    held, found = (reason_or_dataset(path, data, most) for most in (streamed.MAX_HELD, 0))
    if isinstance(held, str) or isinstance(found, str):  # one class, or a class without three different rows
        assert held == found
        return
    features, values = all_of(stream_of(found).test())
    np.testing.assert_allclose(features, held.test.features, rtol=1e-4, atol=1e-5)
    assert np.array_equal(values, held.test.values)


def reason_or_dataset(path: Path, data: Data, most: int) -> Dataset | str:
    """What comes of a file of which so many bytes may be held, or why nothing does."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(streamed, "MAX_HELD", most)
        source = read_file(path, format=Format.PARQUET)
    try:
        return read_rows(source, data, None)[1]
    except DataError as error:
        return error.reason


def test_a_number_is_predicted_from_a_target_of_more_values_than_are_counted(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    rows = 20_000
    x = draw.normal(size=rows)
    y = pa.array(3 * x + draw.normal(size=rows), mask=draw.random(rows) < 0.01)
    path = write(tmp_path / "t.parquet", {"x": x, "y": y}, group=5000)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parquet_pieces, "PIECE_ROWS", 2**14)
        (divided, held), (_, found) = held_and_streamed(path, settings_of())
        features, values = all_of(stream_of(found).test())
    assert found.task.name == "Regression"
    assert stream_of(found).rows == tuple(len(getattr(divided.split, name)) for name, _ in SIDES)
    np.testing.assert_allclose(features, held.test.features, rtol=1e-5, atol=1e-6)
    assert np.array_equal(values, held.test.values)
    assert found.dropped == held.dropped > 0


def test_what_is_said_of_columns_and_missing_words_holds(tmp_path: Path) -> None:
    columns = mixture()
    columns["whole"] = pa.array([*([-999] * 20), *([7] * 80), *range(300)])
    path = write(tmp_path / "t.parquet", columns)
    data = settings_of(
        missing=["-999", "south"],
        columns={"flag": {"type": "Category"}, "whole": {"type": "Category"}, "price": {"type": "Ignore"}},
        features=["whole", "number", "flag", "constant"],
    )
    (_, held), (_, found) = held_and_streamed(path, data.model_copy(update={"columns": data.columns}))
    assert [column.name for column in found.inputs] == ["whole", "number", "flag", "constant"]
    features, _ = all_of(stream_of(found).test())
    np.testing.assert_allclose(features, held.test.features, rtol=1e-5, atol=1e-6)
    assert set(held.notes) <= set(found.notes)


def test_an_epoch_reads_each_training_row_once_in_an_order_of_its_own(tmp_path: Path) -> None:
    columns = {"x": np.arange(1000.0), "y": [*"ab"] * 500}
    _, (_, found) = held_and_streamed(write(tmp_path / "t.parquet", columns, group=50), settings_of())
    stream = stream_of(found)
    first, again, other = (all_of(stream.training(seed))[0][:, 0] for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert np.array_equal(np.sort(first), np.sort(found.train.features[:, 0]))


def test_many_files_are_one_table(tmp_path: Path) -> None:
    for number in range(3):
        write(tmp_path / f"part{number}.parquet", mixture(seed=number))
    (_, held), (_, found) = held_and_streamed(tmp_path / "part*.parquet", settings_of())
    features, _ = all_of(stream_of(found).test())
    np.testing.assert_allclose(features, held.test.features, rtol=1e-5, atol=1e-6)
    assert set(held.notes) <= set(found.notes)


def test_files_of_other_types_do_not_belong_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "a.parquet", {"x": [1.0, 2.0], "y": ["a", "b"]})
    write(tmp_path / "b.parquet", {"x": ["1", "2"], "y": ["a", "b"]})
    monkeypatch.setattr(streamed, "MAX_HELD", 0)
    with pytest.raises(DataError, match=r"b\.parquet has other columns than a\.parquet") as error:
        read_file(tmp_path / "*.parquet", format=Format.PARQUET)
    assert error.value.reason == "FilesDiffer"


def test_a_row_group_that_is_damaged_ends_with_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "t.parquet", mixture())
    metadata = pq.read_metadata(path).row_group(1).column(0)
    begin = metadata.dictionary_page_offset or metadata.data_page_offset
    content = bytearray(path.read_bytes())
    content[begin : begin + metadata.total_compressed_size] = bytes(metadata.total_compressed_size)
    path.write_bytes(content)
    monkeypatch.setattr(streamed, "MAX_HELD", 0)
    source = read_file(path, format=Format.PARQUET)
    with pytest.raises(DataError, match=r"^the Parquet file is damaged: .*: write it again$") as error:
        read_rows(source, settings_of(), None)
    assert error.value.reason == "DamagedParquet"


def test_a_file_that_is_cut_off_is_told_as_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "t.parquet", mixture())
    second = pq.read_metadata(path).row_group(1).column(0).data_page_offset
    path.write_bytes(path.read_bytes()[: second + 10])
    monkeypatch.setattr(streamed, "MAX_HELD", 0)
    with pytest.raises(DataError, match="the Parquet file is cut off"):
        read_file(path, format=Format.PARQUET)


def test_a_file_that_changes_meanwhile_is_read_again_later(tmp_path: Path) -> None:
    path = write(tmp_path / "t.parquet", mixture())
    _, (_, found) = held_and_streamed(path, settings_of())
    write(path, mixture(seed=1))
    with pytest.raises(PassingError, match=r"t\.parquet was changed while it was read"):
        list(stream_of(found).training(0))


@pytest.mark.parametrize(
    ("data", "task", "field"),
    [
        ({"sampleWeight": "number"}, None, "spec.data.sampleWeight"),
        (
            {"encoder": {"uri": "s3://models/minilm"}, "columns": {"number": {"type": "Encoded"}}},
            None,
            "spec.data.encoder",
        ),
        ({"split": {"groupBy": "id"}}, None, "spec.data.split.groupBy"),
        ({"split": {"folds": 3}}, None, "spec.data.split.folds"),
        ({}, {"classification": {"imbalance": "ClassWeight"}}, "spec.task.classification.imbalance"),
    ],
)
def test_what_needs_all_rows_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: dict[str, Any], task: dict[str, Any] | None, field: str
) -> None:
    monkeypatch.setattr(streamed, "MAX_HELD", 0)
    source = read_file(write(tmp_path / "t.parquet", mixture()), format=Format.PARQUET)
    with pytest.raises(DataError, match="is not held") as error:
        read_rows(source, settings_of(**data), None if task is None else Task.model_validate(task))
    assert (error.value.reason, error.value.field) == ("TableNotHeld", field)
    assert isinstance(source, StreamedTable)
    with pytest.raises(DataError, match="is not held"):
        divide_rows(source, settings_of(), None)


def test_free_texts_are_refused_with_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streamed, "MAX_HELD", 0)
    monkeypatch.setattr("modelservice.modalities.table.survey.MAX_TEXTS", 100)
    source = read_file(write(tmp_path / "t.parquet", mixture()), format=Format.PARQUET)
    with pytest.raises(DataError, match=r"column .* say type Ignore in spec.data.columns") as error:
        read_rows(source, settings_of(), None)
    assert error.value.reason == "TooManyCategories"
    ignored = {name: {"type": "Ignore"} for name in ("price", "id", "day")}
    _, found = read_rows(source, settings_of(columns=ignored), None)
    assert found.stream is not None


def test_an_order_by_the_target_is_said(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    columns: dict[str, Any] = {"x": draw.normal(size=3000), "y": ["a"] * 1500 + ["b"] * 1500}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parquet_pieces, "PIECE_ROWS", 2**14)
        _, (_, ordered) = held_and_streamed(write(tmp_path / "a.parquet", columns, group=3000), settings_of())
        columns["y"] = draw.permutation(columns["y"]).tolist()
        _, (_, mixed) = held_and_streamed(write(tmp_path / "b.parquet", columns, group=3000), settings_of())
    said = "rows that follow each other have similar values of the target"
    assert sum(note.startswith(said) for note in ordered.notes) == 1
    assert not any(note.startswith(said) for note in mixed.notes)


def test_copies_of_few_rows_are_held_as_often_as_different_rows_would_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measuring, "_HELD", dict.fromkeys(measuring._HELD, 4 * 50))
    kinds = np.random.default_rng(0).integers(0, 8, 3000)
    path = write(tmp_path / "t.parquet", {"x": kinds.astype(float), "y": [f"c{kind % 2}" for kind in kinds]})
    _, (divided, dataset) = held_and_streamed(path, settings_of())
    assert sum(stream_of(dataset).rows) == 3000
    for name, _ in SIDES:
        held = getattr(divided.split, name)
        assert len(held) == 50
        assert set(divided.target.values[held].tolist()) == {0, 1}


def test_what_comes_often_enough_to_be_a_category_stays_one_among_many_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of more rows than are measured at once fewer stand for each text, but never so few that it seems rare."""
    texts = TextCounts()
    cells = ["usual"] * 300 + ["seldom"] * FEWEST_ROWS + ["hardly"] * (FEWEST_ROWS - 1) + ["odd"]
    texts.add(pa.array(cells), np.arange(len(cells)))
    coded = CodedColumn.of("t", texts, Missing.of(None), None)
    counts = np.array([300, FEWEST_ROWS, FEWEST_ROWS - 1, 1, 0])
    monkeypatch.setattr(coded_columns, "_FITTED", 100)
    measured = coded.counted(counts).fit()
    assert isinstance(measured, CategoricalPreprocessing)
    assert (measured.categories, measured.rare) == (("seldom", "usual"), ("hardly", "odd"))
