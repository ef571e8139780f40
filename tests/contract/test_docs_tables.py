"""The messages of docs/tables.md are those that a wrong table gets."""

import gzip
import re
from pathlib import Path

import pytest
from tests.support.helm import ROOT

from modelservice.contract.data import Data
from modelservice.data.csv_file import inflate, parse_csv, read_bytes
from modelservice.data.dataset import build_dataset
from modelservice.data.errors import DataError
from modelservice.data.table import from_frame

TEXT = (ROOT / "docs" / "tables.md").read_text(encoding="utf-8")
SHOWN = dict(re.findall(r"^\| `(\w+)` \| (?:in Python: )?`([^`]+)`", TEXT, re.MULTILINE))
HEADER = "age,region,customer,y\n"
ROWS = "".join(f"{n % 7},{'EU' if n % 2 else 'US'},id{n},{'yes' if n % 3 else 'no'}\n" for n in range(40))


def learn(content: str, *, target: str = "y", features: tuple[str, ...] = ()) -> tuple[str, ...]:
    """Read a table as a training does, and answer with its notes."""
    data = Data.model_validate({"configMap": {"name": "d"}, "target": target, "features": features})
    return build_dataset(parse_csv(content.encode()), data).notes


def classes(count: int) -> str:
    return "a,y\n" + "".join(f"{n},c{n}\n{n},c{n}\n" for n in range(count))


WRONG: dict[str, tuple[str, dict[str, str | tuple[str, ...]]]] = {
    "TargetNotFound": ("age,region,Churned\n1,EU,x\n", {"target": "churned"}),
    "FeatureNotFound": ("age,region,y\n1,EU,x\n", {"features": ("Age ",)}),
    "NotANumber": (f"{HEADER}{ROWS}old,EU,x,yes\n", {}),
    "RaggedRow": (f"{HEADER}{ROWS}1,EU,x,1,yes\n", {}),
    "DuplicateColumn": ("a,a,y\n1,2,x\n", {}),
    "EmptyTable": (HEADER, {}),
    "EmptyTarget": ("a,y\n1,\n2,\n", {}),
    "SingleClass": ("a,y\n1,x\n2,x\n", {}),
    "ClassTooSmall": ("a,y\n1,x\n2,x\n3,z\n", {}),
    "TooFewRows": ("a,y\n1,x\n1,x\n3,z\n3,z\n", {}),
    "ContinuousTarget": ("a,y\n1,0.5\n2,1.5\n3,2\n", {}),
    "TooManyClasses": (classes(101), {}),
    "TooManyCategories": ("a,y\n" + "".join(f"t{n},x\nt{n},z\n" for n in range(1001)), {}),
    "TooManyColumns": (",".join(f"c{n}" for n in range(4097)) + "\n1\n", {}),
    "NoFeatures": ("a,y\n" + "".join(f"id{n},{'x' if n % 2 else 'z'}\n" for n in range(20)), {}),
    "NotATable": ('a,y\n"' + "1" * 200_000 + '",x\n1\n', {}),
}


@pytest.mark.parametrize("reason", WRONG)
def test_a_wrong_table_is_answered_as_shown(reason: str) -> None:
    content, settings = WRONG[reason]
    with pytest.raises(DataError) as refused:
        learn(content, **settings)  # type: ignore[arg-type]  # the keys are those of learn
    assert refused.value.reason == reason
    assert refused.value.message.startswith(SHOWN[reason].removesuffix("..."))


def test_files_and_frames_are_answered_as_shown(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=re.escape(SHOWN["NotUTF8"])):
        parse_csv(f"{HEADER}{ROWS}".encode() + b"1,\xff,x,yes\n")
    with pytest.raises(DataError, match=re.escape(SHOWN["DamagedGzip"].removesuffix("..."))):
        inflate(gzip.compress(ROWS.encode())[:50])
    with pytest.raises(DataError, match=re.escape(SHOWN["DataNotFound"].removeprefix("..."))):
        read_bytes(tmp_path / "train.csv")
    with pytest.raises(DataError, match=re.escape(SHOWN["NotAValue"].removesuffix("..."))):
        from_frame({"a": ["x", "y", "z", [1, 2]]})
    with pytest.raises(DataError, match=re.escape(SHOWN["TableTooLarge"]).replace("1073741824", "4")):
        inflate(b"a,y\n1,x\n", limit=4)


def test_every_shown_message_is_tested() -> None:
    elsewhere = {"NotUTF8", "DamagedGzip", "DataNotFound", "NotAValue", "TableTooLarge"}
    assert SHOWN.keys() == WRONG.keys() | elsewhere


def test_what_is_left_out_is_said_as_shown() -> None:
    header = "age,,unit,remark,customer,y\n"
    table = "".join(f"{n % 7},q,kg,,id{n},{'yes' if n % 3 else 'no'}\n" for n in range(40))
    block = TEXT.partition("Left out by themselves")[2].split("```")[1]
    shown = {re.split(r"\s{2,}", line)[0] for line in block.strip().splitlines()}
    assert set(learn(f"{header}{table}1,q,kg,,k,\n")) == shown


@pytest.mark.parametrize("cell", ["5.1", "+3", "1e-3", ".5", "", "NA", "n/a", "NaN", "null"])
def test_cells_that_a_column_of_numbers_may_hold(cell: str) -> None:
    learn(f"{HEADER}{ROWS}{cell},EU,x,yes\n")


@pytest.mark.parametrize("cell", ["inf", '"1,5"', "0x10", "12 kg", "1e101"])
def test_cells_that_a_column_of_numbers_may_not_hold(cell: str) -> None:
    with pytest.raises(DataError, match="line 42, column age"):
        learn(f"{HEADER}{ROWS}{cell},EU,x,yes\n")
