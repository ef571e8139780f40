"""Rows as the numbers that a shared encoder makes of them: a service of its own is asked, here and in training."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Annotated, Protocol

from pydantic import Field

from modelservice.contract.base import ServiceName, Sha256
from modelservice.contract.documents import Document, ExactDocument
from modelservice.contract.manifest import SharedEncoder
from modelservice.modalities.base import Encoder, Features, Rows

Embed = Callable[[Rows, float | None], Features]
"""Rows, and the seconds within which somebody wants the answer, to float32 [rows, width]."""


class SharedRows(Protocol):
    """Who makes numbers of the rows of a training: each different one is asked for once."""

    @property
    def encoder(self) -> SharedEncoder:
        """Which encoder it is."""

    def embed(self, rows: Rows) -> Features:
        """The numbers of rows, float32 [rows, width].

        Raises:
            StageError: the encoder gives none, and no waiting helps; or it was waited for long enough.
        """


class SharedPreprocessing(ExactDocument):
    """Which encoder makes numbers of a row.

    Attributes:
        name: of the input.
        encoder: name of the ModelService.
        digest: of its artifact.
        width: numbers of a row.
    """

    name: str
    encoder: ServiceName
    digest: Sha256
    width: Annotated[int, Field(ge=1, le=65_536)]

    @property
    def shared(self) -> SharedEncoder:
        """The encoder as manifests have it."""
        return SharedEncoder(name=self.encoder, digest=self.digest, width=self.width)


class AskingEncoder(ABC):
    """The part of an ``Encoder`` that asks a shared one for the numbers of rows; that may be slow or away.

    Args:
        preprocessing: which encoder it is.
        embed: who is asked, None where nobody is yet.
    """

    def __init__(self, preprocessing: SharedPreprocessing, embed: Embed | None) -> None:
        self.shape: tuple[int, ...] = (preprocessing.width,)
        self.shared = preprocessing.shared
        self._embed = embed

    @abstractmethod
    def asking(self, embed: Embed) -> Encoder:
        """The same, which asks somebody."""

    @abstractmethod
    def asked(self, rows: Rows) -> Rows:
        """What is asked for: rows of a request, checked.

        Raises:
            InputError: names the first row that is none.
        """

    def encode(self, rows: Rows) -> Features:
        """Rows to float32 [rows, width]; raises what ``embed`` does, beside what ``asked`` does."""
        return self.encode_within(rows, None)[0]

    def encode_counted(self, rows: Rows) -> tuple[Features, dict[str, int]]:
        """The same; nothing counts as unseen, since every row is new."""
        return self.encode_within(rows, None)

    def encode_within(self, rows: Rows, seconds: float | None) -> tuple[Features, dict[str, int]]:
        """The same; ``seconds`` are those in which somebody wants the answer, None where nobody says."""
        assert self._embed is not None  # noqa: S101 - who opens it says whom to ask
        return self._embed(self.asked(rows), seconds), {}


def asking(encoder: Encoder) -> AskingEncoder | None:
    """The encoder, if it asks a shared one."""
    return encoder if isinstance(encoder, AskingEncoder) else None


def shared_by(preprocessing: Document) -> SharedEncoder | None:
    """Which shared encoder a preprocessing names, if it names one."""
    return preprocessing.shared if isinstance(preprocessing, SharedPreprocessing) else None
