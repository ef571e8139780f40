"""Several files are one table, in the order of their names; what does not belong together is named."""

import gzip
import io
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from modelservice.contract.data import Data, Format
from modelservice.contract.failure import DataError
from modelservice.modalities import files
from modelservice.modalities.dataset import build_dataset
from modelservice.modalities.files import matching
from modelservice.modalities.sources import read_file
from modelservice.modalities.table import table
from modelservice.modalities.table.csv_file import parse_csv
from modelservice.modalities.table.join import join_tables
from modelservice.modalities.table.json_lines import parse_json_lines
from modelservice.modalities.table.parquet_file import parse_parquet

DATA = Data.model_validate({"configMap": {"name": "d"}, "target": "y"})
ROWS = [f"{n % 7},{'EU' if n % 3 else 'US'},{'pq'[n % 2]}\n" for n in range(60)]


def parquet(**columns: Any) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns), buffer)
    return buffer.getvalue()


def write(folder: Path) -> None:
    """The rows in three files, whose names come in this order; one has its columns in another, one is packed."""
    (folder / "2026-01.csv").write_text("a,b,y\n" + "".join(ROWS[:20]))
    moved = (",".join([cells[1], cells[0], cells[2]]) for cells in (row.split(",") for row in ROWS[20:40]))
    (folder / "2026-02.csv").write_text("b,a,y\n" + "".join(moved))
    (folder / "2026-10.csv").write_bytes(gzip.compress(("a,b,y\n" + "".join(ROWS[40:])).encode()))
    (folder / "2025-12.txt").write_text("no table")
    (folder / ".2026-03.csv").write_text("hidden")
    (folder / "2026-11.csv").mkdir()


