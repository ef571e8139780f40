"""One table in every dialect of CSV: the same rows, whatever separates cells, marks fractions or encodes characters."""

import csv
import io
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from modelservice.contract.data import Data, Format
from modelservice.contract.formats import CSV, Encoding
from modelservice.modalities.base import FileOptions
from modelservice.modalities.dataset import divide_rows
from modelservice.modalities.sources import read_source

SEPARATORS = [",", ";", "Tab", "|", ":", "~", "^", "#", "&", "@", "!", " "]
CODECS = {"UTF-16": "utf-16", "Macintosh": "mac-roman", "IBM850": "cp850"}
DATA = Data.model_validate({"configMap": {"name": "d"}, "target": "y", "features": ["a", "b"]})

Row = tuple[str, str, str]


def digests(rows: list[Row], dialect: CSV) -> list[bytes]:
    """What tells rows apart, of a file that is written so and read as it says."""
    separator = "\t" if dialect.separator == "Tab" else dialect.separator or ","
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, delimiter=separator, quoting=csv.QUOTE_ALL)
    writer.writerow(["a", "b", "y"])
    for number, *others in rows:
        writer.writerow([number.replace(".", dialect.decimal or "."), *others])
    encoding = dialect.encoding or Encoding.UTF_8
    content = buffer.getvalue().encode(CODECS.get(encoding, encoding))
    divided = divide_rows(read_source(content, format=Format.CSV, options=FileOptions(csv=dialect)), DATA)
    return divided.examples.digests(divided.target, seed=0)


def encodes(encoding: Encoding, text: str) -> bool:
    try:
        text.encode(CODECS.get(encoding, encoding))
    except UnicodeEncodeError:
        return False
    return True


@st.composite
def tables(draw: Any) -> tuple[list[Row], CSV]:
    """Rows of a number, a text and a class, and a dialect that can write them."""
    words = draw(
        st.sampled_from([("grün", "blau"), ("Łódź", "x y"), ("зима", "лето"), ("東京", "a,b;c|d"), ("서울", 'q"')])
    )
    numbers = draw(st.lists(st.decimals(-9999, 9999, places=2), min_size=24, max_size=30, unique=True))
    rows = [(str(number), words[n // 2 % 2], "pq"[n % 2]) for n, number in enumerate(numbers)]
    fitting = [encoding for encoding in Encoding if all(encodes(encoding, word) for word in words)]
    dialect = CSV(
        separator=draw(st.sampled_from(SEPARATORS)),
        decimal=draw(st.sampled_from([".", ","])),
        encoding=draw(st.sampled_from(fitting)),
    )
    return rows, dialect


@settings(max_examples=80)
@given(tables())
def test_a_table_has_the_same_rows_in_every_dialect(drawn: Any) -> None:
    rows, dialect = drawn
    assert digests(rows, dialect) == digests(rows, CSV())
