"""Whatever a table holds: a column that decides, weighs or groups uses each row, or is refused with a listed reason."""

import csv
import io
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from tests.support.examples import examples
from tests.unit.runtime.modalities.test_reasons import LISTED

from modelservice.contract.data import Data, Format
from modelservice.contract.failure import DataError
from modelservice.contract.report import Report
from modelservice.contract.task import Task
from modelservice.modalities.dataset import build_dataset, divide_rows, encode
from modelservice.modalities.folds import deal_folds
from modelservice.modalities.sources import read_source

SIDES = st.sampled_from(["train", "Train", "validation", "test", " TEST "])
TIMES = st.dates().map(str) | st.datetimes().map(lambda moment: moment.isoformat())
NUMBERS = st.integers(0, 9).map(str) | st.floats(0, 5, width=16).map(str)
GROUPS = st.sampled_from("uvwxyz")
WEIGHTS = st.sampled_from(["0", "1", "2.5", "1e30"]) | NUMBERS
KINDS = {"groupBy": GROUPS, "timeColumn": TIMES, "column": SIDES}
SLIPS = st.sampled_from(["", "-1", "1e31", "soon", "2024-05-01T10:00Z", "NA", "0"])
TARGETS = st.sampled_from([st.sampled_from("pq"), st.sampled_from("pq"), st.sampled_from(["p", "q", "r", ""]), NUMBERS])
TASKS = st.sampled_from([None, None, {"classification": {"positiveLabel": "q"}}])
RARELY = st.integers(0, 7).map(lambda draw: draw == 0)


@st.composite
def tables(draw: Any) -> tuple[str, int, dict[str, Any]]:
    """A target, a column for the split, one of weights and a feature, now and then with a cell of another kind.

    Gives the file, how many rows it has, and what ``spec.data`` says of it.
    """
    rows = draw(st.integers(1, 6) | st.integers(20, 40) | st.integers(20, 40))
    setting = draw(st.sampled_from([None, *KINDS]))
    kinds = [draw(TARGETS), GROUPS if setting is None else KINDS[setting], WEIGHTS, NUMBERS]
    if draw(RARELY):
        kinds[1] = draw(st.sampled_from([GROUPS, TIMES, SIDES, NUMBERS]))
    columns = [draw(st.lists(kind, min_size=rows, max_size=rows)) for kind in kinds]
    for column in columns:
        if draw(RARELY):
            column[draw(st.integers(0, rows - 1))] = draw(SLIPS)
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, quoting=csv.QUOTE_ALL)
    writer.writerows([["y", "a", "b", "c"], *zip(*columns, strict=True)])
    split: dict[str, Any] = {} if setting is None else {setting: "a"}
    if setting in {None, "groupBy"} and draw(st.booleans()):
        split["folds"] = draw(st.integers(2, 6))
    return buffer.getvalue(), rows, {"split": split, "sampleWeight": draw(st.sampled_from([None, "b"]))}


@examples(120, many=600)
@given(tables(), TASKS)
def test_every_row_is_used_or_dropped_or_a_listed_reason_is_given(table: Any, asked: Any) -> None:
    content, rows, said = table
    data = Data.model_validate({"configMap": {"name": "d"}, "target": "y", **said})
    task = None if asked is None else Task.model_validate(asked)
    source = read_source(content.encode(), format=Format.CSV)
    try:
        dataset, divided = build_dataset(source, data, task), divide_rows(source, data, task)
        folds = (
            []
            if data.split.folds is None
            else deal_folds(divided.keys or [], divided.target, data.split, folds=data.split.folds)
        )
        each = [encode(divided, fold) for fold in folds]
    except DataError as error:
        if error.reason not in LISTED:
            raise
        Report(result=error.failure()).to_message()
        return
    assert dataset.rows + dataset.dropped == rows
    assert sum(int(note.split()[1]) for note in dataset.notes if note.startswith("dropped ")) == dataset.dropped
    for one in (dataset, *each):
        sides = (one.train, one.validation, one.test)
        assert sum(len(side.values) for side in sides) == dataset.rows
        assert min(len(side.values) for side in sides) > 0
        assert set(one.train.values) == set(range(len(one.labels))) if one.labels else len(set(one.train.values)) > 1
        weights = [side.weights for side in sides if side.weights is not None]
        assert len(weights) == (0 if data.sample_weight is None else 3)
        assert all((found > 0).all() and np.isfinite(found).all() for found in weights)
    used = {column.name for column in dataset.inputs}
    assert not used & {data.sample_weight, *data.split.columns}
