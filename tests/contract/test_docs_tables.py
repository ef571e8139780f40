"""The messages of docs/tables.md are those that a wrong table gets."""

import gzip
import io
import re
from pathlib import Path
from typing import Any

import numpy as np
import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.support.helm import ROOT

from modelservice.artifact.answers import Answer, Wrong
from modelservice.contract.data import Data, Format
from modelservice.contract.failure import DataError
from modelservice.contract.formats import CSV, Encoding, Excel
from modelservice.contract.task import Task
from modelservice.modalities.base import FileOptions
from modelservice.modalities.data_files import files_of_sides, files_on_disk, side_field
from modelservice.modalities.dataset import build_dataset
from modelservice.modalities.files import inflate, read_bytes
from modelservice.modalities.objects import data_error
from modelservice.modalities.sources import from_frame, read_file, read_files, read_rows, read_source
from modelservice.modalities.table import streamed
from modelservice.modalities.table.csv_file import parse_csv
from modelservice.modalities.table.join import join_tables

TEXT = (ROOT / "docs" / "tables.md").read_text(encoding="utf-8")
SHOWN = dict(re.findall(r"^\| `(\w+)` \| (?:in Python: )?`([^`]+)`", TEXT, re.MULTILINE))
HEADER = "age,region,customer,y\n"
ROWS = "".join(f"{n % 7},{'EU' if n % 2 else 'US'},id{n},{'yes' if n % 3 else 'no'}\n" for n in range(40))


SPLIT_HEADER = "n,customer,day,side,y\n"
SPLIT_ROWS = "".join(f"{n},c{n % 8},2024-05-{1 + n // 2:02},train,{'pq'[n % 3 == 0]}\n" for n in range(48))
WEIGHED_ROWS = "".join(f"{n},1,{'pq'[n % 2]}\n" for n in range(48))
LIMIT = 1 << 20
CLASSIFICATION = Task.model_validate({"classification": {}})


def learn(content: str, *, task: Task | None = None, **settings: Any) -> tuple[str, ...]:
    """Read a table as a training does, and answer with its notes; ``settings`` are those of ``spec.data``."""
    data = Data.model_validate({"configMap": {"name": "d"}, "target": "y", **settings})
    return build_dataset(read_source(content.encode(), format=Format.CSV), data, task).notes


def learn_images(**arrays: Any) -> None:
    """Read images as a training does."""
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    data = Data.model_validate({"configMap": {"name": "d"}, "target": "y"})
    build_dataset(read_source(buffer.getvalue(), format=Format.NPZ), data)


def classes(count: int) -> str:
    return "a,y\n" + "".join(f"{n},c{n}\n{n},c{n}\n" for n in range(count))


