"""Texts as a source: one column of another source, read word by word."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from modelservice.contract.data import ColumnSettings, TextColumn
from modelservice.contract.documents import Document
from modelservice.contract.failure import DataError
from modelservice.contract.signature import Input
from modelservice.modalities.base import Features, Profile, Source
from modelservice.modalities.scaling import NumberRules
from modelservice.modalities.shared import SharedRows, check_reads
from modelservice.modalities.split import content_digests
from modelservice.modalities.tensors import BYTES
from modelservice.modalities.text.embedded import NAME as EMBEDDED_TEXT
from modelservice.modalities.text.embedded import EmbeddedEncoder, EmbeddedPreprocessing
from modelservice.modalities.text.encoder import NAME, TextEncoder
from modelservice.modalities.text.preprocessing import TextPreprocessing
from modelservice.modalities.tokens import MAX_CHARACTERS, Tokens, train_tokenizer
from modelservice.tasks.base import Target, TargetCells

FIELD = "spec.data.text.column"
_NO_WORDS: tuple[str, ...] = ()
"""Among texts no word means a missing one, unless that is said."""


class TextSource:
    """A table of which one column is read word by word."""

    modality = NAME

    def __init__(
        self,
        source: Source,
        settings: TextColumn,
        *,
        tokenizer: str | None = None,
        asked: SharedRows | None = None,
    ) -> None:
        """Make texts of a table.

        Args:
            source: the table.
            settings: what is said of the column.
            tokenizer: that of an encoder; None to learn one.
            asked: who makes numbers of texts, in place of tokens.

        Raises:
            StageError: who is asked reads no texts.
        """
        if asked is not None:
            check_reads(asked, BYTES)
            self.modality = EMBEDDED_TEXT
        self._asked = asked
        self.sha256 = source.sha256
        self.given = source.given
        self._source = source
        self._settings = settings
        self._tokenizer = tokenizer

    def target(
        self, name: str, missing: Sequence[str] | None = None, *, unread: NDArray[np.bool_] | None = None
    ) -> TargetCells:
        """See ``Source``."""
        return self._source.target(name, missing, unread=unread)

    def aside(self, name: str, missing: Sequence[str] | None = None, *, field: str) -> TargetCells:
        """See ``Source``."""
        return self._source.aside(name, missing, field=field)

    def examples(
        self,
        features: tuple[str, ...],  # noqa: ARG002 - the contract lets none through, nor types
        target: Target,
        missing: Sequence[str] | None = None,
        columns: Mapping[str, ColumnSettings] | None = None,  # noqa: ARG002
        aside: Collection[str] = (),
    ) -> "TextExamples | EmbeddedExamples":
        """The texts of the rows that have a target; a missing one is empty.

        Raises:
            DataError: there is no such column, it decides something else, or a text is too long.
        """
        name = self._settings.column
        if name in aside:
            message = f"column {name} divides or weighs the rows: name another in {FIELD}"
            raise DataError("ColumnNotClear", message, field=FIELD)
        cells = self._source.aside(name, _NO_WORDS if missing is None else missing, field=FIELD)
        rows = np.flatnonzero(target.present)
        for code, text in enumerate(cells.texts):
            if len(text) > MAX_CHARACTERS:
                place = cells.place(int(np.flatnonzero(cells.codes == code)[0]))
                found = (
                    f"{place}, column {name}: the text has {len(text)} characters, at most {MAX_CHARACTERS} are read"
                )
                raise DataError("TextTooLong", f"{found}: cut it, or remove the row", field=FIELD)
        texts = [cells.texts[code] if code >= 0 else "" for code in cells.codes[rows].tolist()]
        told: dict[str, Any] = {
            "settings": self._settings,
            "texts": texts,
            "missing": None if missing is None else tuple(missing),
            "found": cells.notes,
        }
        if self._asked is not None:
            return EmbeddedExamples(**told, asked=self._asked)
        return TextExamples(**told, tokenizer=self._tokenizer)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Texts:
    """Texts of the rows that have a target.

    Attributes:
        settings: what is said of the column.
        texts: those of the rows, empty where one is missing.
        missing: the words that mean that, where they are said.
        found: notes on those that were found.
    """

    settings: TextColumn
    texts: list[str]
    missing: tuple[str, ...] | None = None
    found: tuple[str, ...] = ()

    @property
    def notes(self) -> tuple[str, ...]:
        """How many rows have no text."""
        empty = self.texts.count("")
        said = (f"column {self.settings.column}: {empty} rows have no text",) if empty else ()
        return (*self.found, *said)

    @property
    def features(self) -> int:
        """The column."""
        return 1

    @property
    def told_apart_by(self) -> tuple[str, ...]:
        """The texts."""
        return ("texts",)

    def digests(self, target: Target, *, seed: int) -> list[bytes]:
        """A hash of each text and its target."""
        return content_digests((text.encode() for text in self.texts), target, seed=seed)

    def by_rules(self, rules: NumberRules) -> Self:
        """See ``Examples``: there are no columns of numbers.

        Raises:
            DataError: always.
        """
        raise rules.unfit("texts")

    def different(self, train: NDArray[np.int64]) -> list[str]:
        """The texts of the training rows.

        Raises:
            DataError: all of them are the same.
        """
        texts = [self.texts[row] for row in train]
        if len(set(texts)) < 2:  # noqa: PLR2004 - nothing to tell apart
            message = f"every text of column {self.settings.column} is the same in the training rows: name another"
            raise DataError("NoFeatures", message, field=FIELD)
        return texts

    def profiles(self, preprocessing: Any, rows: NDArray[np.int64]) -> tuple[Profile, ...]:  # noqa: ARG002 - as above
        """None: a part of a text is no column."""
        return ()


@dataclass(frozen=True, kw_only=True, eq=False)
class TextExamples(_Texts):
    """Texts as tokens."""

    tokenizer: str | None = None

    def fit(self, train: NDArray[np.int64]) -> tuple[Document, tuple[Input, ...]]:
        """The tokenizer: the one that was brought, or one that is learned from the training rows.

        Raises:
            DataError: all their texts are the same.
        """
        texts = self.different(train)
        tokenizer = self.tokenizer or train_tokenizer(texts, vocabulary=self.settings.vocabulary)
        preprocessing = TextPreprocessing(
            name=self.settings.column,
            max_length=self.settings.max_length,
            vocabulary=Tokens(tokenizer, max_length=self.settings.max_length).vocabulary,
            tokenizer=tokenizer,
            missing=self.missing,
        )
        return preprocessing, (preprocessing.input,)

    def encode(self, preprocessing: Any, rows: NDArray[np.int64]) -> Features:
        """Encode some texts, by the encoder that serving uses."""
        return TextEncoder(preprocessing).encode([self.texts[row] for row in rows])

    def codes(self, preprocessing: Any) -> NDArray[np.bool_]:
        """All: a token is a name, and no measurement."""
        return np.ones(preprocessing.max_length, dtype=np.bool_)


@dataclass(frozen=True, kw_only=True, eq=False)
class EmbeddedExamples(_Texts):
    """Texts as the numbers of a shared encoder."""

    asked: SharedRows

    def fit(self, train: NDArray[np.int64]) -> tuple[Document, tuple[Input, ...]]:
        """The encoder; nothing is measured.

        Raises:
            DataError: all texts of the training rows are the same.
        """
        self.different(train)
        encoder = self.asked.encoder
        preprocessing = EmbeddedPreprocessing(
            name=self.settings.column,
            encoder=encoder.name,
            digest=encoder.digest,
            width=encoder.width,
            missing=self.missing,
        )
        return preprocessing, (preprocessing.input,)

    def encode(self, preprocessing: Any, rows: NDArray[np.int64]) -> Features:
        """Encode some texts, by the encoder that serving uses; errors are those of who is asked."""
        reader = EmbeddedEncoder(preprocessing, lambda texts, _: self.asked.embed(texts))
        return reader.encode([self.texts[row] for row in rows])

    def codes(self, preprocessing: Any) -> None:
        """None: all are numbers of one scale."""
