"""Generated files of every mixture: what training saw of a file is what a request with the same texts gives."""

import csv
import io
import unicodedata
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import event, given
from hypothesis import strategies as st
from tests.support.examples import examples
from tests.unit.runtime.modalities.test_reasons import LISTED

from modelservice.cells import Missing, as_text
from modelservice.contract.data import Data, Format
from modelservice.contract.failure import DataError
from modelservice.modalities.dataset import build_dataset
from modelservice.modalities.encoders import open_encoder
from modelservice.modalities.sources import read_source

NAMES = ("größe", "n°", "a b", 'q"', "x;y")
MISSING = st.sampled_from(["", " ", "NA", "n/a", "None", "?", "-", "-999"])
PLAIN = st.integers(-999, 999).map(str) | st.decimals(-99, 99, places=2).map(str)
KINDS = [
    PLAIN,
    st.integers(-(10**7), 10**7).map("{:,}".format),
    st.integers(0, 10**5).map(lambda n: f"({n:,})" if n % 2 else f"{n:,}"),
    st.integers(-(10**5), 10**5).map(lambda n: f"{n}".replace("-", "\u2212")),
    st.decimals(0, 10**6, places=2).map(lambda n: f"{n:,}".translate(str.maketrans(",.", "\u2009,"))),
    st.decimals(0, 100, places=1).map("{} %".format),
    st.integers(0, 99).map("{:04}".format),
    st.integers(10**17, 10**17 + 5).map(str),
    st.sampled_from(["yes", "no"]),
    st.sampled_from(["rot", "grün", "blau", '5" pipe', "a,b", "c\nd"]),
    st.dates().map(str),
    st.just("const"),
    st.integers(1000, 9999).map("{:_}".format),
]
TARGETS = st.sampled_from(
    [
        st.sampled_from(["ja", "nein"]),
        st.sampled_from(["0", "1"]),
        st.sampled_from(["0101", "101", "7"]),
        st.sampled_from(["12345678901234567890", "12345678901234567891"]),
        PLAIN,
        st.decimals(0, 10**4, places=2).map("${:,}".format),
    ]
)


@dataclass(frozen=True)
class File:
    names: tuple[str, ...]
    rows: list[tuple[str, ...]]
    content: bytes


@st.composite
def files(draw: Any) -> File:
    """A file whose first column is the target; each column is of one kind with gaps, or rarely with a slip."""
    width, count = draw(st.integers(2, 4)), draw(st.sampled_from([0, 3, 30, 60]))
    kinds = [draw(TARGETS), *(draw(st.sampled_from(KINDS)) for _ in range(width - 1))]
    gaps = [draw(st.just(kind) | st.just(kind | kind | kind | MISSING)) for kind in kinds]
    columns = [draw(st.lists(kind, min_size=count, max_size=count)) for kind in gaps]
    for column in columns:
        if column and draw(st.integers(0, 15)) == 0:
            column[draw(st.integers(0, count - 1))] = draw(st.sampled_from(["slip", '"', "1.2.3", "$$", "\u2212"]))
    names = ("y", *draw(st.permutations(NAMES))[: width - 1])
    form = draw(st.sampled_from(["NFC", "NFD"]))
    buffer = io.StringIO(newline="")
    separator = draw(st.sampled_from(",,,;\t"))
    quoting = draw(st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL]))
    writer = csv.writer(
        buffer, delimiter=separator, quoting=quoting, lineterminator=draw(st.sampled_from(["\n", "\r\n"]))
    )
    if separator == ";":
        buffer.write("sep=;\n")
    writer.writerow([unicodedata.normalize(form, name) for name in names])
    writer.writerows(zip(*columns, strict=True))
    encoding = draw(st.sampled_from(["utf-8"] * 8 + ["utf-8-sig", "cp1252", "utf-16"]))
    try:
        content = buffer.getvalue().encode(encoding)
    except UnicodeEncodeError:
        content = buffer.getvalue().encode()
    return File(names, list(zip(*columns, strict=True)), content)


WORDS = st.sampled_from([None, None, ["?", "-"], ["", "NA", "-999"]])


@examples(80, many=400)
@given(files(), WORDS, st.booleans())
def test_rows_are_accounted_for_and_requests_say_the_same_as_the_file(file: File, words: Any, listed: bool) -> None:
    features = file.names[:0:-1] if listed else ()
    data = Data.model_validate({"configMap": {"name": "d"}, "target": "y", "missing": words, "features": features})
    try:
        dataset = build_dataset(read_source(file.content, format=Format.CSV), data)
    except DataError as error:
        if error.reason not in LISTED:
            raise
        event(error.reason)
        return
    sides = (dataset.train, dataset.validation, dataset.test)
    assert dataset.rows + dataset.dropped == len(file.rows)
    assert dataset.rows == sum(len(side.values) for side in sides)
    rule = Missing.of(words)
    texts = [(as_text(row[0]), row) for row in file.rows]
    kept = [row for text, row in texts if not (text is None or rule.means(text) or text.lower() in rule.among_numbers)]
    event("trained")
    assert len(kept) == dataset.rows or "NA" in dataset.labels or "None" in dataset.labels or "n/a" in dataset.labels
    if len(kept) != dataset.rows:
        return
    assert set(dataset.labels) <= {text for text, _ in texts}
    event("compared")
    encoder = open_encoder(dataset.modality, dataset.preprocessing.model_dump_json().encode())
    at = [file.names.index(column.name) for column in dataset.inputs]
    if listed:
        assert [file.names[index] for index in at] == list(features)
    served = encoder.encode([[row[index] for index in at] for row in kept])
    learned = np.concatenate([side.features for side in sides])
    np.testing.assert_array_equal(served[np.lexsort(served.T)], learned[np.lexsort(learned.T)])
