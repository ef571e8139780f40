"""Columns of texts: one number for each text seen in training; an unseen or missing one is all zeros."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal, NamedTuple

import numpy as np
from pydantic import Field

from modelservice.cells import is_number_text, quoted
from modelservice.contract.data import ColumnType
from modelservice.contract.failure import DataError
from modelservice.contract.signature import ColumnKind, InputColumn
from modelservice.modalities.base import Features
from modelservice.modalities.table.dates import Unclear, find_dates, has_short_year, is_date
from modelservice.modalities.table.kinds.base import (
    ColumnEncoder,
    ColumnPreprocessing,
    Kind,
    RawColumn,
    Useless,
    Values,
    text_at,
)
from modelservice.modalities.table.kinds.texts import Texts, texts_of
from modelservice.modalities.table.notation import looks_like_number
from modelservice.modalities.table.written import FEW_TEXTS

MAX_CATEGORIES = 1000
"""Categories of one column. More is free text, which one number for each does not describe."""
FEATURES_FIELD = "spec.data.features"
_UNKNOWN = -1
_FEWEST_ROWS = 20
"""In fewer rows a text may well come once by chance."""


class CategoricalPreprocessing(ColumnPreprocessing):
    """The categories of a column, in the order of their codes."""

    kind: Literal["Category"] = "Category"
    categories: Annotated[tuple[str, ...], Field(max_length=MAX_CATEGORIES)]
    example: str

    @property
    def width(self) -> int:
        """One for each category."""
        return len(self.categories)

    @property
    def input(self) -> InputColumn:
        """The column as the signature has it."""
        return InputColumn(name=self.name, type=ColumnKind.CATEGORY, categories=self.categories, example=self.example)

    def encoder(self, words: frozenset[str]) -> ColumnEncoder:  # noqa: ARG002 - the seam's signature
        """Texts to codes."""
        codes: dict[str | None, int] = {category: code for code, category in enumerate(self.categories)}
        for code, category in enumerate(self.categories):
            # JSON's true and Python's True are one value; "TRUE" is how spreadsheets write it.
            if category.lower() in {"true", "false"}:
                for spelling in (category.lower(), category.title(), category.upper()):
                    codes.setdefault(spelling, code)
        return _Codes(self.name, codes)


class _Codes(NamedTuple):
    name: str
    codes: dict[str | None, int]
    linear: None = None

    def encode(self, values: Values, target: Features) -> int:
        codes, unseen = self._found(values), 0
        if _UNKNOWN not in codes:
            target[np.arange(len(codes)), codes] = 1.0
            return 0
        for row, found in enumerate(codes):
            code = found
            if code == _UNKNOWN:
                text = text_at(values[row], row, self.name)
                code = self.codes.get(text, _UNKNOWN)
                unseen += text is not None and code == _UNKNOWN
            if code != _UNKNOWN:
                target[row, code] = 1.0
        return unseen

    def _found(self, values: Values) -> list[int]:
        """The codes of cells that are texts as training saw them: all at once, since most are."""
        try:
            return [self.codes.get(value, _UNKNOWN) for value in values]
        except TypeError:  # a structure among them
            return [_UNKNOWN] * len(values)

    def check(self, value: Any, row: int) -> None:
        text_at(value, row, self.name)


@dataclass(frozen=True, kw_only=True, eq=False)
class TextColumn(Texts):
    """Texts that are categories."""

    def useless(self) -> Useless | None:
        """It is empty, constant without a gap (that a text is missing says something), or has a text for each row."""
        distinct, missing = self.distinct, self.missing
        if distinct == 0:
            return Useless("it is empty")
        if distinct == 1:
            return None if missing else Useless("every value is the same")
        names_rows = distinct == self.rows - missing
        if (text := self._unread_number(distinct)) is not None:
            remedy = "write its numbers as 1234.5"
            return Useless(
                f"it looks like numbers in no form that can be read, as {quoted(text)}: {remedy}", names_rows
            )
        if not names_rows:
            return None
        why = None if self.declared else self._why_no_dates()
        return Useless("every value differs" if why is None else f"it holds dates, and {why}", names_rows)

    def _unread_number(self, distinct: int) -> str | None:
        """One of the numbers in a form that nobody knows, of which categories would be one for each value or two."""
        if self.declared or distinct <= FEW_TEXTS or 2 * distinct < self.rows - self.missing:
            return None
        looks = [text for text in self.texts if looks_like_number(text) and not is_number_text(text)]
        return looks[0] if 10 * len(looks) >= 9 * len(self.texts) else None

    def _why_no_dates(self) -> str | None:
        """Of a column in which most texts are dates."""
        texts = [text for text in self.texts if text.lower() not in self.words]
        if 2 * len(short := [text for text in texts if has_short_year(text)]) > len(texts):
            return f"{quoted(short[0])} has a year of two digits: write all as 2024-01-31"
        others = [text for text in texts if not is_date(text)]
        if 2 * len(others) >= len(texts):
            return None
        if others:
            return f"{quoted(others[0])} is no date"
        dates = find_dates(texts)
        return dates.message if isinstance(dates, Unclear) else None

    def refusal(self) -> DataError | None:
        """It has more than ``MAX_CATEGORIES`` different texts: free text."""
        if (distinct := self.distinct) <= MAX_CATEGORIES:
            return None
        return DataError(
            "TooManyCategories",
            f"column {self.name} has {distinct} different texts, at most {MAX_CATEGORIES} can be told apart:"
            f" list the columns to use, without it, in {FEATURES_FIELD}, or say in spec.data.columns that it is Text",
            field=FEATURES_FIELD,
        )

    def notes(self) -> Iterator[str]:
        """What will be new tomorrow: dates, and texts of which most come once."""
        counts = self.counts
        if not self.declared and (why := self._why_no_dates()) is not None:
            yield f"column {self.name} holds dates as categories, since {why}"
            return
        once = int((counts == 1).sum())
        if self.rows >= _FEWEST_ROWS and 2 * once >= int(counts.sum()):
            yield (
                f"column {self.name}: {once} of {int(counts.sum())} values come once, as in an identifier: what was not"
                " seen in training counts as missing"
            )

    def example(self) -> float | str:
        """The most frequent text, the first of several in the order of their letters."""
        present = self.codes[self.codes >= 0]
        if present.size == 0:
            return "" if self.texts else 0.0
        codes, counts = np.unique(present, return_counts=True)
        return min(self.texts[int(code)] for code in codes[counts == counts.max()])

    def fit(self) -> CategoricalPreprocessing:
        """The texts of its rows, in the order of their letters."""
        seen = np.unique(self.codes[self.codes >= 0])
        categories = tuple(sorted(self.texts[code] for code in seen))
        return CategoricalPreprocessing(name=self.name, categories=categories, example=str(self.example()))


def _read(raw: RawColumn) -> TextColumn:
    return TextColumn(**texts_of(raw))


CATEGORY: Final = Kind(name="Category", document=CategoricalPreprocessing, read=_read, type=ColumnType.CATEGORY)
