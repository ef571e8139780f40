import pyarrow as pa

from modelservice.modalities.split import framed
from modelservice.modalities.table.columns import read_column
from modelservice.modalities.table.digests import row_digests
from modelservice.modalities.table.kinds.base import Column
from modelservice.modalities.table.kinds.category import TextColumn
from modelservice.modalities.table.kinds.number import NumericColumn

X = framed("x")


def column(cells: list[str], name: str = "c") -> Column:
    return read_column(name, pa.array(cells, type=pa.string()), place=str)


def test_a_number_counts_as_itself_however_it_is_written_and_whatever_its_column_holds() -> None:
    as_numbers = column(["1.50", "-0", "NA"])
    among_texts = column(["1.5", "0", "", *"abcdefg"])
    assert isinstance(as_numbers, NumericColumn)
    assert isinstance(among_texts, TextColumn)
    assert row_digests([as_numbers], [X] * 3, seed=0) == row_digests([among_texts], [X] * 10, seed=0)[:3]


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
