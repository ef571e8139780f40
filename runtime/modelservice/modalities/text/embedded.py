"""Texts as the numbers that a shared encoder makes of them."""

from typing import Final, Literal

from pydantic import Field

from modelservice.contract.data import MissingWords
from modelservice.contract.signature import InputColumn
from modelservice.modalities.base import Opener, Rows
from modelservice.modalities.shared import AskingEncoder, Embed, SentRows, SharedPreprocessing
from modelservice.modalities.tensors import BYTES, to_binary
from modelservice.modalities.text.encoder import TextReader
from modelservice.modalities.text.preprocessing import text_input

NAME: Final = "EmbeddedText"
INPUT: Final = "text"
"""Of an encoder that is served as it is."""


class EmbeddedPreprocessing(SharedPreprocessing):
    """Which encoder makes numbers of a text.

    Attributes:
        name: of the column, and of the input.
        missing: ``spec.data.missing`` where that was given.
    """

    kind: Literal["EmbeddedPreprocessing"] = "EmbeddedPreprocessing"
    name: str
    missing: MissingWords | None = Field(default=None, exclude_if=lambda words: words is None)

    @property
    def input(self) -> InputColumn:
        """The texts as the signature has them."""
        return text_input(self.name)


class EmbeddedEncoder(AskingEncoder, TextReader):
    """Asks for the numbers of texts."""

    def __init__(self, preprocessing: EmbeddedPreprocessing, embed: Embed | None = None) -> None:
        AskingEncoder.__init__(self, preprocessing, embed)
        TextReader.__init__(self, preprocessing.input, preprocessing.missing)
        self._preprocessing = preprocessing

    def asking(self, embed: Embed) -> "EmbeddedEncoder":
        """See ``AskingEncoder``."""
        return EmbeddedEncoder(self._preprocessing, embed)

    def sent(self, rows: Rows) -> SentRows:
        """See ``AskingEncoder``."""
        return SentRows(name=INPUT, datatype=BYTES, rows=[to_binary(BYTES, [text]) for text in self.texts(rows)])


EMBEDDED: Final = Opener(name=NAME, document=EmbeddedPreprocessing, build=EmbeddedEncoder)
