"""Columns of texts that come again: a number of 0 or 1 for each, one for all rare ones, and one for a missing one."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal, NamedTuple, Self

import numpy as np
from pydantic import Field, FiniteFloat, model_validator

from modelservice.cells import is_number_text, quoted
from modelservice.contract.data import ColumnType
from modelservice.contract.failure import DataError
from modelservice.contract.signature import ColumnKind, InputColumn
from modelservice.modalities.base import Features
from modelservice.modalities.table.dates import Unclear, find_dates, has_short_year, is_date
from modelservice.modalities.table.kinds.base import (
    FEWEST_ROWS,
    ColumnEncoder,
    ColumnPreprocessing,
    Kind,
    RawColumn,
    Useless,
    Values,
    check_digits,
    side,
    text_at,
)
from modelservice.modalities.table.kinds.texts import Texts, texts_of, unvaried
from modelservice.modalities.table.notation import looks_like_number
from modelservice.modalities.table.written import FEW_TEXTS

MAX_CATEGORIES = 1000
"""Categories of one column. More is free text, which one number for each does not describe."""
MOST_PLACES = 100
"""Categories of one column with a number of their own: the most frequent."""
_FEWEST_PLACES = 2
FEATURES_FIELD = "spec.data.features"
_UNKNOWN = -1
_FEWEST_ROWS = 20
"""In fewer rows a text may well come once by chance."""


class CategoricalPreprocessing(ColumnPreprocessing):
    """The categories of a column, in the order of their numbers.

    Attributes:
        categories: texts with a number of their own, in the order of these.
        rare: texts that share the next number, if there are any, with those that training did not see.
        indicator: whether a last number says that the text is missing.
        shares: how often each number was 1 in the training rows, which is what a text without a number of its own is:
            one that was not seen, where nothing is rare, and a missing one, where hardly any was missing. Zeros where
            this was not measured.
    """

    kind: Literal["Category"] = "Category"
    categories: Annotated[tuple[str, ...], Field(max_length=MAX_CATEGORIES)]
    rare: Annotated[tuple[str, ...], Field(max_length=MAX_CATEGORIES)] = Field(
        default=(), exclude_if=lambda texts: not texts
    )
    indicator: bool = Field(default=False, exclude_if=lambda said: not said)
    shares: Annotated[tuple[FiniteFloat, ...], Field(max_length=MAX_CATEGORIES + 2)] = Field(
        default=(), exclude_if=lambda numbers: not numbers
    )
    example: str

    @model_validator(mode="after")
    def _share_for_each_number(self) -> Self:
        if self.shares and len(self.shares) != self.width:
            raise ValueError(f"shares has {len(self.shares)} numbers, expected {self.width}")
        return self

    @property
    def width(self) -> int:
        """One for each category, for the rare ones, and for missing ones."""
        return len(self.categories) + bool(self.rare) + self.indicator

    @property
    def layout(self) -> str:
        """See ``ColumnPreprocessing``."""
        return ", ".join((*map(quoted, self.categories), *["others"] * bool(self.rare), *["missing"] * self.indicator))

    @property
    def input(self) -> InputColumn:
        """The column as the signature has it."""
        seen = tuple(sorted((*self.categories, *self.rare))) if self.rare else self.categories
        return InputColumn(name=self.name, type=ColumnKind.CATEGORY, categories=seen, example=self.example)

    def condition(self, place: int, threshold: float, *, value: float, said: float | str | None) -> str:
        """See ``ColumnPreprocessing``; a text without a number of its own is as often each one as in training."""
        if self.indicator and place == self.width - 1:
            what = "missing"
        elif place < len(self.categories):
            what = quoted(self.categories[place])
        else:
            what = "another text"
        if value in {0.0, 1.0}:
            return f"is {what}" if value else f"is not {what}"
        which = "is missing" if said is None else "was not seen"
        return f"{which}, and counts as {what} by {value:.3g} {side(value, threshold)} {threshold:.3g}"

    def encoder(self, words: frozenset[str]) -> ColumnEncoder:  # noqa: ARG002 - the seam's signature
        """Texts to places."""
        places: dict[str | None, int] = {category: place for place, category in enumerate(self.categories)}
        places.update(dict.fromkeys(self.rare, len(self.categories)))
        spellings: dict[str, str] = {}
        for category, place in tuple(places.items()):
            # JSON's true and Python's True are one value; "TRUE" is how spreadsheets write it.
            if category is not None and category.lower() in {"true", "false"}:
                for spelling in (category.lower(), category.title(), category.upper()):
                    if spelling not in places:
                        places[spelling], spellings[spelling] = place, category
        if self.indicator:
            places[None] = self.width - 1
        shares = np.array(self.shares or (0.0,) * self.width, dtype=np.float32)
        return _Places(self.name, places, len(self.categories) if self.rare else None, shares, spellings)


class _Places(NamedTuple):
    """``rest`` is the place of texts that training did not see; None where they are ``shares``, as it is of missing.

    ``spellings`` are the categories of texts that are written otherwise.
    """

    name: str
    places: dict[str | None, int]
    rest: int | None
    shares: Features
    spellings: dict[str, str]
    linear: None = None

    def encode(self, values: Values, target: Features) -> int:
        places, unseen = self._found(values), 0
        if _UNKNOWN not in places:
            target[np.arange(len(places)), places] = 1.0
            return 0
        for row, found in enumerate(places):
            place: int | None = found
            if found == _UNKNOWN:
                text = text_at(values[row], row, self.name)
                place = self.places.get(text)
                if place is None and text is not None:
                    check_digits(values[row], row, self.name)
                    place, unseen = self.rest, unseen + 1
            if place is None:
                target[row] = self.shares
            else:
                target[row, place] = 1.0
        return unseen

    def _found(self, values: Values) -> list[int]:
        """The places of cells that are texts as training saw them: all at once, since most are."""
        try:
            return [self.places.get(value, _UNKNOWN) for value in values]
        except TypeError:  # a structure among them
            return [_UNKNOWN] * len(values)

    def check(self, value: Any, row: int) -> None:
        text_at(value, row, self.name)

    def measure(self, values: Values) -> list[str | None]:
        texts = (text_at(value, row, self.name) for row, value in enumerate(values))
        return [None if text is None else self.spellings.get(text, text) for text in texts]


@dataclass(frozen=True, kw_only=True, eq=False)
class TextColumn(Texts):
    """Texts that are categories."""

    def useless(self) -> Useless | None:
        """It is empty, constant without a gap (that a text is missing says something), or has a text for each row."""
        distinct, missing = self.distinct, self.missing
        if distinct <= 1:
            return unvaried(distinct, missing)
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
                f"column {self.name}: {once} of {int(counts.sum())} values come once, as in an identifier: little can"
                " be learned from them"
            )

    def example(self) -> float | str:
        """The most frequent text, the first of several in the order of their letters."""
        present = self.codes[self.codes >= 0]
        if present.size == 0:
            return "" if self.texts else 0.0
        codes, counts = np.unique(present, return_counts=True)
        return min(self.texts[int(code)] for code in codes[counts == counts.max()])

    def fit(self) -> CategoricalPreprocessing:
        """The texts of its rows, in the order of their letters, the rare ones together."""
        counts, missing = self.counts, self.missing
        seen = np.flatnonzero(counts)
        # The most frequent first; of equally many, the first in the order of their letters.
        frequent = sorted(seen.tolist(), key=lambda code: (-counts[code], self.texts[code]))
        own = [code for code in frequent[:MOST_PLACES] if counts[code] >= FEWEST_ROWS]
        indicator = missing >= FEWEST_ROWS and bool(frequent)
        if len(own) + (len(own) < len(frequent)) + indicator < _FEWEST_PLACES:
            own = frequent[:MOST_PLACES]  # all would be the same
        categories = sorted(own, key=lambda code: self.texts[code])
        pooled = sorted(set(frequent) - set(own), key=lambda code: self.texts[code])
        held = [*(counts[code] for code in categories), *([counts[pooled].sum()] if pooled else [])]
        return CategoricalPreprocessing(
            name=self.name,
            categories=tuple(self.texts[code] for code in categories),
            rare=tuple(self.texts[code] for code in pooled),
            indicator=indicator,
            shares=tuple(float(count / self.rows) for count in (*held, *([missing] if indicator else []))),
            example=str(self.example()),
        )


def _read(raw: RawColumn) -> TextColumn:
    return TextColumn(**texts_of(raw))


CATEGORY: Final = Kind(name="Category", document=CategoricalPreprocessing, read=_read, type=ColumnType.CATEGORY)
