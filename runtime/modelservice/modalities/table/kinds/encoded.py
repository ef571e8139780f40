"""Columns of texts as tokens, of which a pretrained model makes numbers where a family learns."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from typing import Annotated, Any, Final, Literal, NamedTuple

import numpy as np
from pydantic import Field, StringConstraints

from modelservice.contract.data import ColumnType
from modelservice.contract.failure import DataError
from modelservice.contract.signature import ColumnContent, ColumnKind, InputColumn
from modelservice.modalities.base import Features, Variable
from modelservice.modalities.table.kinds.base import (
    FEWEST_ROWS,
    ColumnEncoder,
    ColumnPreprocessing,
    Kind,
    RawColumn,
    TextTokens,
    Useless,
    Values,
    check_digits,
    text_at,
)
from modelservice.modalities.table.kinds.texts import Texts, texts_of, unvaried
from modelservice.modalities.tokens import MAX_CHARACTERS, Tokens, check_text

_EXAMPLE = "a few words"
"""Nobody's text, which any tokenizer can read."""
_TOKENIZERS = 2
"""That are kept: a tokenizer takes a tenth of a second to be read, and one model has one."""


class EncodedPreprocessing(ColumnPreprocessing):
    """The tokenizer and the number of tokens; ``indicator`` says that a text is missing."""

    kind: Literal["Encoded"] = "Encoded"
    max_length: Annotated[int, Field(ge=4, le=512)]
    tokenizer: Annotated[str, StringConstraints(max_length=2**25)]
    indicator: bool = Field(default=False, exclude_if=lambda said: not said)

    @property
    def width(self) -> int:
        """A place for each token, and one more with the indicator."""
        return self.max_length + self.indicator

    @property
    def layout(self) -> str:
        """See ``ColumnPreprocessing``."""
        return f"{super().layout}, of the tokenizer {sha256(self.tokenizer.encode()).hexdigest()[:8]}"

    @property
    def input(self) -> InputColumn:
        """The column as the signature has it."""
        return InputColumn(name=self.name, type=ColumnKind.CATEGORY, content=ColumnContent.TEXT, example=_EXAMPLE)

    def encoder(self, words: frozenset[str]) -> ColumnEncoder:  # noqa: ARG002 - the seam's signature
        """Any text is one; a missing one has no token."""
        return _Tokens(self, _opened(self.tokenizer, self.max_length))


@lru_cache(maxsize=_TOKENIZERS)
def _opened(tokenizer: str, max_length: int) -> Tokens:
    return Tokens(tokenizer, max_length=max_length)


class _Tokens(NamedTuple):
    stored: EncodedPreprocessing
    tokens: Tokens
    linear: None = None

    def encode(self, values: Values, target: Features) -> int:
        texts = [self._text(value, row) for row, value in enumerate(values)]
        length, present = self.stored.max_length, [row for row, text in enumerate(texts) if text is not None]
        target[present, :length] = self.tokens.encode([texts[row] or "" for row in present])
        if self.stored.indicator:
            target[:, length] = [text is None for text in texts]
        return 0

    def check(self, value: Any, row: int) -> None:
        self._text(value, row)

    def measure(self, values: Values) -> list[float]:
        texts = (self._text(value, row) for row, value in enumerate(values))
        return [np.nan if text is None else float(len(text)) for text in texts]

    def _text(self, value: Any, row: int) -> str | None:
        """The text of a cell, None if it is missing; the library takes no half characters."""
        text = text_at(value, row, self.stored.name)
        if text is not None:
            check_digits(value, row, self.stored.name)
            check_text(text, row=row, column=self.stored.name)
        return text


@dataclass(frozen=True, kw_only=True, eq=False)
class EncodedText(Texts):
    """Texts that a pretrained model reads, by the tokens that ``spec.data.encoder`` brings."""

    reading: TextTokens

    def useless(self) -> Useless | None:
        """It is empty, or constant without a gap."""
        return unvaried(self.distinct, self.missing)

    def refusal(self) -> DataError | None:
        """A text is too long to be read in a request."""
        longest = max(map(len, self.texts), default=0)
        if longest <= MAX_CHARACTERS:
            return None
        message = f"column {self.name} has a text of {longest} characters, at most {MAX_CHARACTERS} are read"
        return DataError("TextTooLong", f"{message}: cut it, or remove the row", field="spec.data.columns")

    def notes(self) -> Iterator[str]:
        """None: its type was asked for."""
        yield from ()

    def example(self) -> str:
        """No row's own text."""
        return _EXAMPLE

    def variable(self) -> Variable:
        """How long they are: what they say is nobody's to keep."""
        return Variable(np.array([*map(len, self.texts), np.nan])[self.codes], unit="characters")

    def fit(self) -> EncodedPreprocessing:
        """Nothing of its texts is kept; an indicator is learned where enough of them are missing."""
        return EncodedPreprocessing(
            name=self.name,
            max_length=self.reading.max_length,
            tokenizer=self.reading.tokenizer,
            indicator=FEWEST_ROWS <= self.missing < self.rows,
        )


def _read(raw: RawColumn) -> EncodedText | None:
    if raw.declared is not ColumnType.ENCODED or raw.reading is None:
        return None
    return EncodedText(**texts_of(raw), reading=raw.reading)


ENCODED: Final = Kind(name="Encoded", document=EncodedPreprocessing, read=_read, type=ColumnType.ENCODED)
