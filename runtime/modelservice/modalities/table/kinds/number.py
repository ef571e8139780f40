"""Columns of numbers such as 1234.5: at least half of the cells that are not missing are such, and then all must be."""

from dataclasses import dataclass
from functools import partial
from typing import Final, Literal

from modelservice.cells import as_number, is_number_text
from modelservice.contract.data import ColumnType
from modelservice.modalities.table.kinds.base import ColumnEncoder, Kind, RawColumn
from modelservice.modalities.table.kinds.numbers import Numbers, NumbersEncoder, Standardised, check_bounds
from modelservice.modalities.table.separators import SEMICOLON
from modelservice.modalities.table.written import check_decimal, check_points, not_a_number


class NumericPreprocessing(Standardised):
    """A column whose numbers are written as 1234.5."""

    kind: Literal["Number"] = "Number"

    def encoder(self, words: frozenset[str]) -> ColumnEncoder:
        """Texts in requests are read as those of a file."""
        return NumbersEncoder(self.name, self.linear, partial(as_number, words=words))


@dataclass(frozen=True, kw_only=True, eq=False)
class NumericColumn(Numbers):
    """Numbers as they are."""

    def read(self, text: str) -> float:
        """The number."""
        return float(text)

    def fit(self) -> NumericPreprocessing:
        """Mean, deviation and median of its rows."""
        return NumericPreprocessing.model_validate(self.measured())


def _read(raw: RawColumn) -> NumericColumn | None:
    values, sample = raw.floats, None
    if values is None:
        if raw.declared is None and (raw.plain == 0 or raw.others > raw.plain):
            return None
        if raw.others:
            wrong = (text for text in raw.cells.texts if not is_number_text(text) and text.lower() not in raw.words)
            raise not_a_number(raw.cells, next(wrong), declared=raw.declared is not None)
        check_decimal(raw.cells, raw.decimal)
        if raw.separator == SEMICOLON and raw.decimal is None:
            check_points(raw.cells)
        values, sample = raw.numbers(), raw.code() if raw.declared is None else None
    check_bounds(raw.name, values, raw.place)
    return NumericColumn(name=raw.name, values=values, sample=sample)


NUMBER: Final = Kind(name="Number", document=NumericPreprocessing, read=_read, type=ColumnType.NUMBER)