WRONG: dict[str, tuple[str, dict[str, Any]]] = {
    "TargetNotFound": ("age,region,Churned\n1,EU,x\n", {"target": "churned"}),
    "FeatureNotFound": ("age,region,y\n1,EU,x\n2,EU,x\n3,EU,z\n4,EU,z\n", {"features": ("Age ",)}),
    "NotANumber": (f"{HEADER}{ROWS}old,EU,x,yes\n", {}),
    "RaggedRow": (f"{HEADER}{ROWS}1,EU,x,1,yes\n", {}),
    "StrayQuote": (f'{HEADER}{ROWS}1,"EU,x,yes\n', {}),
    "SeparatorNotClear": ("a;b|y\n1;2|x\n", {}),
    "DuplicateColumn": ("a,a,y\n1,2,x\n", {}),
    "EmptyTable": (HEADER, {}),
    "EmptyTarget": ("a,y\n1,\n2,\n", {}),
    "SingleClass": ("a,y\n1,x\n2,x\n", {}),
    "ClassTooSmall": ("a,y\n1,x\n2,x\n3,z\n", {}),
    "TooFewRows": ("a,y\n1,x\n1,x\n3,z\n3,z\n", {}),
    "ContinuousTarget": ("a,y\n1,0.5\n2,1.5\n3,2\n", {"task": CLASSIFICATION}),
    "SingleValue": ("a,y\n1,3.0\n2,3\n3,3\n", {"task": Task.model_validate({"regression": {}})}),
    "NarrowTarget": ("a,y\n" + "".join(f"{n},{1_700_000_000 + n % 2}.5\n" for n in range(10)), {}),
    "TooManyClasses": (classes(101), {}),
    "TooManyCategories": ("a,y\n" + "".join(f"t{n},x\nt{n},z\n" for n in range(1001)), {}),
    "TooManyColumns": (",".join(f"c{n}" for n in range(4097)) + "\n1\n", {}),
    "NoFeatures": ("a,y\n" + "".join(f"id{n},{'x' if n % 2 else 'z'}\n" for n in range(20)), {}),
    "NotABoolean": (
        "smoker,y\n" + "".join(f"{'yn'[n % 2]},{'xz'[n % 3 == 0]}\n" for n in range(40)) + "perhaps,x\n",
        {"columns": {"smoker": {"type": "Boolean"}}},
    ),
    "NotADate": (
        "seen,y\n" + "".join(f"2024-01-{n % 28 + 1},{'xz'[n % 3 == 0]}\n" for n in range(40)) + "2024-02-31,x\n",
        {},
    ),
    "DateNotClear": (
        "seen,y\n" + "".join(f"01/{n % 12 + 2:02}/2024,{'xz'[n % 3 == 0]}\n" for n in range(11)),
        {"columns": {"seen": {"type": "Date"}}},
    ),
    "ColumnNotFound": (
        "age,zip,y\n1,0101,x\n2,0102,x\n3,0101,z\n4,0102,z\n",
        {"columns": {"Zip": {"type": "Category"}}},
    ),
    # The API tells names apart that Unicode composes in two ways, a table does not.
    "ColumnNotClear": (
        "age,\u00f6\n1,x\n2,x\n3,z\n4,z\n",
        {"target": "\u00f6", "columns": {"o\u0308": {"type": "Category"}}},
    ),
    "SplitCellEmpty": (f"{SPLIT_HEADER}{SPLIT_ROWS}1,,1,test,p\n", {"split": {"groupBy": "customer"}}),
    "NotATime": (f"{SPLIT_HEADER}{SPLIT_ROWS}1,c,1 May,test,p\n", {"split": {"timeColumn": "day"}}),
    "NotASide": (f"{SPLIT_HEADER}{SPLIT_ROWS}1,c,1,later,p\n", {"split": {"column": "side"}}),
    "SideEmpty": (
        "n,customer,y\n" + "".join(f"{n},c{n % 2},p{n % 2}\n" for n in range(9)),
        {"split": {"groupBy": "customer"}},
    ),
    "ClassUntrained": (
        "n,day,y\n" + "".join(f"{n},{n},{'pq'[n % 2] if n < 18 else 'new'}\n" for n in range(20)),
        {"split": {"timeColumn": "day"}},
    ),
    "NotAPositiveLabel": (
        "n,y\n" + "".join(f"{n},{'pq'[n % 2]}\n" for n in range(20)),
        {"task": Task.model_validate({"classification": {"positiveLabel": "yes"}})},
    ),
    "NotAWeight": (f"n,w,y\n{WEIGHED_ROWS}1,-1,p\n", {"sampleWeight": "w"}),
    "NoWeight": (f"n,w,y\n{WEIGHED_ROWS.replace(',1,', ',0,')}", {"sampleWeight": "w"}),
    "NotATable": ('a,y\n"' + "1" * 200_000 + '",x\n1\n', {}),
}


@pytest.mark.parametrize("reason", WRONG)
def test_a_wrong_table_is_answered_as_shown(reason: str) -> None:
    content, settings = WRONG[reason]
    with pytest.raises(DataError) as refused:
        learn(content, **settings)
    assert refused.value.reason == reason
    assert refused.value.message.startswith(SHOWN[reason].removesuffix("..."))


@pytest.mark.parametrize(
    ("reason", "wrong"), [("DataForbidden", Wrong.RIGHTS), ("DataSettingsInvalid", Wrong.SETTINGS)]
)
def test_what_a_store_refuses_is_answered_as_shown(reason: str, wrong: Wrong) -> None:
    refused = data_error("s3://tables/train.csv", Answer(wrong, "no"))
    assert refused.reason == reason
    assert refused.message.startswith(SHOWN[reason].removesuffix("..."))


