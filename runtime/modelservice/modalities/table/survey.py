"""What columns of texts hold, from how often each text comes: few rows stand for as many as there are."""

from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from modelservice.contract.failure import PassingError

MAX_TEXTS: Final = 2**14
"""Different texts of one column that are counted; of more, one is no category, and no class."""
_ROWS: Final = 2**16
"""Rows that stand for all of them, about."""


class TextCounts:
    """The different texts of a column in the order in which they come, how often each does, and where it is first."""

    def __init__(self) -> None:
        self.counts: NDArray[np.int64] = np.zeros(0, dtype=np.int64)
        self.missing = 0
        self._codes: dict[str, int] = {}
        self._first: list[int] = []

    def __len__(self) -> int:
        return len(self._codes)

    @property
    def texts(self) -> tuple[str, ...]:
        """By code."""
        return tuple(self._codes)

    @property
    def overflows(self) -> bool:
        """Whether there are more than ``MAX_TEXTS``, so that not all are known."""
        return len(self) > MAX_TEXTS

    def add(self, texts: pa.Array, places: NDArray[np.int64]) -> None:
        """Count further cells.

        Args:
            texts: trimmed; null is missing.
            places: where each stands in the table, from 0.
        """
        codes, known = _encoded(texts)
        for at, text in enumerate(known):
            if text not in self._codes:
                self._codes[text] = len(self._codes)
                self._first.append(int(places[int(np.argmax(codes == at))]))
        numbers = np.array([self._codes[text] for text in known], dtype=np.int64)
        self.counts = np.concatenate([self.counts, np.zeros(len(self) - len(self.counts), dtype=np.int64)])
        self.counts[numbers] += np.bincount(codes[codes >= 0], minlength=len(known))
        self.missing += int((codes < 0).sum())

    def codes(self, texts: pa.Array) -> NDArray[np.int64]:
        """The code of each cell, -1 for a missing one.

        Raises:
            PassingError: a text was not counted: the file is another one by now.
        """
        codes, known = _encoded(texts)
        if any(text not in self._codes for text in known):
            raise PassingError("DataChanged", "the data was changed while it was read", field="spec.data")
        return np.array([*(self._codes[text] for text in known), -1], dtype=np.int64)[codes]

    def rows(self) -> NDArray[np.int64]:
        """Codes of rows that stand for all, those of one text together and missing ones last.

        What comes once does so here, what comes more often comes at least twice; of many rows the shares are those of
        all but for rounding.
        """
        counts = np.array([*self.counts, self.missing], dtype=np.int64)
        scaled = np.maximum(counts * _ROWS // max(int(counts.sum()), _ROWS), np.minimum(counts, 2))
        return np.repeat([*range(len(self)), -1], scaled)

    def place(self, row: int) -> str:
        """Where the text of one of ``rows`` stands first."""
        return f"row {self._first[int(self.rows()[row])]}"

    def cells(self) -> pa.Array:
        """The texts of ``rows``."""
        codes = self.rows()
        return pa.array(self.texts, type=pa.string()).take(pa.array(codes, mask=codes < 0))

    def shown(self) -> NDArray[np.int64]:
        """For each code, and at the end for a missing cell, a place among ``rows`` that holds it; 0 for none."""
        return np.searchsorted(_last(self.rows(), len(self)), np.arange(len(self) + 1))


def _last(codes: NDArray[np.int64], missing: int) -> NDArray[np.int64]:
    """Ascending codes, missing ones after all others."""
    return np.where(codes < 0, missing, codes)


def _encoded(texts: pa.Array) -> tuple[NDArray[np.int64], list[str]]:
    found = texts.dictionary_encode()
    codes = pc.fill_null(found.indices, -1).to_numpy(zero_copy_only=False).astype(np.int64)
    return codes, found.dictionary.to_pylist()
