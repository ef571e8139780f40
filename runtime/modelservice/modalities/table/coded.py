"""The columns of a table that is read piece by piece: what their cells are, once all of them were looked at."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from modelservice.cells import Missing
from modelservice.contract.data import ColumnType
from modelservice.contract.failure import DataError
from modelservice.modalities.table.columns import blanked, read_column, texts_of
from modelservice.modalities.table.kinds.base import FEWEST_ROWS, Column
from modelservice.modalities.table.parquet_pieces import Piece
from modelservice.modalities.table.survey import MAX_TEXTS, TextCounts

_FITTED: Final = 2**22
"""Rows of a column of texts that are measured at once; of more training rows as many that stand for them."""


@dataclass(frozen=True, kw_only=True, eq=False)
class CodedColumn:
    """A column whose different texts are all known: whatever kind they make it, its rows are some of theirs.

    Attributes:
        texts: how often each comes.
        column: rows that stand for all.
        shown: for each code, and at the end for a missing cell, a row of ``column`` that holds it.
    """

    texts: TextCounts
    column: Column
    shown: NDArray[np.int64]

    @classmethod
    def of(cls, name: str, texts: TextCounts, rule: Missing, declared: ColumnType | None) -> "CodedColumn":
        """The column of some texts.

        Raises:
            DataError: a cell cannot be read as the others are.
        """
        column = read_column(name, texts.cells(), place=texts.place, words=rule.among_numbers, declared=declared)
        return cls(texts=texts, column=column, shown=texts.shown())

    def of_rows(self, codes: NDArray[np.int64]) -> Column:
        """The column of some rows, by the codes of their texts; -1 is missing."""
        return self.column.take(self.shown[codes])

    def counted(self, counts: NDArray[np.int64]) -> Column:
        """The column of rows of which each code comes so often, missing ones last.

        Of many rows the shares are those of all but for rounding, and what is rare is so among all of them.
        """
        total = int(counts.sum())
        if total > _FITTED:
            counts = np.maximum(counts * _FITTED // total, np.minimum(counts, FEWEST_ROWS))
        return self.column.take(np.repeat(self.shown, counts))


class PieceColumns(NamedTuple):
    """Columns of some rows, and by name the codes of those of texts, and how many cells are missing by a word."""

    columns: list[Column]
    codes: dict[str, NDArray[np.int64]]
    blank: dict[str, int]


@dataclass(frozen=True, kw_only=True, eq=False)
class PieceReader:
    """Makes columns of the cells of a piece.

    Attributes:
        names: of the columns, in order.
        coded: those of texts, by name; all others are numbers.
        rule: what is missing.
    """

    names: tuple[str, ...]
    coded: Mapping[str, CodedColumn]
    rule: Missing

    def read(self, piece: Piece, rows: NDArray[np.int64]) -> PieceColumns:
        """Columns of some rows of a piece.

        Raises:
            DataError: a number is too large.
            PassingError: a text was not there before.
        """

        def place(row: int) -> str:
            return f"row {piece.start + int(rows[row])}"

        found, kept = PieceColumns([], {}, {}), pa.array(rows)
        for name in self.names:
            cells, found.blank[name] = blanked(piece.columns[name].take(kept), self.rule)
            if (coded := self.coded.get(name)) is None:
                column = read_column(name, cells, place=place, words=self.rule.among_numbers)
            else:
                found.codes[name] = coded.texts.codes(texts_of(cells))
                column = coded.of_rows(found.codes[name])
            found.columns.append(column)
        return found


def is_coded(type_: pa.DataType, declared: ColumnType | None) -> bool:
    """Whether the texts of a column are counted; its cells are added up where it is one of numbers."""
    return pa.types.is_string(type_) or declared not in {None, ColumnType.NUMBER}


def check_counted(name: str, texts: TextCounts, *, field: str) -> None:
    """Refuse a column of too many texts.

    Raises:
        DataError: there are more than ``MAX_TEXTS``.
    """
    if texts.overflows:
        message = (
            f"column {name} has more than {MAX_TEXTS} different texts, and the table is too large to be held, so that"
            f" they cannot be read: say type Ignore in {field}, or give fewer rows"
        )
        raise DataError("TooManyCategories", message, field=field)