def test_files_and_frames_are_answered_as_shown(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=re.escape(SHOWN["NotUTF8"].removesuffix("..."))):
        parse_csv(f"{HEADER}{ROWS}".encode() + "1,grün,x,yes\n".encode("latin-1"))
    with pytest.raises(DataError, match=re.escape(SHOWN["NotInEncoding"].removesuffix("..."))):
        parse_csv(f"{HEADER}{ROWS}".encode() + b"1,x\x81,x,yes\n", CSV(encoding=Encoding.WINDOWS_1252))
    with pytest.raises(DataError, match=re.escape(SHOWN["SeparatorNotFound"].removesuffix("..."))):
        parse_csv(f"{HEADER}{ROWS}".encode(), CSV(separator=";"))
    with pytest.raises(DataError, match=re.escape(SHOWN["OptionNotForFormat"].removesuffix("..."))):
        read_source(b"", format=Format.NPZ, options=FileOptions(csv=CSV(separator=";")))
    with pytest.raises(DataError, match=re.escape(SHOWN["DamagedGzip"].removesuffix("..."))):
        inflate(gzip.compress(ROWS.encode())[:50], limit=LIMIT)
    with pytest.raises(DataError, match=re.escape(SHOWN["DataNotFound"].removeprefix("..."))):
        read_bytes(tmp_path / "train.csv", limit=LIMIT)
    with pytest.raises(DataError, match=re.escape(SHOWN["NotAValue"].removesuffix("..."))):
        from_frame({"a": ["x", "y", "z", [1, 2]]})
    with pytest.raises(DataError, match=re.escape(SHOWN["DataTooLarge"]).replace("1073741824", "4")):
        inflate(b"a,y\n1,x\n", limit=4)


PIXELS = np.arange(60 * 4 * 6).reshape(60, 4, 6)
IMAGES = PIXELS.astype(np.uint8)
LABELS = np.arange(60) % 3
WRONG_ARRAYS: dict[str, dict[str, Any]] = {
    "NotAnArray": {"X": IMAGES, "y": LABELS.astype(object)},
    "NotImages": {"X": PIXELS, "y": LABELS},
    "NotATarget": {"X": IMAGES, "y": np.eye(60)},
    "FeaturesNotClear": {"X": IMAGES, "m": LABELS, "y": LABELS},
    "LengthsDiffer": {"X": IMAGES, "y": LABELS[:50]},
}


@pytest.mark.parametrize("reason", WRONG_ARRAYS)
def test_wrong_arrays_are_answered_as_shown(reason: str) -> None:
    with pytest.raises(DataError) as refused:
        learn_images(**WRONG_ARRAYS[reason])
    assert refused.value.reason == reason
    assert refused.value.message.startswith(SHOWN[reason].removesuffix("..."))


def test_wrong_archives_are_answered_as_shown() -> None:
    with pytest.raises(DataError, match=re.escape(SHOWN["NotNPZ"].removesuffix("..."))):
        read_source(b"a,y\n1,2\n", format=Format.NPZ)
    buffer = io.BytesIO()
    np.savez(buffer, X=IMAGES, y=LABELS)
    damaged = buffer.getvalue().replace(b"NUMPY", b"DUMMY", 1)
    data = Data.model_validate({"configMap": {"name": "d"}, "target": "y"})
    with pytest.raises(DataError, match=re.escape(SHOWN["DamagedNPZ"].removesuffix("..."))):
        build_dataset(read_source(damaged, format=Format.NPZ), data)


@pytest.mark.parametrize(
    ("name", "labels"),
    [("species", ["a", "b", "c"] * 4), ("digit", range(10)), ("mpg", [n + 0.5 for n in range(10)])],
)
def test_the_task_is_said_as_shown(name: str, labels: Any) -> None:
    table = f"a,{name}\n" + "".join(f"{n},{label}\n" for n, label in enumerate([*labels] * 4))
    notes = learn(table, target=name)
    assert f"`{notes[0]}`" in TEXT


