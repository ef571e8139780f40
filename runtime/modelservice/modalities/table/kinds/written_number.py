"""Columns of numbers in one other notation than 1234.5: prices, percentages, decimal commas."""

import math
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Literal

from modelservice.cells import as_number, is_number_text, quoted
from modelservice.contract.data import ColumnType
from modelservice.modalities.table.kinds.base import ColumnEncoder, Kind, RawColumn
from modelservice.modalities.table.kinds.numbers import Numbers, NumbersEncoder, Standardised, check_bounds
from modelservice.modalities.table.notation import Decimal, Notation, parse
from modelservice.modalities.table.written import has_points, read_written


class WrittenPreprocessing(Standardised):
    """A column whose numbers are written in a notation of its own: a text in a request is read by it."""

    kind: Literal["WrittenNumber"] = "WrittenNumber"
    notation: Notation

    takes_both = True

    def encoder(self, words: frozenset[str]) -> ColumnEncoder:
        """Numbers are numbers; texts are read by the notation."""
        return NumbersEncoder(self.name, self.linear, partial(_number, notation=self.notation, words=words))


@dataclass(frozen=True, kw_only=True, eq=False)
class WrittenColumn(Numbers):
    """Numbers, and how they were written."""

    notation: Notation

    @property
    def told_apart_by(self) -> str:
        """Its kind, and the decimal mark: 1,234 is one number or another."""
        return f"{super().told_apart_by} {self.notation.decimal}"

    def read(self, text: str) -> float:
        """The number that a text says in the column's notation."""
        return parse(text, self.notation) or 0.0

    def fit(self) -> WrittenPreprocessing:
        """Mean, deviation and median of its rows, and the notation."""
        return WrittenPreprocessing.model_validate({**self.measured(), "notation": self.notation})


def _read(raw: RawColumn) -> WrittenColumn | None:
    if raw.floats is not None:
        return None
    if raw.plain and not raw.others and not has_points(raw.cells, raw.decimal):
        return None
    mostly_plain = 0 < raw.plain >= raw.others
    written = read_written(
        raw.cells,
        separator=raw.separator,
        decimal=raw.decimal,
        mostly_plain=mostly_plain,
        words=raw.words,
        declared=raw.declared is not None,
    )
    if written is None:
        return None
    check_bounds(raw.name, written.values, raw.place)
    return WrittenColumn(name=raw.name, **written._asdict())


def _number(value: Any, *, notation: Notation, words: frozenset[str]) -> float:
    """The number of a cell; the text 1.5 is none where 1.500 is a thousand and a half."""
    if not isinstance(value, str):
        return as_number(value, words)
    number = parse(value.strip(), notation)
    if number is not None and math.isfinite(number):
        return number
    if notation.decimal is Decimal.COMMA and is_number_text(value.strip()):
        raise ValueError(f"{quoted(value)} is not a number as this column has them, with a decimal comma")
    return as_number(value, words)


WRITTEN_NUMBER: Final = Kind(name="WrittenNumber", document=WrittenPreprocessing, read=_read, type=ColumnType.NUMBER)