def test_files_are_the_table_that_their_rows_make_in_one(tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()
    write(tmp_path / "files")
    (tmp_path / "whole.csv").write_text("a,b,y\n" + "".join(ROWS))
    whole = build_dataset(read_file(tmp_path / "whole.csv", format=Format.CSV), DATA)
    several = build_dataset(read_file(tmp_path / "files" / "2026-*.csv", format=Format.CSV), DATA)
    assert (several.rows, several.labels, several.preprocessing) == (60, whole.labels, whole.preprocessing)
    for side in ("train", "validation", "test"):
        np.testing.assert_array_equal(getattr(several, side).features, getattr(whole, side).features)
    assert "read 3 files, 2026-01.csv the first and 2026-10.csv the last" in several.notes


def test_another_file_and_another_content_are_another_digest(tmp_path: Path) -> None:
    digests = []
    for name, content in (("a.csv", "a,y\n1,p\n"), ("b.csv", "a,y\n2,q\n"), ("b.csv", "a,y\n3,q\n")):
        (tmp_path / name).write_text(content)
        digests.append(read_file(tmp_path / "*.csv", format=Format.CSV).sha256)
    assert len(set(digests)) == 3


def test_a_file_of_that_very_name_is_that_file(tmp_path: Path) -> None:
    (tmp_path / "a*.csv").write_text("a,y\n1,p\n")
    (tmp_path / "ab.csv").write_text("a,y\n2,q\n")
    assert not any("read 2 files" in note for note in read_file(tmp_path / "a*.csv", format=Format.CSV).table.notes)  # type: ignore[attr-defined]


def test_only_a_star_means_more_than_itself(tmp_path: Path) -> None:
    for name in ("a[1].csv", "a1.csv", "a?.csv", "a\nb.csv"):
        (tmp_path / name).write_text("")
    assert [one.name for one in matching(tmp_path / "a[1*")] == ["a[1].csv"]
    assert [one.name for one in matching(tmp_path / "a?*")] == ["a?.csv"]
    assert [one.name for one in matching(tmp_path / "*")] == ["a\nb.csv", "a1.csv", "a?.csv", "a[1].csv"]


def test_files_that_are_not_there_or_too_many_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for pattern, words in (
        (tmp_path / "*.csv", r"no file is named .*\*\.csv"),
        (tmp_path / "no" / "*", "No such file"),
    ):
        with pytest.raises(DataError, match=words) as caught:
            read_file(pattern, format=Format.CSV, field="spec.data.persistentVolumeClaim.path")
        assert (caught.value.reason, caught.value.field) == ("DataNotFound", "spec.data.persistentVolumeClaim.path")
    monkeypatch.setattr(files, "MAX_FILES", 2)
    for name in "abc":
        (tmp_path / name).write_text("")
    with pytest.raises(DataError, match=r"3 files are named .* at most 2 are read") as caught:
        matching(tmp_path / "*")
    assert caught.value.reason == "DataTooLarge"


def test_an_error_names_the_file(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("a,y\n1,p\n")
    (tmp_path / "b.csv").write_text("a,y\n1,p,3\n")
    with pytest.raises(DataError, match=r"^b\.csv: line 2 has 3 values") as caught:
        read_file(tmp_path / "*.csv", format=Format.CSV)
    assert (caught.value.reason, caught.value.field) == ("RaggedRow", "spec.data")


def test_a_cell_that_is_wrong_is_named_with_its_file(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("a,y\n" + "1,p\n2,q\n" * 20)
    (tmp_path / "b.csv").write_text("a,y\n" + "1,p\n2,q\n" * 20 + "old,p\n")
    with pytest.raises(DataError, match=r"b\.csv, line 42, column a: 'old' is not a number"):
        build_dataset(read_file(tmp_path / "*.csv", format=Format.CSV), DATA)


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (b"a,y\n1,2\n", "b.csv has no column 'b', which a.csv has: give all files the same columns"),
        (b"a,b,c,y\n1,2,3,4\n", "a.csv has no column 'c', which b.csv has"),
        (b"a;b;y\n1;2;3\n", "columns are separated by ';' in b.csv and by ',' in a.csv"),
    ],
)
def test_files_that_differ_are_refused(other: bytes, words: str) -> None:
    with pytest.raises(DataError) as caught:
        join_tables({"a.csv": parse_csv(b"a,b,y\n1,2,3\n"), "b.csv": parse_csv(other)}, field="spec.data")
    assert caught.value.reason == "FilesDiffer"
    assert words in caught.value.message


def test_files_of_images_are_refused(tmp_path: Path) -> None:
    for name in ("a.npz", "b.npz"):
        np.savez(tmp_path / name, X=np.zeros((3, 4, 4), np.uint8), y=np.arange(3))
    with pytest.raises(DataError, match="several files of images cannot be read") as caught:
        read_file(tmp_path / "*.npz", format=Format.NPZ)
    assert caught.value.reason == "FilesDiffer"


def test_a_column_that_has_another_type_elsewhere_keeps_all_digits() -> None:
    read = join_tables(
        {
            "a": parse_parquet(parquet(a=[2**62 + 1, None], b=[1, 2], c=pa.nulls(2))),
            "b": parse_parquet(parquet(a=[0.5, 2.0], b=["x", "y"], c=["z", None])),
        },
        field="spec.data",
    )
    assert {name: column.to_pylist() for name, column in read.columns.items()} == {
        "a": [str(2**62 + 1), None, "0.5", "2"],
        "b": ["1", "2", "x", "y"],
        "c": [None, None, "z", None],
    }
    assert [read.place(row) for row in range(4)] == ["a, row 0", "a, row 1", "b, row 0", "b, row 1"]


def test_a_column_that_one_file_makes_unreadable_is_so_in_all() -> None:
    good, bad = b'{"a": 1, "b": 2}\n', b'{"a": 1, "b": [2]}\n'
    tables = {name: parse_json_lines(content) for name, content in (("x", good), ("y", bad), ("z", bad))}
    read = join_tables(tables, field="spec.data")
    assert list(read.columns) == ["a"]
    assert read.unreadable == {"b": "y: line 1, column b: it holds a list, and a cell holds one value"}


def test_what_is_said_of_files_is_said_once(monkeypatch: pytest.MonkeyPatch) -> None:
    contents = (b"a;y\n1;2\n", b'a;y\n"1\n";2\n', b'a;y\n"1\n";2\n')
    tables = {f"f{n}": parse_csv(content) for n, content in enumerate(contents)}
    assert join_tables(tables, field="spec.data").notes == (
        "read 3 files, f0 the first and f2 the last",
        "columns are separated by semicolons",
        "1 quoted cells hold line breaks, the first on line 2, in f1 and 1 more",
    )
    many = {f"f{n}": parse_csv(b"a;y\n" + b"1;2\n" * n + b'"x\n";3\n') for n in range(30)}
    notes = join_tables(many, field="spec.data").notes
    assert (len(notes), notes[-1]) == (22, "11 more notes of single files")
    monkeypatch.setattr(table, "MAX_CELLS", 5)
    with pytest.raises(DataError, match="more than 5 cells, in 3 rows of 2 columns"):
        join_tables(tables, field="spec.data")
