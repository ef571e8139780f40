"""What kinds of columns of texts have in common: each text once, rows by code, and what identifies a cell."""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from modelservice.cells import MISSING_WORDS, as_number, is_number_text
from modelservice.contract.signature import ColumnKind
from modelservice.modalities.base import Variable
from modelservice.modalities.split import MISSING, framed, number_token
from modelservice.modalities.table.kinds.base import RawColumn, Useless

PAIRS: Final = (("true", "false"), ("yes", "no"), ("t", "f"), ("y", "n"))
"""Words of yes and no, which mean the same in any case."""
_TRUTHS: Final = frozenset(word for pair in PAIRS for word in pair)


@dataclass(frozen=True, kw_only=True, eq=False)
class Texts:
    """Texts by code: int32 [rows] indexes ``texts``, whose entries differ; -1 is missing.

    ``words`` are those that mean a missing value among numbers, which a row's content counts in texts, too.
    ``declared`` columns have a type in ``spec.data.columns``.
    """

    name: str
    codes: NDArray[np.int32]
    texts: tuple[str, ...]
    words: frozenset[str] = MISSING_WORDS
    declared: bool = False

    @property
    def type(self) -> ColumnKind:
        """An empty column counts as one of numbers: where those are all that a model takes, a matrix still is one."""
        return ColumnKind.CATEGORY if self.texts else ColumnKind.NUMBER

    @property
    def rows(self) -> int:
        """Number of rows."""
        return len(self.codes)

    @property
    def missing(self) -> int:
        """Number of missing values."""
        return int((self.codes < 0).sum())

    @property
    def distinct(self) -> int:
        """Number of different values, missing ones aside."""
        return len(np.unique(self.codes[self.codes >= 0]))

    @property
    def values(self) -> list[str | None]:
        """The text of each row, None for missing."""
        lookup: tuple[str | None, ...] = (*self.texts, None)
        return [lookup[code] for code in self.codes]

    @property
    def counts(self) -> NDArray[np.int64]:
        """How often each of ``texts`` stands in the rows."""
        return np.bincount(self.codes[self.codes >= 0], minlength=len(self.texts))

    def take(self, rows: NDArray[np.int64]) -> Self:
        """The column of some of the rows."""
        return replace(self, codes=self.codes[rows])

    def variable(self) -> Variable:
        """The texts."""
        return Variable(self.codes, self.texts)

    def without_words(self) -> Self:
        """The column whose cells of ``words`` are missing; the words stay among the texts, and no row has them."""
        gone = np.array([*(text.lower() in self.words for text in self.texts), False])
        return replace(self, codes=np.where(gone[self.codes], np.int32(-1), self.codes))

    @property
    def told_apart_by(self) -> str:
        """Its kind, and that tokens are those of meanings."""
        return f"{type(self).__name__} of meanings"

    def meaning(self, text: str) -> str:
        """The same text for all that mean the same to a model, in a spelling that this column has where it can be."""
        return text

    def tokens(self, rows: slice) -> Iterable[bytes]:
        """Those of meanings: numbers are numbers, words for missing values missing, yes and no the same in any case."""
        codes = self.codes[rows].tolist()
        known = {code: MISSING if code < 0 else self._token(self.texts[code]) for code in set(codes)}
        return (known[code] for code in codes)

    def _token(self, text: str) -> bytes:
        if text.lower() in self.words:
            return MISSING
        meaning = self.meaning(text)
        # What a cell means may be nothing, or be spelt like a missing value, and the cell is none all the same.
        if is_number_text(meaning):
            with suppress(ValueError):
                return number_token(as_number(meaning, frozenset()))
        lowered = meaning.lower()
        return b"t" + framed(lowered if lowered in _TRUTHS else meaning)


def unvaried(distinct: int, missing: int) -> Useless | None:
    """Why a column of texts with so many different values tells nothing; where one is missing that says something."""
    if distinct == 0:
        return Useless("it is empty")
    return Useless("every value is the same") if distinct == 1 and not missing else None


def texts_of(raw: RawColumn) -> dict[str, Any]:
    """The fields of ``Texts``, as a column was read."""
    return {
        "name": raw.name,
        "codes": raw.cells.codes,
        "texts": raw.cells.texts,
        "words": raw.words,
        "declared": raw.declared is not None,
    }