def test_wrong_files_are_answered_as_shown() -> None:
    parquet = io.BytesIO()
    pq.write_table(pa.table({"tags": [["a"]], "y": [1]}), parquet)
    book = openpyxl.Workbook()
    book.active.title = "Sales"
    book.create_sheet("Notes")
    buffer = io.BytesIO()
    book.save(buffer)
    excel = buffer.getvalue()
    options = FileOptions(excel=Excel(sheet="sales"))
    for reason, content, format_, given in (
        ("NotJSON", b'{"a": 1}\n' * 41 + b'{"a": 1', Format.JSON_LINES, FileOptions()),
        ("NotParquet", b"a,y\n1,2\n", Format.PARQUET, FileOptions()),
        ("DamagedParquet", parquet.getvalue()[:-9], Format.PARQUET, FileOptions()),
        ("NotExcel", b"a,y\n1,2\n", Format.EXCEL, FileOptions()),
        ("DamagedExcel", excel[:-30], Format.EXCEL, FileOptions()),
        ("SheetNotFound", excel, Format.EXCEL, options),
    ):
        with pytest.raises(DataError) as refused:
            read_source(content, format=format_, options=given)
        assert refused.value.reason == reason
        assert refused.value.message.startswith(SHOWN[reason].removesuffix("..."))
    tables = {name: parse_csv(content) for name, content in (("a.csv", b"age,y\n1,2\n"), ("b.csv", b"y\n1\n"))}
    with pytest.raises(DataError, match=re.escape(SHOWN["FilesDiffer"].removesuffix("..."))):
        join_tables(tables, field="spec.data")
    data = Data.model_validate({"configMap": {"name": "d"}, "target": "tags"})
    with pytest.raises(DataError, match=re.escape("column tags holds list<element: string>, ")) as refused:
        build_dataset(read_source(parquet.getvalue(), format=Format.PARQUET), data)
    assert refused.value.reason == "NotAColumn"
    lines = b'{"tags": 1}\n{"tags": [2]}\n'
    with pytest.raises(DataError, match=re.escape(SHOWN["NotAColumn"].removesuffix("..."))):
        build_dataset(read_source(lines, format=Format.JSON_LINES), data)
    with pytest.raises(DataError, match="the file is a Parquet file, and no CSV: name it") as refused:
        read_source(parquet.getvalue(), format=Format.CSV)
    said = refused.value.message
    assert f"`{said}`" in " ".join(TEXT.split())


def test_a_file_on_two_sides_is_answered_as_shown(tmp_path: Path) -> None:
    path = tmp_path / "test.csv"
    files = files_on_disk(path, field="spec.data.persistentVolumeClaim.path")
    files += files_of_sides({"test": path}, lambda one, side: files_on_disk(one, field=side_field(side)))
    with pytest.raises(DataError, match=re.escape(SHOWN["FileOnTwoSides"])):
        read_files(files, format=Format.CSV)


def test_what_a_table_that_is_not_held_cannot_is_answered_as_shown(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"w": [1.0, 2.0], "y": ["a", "b"]}), path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(streamed, "MAX_HELD", 0)
        source = read_file(path, format=Format.PARQUET)
    data = Data.model_validate({"configMap": {"name": "d"}, "target": "y", "sampleWeight": "w"})
    with pytest.raises(DataError, match=re.escape(SHOWN["TableNotHeld"])):
        read_rows(source, data, None)


def test_every_shown_message_is_tested() -> None:
    elsewhere = {
        "TableNotHeld",
        "DataForbidden",
        "DataSettingsInvalid",
        "ThresholdNotClear",
        "TooFewToCalibrate",
        "TooFewForFolds",
        "NotNPZ",
        *("DamagedArchive", "UnsafeArchive", "NoPictures", "NotInClassFolder", "NotAPicture", "SizesDiffer"),
        *("MetadataInvalid", "TextTooLong"),
        "DamagedNPZ",
        "NotUTF8",
        "NotInEncoding",
        "SeparatorNotFound",
        "OptionNotForFormat",
        "NotAColumn",
        "FilesDiffer",
        "FileOnTwoSides",
        "NotJSON",
        "NotParquet",
        "DamagedParquet",
        "NotExcel",
        "DamagedExcel",
        "SheetNotFound",
        "DamagedGzip",
        "DataNotFound",
        "NotAValue",
        "DataTooLarge",
    }
    assert SHOWN.keys() == WRONG.keys() | WRONG_ARRAYS.keys() | elsewhere


def test_what_is_left_out_is_said_as_shown() -> None:
    header = "age,,unit,remark,customer,y\n"
    table = "".join(f"{n % 7},q,kg,,id{n},{'yes' if n % 3 else 'no'}\n" for n in range(40))
    block = TEXT.partition("Left out by themselves")[2].split("```")[1]
    shown = {re.split(r"\s{2,}", line)[0] for line in block.strip().splitlines()}
    assert set(learn(f"{header}{table}1,q,kg,,k,\n")[1:]) == shown


@pytest.mark.parametrize("cell", ["5.1", "+3", "1e-3", ".5", "", "NA", "n/a", "NaN", "null", "None"])
def test_cells_that_a_column_of_numbers_may_hold(cell: str) -> None:
    learn(f"{HEADER}{ROWS}{cell},EU,x,yes\n")


@pytest.mark.parametrize("cell", ["inf", '"1,5"', "0x10", "12 kg", "1e101"])
def test_cells_that_a_column_of_numbers_may_not_hold(cell: str) -> None:
    with pytest.raises(DataError, match="line 42, column age"):
        learn(f"{HEADER}{ROWS}{cell},EU,x,yes\n")
