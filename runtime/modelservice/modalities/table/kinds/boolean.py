"""Columns of yes and no: one number, 1 or -1; a missing one is the mean of the training rows."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal, NamedTuple

import numpy as np
from pydantic import Field

from modelservice.cells import quoted
from modelservice.contract.data import ColumnType
from modelservice.contract.failure import DataError
from modelservice.contract.signature import ColumnContent, ColumnKind, InputColumn
from modelservice.modalities.base import Features
from modelservice.modalities.errors import InputError
from modelservice.modalities.table.kinds.base import (
    FEWEST_ROWS,
    ColumnEncoder,
    ColumnPreprocessing,
    Kind,
    RawColumn,
    Useless,
    Values,
    text_at,
    told_missing,
)
from modelservice.modalities.table.kinds.texts import PAIRS, Texts, texts_of, unvaried

_DIGITS = ("1", "0")
"""They are numbers, unless it is said that a column of them is boolean."""
_ALL_PAIRS = (*PAIRS, _DIGITS)
MEANINGS: Final = {word: value for pair in _ALL_PAIRS for word, value in zip(pair, (1.0, -1.0), strict=True)}


class BooleanPreprocessing(ColumnPreprocessing):
    """``mean`` of the column's 1 and -1; ``indicator`` adds a number that says that a value is missing."""

    kind: Literal["Boolean"] = "Boolean"
    mean: Annotated[float, Field(ge=-1, le=1)]
    indicator: bool = Field(default=False, exclude_if=lambda said: not said)
    example: bool

    takes_both = True

    @property
    def width(self) -> int:
        """One, and one more with the indicator."""
        return 1 + self.indicator

    @property
    def input(self) -> InputColumn:
        """The column as the signature has it."""
        return InputColumn(
            name=self.name, type=ColumnKind.CATEGORY, content=ColumnContent.BOOLEAN, example=self.example
        )

    def condition(self, place: int, threshold: float, *, value: float, said: float | str | None) -> str:  # noqa: ARG002
        """See ``ColumnPreprocessing``; a missing value is on the side of the mean."""
        if place:
            return told_missing(value)
        words = ["false"] if value <= threshold else ["true"]
        if (self.mean <= threshold) == (value <= threshold):
            words.append("missing")
        return f"is {' or '.join(words)}"

    def encoder(self, words: frozenset[str]) -> ColumnEncoder:
        """Takes JSON's true and false, and the words of every pair in any case."""
        return _Signs(self.name, self.mean, self.indicator, words)


class _Signs(NamedTuple):
    name: str
    mean: float
    indicator: bool
    words: frozenset[str]
    linear: None = None

    def encode(self, values: Values, target: Features) -> int:
        signs = np.array([self._sign_at(value, row) for row, value in enumerate(values)], dtype=np.float64)
        missing = np.isnan(signs)
        # Where training saw one of both only, the other one must not have an effect that nobody learned.
        target[:, 0] = self.mean if abs(self.mean) == 1 else np.where(missing, self.mean, signs)
        if self.indicator:
            target[:, 1] = missing
        return 0

    def check(self, value: Any, row: int) -> None:
        self._sign_at(value, row)

    def measure(self, values: Values) -> list[str | None]:
        signs = (self._sign_at(value, row) for row, value in enumerate(values))
        return [None if np.isnan(sign) else str(sign > 0) for sign in signs]

    def _sign_at(self, value: Any, row: int) -> float:
        text = text_at(value, row, self.name)
        if text is None:
            return np.nan
        if (sign := MEANINGS.get(text.lower())) is not None:
            return sign
        if text.lower() in self.words:
            return np.nan
        raise InputError(f"{quoted(value)} is neither true nor false", row=row, column=self.name)


@dataclass(frozen=True, kw_only=True, eq=False)
class BooleanColumn(Texts):
    """Each text that a row has is a word of a pair."""

    def useless(self) -> Useless | None:
        """It is empty, or constant without a gap."""
        present = {MEANINGS[self.texts[code].lower()] for code in np.unique(self.codes[self.codes >= 0])}
        return unvaried(len(present), self.missing)

    def refusal(self) -> DataError | None:
        """None: each word has its meaning."""
        return None

    @property
    def told_apart_by(self) -> str:
        """The pair whose words stand for those of all."""
        return f"{super().told_apart_by}, {self._pair[0]}"

    def meaning(self, text: str) -> str:
        """The word of the first pair that the column has: whoever writes one pair only has other columns' tokens."""
        return self._pair[MEANINGS[text.lower()] < 0]

    @property
    def _pair(self) -> tuple[str, str]:
        given = {text.lower() for text in self.texts}
        return next((pair for pair in _ALL_PAIRS if given & set(pair)), _DIGITS)

    def notes(self) -> Iterator[str]:
        """None: there is one way to read it."""
        yield from ()

    def example(self) -> bool:
        """What most rows say; true where as many say each."""
        return self._mean() >= 0

    def fit(self) -> BooleanPreprocessing:
        """The mean of its rows; an indicator is learned where enough of them are missing."""
        indicator = FEWEST_ROWS <= self.missing < self.rows
        return BooleanPreprocessing(name=self.name, mean=self._mean(), indicator=indicator, example=self.example())

    def _mean(self) -> float:
        signs = np.array([*(MEANINGS.get(text.lower(), 0.0) for text in self.texts), 0.0])[self.codes]
        return float(signs.sum() / max(self.rows - self.missing, 1))


def _read(raw: RawColumn) -> BooleanColumn | None:
    if raw.declared is None and raw.floats is not None:
        return None
    words = {text.lower() for text in raw.cells.texts} - raw.words
    if raw.declared is None and not _is_paired(words):
        return None
    if unknown := [text for text in raw.cells.texts if text.lower() in words - MEANINGS.keys()]:
        raise DataError(
            "NotABoolean",
            f"{raw.cells.place_of(unknown[0])}, column {raw.name}: {quoted(unknown[0])} is neither true nor false, but"
            " spec.data.columns says Boolean: write yes or no, true or false, y or n, t or f, 1 or 0, or nothing",
        )
    return BooleanColumn(**texts_of(raw)).without_words()


def _is_paired(words: set[str]) -> bool:
    """Whether the words are those of pairs, each beside its opposite: t and n, or yes alone, may mean anything."""
    pairs = [pair for pair in PAIRS if words & set(pair)]
    return bool(pairs) and words == {word for pair in pairs for word in pair}


BOOLEAN: Final = Kind(name="Boolean", document=BooleanPreprocessing, read=_read, type=ColumnType.BOOLEAN)
