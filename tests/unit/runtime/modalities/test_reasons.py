"""Whatever a table is, a training of it uses or drops every row, or ends with a reason that docs/tables.md lists."""

import ast
import csv
import io
import re
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from tests.support.cases import check_each
from tests.support.examples import examples

import modelservice
from modelservice.contract.data import Data, Format
from modelservice.contract.exit_codes import ExitCode
from modelservice.contract.failure import DataError
from modelservice.contract.report import Report
from modelservice.contract.task import Task
from modelservice.modalities.dataset import build_dataset
from modelservice.modalities.sources import read_source
from modelservice.modalities.table.encoder import TableEncoder
from modelservice.modalities.table.preprocessing import TablePreprocessing

DOCS = (Path(__file__).parents[4] / "docs" / "tables.md").read_text(encoding="utf-8")
LISTED = frozenset(re.findall(r"^\| `([A-Z]\w+)` \|", DOCS.partition("<!-- reasons -->")[2], re.MULTILINE))


def uttered() -> list[str]:
    """The reasons that stand in the code of modalities and tasks: first argument of DataError, or named reason."""
    found: set[str] = set()
    package = Path(modelservice.__file__).parent
    for path in [*(package / "modalities").rglob("*.py"), *(package / "tasks").rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            given = [keyword.value for keyword in node.keywords if keyword.arg == "reason"]
            if isinstance(node.func, ast.Name) and node.func.id == "DataError":
                given += node.args[:1]
            found |= {
                value.value for value in given if isinstance(value, ast.Constant) and isinstance(value.value, str)
            }
    return sorted(found)


def test_reasons_are_found() -> None:
    assert {"NotUTF8", "TargetNotFound", "FeatureNotFound", "StrayQuote", "TooManyClasses"} <= set(uttered())


def test_every_reason_is_listed_and_can_be_reported() -> None:
    """No error handler raises itself: a reason with a digit once did, and four pods failed for one cell."""
    check_each(uttered(), check_reported)


def check_reported(reason: str) -> None:
    failure = DataError(reason, "line 1:\tétrange\n\ud800").failure()
    assert failure.exit_code == ExitCode.DATA_INVALID
    assert Report.model_validate_json(Report(result=failure).to_message()).result == failure
    assert reason in LISTED


NUMBERS = st.integers(-3, 30).map(str) | st.floats(-5, 5, width=16).map(str) | st.sampled_from(["1e99", "1e300", "007"])
WRITTEN = st.sampled_from(["$5", "$1,234", "5%", "1,5", "1.234", "12 kg", "NA", "None", "", " ", "2024-01-05", "inf"])
TEXTS = st.text(alphabet="abö1 ,;\t|\"\n\r'=", max_size=5)


TARGETS = st.sampled_from([st.sampled_from(["p", "q", ""]), st.sampled_from(["0", "1", "NA", "None"]), NUMBERS])
CELLS = st.sampled_from([NUMBERS, WRITTEN, TEXTS, st.sampled_from("xyz"), st.just("k"), st.integers(0, 99).map(str)])
SLIPS = st.integers(0, 9).map(lambda draw: draw == 0)


@st.composite
def tables(draw: Any) -> tuple[str, int]:
    """A file of columns that each hold one kind of cells, and now and then another; and how many rows it has."""
    width, rows = draw(st.integers(1, 4)), draw(st.integers(0, 4) | st.integers(15, 40))
    kinds = [draw(TARGETS), *(draw(CELLS) for _ in range(width - 1))]
    columns = [draw(st.lists(kind, min_size=rows, max_size=rows)) for kind in kinds]
    for column in columns:
        if column and draw(SLIPS):
            column[draw(st.integers(0, rows - 1))] = draw(TEXTS | WRITTEN)
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, delimiter=draw(st.sampled_from(",,,;\t|")), quoting=csv.QUOTE_ALL)
    writer.writerow(["y", "a", "b", "c"][:width])
    writer.writerows(zip(*columns, strict=True))
    return buffer.getvalue(), rows


def learn(content: bytes, features: Any, task: Task | None) -> Any:
    """The dataset, or None where a listed reason says why there is none."""
    data = Data.model_validate({"configMap": {"name": "d"}, "target": "y", "features": features})
    try:
        return build_dataset(read_source(content, format=Format.CSV), data, task)
    except DataError as error:
        if error.reason not in LISTED:
            raise
        Report(result=error.failure()).to_message()
        return None


TASKS = st.sampled_from([None, *(Task.model_validate({name: {}}) for name in ("classification", "regression"))])
FEATURES = st.sampled_from([(), ("a",), ("b", "a")])


@examples(80, many=400)
@given(tables(), FEATURES, TASKS)
def test_every_row_is_used_or_dropped_or_the_training_ends_with_a_listed_reason(
    table: Any, features: Any, task: Any
) -> None:
    content, rows = table
    dataset = learn(content.encode(), features, task)
    if dataset is None:
        return
    assert dataset.rows + dataset.dropped == rows
    assert dataset.rows == sum(len(side.values) for side in (dataset.train, dataset.validation, dataset.test))
    assert any(note.startswith(f"dropped {dataset.dropped} rows") for note in dataset.notes) == (dataset.dropped > 0)
    assert isinstance(dataset.preprocessing, TablePreprocessing)
    encoder = TableEncoder(dataset.preprocessing)
    names = tuple(column.name for column in dataset.inputs)
    assert names == features if features else names
    assert encoder.encode([encoder.example()]).shape == (1, *dataset.shape)


@examples(120, many=600)
@given(
    st.binary(max_size=80)
    | st.text(alphabet='ya1,;"\n\r\t|=$.', max_size=80).map(lambda text: f"y,a\n{text}".encode()),
    FEATURES,
)
def test_whatever_bytes_there_are_a_training_ends_with_a_listed_reason(content: bytes, features: Any) -> None:
    learn(content, features, None)
