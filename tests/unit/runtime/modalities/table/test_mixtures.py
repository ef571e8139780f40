"""Random tables of every mixture of kinds of columns: read and encoded alike in training and serving, or refused."""

import csv
import io
from datetime import date
from typing import Any

import numpy as np
from hypothesis import event, given
from hypothesis import strategies as st
from tests.support.examples import examples
from tests.unit.runtime.modalities.table.tables import opened
from tests.unit.runtime.modalities.test_reasons import LISTED

from modelservice.contract.data import ColumnType, Data, Format
from modelservice.contract.failure import DataError
from modelservice.modalities.base import Dataset
from modelservice.modalities.dataset import build_dataset, divide_rows
from modelservice.modalities.sources import read_source
from modelservice.modalities.table.encoder import TableEncoder
from modelservice.modalities.table.preprocessing import TablePreprocessing

WORDS = st.sampled_from(["gut", "Bett", "ruhig", "quite", "too", "loud", "Zimmer", "price", "n\u00e4he", "42"])
DATES = st.dates(min_value=date(1960, 1, 1), max_value=date(2030, 12, 31))
KINDS = [
    st.integers(-999, 999).map(str),
    st.decimals(0, 10**4, places=2).map("${:,}".format),
    st.sampled_from(["0", "1"]),
    st.sampled_from(["yes", "no"]),
    st.sampled_from(["TRUE", "FALSE"]),
    st.sampled_from(["f", "T"]),
    DATES.map(str),
    DATES.map("{:%d.%m.%Y}".format),
    DATES.map("{:%m/%d/%Y}".format),
    st.datetimes().map("{:%Y-%m-%dT%H:%M:%SZ}".format),
    st.lists(WORDS, min_size=3, max_size=7).map(" ".join),
    st.sampled_from("aaaaaaaabbbbbcccdefghijk"),
    st.integers(0, 10**9).map("id-{}".format),
    st.sampled_from(["0101", "8001", "8002"]),
    st.just("same"),
]
GAPS = st.sampled_from(["", "NA", "?"])
SLIPS = st.sampled_from(["slip", "2024-02-30", "1,5", "31/31/2024", "maybe", "\u2212"])
NAMES = ("a", "b", "c", "d")
TYPES = st.sampled_from([None] * 12 + [kind for kind in ColumnType if kind != ColumnType.ENCODED])
"""What is encoded is for an encoder, which is said beside it."""


@st.composite
def files(draw: Any) -> tuple[tuple[str, ...], list[list[str]]]:
    """Names and rows of a table whose first column is the target."""
    width, count = draw(st.integers(1, 4)), draw(st.sampled_from([3, 30, 60, 60]))
    columns = [[("p", "q", "p", "", "q")[row % 5] for row in range(count)]]
    for _ in range(width):
        kind = draw(st.sampled_from(KINDS))
        cells = draw(st.sampled_from([kind, kind | kind | kind | GAPS]))
        columns.append(draw(st.lists(cells, min_size=count, max_size=count)))
        if draw(st.integers(0, 15)) == 0:
            columns[-1][draw(st.integers(0, count - 1))] = draw(SLIPS)
    return ("y", *NAMES[:width]), [list(row) for row in zip(*columns, strict=True)]


def content_of(names: tuple[str, ...], rows: list[list[str]]) -> bytes:
    buffer = io.StringIO(newline="")
    csv.writer(buffer, quoting=csv.QUOTE_ALL).writerows([names, *rows])
    return buffer.getvalue().encode()


def check_rows(dataset: Dataset, rows: list[list[str]], source: Any, data: Data) -> None:
    """Each row of the file is used or dropped, and used as a request with the same cells is."""
    kept = [row for row in rows if row[0]]
    assert (dataset.rows, dataset.dropped) == (len(kept), len(rows) - len(kept))
    split, encoder = divide_rows(source, data).split, opened(dataset)
    places = [1 + NAMES.index(column.name) for column in dataset.inputs]
    for name in ("train", "validation", "test"):
        given_rows = [[kept[row][place] for place in places] for row in getattr(split, name)]
        stored = getattr(dataset, name).features
        if not given_rows:
            continue
        features, unseen = encoder.encode_counted(given_rows)
        np.testing.assert_array_equal(features, stored)
        alone = [encoder.encode([row]) for row in given_rows]
        np.testing.assert_array_equal(np.concatenate(alone), stored)
        assert name != "train" or unseen == {}


@examples(50, many=400)
@given(files(), st.lists(TYPES, min_size=4, max_size=4), st.booleans())
def test_tables_are_encoded_alike_in_training_and_serving_or_refused(file: Any, types: Any, listed: bool) -> None:
    names, rows = file
    described = {name: {"type": kind} for name, kind in zip(names[1:], types, strict=False) if kind}
    used = [name for name in names[:0:-1] if described.get(name) != {"type": "Ignore"}]
    features = used if listed else []
    data = Data.model_validate(
        {"configMap": {"name": "d"}, "target": "y", "columns": described, "features": features, "missing": None}
    )
    try:
        source = read_source(content_of(names, rows), format=Format.CSV)
        dataset = build_dataset(source, data)
    except DataError as error:
        if error.reason not in LISTED:
            raise
        event(error.reason)
        return
    event("trained")
    for column in dataset.preprocessing.columns:  # type: ignore[attr-defined]
        event(column.kind)
    assert [column.name for column in dataset.inputs] == features or not features
    check_rows(dataset, rows, source, data)
    assert isinstance(dataset.preprocessing, TablePreprocessing)
    learned, served = TableEncoder(dataset.preprocessing), opened(dataset)
    np.testing.assert_array_equal(learned.encode([learned.example()]), served.encode([served.example()]))
    assert np.isfinite(served.encode([served.example()])).all()
    tensors = served.tensors()
    assert [tensor["name"] for tensor in tensors] in ([column.name for column in dataset.inputs], ["features"])
