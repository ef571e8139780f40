from itertools import combinations

import numpy as np
import pyarrow as pa
import pytest

from modelservice.contract.data import ColumnType
from modelservice.modalities.split import framed
from modelservice.modalities.table.columns import read_column
from modelservice.modalities.table.digests import row_digests
from modelservice.modalities.table.kinds.base import Column
from modelservice.modalities.table.kinds.category import TextColumn
from modelservice.modalities.table.kinds.number import NumericColumn

X = framed("x")


SENTENCES = [f"the number {letter} stands in this line" for letter in "bcdefghijklmnopqrstuvwxyz"]


def column(cells: list[str], name: str = "c", declared: ColumnType | None = None) -> Column:
    return read_column(name, pa.array(cells, type=pa.string()), place=str, declared=declared)


def test_a_number_counts_as_itself_however_it_is_written_and_whatever_its_column_holds() -> None:
    as_numbers = column(["1.50", "-0", "NA"])
    among_texts = column(["1.5", "0", "", *"abcdefg"])
    assert isinstance(as_numbers, NumericColumn)
    assert isinstance(among_texts, TextColumn)
    assert row_digests([as_numbers], [X] * 3, seed=0) == row_digests([among_texts], [X] * 10, seed=0)[:3]


@pytest.mark.parametrize(
    ("spellings", "others", "declared"),
    [
        (["yes", "Yes", "Y", "TRUE", "t"], ["no", "n", "False", "f"], None),
        (["1", "yes"], ["0"], ColumnType.BOOLEAN),
        (["2024-01-31", "2024/01/31", "2024-1-31", "31.01.2024", "2024-01-31T00:00"], ["2024-02-01"], None),
        (["2024-01-31T12:00Z", "2024-01-31T13:00+01:00"], ["2024-01-31T12:00:00.5Z", "2024-01-31T13:00Z"], None),
        (["$1,234.50", "$ 1,234.5", "$1234.5"], ["$1,234.6"], None),
        (["A short line, it is.", "a short  LINE it is"], SENTENCES, None),
    ],
)
def test_cells_that_a_model_gets_as_one_tell_no_rows_apart_however_they_are_written(
    spellings: list[str], others: list[str], declared: ColumnType | None
) -> None:
    read = column([*spellings, *others, ""], declared=declared)
    digests = row_digests([read], [X] * read.rows, seed=0)
    assert len(set(digests[: len(spellings)])) == 1
    encoder = read.fit().encoder(frozenset())
    encoded = np.zeros((read.rows, read.fit().width), dtype=np.float32)
    encoder.encode(read.values, encoded)
    for first in range(read.rows):
        for second in range(first):
            assert (digests[first] == digests[second]) == (encoded[first] == encoded[second]).all()


def test_a_text_that_means_nothing_or_a_missing_word_is_no_missing_one() -> None:
    cells = ["None!", "!!!", "?", "", "", "", "", "", *SENTENCES]
    read = column(cells, declared=ColumnType.TEXT)
    encoded = np.zeros((read.rows, read.fit().width), dtype=np.float32)
    read.fit().encoder(frozenset()).encode(read.values, encoded)
    digests = row_digests([read], [X] * read.rows, seed=0)
    for first, second in combinations(range(len(cells)), 2):
        alike = (encoded[first] == encoded[second]).all()
        assert (digests[first] == digests[second]) == alike, (cells[first], cells[second])


def test_the_order_of_columns_does_not_matter_but_their_names_do() -> None:
    first, second = column(["1", "2"], "a"), column(["3", "4"], "b")
    labels = [X, X]
    assert row_digests([first, second], labels, seed=0) == row_digests([second, first], labels, seed=0)
    renamed = column(["1", "2"], "z")
    assert row_digests([first], labels, seed=0) != row_digests([renamed], labels, seed=0)


def test_cells_do_not_run_into_each_other() -> None:
    def one(left: str, right: str) -> bytes:
        texts = [column([left, "!"], "a"), column([right, "!"], "b")]
        return row_digests(texts, [X, X], seed=0)[0]

    assert one("ab", "c") != one("a", "bc")
    assert one("a", "") != one("", "a")
