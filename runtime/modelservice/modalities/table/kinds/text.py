"""Columns of free text: hashed n-grams of characters, as ``grams`` says."""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal, NamedTuple

import numpy as np
from pydantic import Field

from modelservice.contract.data import ColumnType
from modelservice.contract.failure import DataError
from modelservice.contract.signature import ColumnContent, ColumnKind, InputColumn
from modelservice.modalities.base import Features, Variable
from modelservice.modalities.table.grams import READ_CHARACTERS, hashed_grams, words_of
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
    told_missing,
)
from modelservice.modalities.table.kinds.texts import Texts, texts_of, unvaried
from modelservice.modalities.table.written import FEW_TEXTS

BUCKETS = 512
NORM = 4.0
"""A text weighs as much as a number that is four deviations off, not as 512 numbers."""
_FEWEST_WORDS = 3
_WORD = re.compile(r"[^\W\d_]{2,}")
_SHOWN_WORDS = 3


class TextPreprocessing(ColumnPreprocessing):
    """Into how many places n-grams are hashed, and the length of the result; ``indicator`` says that it is missing."""

    kind: Literal["Text"] = "Text"
    buckets: Annotated[int, Field(ge=1, le=1 << 16)]
    norm: Annotated[float, Field(gt=0)]
    indicator: bool = Field(default=False, exclude_if=lambda said: not said)
    example: str

    @property
    def width(self) -> int:
        """The places, and one more with the indicator."""
        return self.buckets + self.indicator

    @property
    def input(self) -> InputColumn:
        """The column as the signature has it."""
        return InputColumn(name=self.name, type=ColumnKind.CATEGORY, content=ColumnContent.TEXT, example=self.example)

    def condition(self, place: int, threshold: float, *, value: float, said: float | str | None) -> str:  # noqa: ARG002
        """See ``ColumnPreprocessing``; which n-grams share a place, nobody knows."""
        if place == self.buckets:
            return told_missing(value)
        return f"letters of place {place + 1} in {self.buckets} weigh {side(value, threshold)} {threshold:.3g}"

    def encoder(self, words: frozenset[str]) -> ColumnEncoder:  # noqa: ARG002 - the seam's signature
        """Any text is one; a missing one is zeros, as one without words."""
        return _Grams(self)


class _Grams(NamedTuple):
    stored: TextPreprocessing
    linear: None = None

    def encode(self, values: Values, target: Features) -> int:
        stored = self.stored
        for row, value in enumerate(values):
            text = text_at(value, row, stored.name)
            if text is not None:
                check_digits(value, row, stored.name)
                hashed = hashed_grams(text, buckets=stored.buckets, norm=stored.norm)
                target[row, list(hashed)] = list(hashed.values())
            elif stored.indicator:
                target[row, stored.buckets] = 1.0
        return 0

    def check(self, value: Any, row: int) -> None:
        text_at(value, row, self.stored.name)

    def measure(self, values: Values) -> list[float]:
        texts = (text_at(value, row, self.stored.name) for row, value in enumerate(values))
        return [np.nan if text is None else float(len(text)) for text in texts]


@dataclass(frozen=True, kw_only=True, eq=False)
class FreeText(Texts):
    """Texts of which hardly any comes twice."""

    def useless(self) -> Useless | None:
        """It is empty, or constant without a gap."""
        return unvaried(self.distinct, self.missing)

    def refusal(self) -> DataError | None:
        """None: any text is one."""
        return None

    def meaning(self, text: str) -> str:
        """Its words in one order: what n-grams are made of."""
        return " ".join(sorted(words_of(text)))

    def notes(self) -> Iterator[str]:
        """That it is not taken for categories, and that not all of each text is read."""
        if not self.declared:
            yield f"column {self.name} holds free text: what is learned from are pairs and triples of its letters"
        if longer := sum(len(text) > READ_CHARACTERS for text in self.texts):
            count = f"{longer} texts have" if longer > 1 else "a text has"
            yield f"column {self.name}: {count} more than {READ_CHARACTERS} characters, of which the first are read"

    def example(self) -> str:
        """The words that stand in most rows, if in several: no row's own text."""
        counts = self.counts
        rows: Counter[str] = Counter()
        for code in np.flatnonzero(counts):
            rows.update(dict.fromkeys(words_of(self.texts[code]), int(counts[code])))
        usual = sorted((-count, word) for word, count in rows.items() if count >= FEWEST_ROWS)
        return " ".join(word for _, word in usual[:_SHOWN_WORDS]) or "text"

    def variable(self) -> Variable:
        """How long they are: what they say is nobody's to keep."""
        return Variable(np.array([*map(len, self.texts), np.nan])[self.codes], unit="characters")

    def fit(self) -> TextPreprocessing:
        """Nothing of its texts is kept; an indicator is learned where enough of them are missing."""
        return TextPreprocessing(
            name=self.name,
            buckets=BUCKETS,
            norm=NORM,
            indicator=FEWEST_ROWS <= self.missing < self.rows,
            example=self.example(),
        )


def _read(raw: RawColumn) -> FreeText | None:
    if raw.declared is None and (raw.floats is not None or not _is_free_text(raw)):
        return None
    return FreeText(**texts_of(raw))


def _is_free_text(raw: RawColumn) -> bool:
    """Whether texts are many, mostly different, and of several words.

    What differs in each row and has no words in it is an identifier, and what comes again a category.
    """
    texts = raw.cells.texts
    if len(texts) <= FEW_TEXTS or 2 * len(texts) <= int((raw.cells.codes >= 0).sum()):
        return False
    worded = sum(1 for text in texts if len(_WORD.findall(text)) >= _FEWEST_WORDS)
    return 2 * worded >= len(texts)


TEXT: Final = Kind(name="Text", document=TextPreprocessing, read=_read, type=ColumnType.TEXT)
