"""Files whose rows are on one side as a whole: held or not, on a disk or in memory, and what is refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from modelservice.contract.data import Data, Format
from modelservice.contract.failure import DataError
from modelservice.modalities.base import Dataset, Source
from modelservice.modalities.data_files import (
    files_in_store,
    files_of_sides,
    files_on_disk,
    named_apart,
    side_field,
)
from modelservice.modalities.dataset import Divided
from modelservice.modalities.objects import open_objects
from modelservice.modalities.sources import from_frame, read_file, read_rows
from modelservice.modalities.split import SIDES_OF_FILES, TEST, TRAIN, VALIDATION
from modelservice.modalities.table import measuring, parquet_pieces, streamed
from modelservice.modalities.table.streamed import StreamedTable, TableStream

ROWS = [(float(n), "pq"[n % 2]) for n in range(120)]


def data_of(*, more: Any = None, **files: str) -> Data:
    claim = {"claimName": "tables", "path": "train.csv"}
    split = {"files": files} if files else {}
    given = {"persistentVolumeClaim": claim, "target": "y", "split": {**split, **(more or {})}}
    return Data.model_validate(given)


def write(path: Path, rows: list[tuple[float, str]], *, columns: tuple[str, str] = ("a", "y")) -> Path:
    path.parent.mkdir(exist_ok=True)
    frame = pd.DataFrame(rows, columns=list(columns))
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pandas(frame, preserve_index=False), path, row_group_size=16)
    else:
        frame.to_csv(path, index=False)
    return path


def read(folder: Path, data: Data, path: str = "train.csv", format: Format = Format.CSV) -> Source:  # noqa: A002
    beside = files_of_sides(
        data.split.given_files, lambda name, side: files_on_disk(folder / name, field=side_field(side))
    )
    return read_file(folder / path, format=format, field="spec.data.persistentVolumeClaim.path", beside=beside)


def learned(folder: Path, data: Data, path: str = "train.csv", format: Format = Format.CSV) -> tuple[Divided, Dataset]:  # noqa: A002
    return read_rows(read(folder, data, path, format), data, None)


def numbers(divided: Divided, side: str) -> list[float]:
    """The cells of column a on a side."""
    (column,) = divided.examples.columns  # type: ignore[attr-defined]
    return [float(value) for value in column.values[getattr(divided.split, side)]]


def test_rows_of_the_test_file_test_and_others_choose_by_their_content(tmp_path: Path) -> None:
    write(tmp_path / "train.csv", ROWS[:80])
    write(tmp_path / "test.csv", ROWS[80:])
    divided, dataset = learned(tmp_path, data_of(test="test.csv"))
    assert numbers(divided, "test") == [float(n) for n in range(80, 120)]
    sides = [len(divided.split.train), len(divided.split.validation)]
    assert sum(sides) == 80
    assert 4 <= sides[1] <= 24
    said = f"split by files: {sides[0]} rows train, {sides[1]} rows validation, 40 rows test"
    assert said in dataset.notes
    assert not any("equal rows" in note for note in dataset.notes)


def test_more_training_rows_move_no_other(tmp_path: Path) -> None:
    write(tmp_path / "test.csv", ROWS[80:])
    chosen = []
    for rows in (50, 80):
        write(tmp_path / "train.csv", ROWS[:rows])
        chosen.append(set(numbers(learned(tmp_path, data_of(test="test.csv"))[0], "validation")))
    assert chosen[0] == {value for value in chosen[1] if value < 50}


@pytest.mark.parametrize(("given", "left"), [("validation", "test"), ("test", "validation")])
def test_a_side_without_files_has_its_share(tmp_path: Path, given: str, left: str) -> None:
    write(tmp_path / "train.csv", ROWS[:100])
    write(tmp_path / "given.csv", ROWS[100:])
    few = learned(tmp_path, data_of(more={left: 0.05}, **{given: "given.csv"}))[0]
    many = learned(tmp_path, data_of(more={left: 0.4}, **{given: "given.csv"}))[0]
    assert set(numbers(few, left)) < set(numbers(many, left))
    assert numbers(few, given) == numbers(many, given) == [float(n) for n in range(100, 120)]


def test_files_for_both_sides_leave_all_rows_of_the_data_to_learn_from(tmp_path: Path) -> None:
    for name, rows in (("train.csv", ROWS[:90]), ("valid.csv", ROWS[90:100]), ("test.csv", ROWS[100:])):
        write(tmp_path / name, rows)
    divided, dataset = learned(tmp_path, data_of(test="test.csv", validation="valid.csv"))
    sides = (divided.split.train, divided.split.validation, divided.split.test)
    assert [len(side) for side in sides] == [90, 10, 20]
    assert "split by files: 90 rows train, 10 rows validation, 20 rows test" in dataset.notes


def test_files_of_one_name_in_two_folders_are_told_apart(tmp_path: Path) -> None:
    for folder, rows in (("train", ROWS[:90]), ("test", ROWS[90:])):
        for part in (0, 1):
            write(tmp_path / folder / f"{part}.csv", rows[part::2])
    data = data_of(test="test/*.csv")
    divided, dataset = learned(tmp_path, data, "train/*.csv")
    assert sorted(numbers(divided, "test")) == [float(n) for n in range(90, 120)]
    assert "read 4 files, train/0.csv the first and test/1.csv the last" in dataset.notes
    (tmp_path / "test" / "1.csv").write_text("a,y\n1,p,3\n")
    with pytest.raises(DataError, match=r"^test/1\.csv: line 2 has 3 values") as refused:
        learned(tmp_path, data, "train/*.csv")
    assert refused.value.field == "spec.data.split.files.test"


def test_what_is_measured_is_of_training_rows(tmp_path: Path) -> None:
    write(tmp_path / "train.csv", ROWS[:80])
    write(tmp_path / "test.csv", [(value + 1e6, label) for value, label in ROWS[80:]])
    dataset = learned(tmp_path, data_of(test="test.csv"))[1]
    assert np.abs(dataset.train.features).max() < 3
    assert dataset.test.features.min() > 100


def test_rows_that_stand_in_training_too_are_said(tmp_path: Path) -> None:
    write(tmp_path / "train.csv", ROWS[:80])
    write(tmp_path / "test.csv", ROWS[68:100])
    notes = learned(tmp_path, data_of(test="test.csv"))[1].notes
    assert "12 test rows equal rows that were learned from" in notes


def streamed_source(folder: Path, data: Data) -> Source:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(streamed, "MAX_HELD", 0)
        source = read(folder, data, "train/*.parquet", Format.PARQUET)
    assert isinstance(source, StreamedTable)
    return source


@pytest.mark.parametrize("files", [("test",), ("validation",), ("test", "validation")])
def test_a_table_that_is_not_held_is_divided_as_if_it_were(
    tmp_path: Path, files: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet_pieces, "PIECE_ROWS", 7)
    for name, rows in (("train/0", ROWS[:45]), ("train/1", ROWS[45:90]), ("validation", ROWS[80:105])):
        write(tmp_path / f"{name}.parquet", rows)
    write(tmp_path / "test.parquet", ROWS[100:])
    data = data_of(**{side: f"{side}.parquet" for side in files})
    divided, held = learned(tmp_path, data, "train/*.parquet", Format.PARQUET)
    source = streamed_source(tmp_path, data)
    _, found = read_rows(source, data, None)
    assert isinstance(found.stream, TableStream)
    for name, side in (("train", TRAIN), ("validation", VALIDATION), ("test", TEST)):
        assert np.array_equal(np.flatnonzero(found.stream.sides == side), getattr(divided.split, name))
    assert found.sha256 == held.sha256
    assert set(held.notes) <= set(found.notes)


def test_copies_in_a_table_that_is_not_held_are_estimated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    many = [(float(n), "pq"[n % 2]) for n in range(4000)]
    monkeypatch.setattr(measuring, "_COMPARED", 1000)
    write(tmp_path / "train" / "0.parquet", many)
    write(tmp_path / "test.parquet", many[2000:])
    data = data_of(test="test.parquet")
    notes = read_rows(streamed_source(tmp_path, data), data, None)[1].notes
    (said,) = (note for note in notes if "equal rows that were learned from" in note)
    about, count, *_ = said.split()
    assert about == "about"
    assert 1500 < int(count) < 2500


def test_frames_are_given_side_by_side() -> None:
    frames = [pd.DataFrame(rows, columns=["a", "y"]) for rows in (ROWS[:80], ROWS[80:100], ROWS[100:])]
    data = data_of(test="test.csv", validation="valid.csv")
    source = from_frame(frames[0], {"validation": frames[1], "test": frames[2]})
    divided = read_rows(source, data, None)[0]
    assert numbers(divided, "validation") == [float(n) for n in range(80, 100)]
    assert numbers(divided, "test") == [float(n) for n in range(100, 120)]
    with pytest.raises(DataError, match="a str is no table") as refused:
        from_frame(frames[0], {"test": "test.csv"})
    assert refused.value.reason == "NotATable"


def test_texts_read_word_by_word_are_divided_by_files_too(tmp_path: Path) -> None:
    texts = [(f"word{n % 7} other{n % 5} more{n}", "pq"[n % 2]) for n in range(120)]
    pd.DataFrame(texts[:90], columns=["note", "y"]).to_csv(tmp_path / "train.csv", index=False)
    pd.DataFrame(texts[90:], columns=["note", "y"]).to_csv(tmp_path / "test.csv", index=False)
    given = data_of(test="test.csv").model_dump(mode="json", exclude_unset=True, by_alias=True)
    data = Data.model_validate({**given, "text": {"column": "note", "vocabulary": 300}})
    assert list(learned(tmp_path, data)[0].split.test) == list(range(90, 120))


REFUSED: dict[str, tuple[dict[str, list[tuple[float, str]]], dict[str, str], str, str, str]] = {
    "a file on two sides": (
        {"train.csv": ROWS, "test.csv": ROWS},
        {"test": "t*.csv"},
        "FileOnTwoSides",
        "spec.data.split.files.test",
        "train.csv is named by spec.data.persistentVolumeClaim.path and by spec.data.split.files.test, and a row",
    ),
    "no such file": (
        {"train.csv": ROWS},
        {"test": "test.csv"},
        "DataNotFound",
        "spec.data.split.files.test",
        "test.csv",
    ),
    "nothing fits": (
        {"train.csv": ROWS},
        {"validation": "valid*.csv"},
        "DataNotFound",
        "spec.data.split.files.validation",
        "no file is named",
    ),
    "no rows with a target": (
        {"train.csv": ROWS, "test.csv": [(1.0, ""), (2.0, "")]},
        {"test": "test.csv"},
        "SideEmpty",
        "spec.data.split.files.test",
        "no row of test.csv has a value in y: fill in some, or name others",
    ),
    "no rows to choose with": (
        {"train.csv": [(1.0, "p"), (1.0, "p")], "test.csv": ROWS},
        {"test": "test.csv"},
        "SideEmpty",
        "spec.data.split.files",
        "the files of training leave no rows for validation: add rows to them",
    ),
    "a class that only tests": (
        {"train.csv": ROWS[:80], "test.csv": [*ROWS[80:], (1.0, "new"), (2.0, "new")]},
        {"test": "test.csv"},
        "ClassUntrained",
        "spec.data",
        "no training row has the class 'new'",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_files_that_cannot_be_a_side_are_refused(tmp_path: Path, case: str) -> None:
    tables, files, reason, field, words = REFUSED[case]
    for name, rows in tables.items():
        write(tmp_path / name, rows)
    with pytest.raises(DataError) as refused:
        learned(tmp_path, data_of(**files))
    assert (refused.value.reason, refused.value.field) == (reason, field)
    assert words in refused.value.message


def test_other_columns_are_refused_with_the_file(tmp_path: Path) -> None:
    write(tmp_path / "train.csv", ROWS)
    write(tmp_path / "test.csv", ROWS, columns=("a", "z"))
    with pytest.raises(DataError, match=r"test\.csv has no column 'y', which train\.csv has") as refused:
        learned(tmp_path, data_of(test="test.csv"))
    assert (refused.value.reason, refused.value.field) == ("FilesDiffer", "spec.data.split.files")


@pytest.mark.parametrize(("path", "format"), [("", Format.IMAGE_FOLDER), ("train.npz", Format.NPZ)])
def test_images_of_several_files_are_refused(tmp_path: Path, path: str, format: Format) -> None:  # noqa: A002
    for name in ("train.npz", "test.npz"):
        np.savez(tmp_path / name, X=np.zeros((6, 4, 4), np.uint8), y=np.arange(6) % 2)
    with pytest.raises(DataError, match="several files of images cannot be read: put all images into one") as refused:
        read(tmp_path, data_of(test="test.npz"), path, format)
    assert (refused.value.reason, refused.value.field) == ("FilesDiffer", "spec.data.split.files")


def test_an_object_of_a_web_server_has_the_name_that_its_address_ends_with() -> None:
    opened = [open_objects(f"https://example.com/{name}.csv") for name in ("train", "test")]
    places = [file for one in opened for file in files_in_store(one)]
    assert [file.name for file in named_apart(places)] == ["train.csv", "test.csv"]
    assert [file.place for file in places] == [one.root for one in opened]


def test_sides_of_files_are_those_of_the_contract() -> None:
    assert list(SIDES_OF_FILES) == list(data_of(test="a", validation="b").split.given_files)
