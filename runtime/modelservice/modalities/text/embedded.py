"""Texts as the numbers that a shared encoder makes of them."""

from typing import Final, Literal

from modelservice.contract.signature import InputColumn
from modelservice.modalities.base import Opener, Rows
from modelservice.modalities.shared import AskingEncoder, Embed, SharedPreprocessing
from modelservice.modalities.text.encoder import TextReader
from modelservice.modalities.text.preprocessing import text_input

NAME: Final = "EmbeddedText"


class EmbeddedPreprocessing(SharedPreprocessing):
    """Which encoder makes numbers of a text; ``name`` is that of the column, too."""

    kind: Literal["EmbeddedPreprocessing"] = "EmbeddedPreprocessing"

    @property
    def input(self) -> InputColumn:
        """The texts as the signature has them."""
        return text_input(self.name)


class EmbeddedEncoder(AskingEncoder, TextReader):
    """Asks for the numbers of texts."""

    def __init__(self, preprocessing: EmbeddedPreprocessing, embed: Embed | None = None) -> None:
        AskingEncoder.__init__(self, preprocessing, embed)
        TextReader.__init__(self, preprocessing.input)
        self._preprocessing = preprocessing

    def asking(self, embed: Embed) -> "EmbeddedEncoder":
        """See ``AskingEncoder``."""
        return EmbeddedEncoder(self._preprocessing, embed)

    def asked(self, rows: Rows) -> list[str]:
        """See ``AskingEncoder``."""
        return self.texts(rows)


EMBEDDED: Final = Opener(name=NAME, document=EmbeddedPreprocessing, build=EmbeddedEncoder)
