"""Texts as the numbers that a shared encoder makes of them: a service of its own is asked, here and in training."""

from collections.abc import Callable, Sequence
from typing import Annotated, Final, Literal, Protocol

from pydantic import Field

from modelservice.contract.base import ServiceName, Sha256
from modelservice.contract.documents import ExactDocument
from modelservice.contract.manifest import SharedEncoder
from modelservice.contract.signature import InputColumn
from modelservice.modalities.base import Features, Opener, Rows
from modelservice.modalities.text.encoder import TextReader
from modelservice.modalities.text.preprocessing import text_input

NAME: Final = "EmbeddedText"

Embed = Callable[[Sequence[str], float | None], Features]
"""Texts, and the seconds within which somebody wants the answer, to float32 [texts, width]."""


class SharedTexts(Protocol):
    """Who makes numbers of the texts of a training: each different text is asked for once."""

    @property
    def encoder(self) -> SharedEncoder:
        """Which encoder it is."""

    def embed(self, texts: Sequence[str]) -> Features:
        """The numbers of texts, float32 [texts, width].

        Raises:
            StageError: the encoder gives none, and no waiting helps; or it was waited for long enough.
        """


class EmbeddedPreprocessing(ExactDocument):
    """Which encoder makes numbers of a text.

    Attributes:
        name: of the column, and of the input.
        encoder: name of the ModelService.
        digest: of its artifact.
        width: numbers of a text.
    """

    kind: Literal["EmbeddedPreprocessing"] = "EmbeddedPreprocessing"
    name: str
    encoder: ServiceName
    digest: Sha256
    width: Annotated[int, Field(ge=1, le=65_536)]

    @property
    def shared(self) -> SharedEncoder:
        """The encoder as manifests have it."""
        return SharedEncoder(name=self.encoder, digest=self.digest, width=self.width)

    @property
    def input(self) -> InputColumn:
        """The texts as the signature has them."""
        return text_input(self.name)


class EmbeddedEncoder(TextReader):
    """Asks for the numbers of texts; ``embed`` is who is asked, and may be slow or away."""

    def __init__(self, preprocessing: EmbeddedPreprocessing, embed: Embed | None = None) -> None:
        super().__init__(preprocessing.input)
        self.shape = (preprocessing.width,)
        self.shared = preprocessing.shared
        self._preprocessing = preprocessing
        self._embed = embed

    def asking(self, embed: Embed) -> "EmbeddedEncoder":
        """The same, which asks somebody."""
        return EmbeddedEncoder(self._preprocessing, embed)

    def encode(self, rows: Rows) -> Features:
        """Texts to float32 [rows, width]; raises what ``embed`` does, beside what ``texts`` does."""
        return self.encode_within(rows, None)[0]

    def encode_counted(self, rows: Rows) -> tuple[Features, dict[str, int]]:
        """The same; nothing counts as unseen, since every text is new."""
        return self.encode_within(rows, None)

    def encode_within(self, rows: Rows, seconds: float | None) -> tuple[Features, dict[str, int]]:
        """The same; ``seconds`` are those in which somebody wants the answer, None where nobody says."""
        assert self._embed is not None  # noqa: S101 - who opens it says whom to ask
        return self._embed(self.texts(rows), seconds), {}


EMBEDDED: Final = Opener(name=NAME, document=EmbeddedPreprocessing, build=EmbeddedEncoder)
